"""Real photographs: what the suite promises in figures, measured through the command lines."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def run(*words: object) -> None:
    package, *rest = map(str, words)
    script = f"import sys; from {package}.cli import main; main(sys.argv[1:])"
    result = subprocess.run([sys.executable, "-c", script, *rest], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]


def share_of(package: Path, one_in: int, target: Path) -> Path:
    """Copy one in so many classes of a package: photographs and their papers; those of test have their truth apart."""
    class_of = {
        record: re.findall("<ClassId>(.*)</ClassId>", record.read_text(encoding="utf-8"))[0]
        for part in ("train", "test_truth")
        for record in sorted((package / part).glob("*.xml"))
    }
    chosen = set(sorted(set(class_of.values()))[::one_in])
    for record in (record for record, class_id in class_of.items() if class_id in chosen):
        shown = package / record.parent.name.removesuffix("_truth")
        for file in {record, shown / record.name, (shown / record.name).with_suffix(".jpg")}:
            copy = target / file.relative_to(package)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)
    return target


@pytest.mark.slow
@pytest.mark.shared_data
@pytest.mark.parametrize("one_in", [3, pytest.param(1, marks=pytest.mark.exhaustive)])
def test_mobilenet_and_logistic_know_the_plants(shared: Path, tmp_path: Path, one_in: int) -> None:
    """Observation Top-1 on test of at least 0.95, refitted on train and valid, without regions of interest."""
    store, runs = tmp_path / "features.zarr", tmp_path / "runs"
    options = ["--backbone", "mobilenet", "--weights", shared / "weights", "--roi", "none"]
    photos = share_of(shared / "data" / "plants39", one_in, tmp_path / "photos")
    run("featstore", "build", photos, "--store", store, *options)
    run("heads", "compare", store, "--head", "logistic", "--out", runs)
    with (runs / "leaderboard.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["test_top_1"]) >= 0.95
    assert float(row["valid_top_1"]) >= 0.93
