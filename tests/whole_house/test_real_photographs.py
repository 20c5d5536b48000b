"""Real photographs: what the suite promises in figures, measured through the command lines."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest


def run(*words: object) -> None:
    package, *rest = map(str, words)
    script = f"import sys; from {package}.cli import main; main(sys.argv[1:])"
    result = subprocess.run([sys.executable, "-c", script, *rest], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]


@pytest.mark.slow
@pytest.mark.shared_data
def test_mobilenet_and_logistic_know_the_plants(shared: Path, tmp_path: Path) -> None:
    """Observation Top-1 on test of at least 0.95, refitted on train and valid, without regions of interest."""
    store, runs = tmp_path / "features.zarr", tmp_path / "runs"
    options = ["--backbone", "mobilenet", "--weights", shared / "weights", "--roi", "none"]
    run("featstore", "build", shared / "data" / "plants39", "--store", store, *options)
    run("heads", "compare", store, "--head", "logistic", "--out", runs)
    with (runs / "leaderboard.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["test_top_1"]) >= 0.95
    assert float(row["valid_top_1"]) >= 0.93
