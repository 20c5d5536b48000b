from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest

from evaluation.scores import Score
from heads.leaderboard import COLUMNS, Entry, Leaderboard
from heads.trial import Trial


def entry(backbones: str, head: str, valid: float, test: float = 0.5) -> Entry:
    trial = Trial(tuple(backbones.split("+")), head, seed=0, refit=True)
    scores = [
        Score(trial.name, split, view, metric, value if view == "all" else 0.01, math.nan, math.nan, 3)
        for split, value in (("valid", valid), ("test", test))
        for view in ("Leaf", "all")
        for metric in ("S", "S_image", "top_1", "top_3", "top_5")
    ]
    return Entry(trial, tuple(scores), fit_seconds=1.25, refit_seconds=2.5, images_per_second=1234.5)


FAILED = Entry(Trial(("a",), "lightgbm", 0, refit=True), error="MemoryError: no room")


def board(*entries: Entry) -> Leaderboard:
    return Leaderboard(entries, {"seed": 0}, ("something is doubtful",))


def test_valid_decides_and_test_does_not() -> None:
    found = board(FAILED, entry("a", "mlp", 0.7, 0.9), entry("b", "logistic", 0.8, 0.1), entry("a+b", "mlp", 0.9, 0.0))
    assert [e.trial.name for e in found.entries] == ["a+b-mlp", "b-logistic", "a-mlp", "a-lightgbm"]
    assert found.best() == {
        "schema": "best/1",
        "finetune": {"run": "a-mlp", "backbone": "a", "head": "mlp", "metric": "S", "value": 0.7},
        "overall": {"run": "a+b-mlp", "backbone": "a+b", "head": "mlp", "metric": "S", "value": 0.9},
    }


def test_of_equals_the_first_tried_is_best() -> None:
    assert board(entry("b", "mlp", 0.8), entry("a", "mlp", 0.8)).best()["finetune"]["run"] == "b-mlp"


def test_only_a_single_networks_mlp_can_be_fine_tuned() -> None:
    assert board(entry("a", "logistic", 0.8), entry("a+b", "mlp", 0.9)).best()["finetune"] is None


def test_a_failed_run_is_never_best() -> None:
    assert board(FAILED).best() == {"schema": "best/1", "finetune": None, "overall": None}
    assert board(FAILED, entry("a", "mlp", 0.0)).overall == entry("a", "mlp", 0.0)


def test_cells_tell_the_time_of_the_fit_behind_the_figures() -> None:
    found = entry("a", "mlp", 0.71234, 0.5)
    assert found.cells("valid") == ["a-mlp", *["0.7123"] * 5, "1.2", "1,234"]
    assert found.cells("test") == ["a-mlp", *["0.5000"] * 5, "2.5", "1,234"]
    assert FAILED.cells("test") == ["a-lightgbm", *["-"] * 7]
    assert len(found.cells("valid")) == len(COLUMNS)


def test_files_hold_every_run_and_the_reason_of_failure(tmp_path: Path) -> None:
    board(FAILED, entry("a", "mlp", 0.7, 0.6)).write(tmp_path)
    with (tmp_path / "leaderboard.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["run"] for row in rows] == ["a-mlp", "a-lightgbm"]
    assert (rows[0]["valid_S"], rows[0]["test_top_5"], rows[0]["fit_seconds"]) == ("0.7", "0.6", "1.25")
    assert (rows[1]["valid_S"], rows[1]["error"]) == ("", "MemoryError: no room")
    document = json.loads((tmp_path / "leaderboard.json").read_text())
    assert document["schema"] == "leaderboard/1"
    assert document["seed"] == 0
    assert document["warnings"] == ["something is doubtful"]
    assert [run["error"] for run in document["runs"]] == ["", "MemoryError: no room"]
    assert {row["view"] for row in document["scores"]} == {"all", "Leaf"}
    assert all(row["low"] is None for row in document["scores"])
    assert document["best"] == json.loads((tmp_path / "best.json").read_text())


@pytest.mark.parametrize("split", ["valid", "test"])
def test_a_split_without_figures_has_none(split: str) -> None:
    assert FAILED.value(split) is None
