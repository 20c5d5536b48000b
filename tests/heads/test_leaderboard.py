from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from evaluation.classes import ClassScores
from evaluation.intervals import intervals
from evaluation.per_author import PerAuthor
from evaluation.scores import Score
from evaluation.simplest import Needs
from heads import class_picture
from heads.choice import HeadChoice
from heads.display import show_board
from heads.entry import COLUMNS, Entry
from heads.leaderboard import Leaderboard
from heads.pictures import _intervals
from heads.trial import Trial


def entry(backbones: str, head: str, valid: float, test: float = 0.5) -> Entry:
    trial = Trial(tuple(backbones.split("+")), HeadChoice(head))
    scores = [
        Score(trial.name, split, view, metric, value if view == "all" else 0.01, math.nan, math.nan, 3)
        for split, value in (("valid", valid), ("test", test))
        for view in ("Leaf", "all")
        for metric in ("S", "S_image", "top_1", "top_3", "top_5")
    ]
    return Entry(trial, tuple(scores), fit_seconds=1.25, refit_seconds=2.5, images_per_second=1234.5)


FAILED = Entry(Trial(("a",), HeadChoice("lightgbm")), error="MemoryError: no room")


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


def test_of_equals_the_simplest_is_best_whatever_rounding_says(capsys: pytest.CaptureFixture[str]) -> None:
    needs = {"a+b": Needs(2, features=20), "c": Needs(1, features=30), "b": Needs(1, features=20), "d": Needs(1)}
    values = {"a+b": 0.8 + 3e-16, "c": 0.8 + 2e-16, "b": 0.8, "d": 0.8 - 1e-6}
    runs = [replace(entry(net, "mlp", value), needs=needs[net]) for net, value in values.items()]
    found = board(*runs)
    assert [e.trial.name for e in found.entries] == ["b-mlp", "c-mlp", "a+b-mlp", "d-mlp"]
    assert found.best()["overall"]["run"] == found.best()["finetune"]["run"] == "b-mlp"
    assert found.n_tied == 3
    show_board(found, Path("runs"), refit=True)
    assert "3 runs tie for the best on valid; b-mlp is the simplest of them" in capsys.readouterr().err
    show_board(board(runs[2], runs[3]), Path("runs"), refit=True)
    assert "tie" not in capsys.readouterr().err


def test_only_a_single_networks_mlp_can_be_fine_tuned() -> None:
    assert board(entry("a", "logistic", 0.8), entry("a+b", "mlp", 0.9)).best()["finetune"] is None


def test_a_head_that_prepares_its_features_is_no_start() -> None:
    prepared = entry("a", "mlp", 0.9)
    prepared = replace(prepared, trial=replace(prepared.trial, choice=HeadChoice.parse("p=mlp:components=16")))
    assert board(prepared, entry("a", "mlp", 0.8)).best()["finetune"]["value"] == 0.8


def test_a_failed_run_is_never_best() -> None:
    assert board(FAILED).best() == {"schema": "best/1", "finetune": None, "overall": None}
    worst = entry("a", "mlp", 0.0)
    assert board(FAILED, worst).overall is worst


def test_cells_tell_the_time_of_the_fit_behind_the_figures() -> None:
    found = entry("a", "mlp", 0.71234, 0.5)
    assert found.cells("valid", found) == ["a-mlp", "0.7123", "-", "best", *["0.7123"] * 4, "1.2", "1,234"]
    assert found.cells("test", None) == ["a-mlp", "0.5000", "-", "-", *["0.5000"] * 4, "2.5", "1,234"]
    assert FAILED.cells("test", found) == ["a-lightgbm", *["-"] * 9]
    assert len(found.cells("valid", None)) == len(COLUMNS)


def with_authors(found: Entry, of_authors: list[float]) -> Entry:
    total = np.asarray(of_authors)
    low, high = intervals([PerAuthor(total, np.ones(len(total)))])[0]
    scores = tuple(replace(score, low=low, high=high) for score in found.scores)
    return replace(found, scores=scores, per_author={"valid": PerAuthor(total, np.ones(len(total)))})


def test_runs_that_cannot_be_told_apart_are_called_so(tmp_path: Path) -> None:
    """One run loses a little with every author, the other as much to some as it gains with others."""
    rng = np.random.default_rng(0)
    skill = rng.uniform(0.3, 0.9, 50)
    best = with_authors(entry("a", "mlp", 0.8), skill.tolist())
    worse = with_authors(entry("b", "mlp", 0.7), (skill - 0.05).tolist())
    equal = with_authors(entry("c", "mlp", 0.7), (skill + rng.choice([-0.05, 0.05], 50)).tolist())
    assert best.cells("valid", best)[3] == "best"
    assert worse.cells("valid", best)[3] == "-0.0500"
    assert equal.cells("valid", best)[3] == "n.d."
    assert worse.cells("valid", best)[2] == "{:.3f}-{:.3f}".format(*worse.interval("valid"))
    board(best, worse, equal).write(tmp_path)
    told = {run["run"]: run["less_best"] for run in json.loads((tmp_path / "leaderboard.json").read_text())["runs"]}
    assert told["b-mlp"]["valid"]["distinguishable"] is True
    assert told["c-mlp"]["valid"]["distinguishable"] is False
    with (tmp_path / "leaderboard.csv").open(newline="") as file:
        row = {row["run"]: row for row in csv.DictReader(file)}["b-mlp"]
    assert float(row["valid_S_less_best"]) == pytest.approx(-0.05)
    assert float(row["valid_S_low"]) < float(row["valid_S_high"])


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


def test_the_picture_of_classes_counts_those_without_a_plant(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    figure = Figure()

    def keep(path: Path, _: object, draw: Callable[[Figure], None]) -> Path:
        draw(figure)
        return path

    monkeypatch.setattr(class_picture, "save", keep)
    scores = ClassScores(np.array(["a", "b"]), np.array([2, 3]), np.array([0.5, 1.0]), np.array([0.0, 1.0]))
    shown = replace(entry("a", "mlp", 0.8), by_class={"test": scores})
    class_picture.draw_classes([shown], {"a": "", "b": "", "c": ""}, tmp_path)
    assert figure.axes[0].get_xlabel().endswith("1 hardest of 2 classes (plants); 1 more without a plant there")


def test_the_legend_names_the_splits_that_are_drawn() -> None:
    runs = [with_authors(entry("a", "mlp", 0.8), [0.7, 0.9]), with_authors(entry("b", "knn", 0.7), [0.6, 0.8])]
    alone = [replace(run, scores=tuple(one for one in run.scores if one.split == "valid")) for run in runs]
    for shown, splits in ((runs, ["valid", "test"]), (alone, ["valid"])):
        figure = Figure()
        _intervals(figure, shown, shown[0])
        told = [text.get_text() for text in figure.legends[0].get_texts()]
        assert told == [*splits, "not distinguishable from a-mlp"]


def test_pictures_show_the_runs_that_did_not_fail(painted: None, tmp_path: Path) -> None:
    runs = [with_authors(entry("a", "mlp", 0.8), [0.7, 0.9]), with_authors(entry("b", "knn", 0.7), [0.6, 0.8])]
    board(*runs, FAILED).write(tmp_path)
    # One view alone has no other figures than all together.
    assert {path.name for path in tmp_path.glob("*.png")} == {"leaderboard.png", "speed.png"}
    both = [
        replace(run, scores=(*run.scores, *(replace(s, view="Stem") for s in run.scores if s.view == "Leaf")))
        for run in runs
    ]
    board(*both, FAILED).write(tmp_path)
    drawn = {path.name: np.asarray(Image.open(path)) for path in tmp_path.glob("*.png")}
    assert set(drawn) == {"leaderboard.png", "speed.png", "views.png"}
    assert all(len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 20 for pixels in drawn.values())
    for path in tmp_path.glob("*.png"):
        path.unlink()
    board(FAILED).write(tmp_path)
    assert not list(tmp_path.glob("*.png"))
