"""`evaluate unknown`, as a user meets it."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import roc_auc_score

from evaluation.cli import main
from evaluation.predictions import Predictions
from evaluation.runs import RunCard, predictions_path, write_run_card
from evaluation.unknown.threshold import read_threshold

CLASSES = np.array(["1", "2", "3"])


def predictions_of(split: str, seed: int, *, unknown: int = 30, logits: bool = True) -> Predictions:
    """90 plants of one image each of three classes, and others of a fourth, of which the model is less sure."""
    rng = np.random.default_rng(seed)
    number = np.concatenate([np.arange(90) % 3, np.full(unknown, 3)])
    n = len(number)
    scores = rng.normal(0, 1, (n, 3)) + 4 * np.eye(4, 3)[number]
    return Predictions(
        model="net-mlp",
        split=split,
        image_id=np.array([f"{split}{row}" for row in range(n)]),
        observation_id=np.array([f"{split}-plant{row}" for row in range(n)]),
        author=np.array([f"a{row % 12}" for row in range(n)]),
        view=np.full(n, "Leaf"),
        true_class=(number + 1).astype(np.str_),
        classes=CLASSES,
        probability=softmax(scores, axis=1).astype(np.float32),
        log_sum_exp=np.log(np.exp(scores).sum(axis=1)).astype(np.float32) if logits else None,
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "net-mlp"
    for seed, split in enumerate(("valid", "test")):
        predictions_of(split, seed).write(predictions_path(folder, split))
    write_run_card(folder, RunCard("net-mlp", "head", ("net",), "mlp", dict.fromkeys(CLASSES.tolist(), "")))
    return folder


def evaluate(arguments: Sequence[str | Path], code: int = 0) -> None:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    assert end.value.code == code


def test_figures_files_and_threshold(
    painted: None, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(["unknown", run, "--out", tmp_path, "--coverage", "0.9", "--json"])
    shown = capsys.readouterr()
    document = json.loads(shown.out)
    figures = {(one["score"], one["metric"]): one for one in document["figures"]}
    test = Predictions.read(predictions_path(run, "test"))
    known, sure = np.isin(test.true_class, CLASSES), test.probability.max(axis=1)
    auroc = figures["max_probability", "auroc"]
    assert auroc["value"] == pytest.approx(roc_auc_score(known, sure))
    assert auroc["low"] < auroc["value"] < auroc["high"]
    assert (auroc["n_known"], auroc["n_unknown"]) == (90, 30)
    gain = figures["entropy", "auroc_gain"]
    assert gain["value"] == pytest.approx(figures["entropy", "auroc"]["value"] - auroc["value"])
    assert gain["low"] <= gain["value"] <= gain["high"]
    # The threshold is valid's, what it covers is told of test.
    valid = Predictions.read(predictions_path(run, "valid"))
    threshold = read_threshold(tmp_path / "unknown" / "net-mlp" / "threshold.json")
    of_valid = valid.probability.max(axis=1)[np.isin(valid.true_class, CLASSES)]
    assert (of_valid >= threshold - 1e-6).mean() == pytest.approx(0.9)
    covers = figures["max_probability", "coverage"]["value"]
    assert covers == pytest.approx((sure[known] >= threshold - 1e-6).mean())
    assert figures["", "S"]["value"] < figures["max_probability", "S_open"]["value"]
    assert "no neighbours: it needs features: --store" in shown.err
    with (tmp_path / "unknown" / "unknown.csv").open(newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == len(document["figures"])
    assert (tmp_path / "unknown" / "unknown.png").stat().st_size > 10_000
    curves = (tmp_path / "unknown" / "curves.csv").read_text(encoding="utf-8").splitlines()
    assert curves[-1].split(",")[4:] == ["90", "30", curves[-1].split(",")[6], "90", "30"]


def test_runs_of_one_name_are_told_apart(painted: None, run: Path, tmp_path: Path) -> None:
    second = tmp_path / "second" / run.name
    shutil.copytree(run, second)
    predictions_of("valid", 7).write(predictions_path(second, "valid"))
    alone = []
    for number, folder in enumerate((run, second)):
        evaluate(["unknown", folder, "--out", tmp_path / str(number), "--score", "margin"])
        alone.append(read_threshold(tmp_path / str(number) / "unknown" / run.name / "threshold.json", "margin"))
    assert alone[0] != alone[1]
    evaluate(["unknown", run, second, "--out", tmp_path, "--score", "margin"])
    names = ["runs/net-mlp", "second/net-mlp"]
    files = [tmp_path / "unknown" / name / "threshold.json" for name in names]
    assert [read_threshold(file, "margin") for file in files] == alone
    with (tmp_path / "unknown" / "unknown.csv").open(newline="", encoding="utf-8") as file:
        assert {row["run"] for row in csv.DictReader(file)} == set(names)


def test_a_run_that_meets_no_unknown_species_still_gets_a_threshold(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for split in ("valid", "test"):
        predictions_of(split, 0, unknown=0, logits=False).write(predictions_path(run, split))
    evaluate(["unknown", run, "--out", tmp_path, "--score", "energy", "--score", "margin", "--precision", "0.97"])
    shown = capsys.readouterr()
    assert "nothing tells how it meets others" in shown.err
    assert "no energy: the predictions have no log-sum-exp" in shown.err
    content = json.loads((tmp_path / "unknown" / "net-mlp" / "threshold.json").read_text(encoding="utf-8"))
    assert content["target"] == {"kind": "precision", "level": 0.97}
    assert list(content["scores"]) == ["margin"]
    assert content["scores"]["margin"]["reached"]["valid"]["precision"] >= 0.97


def test_what_cannot_be_asked_is_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate(["unknown", run, "--coverage", "0.9", "--precision", "0.9"], code=1)
    evaluate(["unknown", run, "--choose-on", "test"], code=1)
    evaluate(["unknown", predictions_path(run, "test")], code=1)
    told = capsys.readouterr().err
    for reason in ("either --coverage or --precision", "--choose-on out of valid, oof", "Expected run folders"):
        assert reason in told
    predictions_path(run, "valid").unlink()
    evaluate(["unknown", run, "--out", tmp_path])
    assert "no valid.predictions.h5, so no threshold can be chosen" in capsys.readouterr().err


def test_a_threshold_can_be_chosen_out_of_fold(run: Path, tmp_path: Path) -> None:
    said = predictions_of("train", 9)
    said.write(predictions_path(run, "train", "oof"))
    evaluate(["unknown", run, "--out", tmp_path, "--score", "margin", "--choose-on", "oof", "--coverage", "0.8"])
    content = json.loads((tmp_path / "unknown" / "net-mlp" / "threshold.json").read_text(encoding="utf-8"))
    second, first = np.sort(said.probability.astype(float), axis=1)[:, -2:].T
    kept = (first - second >= content["scores"]["margin"]["accept_from"] - 1e-6)[np.isin(said.true_class, CLASSES)]
    assert kept.mean() == pytest.approx(0.8)
    assert content["scores"]["margin"]["reached"]["oof"]["coverage"] == pytest.approx(0.8)
