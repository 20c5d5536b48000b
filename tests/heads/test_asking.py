"""Asking a run: the answers of its own test photographs, refusal of other features, and what it tells about itself."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pytest

from evaluation.predictions import Predictions
from evaluation.runs import RunCard, predictions_path
from evaluation.scores import score_predictions
from featstore.errors import PredictionsError, StoreError
from featstore.store import Store
from heads.asking import ask, require_kind, scores_of
from heads.cli import main
from heads.compare import CompareSettings, compare_heads
from heads.protocol import Protocol

MakeStore = Callable[..., Store]


@pytest.fixture
def compared(make_store: MakeStore, tmp_path: Path) -> tuple[Store, Path]:
    store, runs = make_store(), tmp_path / "runs"
    compare_heads(store, CompareSettings(("net_a",), ("logistic", "knn")), runs)
    return store, runs


@pytest.mark.parametrize("head", ["logistic", "knn"])
def test_unseen_photographs_are_answered_as_in_the_comparison(
    compared: tuple[Store, Path], tmp_path: Path, head: str
) -> None:
    store, runs = compared
    run = runs / f"net_a-{head}"
    asked = ask(run, store, tmp_path / "answers", unseen=True)
    expected = Predictions.read(predictions_path(run, "test"))
    found = Predictions.read(asked.files[0])
    assert found.image_id.tolist() == expected.image_id.tolist()
    np.testing.assert_array_equal(found.probability, expected.probability)
    assert [score.value for score in asked.scores] == [score.value for score in score_predictions(expected)]
    with asked.files[1].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["observation_id"] for row in rows] == sorted(set(expected.observation_id))
    assert rows[0]["top_1_species"] in {"Acer campestre", "Tussilago farfara", "Iris sp."}


def test_views_and_temperatures_of_the_run_hold(make_store: MakeStore, tmp_path: Path) -> None:
    store, runs = make_store(), tmp_path / "runs"
    experts = "view_experts:min_images=5,share=0.9"
    settings = CompareSettings(("net_b",), (experts,), protocol=Protocol(calibrate="all"))
    (entry,) = compare_heads(store, settings, runs).entries
    assert entry.calibrated is not None
    assert entry.calibrated.calibration.temperatures[""] != 1
    asked = ask(runs / "net_b-view_experts", store, tmp_path / "answers", unseen=True)
    expected = Predictions.read(predictions_path(runs / "net_b-view_experts", "test"))
    np.testing.assert_allclose(asked.predictions.probability, expected.probability, atol=1e-6)


def test_everything_or_some_photographs(compared: tuple[Store, Path], tmp_path: Path) -> None:
    store, runs = compared
    assert len(ask(runs / "net_a-knn", store, tmp_path / "a").predictions.image_id) == 96
    some = ask(runs / "net_a-knn", store, tmp_path / "b", image_ids={"i000", "i470"})
    assert some.predictions.image_id.tolist() == ["i000", "i470"]


def test_every_photograph_that_is_asked_for_by_name_is_answered_or_told(make_store: MakeStore, tmp_path: Path) -> None:
    store, runs = make_store(lacking=("i001", "i470"), networks=("net_a",)), tmp_path / "runs"
    compare_heads(store, CompareSettings(("net_a",), ("knn",)), runs)
    for asked, told in (
        ({"i000", "typo", "i470"}, r"image_ids of .*features\.zarr, got 'typo'\. Correct --image"),
        ({"i470", "i000", "i001"}, r"with features of net_a, got i001, i470 without.*explain .*features\.zarr i001`"),
    ):
        with pytest.raises(StoreError, match=told):
            ask(runs / "net_a-knn", store, tmp_path / "answers", image_ids=asked)
    assert not (tmp_path / "answers").exists()


def test_what_a_run_has_learnt_is_known_by_what_it_is(
    compared: tuple[Store, Path], make_store: MakeStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not by its name: photographs that changed their names with those of test, and photographs of the same names."""
    store, runs = compared
    run = runs / "net_a-knn"
    learnt = set(pd.read_csv(run / "learnt.csv", dtype=str)["image_id"])
    assert learnt == set(store.papers["image_id"]) - set(Predictions.read(predictions_path(run, "test")).image_id)

    def renamed(frame: pd.DataFrame) -> None:
        frame["image_id"] = frame["image_id"].to_numpy()[::-1]

    def others(frame: pd.DataFrame) -> None:
        frame["sha256"] = "f" + frame["sha256"]

    other_names = make_store(renamed, name="renamed.zarr")
    left = ask(run, other_names, tmp_path / "a", unseen=True).predictions.image_id
    digests = store.papers.set_index("image_id")["sha256"]
    again = other_names.papers.set_index("image_id")["sha256"]
    assert set(again[left]) == set(digests) - set(digests[list(learnt)])
    capsys.readouterr()
    ask(run, other_names, tmp_path / "b")
    assert "net_a-knn has learnt or chosen from 66 of 96 photographs" in capsys.readouterr().err
    assert len(ask(run, make_store(others, name="others.zarr"), tmp_path / "c", unseen=True).predictions.image_id) == 96
    # A run from before knows names alone.
    (run / "learnt.csv").unlink()
    assert not set(ask(run, store, tmp_path / "d", unseen=True).predictions.image_id) & learnt


def test_a_run_of_other_features_is_refused(
    compared: tuple[Store, Path], make_store: MakeStore, tmp_path: Path
) -> None:
    def other(frame: pd.DataFrame) -> None:
        del frame

    _, runs = compared
    store = make_store(other, name="other.zarr", networks=("net_b",))
    with pytest.raises(StoreError, match=r"features of net_a in .*, got those of net_b"):
        ask(runs / "net_a-knn", store, tmp_path / "answers")
    card = runs / "net_a-knn" / "run.json"
    content = json.loads(card.read_text())
    content["details"]["fingerprint"]["identities"]["net_a"]["side_px"] = 299
    card.write_text(json.dumps(content))
    with pytest.raises(StoreError, match=r"as the run learnt from \(side_px 299\), got side_px 32 in"):
        ask(runs / "net_a-knn", compared[0], tmp_path / "answers")
    assert not (tmp_path / "answers").exists()


def test_regions_count_in_every_view_that_both_have(compared: tuple[Store, Path], tmp_path: Path) -> None:
    """A run of leaves answers for stems, but not for leaves that were cut otherwise, whatever comes first."""
    store, runs = compared
    card = runs / "net_a-knn" / "run.json"
    content = json.loads(card.read_text())
    regions = content["details"]["fingerprint"]["identities"]["net_a"]["roi"]
    assert list(regions) == ["Flower", "Leaf"]
    regions["Stem"] = regions.pop("Flower")
    card.write_text(json.dumps(content))
    assert len(ask(runs / "net_a-knn", store, tmp_path / "a").predictions.image_id) == 96
    regions["Leaf"] = "contour-1"
    card.write_text(json.dumps(content))
    with pytest.raises(StoreError, match=r"as the run learnt from \(roi of Leaf contour-1\), got roi of Leaf keep in"):
        ask(runs / "net_a-knn", store, tmp_path / "b")


def test_only_runs_of_heads_are_asked(compared: tuple[Store, Path], tmp_path: Path) -> None:
    store, runs = compared
    with pytest.raises(PredictionsError, match=r"a run folder with run\.json"):
        ask(runs, store, tmp_path / "answers")
    card = runs / "net_a-knn" / "run.json"
    card.write_text(card.read_text().replace('"kind": "head"', '"kind": "fusion"'))
    with pytest.raises(
        PredictionsError, match=r"a run of `heads compare`, got fusion in .*`evaluate fuse` these folders"
    ):
        ask(runs / "net_a-knn", store, tmp_path / "answers")


@pytest.mark.parametrize(
    ("wanted", "kind", "asks"),
    [("finetuned", "head", "`heads predict` asks it"), ("head", "finetuned", "`finetune predict` asks it"),
     ("finetuned", "fusion", "`evaluate fuse`")],
)  # fmt: skip
def test_a_run_of_another_kind_is_sent_to_what_asks_it(
    wanted: Literal["head", "finetuned"], kind: str, asks: str
) -> None:
    card = RunCard("m", kind, (), "", {"7": "Rosa"})
    with pytest.raises(PredictionsError, match=f"got {kind} in run.*{asks}"):
        require_kind(card, Path("run"), wanted)


def test_on_the_command_line(compared: tuple[Store, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, runs = compared
    run, out = str(runs / "net_a-logistic"), str(tmp_path / "answers")

    def told(*words: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(list(words))
        assert not ended.value.code
        return capsys.readouterr().out

    answers = json.loads(told("predict", run, store.location, "--unseen", "--out", out, "--json"))
    assert (answers["images"], answers["observations"]) == (30, 15)
    assert all(Path(path).is_file() for path in answers["files"])
    assert "30 photographs of 15 plants" in told("predict", run, store.location, "--unseen", "--out", out)
    shown = json.loads(told("show", run, "--json"))
    assert shown["head"] == "logistic"
    assert [score["value"] for score in shown["scores"]] == [score.value for score in scores_of(Path(run))]
    assert "net_a-logistic" in told("show", run)
