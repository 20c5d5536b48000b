"""What is written as a run file scores as it did before it was written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.alignment import align
from evaluation.fuse import FuseSettings
from evaluation.fused import fuse_places
from evaluation.fusion import Recipe
from evaluation.official.cards import card_path, read_label
from evaluation.official.checks import check
from evaluation.official.layouts import LAYOUTS
from evaluation.official.lines import read_lines
from evaluation.official.scoring import score_run
from evaluation.official.standings import PRETRAINED, UNSTATED
from evaluation.official.truth import truth_of
from evaluation.official.writing import write_lines, write_run
from evaluation.predictions import Predictions
from evaluation.runs import RunCard, predictions_path, write_run_card
from evaluation.scores import score_fused
from featstore.catalog import make_catalog
from featstore.errors import PredictionsError, SettingsError

N_PLANTS, N_IMAGES = 6, 14
CLASSES = np.array(["55", "7", "8", "9"])


def make_predictions(name: str, seed: int, *, tied: bool) -> Predictions:
    """Photographs of some plants that are the same for all members; ties if asked for."""
    papers = np.random.default_rng(2014)
    plant = np.concatenate([np.arange(N_PLANTS), papers.integers(N_PLANTS, size=N_IMAGES - N_PLANTS)])
    rng = np.random.default_rng(seed)
    shares = rng.integers(1, 4, (N_IMAGES, 4)) if tied else rng.random((N_IMAGES, 4))
    return Predictions(
        model=name,
        split="test",
        image_id=np.array([f"{1000 + row}" for row in range(N_IMAGES)]),
        observation_id=np.array([f"plant {number}" for number in plant]),
        author=np.array(["anna" if number < 2 else "otto" if number < 4 else "" for number in plant]),
        view=np.full(N_IMAGES, "Leaf"),
        true_class=CLASSES[plant % 4],
        classes=CLASSES,
        probability=(shares / shares.sum(axis=1, keepdims=True)).astype(np.float32),
    )


def write_folder(folder: Path, seed: int, *, tied: bool = False, weights: str = "imagenet") -> Path:
    make_predictions(folder.name, seed, tied=tied).write(predictions_path(folder, "test"))
    classes = dict.fromkeys(CLASSES.tolist(), "")
    details = {"weights": {"mobilenet": weights}}
    write_run_card(folder, RunCard(folder.name, "head", ("mobilenet",), "mlp", classes, details))
    return folder


def papers() -> pd.DataFrame:
    source = make_predictions("truth", 0, tied=False)
    columns = {"class_id": "true_class"}
    names = ("image_id", "observation_id", "author", "view", "class_id")
    return make_catalog(
        [
            {"split": "test", **{name: str(getattr(source, columns.get(name, name))[row]) for name in names}}
            for row in range(N_IMAGES)
        ],
        Path(),
        "made up",
    ).frame


@settings(max_examples=20)
@given(
    seed=st.integers(0, 2**31),
    tied=st.booleans(),
    recipe=st.sampled_from([Recipe("mean"), Recipe("max"), Recipe("product"), Recipe("mean", "max")]),
    layout=st.sampled_from(list(LAYOUTS)),
)
def test_a_written_run_scores_as_the_fusion_did(
    tmp_path_factory: pytest.TempPathFactory, seed: int, tied: bool, recipe: Recipe, layout: str
) -> None:
    folder = tmp_path_factory.mktemp("run")
    runs = [write_folder(folder / name, seed + number, tied=tied) for number, name in enumerate(("one", "two"))]
    write_run(runs, FuseSettings((recipe,)), folder / "run.txt", layout)
    members = align([make_predictions(run.name, seed + number, tied=tied) for number, run in enumerate(runs)])
    (fused,) = fuse_places(members, [recipe])
    expected = {score.metric: score.value for score in score_fused(fused, "fusion")}
    truth = truth_of(papers(), "made up")
    metric = "S_image" if LAYOUTS[layout].by_image else "S"
    found = score_run(folder / "run.txt", truth, layout, ties="average")
    assert found.value(metric) == pytest.approx(expected[metric], abs=1e-14)
    official = score_run(folder / "run.txt", truth, layout)
    assert check(read_lines(folder / "run.txt", layout), truth.known(LAYOUTS[layout])).found == ()
    if not official.n_tied:
        assert official.scores == found.scores


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_every_species_once_by_falling_probability(tmp_path: Path, layout: str) -> None:
    rng = np.random.default_rng(0)
    probability = rng.dirichlet(np.ones(4), 3)
    probability[0] = [0.25, 0.25, 0.5, 0.0]
    queries = np.array(["a", "b", "c"])
    assert write_lines(queries, CLASSES, probability, tmp_path / "run", LAYOUTS[layout]) == 12
    lines = read_lines(tmp_path / "run", layout)
    assert lines.queries.tolist() == ["a", "b", "c"]
    ranked = lines.classes[lines.class_index].reshape(3, 4)
    assert ranked[0].tolist() == ["8", "55", "7", "9"], "equal ones in the order of their ids"
    np.testing.assert_array_equal(lines.score.reshape(3, 4), np.sort(probability, axis=1)[:, ::-1])
    np.testing.assert_array_equal(lines.rank.reshape(3, 4), [[1, 2, 3, 4]] * 3)
    assert write_lines(queries, CLASSES, probability, tmp_path / "run", LAYOUTS[layout], limit=2) == 6
    few = read_lines(tmp_path / "run", layout)
    np.testing.assert_array_equal(few.classes[few.class_index].reshape(3, 2), ranked[:, :2])


def test_the_card_beside_a_run_tells_its_weights(tmp_path: Path) -> None:
    path = tmp_path / "run.txt"
    runs = [write_folder(tmp_path / "one", 1, weights="random"), write_folder(tmp_path / "two", 2)]
    written = write_run(runs, FuseSettings(), path)
    assert (written.label, written.n_queries, written.n_lines) == (PRETRAINED, N_PLANTS, 4 * N_PLANTS)
    assert read_label(path) == PRETRAINED
    card = json.loads(card_path(path).read_text())
    assert [member["run"] for member in card["members"]] == ["one", "two"]
    path.write_text(path.read_text().replace("plant 1", "plant 9"))
    assert read_label(path) == UNSTATED, "the card is of other bytes"
    card_path(path).write_text("{")
    assert read_label(path) == UNSTATED
    assert write_run(runs[:1], FuseSettings(), path).label == "post-competition"


def test_a_failed_writing_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.txt"
    path.write_text("earlier")
    calls = []

    def break_down(*_: object) -> None:
        calls.append(1)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("evaluation.official.writing.csv.write_csv", break_down)
    with pytest.raises(OSError, match="No space"):
        write_run([write_folder(tmp_path / "one", 1)], FuseSettings(), path)
    assert calls
    assert path.read_text() == "earlier"
    assert sorted(found.name for found in tmp_path.iterdir()) == ["one", "run.txt"]


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    probability = np.array([[1.0, 0.0]])
    for names in (["a;b"], ["a\nb"], [" a"], ['"a"'], [""]):
        with pytest.raises(PredictionsError, match="ids without semicolons"):
            write_lines(np.array(names), CLASSES[:2], probability, tmp_path / "run", LAYOUTS["2014"])
    run = write_folder(tmp_path / "one", 1)
    for limit, layout in ((0, "2014"), (31, "2022")):
        with pytest.raises(SettingsError, match="a limit from 1"):
            write_run([run], FuseSettings(), tmp_path / "run", layout, limit)
    assert not (tmp_path / "run").exists()
