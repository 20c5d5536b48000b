"""The commands `evaluate score`, `check-run` and `write-run`, as a user meets them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from evaluation.cli import main
from evaluation.predictions import Predictions
from evaluation.runs import RunCard, predictions_path, write_run_card

CLASSES = ("55", "7", "8")


def evaluate(arguments: Sequence[str | Path], code: int = 0) -> None:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    assert end.value.code == code


@pytest.fixture
def truth(tmp_path: Path, write_record: Callable[..., Path]) -> Path:
    """Four photographs of three plants."""
    for image, plant, class_id in (("1", "a", "7"), ("2", "a", "7"), ("3", "b", "8"), ("4", "c", "55")):
        path = tmp_path / "truth" / f"{image}.xml"
        write_record(path, ObservationId=plant, MediaId=image, ClassId=class_id, Author="anna", Content="Leaf")
    return tmp_path / "truth"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder about these photographs."""
    rng = np.random.default_rng(3)
    Predictions(
        model="one",
        split="test",
        image_id=np.array(["1", "2", "3", "4"]),
        observation_id=np.array(["a", "a", "b", "c"]),
        author=np.full(4, "anna"),
        view=np.full(4, "Leaf"),
        true_class=np.array(["7", "7", "8", "55"]),
        classes=np.array(CLASSES),
        probability=rng.dirichlet(np.ones(3), 4).astype(np.float32),
    ).write(predictions_path(tmp_path / "one", "test"))
    details = {"weights": "imagenet"}
    write_run_card(
        tmp_path / "one", RunCard("one", "finetuned", ("vgg16",), "mlp", dict.fromkeys(CLASSES, ""), details)
    )
    return tmp_path / "one"


def test_from_run_folder_to_official_score(
    tmp_path: Path, run: Path, truth: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(["fuse", run, "--out", tmp_path, "--json"])
    fused = json.loads(capsys.readouterr().out)
    expected = {score["metric"]: score["value"] for score in fused["scores"] if score["run"] == "fusion:mean"}
    for layout, metric in (("2014", "S"), ("2014-image", "S_image"), ("2020", "S"), ("2022", "S")):
        file = tmp_path / f"{layout}.run"
        evaluate(["write-run", run, "--out", file, "--layout", layout])
        assert "ImageNet-pretrained" in capsys.readouterr().out
        evaluate(["check-run", file, "--truth", truth])
        assert f"layout {layout}" in capsys.readouterr().out or layout == "2020"
        evaluate(["score", file, "--truth", truth, "--out", tmp_path / "scores", "--json"])
        document = json.loads(capsys.readouterr().out)
        values = {score["metric"]: score["value"] for score in document["scores"] if score["view"] == "all"}
        assert values[metric] == pytest.approx(expected[metric], abs=1e-14)
        written = json.loads((tmp_path / "scores" / "scores.json").read_text())
        assert written["scores"] == document["scores"]
        evaluate(["score", file, "--truth", truth])
        assert f"{expected[metric]:.4f}" in capsys.readouterr().out


def test_faults_are_shown_counted_and_written(tmp_path: Path, truth: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bad.run"
    file.write_text("".join(f"a;{number};{number};none\n" for number in range(1, 31)))
    evaluate(["check-run", file, "--out", tmp_path / "faults.csv"], code=3)
    shown = capsys.readouterr()
    assert "30 faults, the first 20" in shown.out
    assert "score: 30" in shown.err
    with (tmp_path / "faults.csv").open(newline="") as table:
        assert [int(row["line"]) for row in csv.DictReader(table)] == list(range(1, 31))
    evaluate(["score", file, "--truth", truth], code=1)
    assert "line 1: a score that is no finite number: 'none'" in capsys.readouterr().err
    evaluate(["check-run", file, "--json"], code=3)
    assert json.loads(capsys.readouterr().out)["counts"] == {"score": 30}


def test_windows_files_are_scored_with_a_warning(
    tmp_path: Path, truth: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "windows.run"
    file.write_bytes("\ufeffa;7;1;0.5\r\nb;7;1;0.5\r\nb;8;2;0.25\r\n".encode())
    evaluate(["score", file, "--truth", truth, "--json"])
    shown = capsys.readouterr()
    document = json.loads(shown.out)
    values = {score["metric"]: score["value"] for score in document["scores"]}
    assert values["S"] == pytest.approx((1 + 1 / 2 + 0) / 3)
    assert document["n_missing"] == 1
    for warning in ("byte order mark", "as on Windows", "counted 0: 1 of 3 observations (c)"):
        assert warning in shown.err


def test_other_plants_are_not_compared_with_2014(
    tmp_path: Path, truth: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.run"
    file.write_text("a;7;1;0.5\n")
    evaluate(["score", file, "--truth", truth, "--compare-official", "--label", "x"], code=1)
    shown = capsys.readouterr()
    assert "got 3 observations with 4 photographs" in shown.err
    assert shown.out == ""


def test_the_official_table_stands_beside_the_scores(
    tmp_path: Path, truth: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if the contest had had three plants.
    monkeypatch.setattr("evaluation.official.standings.N_OBSERVATIONS", 3)
    monkeypatch.setattr("evaluation.official.standings.N_IMAGES", 4)
    file = tmp_path / "a.run"
    file.write_text("a;7;1;0.5\n")
    evaluate(["score", file, "--truth", truth, "--compare-official"])
    shown = capsys.readouterr()
    assert "IBM AU 4" in shown.out
    assert "S 0.3333 would have been place 4 in 2014; it is post-competition, weights not stated." in shown.err
    assert "~: read off a chart" in shown.err
    evaluate(["score", file, "--truth", truth, "--compare-official", "--label", "ours", "--json"])
    assert json.loads(capsys.readouterr().out)["official_2014"]["place"] == "4"
