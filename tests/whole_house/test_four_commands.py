"""The whole way: drawn photographs in, a table of fused observation scores out, by the four commands themselves."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from evaluation.predictions import Predictions


def run(*words: object, code: int = 0) -> str:
    """Run one of the command lines in a process of its own, as a user does, and return its standard output."""
    package, *rest = map(str, words)
    script = f"import sys; from {package}.cli import main; main(sys.argv[1:])"
    result = subprocess.run([sys.executable, "-c", script, *rest], capture_output=True, text=True, check=False)
    assert result.returncode == code, result.stderr[-3000:]
    return result.stdout


@pytest.mark.slow
def test_photographs_become_fused_scores(tmp_path: Path) -> None:
    photos, store, runs = tmp_path / "photos", tmp_path / "features.zarr", tmp_path / "runs"
    drawn = json.loads(run("featstore", "synth", photos, "--species", 3, "--observations", 6, "--json"))
    options = ["--store", store, "--backbone", "mobilenet", "--weights", "random", "--side", 64]
    built = json.loads(run("featstore", "build", photos, *options, "--json", code=3))
    assert built["found"] == built["done"] + built["failed"] == drawn["n_images"]
    assert built["failed"] == drawn["n_corrupt"] == 1

    heads = ["--head", "mlp", "--head", "logistic"]
    compared = json.loads(run("heads", "compare", store, *heads, "--out", runs, "--json"))
    assert {row["run"] for row in compared["runs"]} == {"mobilenet-mlp", "mobilenet-logistic"}
    best = json.loads((runs / "best.json").read_text())
    assert best["finetune"]["backbone"] == "mobilenet"

    run("finetune", "run", store, "--from", runs, "--epochs", 1, "--tta", 1)
    members = [runs / "mobilenet-mlp", runs / "mobilenet-finetuned"]
    fused = json.loads(run("evaluation", "fuse", *members, "--out", runs, "--json"))
    scores = {(score["run"], score["metric"]): score["value"] for score in fused["scores"] if score["view"] == "all"}
    assert {metric for _, metric in scores} >= {"S", "S_image", "top_1", "top_3", "top_5"}
    expected = by_hand([Predictions.read(member / "test.predictions.h5") for member in members])
    for metric, value in expected.items():
        assert scores["fusion:mean", metric] == pytest.approx(value, abs=1e-6)


def by_hand(members: list[Predictions]) -> dict[str, float]:
    """S and Top-k of the mean over models and photographs, by the definitions and nothing else."""
    rows: dict[str, list[np.ndarray]] = defaultdict(list)
    truth, author = {}, {}
    for member in members:
        for plant, row, true_class, who in zip(
            member.observation_id, member.probability, member.true_class, member.author, strict=True
        ):
            rows[plant].append(row)
            truth[plant], author[plant] = list(member.classes).index(true_class), who
    ranks, of_author = [], defaultdict(list)
    for plant, several in rows.items():
        mean = np.mean(several, axis=0, dtype=float)
        # Of equals the mean place.
        right = mean[truth[plant]]
        rank = 1 + np.sum(mean > right) + (np.sum(mean == right) - 1) / 2
        ranks.append(rank)
        of_author[author[plant]].append(1 / rank)
    tops = {f"top_{k}": float(np.mean(np.array(ranks) <= k)) for k in (1, 3, 5)}
    return {"S": float(np.mean([np.mean(scores) for scores in of_author.values()])), **tops}
