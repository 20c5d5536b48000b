"""Published figures: leaf and flower networks fused on 500 queries of 50 PlantCLEF species (IEEE 8119457)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from evaluation.alignment import align
from evaluation.fused import FusedPlaces, fuse_places
from evaluation.fusion import Recipe, fuse
from evaluation.learning import Fit, answer, fit_recipe, shared_answers
from evaluation.metrics import average_ranks, top_k_score, true_indices
from evaluation.predictions import Predictions
from evaluation.rules.learned import LEARNED
from evaluation.scores import score_fused, score_predictions

FOLDER = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "organ_scores"
N_SPECIES = 50

pytestmark = [
    pytest.mark.shared_data,
    pytest.mark.skipif(not FOLDER.is_dir(), reason="the published scores do not lie beside the checkout"),
]


def read_organs(split: str) -> dict[str, Predictions]:
    with np.load(FOLDER / "leaf_flower.npz", allow_pickle=False) as arrays:
        n = len(arrays[f"{split}_leaf"])
        return {
            organ.lower(): Predictions(
                model=organ.lower(),
                split=split,
                image_id=np.array([f"{organ} {row}" for row in range(n)]),
                observation_id=np.array([f"{split} query {row}" for row in range(n)]),
                author=np.full(n, ""),
                view=np.full(n, organ),
                true_class=np.array([f"{number:02d}" for number in arrays[f"{split}_{organ.lower()}_class"]]),
                classes=np.array([f"{number:02d}" for number in range(N_SPECIES)]),
                probability=arrays[f"{split}_{organ.lower()}"],
            )
            for organ in ("Leaf", "Flower")
        }


@pytest.fixture(scope="module")
def organs() -> dict[str, Predictions]:
    return read_organs("test")


@pytest.fixture(scope="module")
def published() -> dict[str, list[float]]:
    return json.loads((FOLDER / "leaf_flower_published_cmc.json").read_text())


def curve(probability: np.ndarray, truth: np.ndarray, classes: np.ndarray) -> np.ndarray:
    ranks = average_ranks(probability, true_indices(truth, classes))
    return np.array([top_k_score(ranks, k, np.array([""] * len(ranks))).value for k in range(1, N_SPECIES)])


@pytest.mark.parametrize(("organ", "rank_1"), [("leaf", 0.662), ("flower", 0.730)])
def test_single_organs(
    organs: dict[str, Predictions], published: dict[str, list[float]], organ: str, rank_1: float
) -> None:
    one = organs[organ]
    np.testing.assert_allclose(curve(one.probability, one.true_class, one.classes), published[organ], atol=1e-12)
    scores = {score.metric: score.value for score in score_predictions(one) if score.view == "all"}
    assert scores["top_1"] == rank_1


@pytest.mark.parametrize(
    ("rule", "name", "rank_1"),
    [("max", "max rule", 0.816), ("mean", "sum rule", 0.820), ("product", "prod rule", 0.886)],
)
def test_fused_organs(
    organs: dict[str, Predictions], published: dict[str, list[float]], rule: str, name: str, rank_1: float
) -> None:
    aligned = align([organs["leaf"], organs["flower"]], by="observation")
    fused = fuse(aligned, Recipe(rule))
    # Every point of the published curve, rank 1 to 49.
    np.testing.assert_allclose(curve(fused.probability, fused.true_class, fused.classes), published[name], atol=1e-12)
    (places,) = fuse_places(aligned, [Recipe(rule)], 1)
    scores = {score.metric: score.value for score in score_fused(places, f"fusion:{rule}")}
    assert scores["top_1"] == rank_1
    assert "S_image" not in scores


def test_no_right_species_is_tied(organs: dict[str, Predictions]) -> None:
    """The figures do not hang on the tie convention: every right species has a rank of its own."""
    for rule in ("max", "mean", "product"):
        fused = fuse(align([organs["leaf"], organs["flower"]], by="observation"), Recipe(rule))
        ranks = average_ranks(fused.probability, true_indices(fused.true_class, fused.classes))
        own = fused.probability[np.arange(500), true_indices(fused.true_class, fused.classes)][:, np.newaxis]
        assert np.count_nonzero(fused.probability == own) == 500
        assert np.all(ranks == np.round(ranks))


def test_photographs_of_train_stand_under_several_queries() -> None:
    """Why folds keep equal answers apart: without that, training looks better than it is."""
    train = read_organs("train")
    assert {organ: len(np.unique(one.probability, axis=0)) for organ, one in train.items()} == {
        "leaf": 865,
        "flower": 790,
    }
    shared = shared_answers(align(list(train.values()), by="observation"), np.arange(1500))
    assert len(np.unique(shared[:, 0])) > 1000


@pytest.mark.parametrize(
    ("rule", "rank_1", "rank_5"),
    [
        ("median", 0.820, 0.968),
        ("borda", 0.790, 0.966),
        ("reciprocal_rank", 0.826, 0.966),
        ("majority", 0.820, 0.968),
        ("log_loss", 0.802, 0.966),
        ("least_squares", 0.792, 0.966),
        ("weighted_product", 0.886, 0.982),
        ("stacked", 0.894, 0.984),
    ],
)
def test_the_documented_table(organs: dict[str, Predictions], rule: str, rank_1: float, rank_5: float) -> None:
    """Fitted on train alone; two queries of 500 are left to other libraries' last digits."""
    train, test = (align(list(one.values()), by="observation") for one in (read_organs("train"), organs))
    fit = fit_recipe(train, Recipe(rule)) if rule in LEARNED else Fit()
    fused = answer(test, Recipe(rule), fit).fused
    scores = {score.metric: score.value for score in score_fused(FusedPlaces.of(fused), rule)}
    assert scores["top_1"] == pytest.approx(rank_1, abs=0.0041)
    assert scores["top_5"] == pytest.approx(rank_5, abs=0.0041)
