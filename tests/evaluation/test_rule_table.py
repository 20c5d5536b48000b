"""`evaluate fuse --rule all`, as a user meets it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation.cli import main
from evaluation.fusion import RULES
from evaluation.learning import Fit
from evaluation.predictions import Predictions
from evaluation.runs import RunCard, observations_path, predictions_path, write_run_card

CLASSES = np.array(["1", "2", "3"])


def write_run(
    folder: Path,
    noise: float,
    splits: tuple[str, ...] = ("valid", "test"),
    n: int = 60,
    classes: NDArray[np.str_] = CLASSES,
) -> Path:
    for split in splits:
        rng = np.random.default_rng([n, int(10 * noise), len(split)])
        truth = np.arange(n) // 2 % 3
        logits = 2 * np.eye(3)[truth] + rng.normal(0, noise, (n, 3))
        Predictions(
            model=folder.name,
            split=split,
            image_id=np.array([f"{split} {row}" for row in range(n)]),
            observation_id=np.array([f"plant {row // 2:03d}" for row in range(n)]),
            author=np.array([f"author {row % 14 // 2}" for row in range(n)]),
            view=np.where(np.arange(n) % 2, "Leaf", "Flower"),
            true_class=classes[truth],
            classes=classes,
            probability=(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32),
        ).write(predictions_path(folder, split))
    write_run_card(folder, RunCard(folder.name, "head", ("net",), "mlp", dict.fromkeys(classes.tolist(), "")))
    return folder


def run(*arguments: str | Path, code: int = 0) -> None:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    assert end.value.code == code


def test_every_fixed_rule_is_compared_and_valid_chooses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [write_run(tmp_path / "a", 1.0), write_run(tmp_path / "b", 2.0)]
    run("fuse", *runs, "--rule", "fixed", "--out", tmp_path, "--json")
    told = json.loads(capsys.readouterr().out)
    rows = {(row["rule"], row["split"]): row for row in told["rules"]}
    assert {rule for rule, _ in rows} == set(RULES) - {"weighted_mean"}
    valid = {rule: row["S"] for (rule, split), row in rows.items() if split == "valid"}
    assert valid[told["chosen"]] == max(valid.values())
    assert rows[told["chosen"], "test"]["difference"] == 0
    for (rule, split), row in rows.items():
        assert row["difference"] == pytest.approx(row["S"] - rows[told["chosen"], split]["S"])
        assert row["low"] <= row["S"] <= row["high"]
        # The same figure as of that rule alone.
        run("fuse", *runs, "--rule", rule, "--split", split, "--out", tmp_path / "alone", "--json")
        scores = json.loads(capsys.readouterr().out)["scores"]
        alone = {score["metric"]: score["value"] for score in scores if score["run"] == f"fusion:{rule}"}
        assert alone["S"] == pytest.approx(row["S"])
        assert alone["top_1"] == pytest.approx(row["top_1"])
    with (tmp_path / "fusion-all" / "rules.csv").open(encoding="utf-8") as file:
        assert [line["rule"] for line in csv.DictReader(file)] == [row["rule"] for row in told["rules"]]
    assert (tmp_path / f"fusion-{told['chosen']}" / "observations.csv").is_file()


def test_learned_rules_leave_what_they_learnt(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [write_run(tmp_path / "a", 1.0), write_run(tmp_path / "b", 3.0)]
    run("fuse", *runs, "--rule", "log_loss", "--calibrate", "all", "--out", tmp_path)
    shown = capsys.readouterr()
    assert "which early stopping or tuning has seen" in " ".join(shown.err.split())
    assert "fusion:log_loss-calibrated-all" in shown.out
    folder = tmp_path / "fusion-log_loss-calibrated-all"
    fit = Fit.read(folder / "rule.json")
    assert fit.rule is not None
    assert fit.rule.details["learnt_on"] == "valid"
    assert len(fit.temperatures) == 2
    fused = Predictions.read(observations_path(folder, "test"))
    assert fused.image_id.tolist() == [f"plant {number:03d}" for number in range(30)]
    run("fuse", folder, "--out", tmp_path, code=1)
    assert "a fusion, not a model" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("split", ["valid", "test"])
def test_one_split_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str], split: str) -> None:
    run("fuse", write_run(tmp_path / "a", 1.0, (split,)), "--rule", "fixed", "--out", tmp_path)
    shown = capsys.readouterr()
    told = f"Rules are compared on {split} alone: the rule is chosen on what it is reported on, which flatters it."
    assert told in shown.err
    assert f"Chosen on {split}" in shown.err


def test_one_split_that_is_asked_for_is_told_and_two_are_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("fuse", write_run(tmp_path / "a", 1.0), "--rule", "fixed", "--out", tmp_path)
    assert "flatters" not in capsys.readouterr().err
    run("fuse", tmp_path / "a", "--rule", "fixed", "--split", "valid", "--out", tmp_path)
    assert "compared on valid alone" in capsys.readouterr().err


@pytest.mark.parametrize("rule", ["mean", "fixed"])
@pytest.mark.parametrize("split", [(), ("--split", "valid")])
def test_runs_of_two_data_sets_are_told_by_their_classes_before_their_splits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rule: str, split: tuple[str, ...]
) -> None:
    one = write_run(tmp_path / "a", 1.0, ("valid",))
    other = write_run(tmp_path / "b", 1.0, ("test",), classes=np.array(["1", "2", "9"]))
    run("fuse", one, other, "--rule", rule, *split, "--out", tmp_path / "out", code=1)
    told = " ".join(capsys.readouterr().err.split())
    assert f"the same classes in every member, got 1 only in {one} (3); 1 only in {other} (9)." in told
    assert "split" not in told.lower()


def test_learned_rules_have_nothing_to_learn_on_where_test_is_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("fuse", write_run(tmp_path / "a", 1.0, ("test",)), "--rule", "learned", "--out", tmp_path, code=1)
    assert "--learn-on" in capsys.readouterr().err


def test_rules_beyond_five_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [write_run(tmp_path / name, 2.0, n=12) for name in "ab"]
    run("fuse", *runs, "--rule", "fixed", "--out", tmp_path, "--json")
    told = json.loads(capsys.readouterr().out)
    (line,) = [text for text in told["verdict"] if text.startswith("Not distinguishable")]
    n_alike = sum(
        row["difference_low"] <= 0 <= row["difference_high"]
        for row in told["rules"]
        if row["split"] == "valid" and row["rule"] != told["chosen"]
    )
    assert n_alike > 5
    assert line.endswith(f" and {n_alike - 5} more.")


def test_weights_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [write_run(tmp_path / "a", 1.0), write_run(tmp_path / "b", 2.0)]
    run("fuse", *runs, "--weight", "2", "--out", tmp_path, code=1)
    assert "length 2 (one per model), got 1" in " ".join(capsys.readouterr().err.split())
    run("fuse", *runs, "--weight", "2", "--weight", "1", "--out", tmp_path)
    assert (tmp_path / "fusion-weighted_mean" / "run.json").is_file()


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("probability", lambda values: np.where(np.arange(3) == 1, np.nan, values), "finite probabilities"),
        ("probability", lambda values: values + np.array([-2, 1, 1]), "probabilities of at least 0"),
        ("probability", lambda values: values / 2, "sum to 1"),
        ("classes", lambda values: np.array([b"1", b"2", b"4"], dtype=object), "the same classes in every member"),
        ("image_id", lambda values: values[[0, 0, *range(2, 60)]], "every image once"),
        ("image_id", lambda values: np.array([b"x", *values[1:]], dtype=object), "the same images in every member"),
        ("true_class", lambda values: np.array([b"2", b"2", *values[2:]], dtype=object), "the same `true_class`"),
        ("author", lambda values: np.array([b"x", *values[1:]], dtype=object), "the same `author`"),
        ("unseen", lambda _: np.arange(60), "`unseen` as one yes or no"),
    ],
)
def test_what_is_wrong_with_a_member_is_told(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    spoil: Callable[[NDArray[Any]], NDArray[Any]],
    message: str,
) -> None:
    runs = [write_run(tmp_path / "a", 1.0), write_run(tmp_path / "b", 2.0)]
    with h5py.File(predictions_path(runs[1], "test"), "r+") as file:
        values = file[name][...] if name in file else np.empty(0)
        kind = file[name].dtype if name in file else None
        if name in file:
            del file[name]
        file.create_dataset(name, data=spoil(values), dtype=kind)
    run("fuse", *runs, "--out", tmp_path / "out", code=1)
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()
