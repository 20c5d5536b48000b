"""Neighbours are the nearest training photographs of the same view, as scikit-learn finds them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from evaluation.members import load_members
from evaluation.report import neighbours
from evaluation.report.herbarium import Herbarium
from evaluation.report.neighbours import nearest_neighbours


@pytest.mark.parametrize("rows_at_once", [3, 4096])
def test_as_scikit_learn_finds_them(scene, monkeypatch: pytest.MonkeyPatch, rows_at_once: int) -> None:
    monkeypatch.setattr(neighbours, "ROWS_AT_ONCE", rows_at_once)
    images = load_members(scene.runs, "test").fused[0].predictions
    herbarium = Herbarium.open(str(scene.store), images, ["net"])
    found = nearest_neighbours(herbarium, images.image_id, 4)
    assert set(found) == set(images.image_id.tolist())
    papers = scene.papers
    for view in ("Flower", "Leaf"):
        asking = papers[(papers["view"] == view) & (papers["split"] == "test")]
        taught = papers[(papers["view"] == view) & (papers["split"] == "train")]
        reference = NearestNeighbors(n_neighbors=4, metric="cosine").fit(scene.features[taught.index])
        distance, place = reference.kneighbors(scene.features[asking.index])
        for row, image_id in enumerate(asking["image_id"]):
            assert [one.image_id for one in found[image_id]] == taught["image_id"].iloc[place[row]].tolist()
            np.testing.assert_allclose([one.cosine for one in found[image_id]], 1 - distance[row], atol=1e-5)


def test_nothing_that_is_reported_on_has_taught(scene) -> None:
    """On valid, whose photographs are of the training part of the data set, plants are not their own neighbours."""
    images = load_members(scene.runs, "valid").fused[0].predictions
    half = images.select(np.arange(len(images.image_id)) < 16)
    herbarium = Herbarium.open(str(scene.store), half, ["net"])
    near = {one.image_id for some in nearest_neighbours(herbarium, half.image_id).values() for one in some}
    of_plants = scene.papers.set_index("image_id")["observation_id"]
    assert near
    assert not {of_plants[name] for name in near} & set(half.observation_id.tolist())


def test_a_store_without_the_network_has_none(scene) -> None:
    images = load_members(scene.runs, "test").fused[0].predictions
    herbarium = Herbarium.open(str(scene.store), images, ["another"])
    assert herbarium.warnings == ("The store has no features of another of these runs.",)
    unknown = np.array(["nobody"])
    assert nearest_neighbours(herbarium, unknown) == {}
