"""The whole way: drawn photographs in, a table of fused observation scores out, by the four commands themselves."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest


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
    assert compared
    best = json.loads((runs / "best.json").read_text())
    assert best["finetune"]["backbone"] == "mobilenet"

    run("finetune", "run", store, "--from", runs, "--epochs", 1, "--tta", 1)
    members = [runs / "mobilenet-mlp", runs / "mobilenet-finetuned"]
    fused = json.loads(run("evaluation", "fuse", *members, "--out", runs, "--json"))
    assert fused
    with (runs / "fusion-mean" / "scores.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["view"] == "all"]
    scores = {(row["run"], row["metric"]): float(row["value"]) for row in rows}
    assert {metric for _, metric in scores} >= {"S", "S_image", "top_1", "top_3", "top_5"}
    assert any(name == "fusion:mean" for name, _ in scores)
    assert all(0 <= value <= 1 for (_, metric), value in scores.items() if metric != "log_loss")
