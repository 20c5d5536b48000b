"""A run that is killed with SIGKILL, again and again, ends as one that was never disturbed."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from evaluation.predictions import Predictions
from evaluation.runs import predictions_path
from featstore.build.build import build_store
from featstore.build.settings import BuildSettings
from featstore.store import Store
from featstore.synth import SynthSettings, synthesise
from heads.compare import CompareSettings, compare_heads

OPTIONS = ["--epochs", "7", "--batch-size", "8", "--rate", "1e-3", "--tta", "1"]
EARLY = [(0, 0.0), (2, 0.05)]
"""Kills: lines of the log, and seconds after them; while it loads or decodes, then a moment into the second epoch."""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize(
    "moments", [EARLY, pytest.param([*EARLY, (4, 0.15)], marks=pytest.mark.exhaustive)], ids=["early", "early and late"]
)
def test_a_killed_run_goes_on_to_the_same_end(
    tmp_path: Path, small_backbone: Path, moments: list[tuple[int, float]]
) -> None:
    synthesise(tmp_path / "photos", SynthSettings(n_species=3, n_observations=4, side_px=96, n_corrupt=0))
    build_store(tmp_path / "photos", tmp_path / "f.zarr", BuildSettings(("small",), "random", side_px=32, n_workers=0))
    compare_heads(
        Store.open(tmp_path / "f.zarr"), CompareSettings(heads=("mlp:epochs=10,n_layers=1",)), tmp_path / "runs"
    )

    def begin(out: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(small_backbone), "run", str(tmp_path / "f.zarr"), "--from"]
        options = [str(tmp_path / "runs"), "--out", str(tmp_path / out), *OPTIONS]
        return subprocess.Popen([*command, *options], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    undisturbed = begin("whole")
    told = undisturbed.communicate(timeout=300)
    assert undisturbed.returncode == 0, told[1]
    log = tmp_path / "killed" / ".small-finetuned.partial" / "log.csv"
    for n_epochs, moment in moments:
        process = begin("killed")
        limit = time.monotonic() + 200
        while time.monotonic() < limit and process.poll() is None:
            try:
                n_lines = len(log.read_text(encoding="utf-8").splitlines())
            except OSError:
                n_lines = 0
            if n_lines > n_epochs or (n_epochs == 0 and (tmp_path / "killed").exists()):
                break
            time.sleep(0.01)
        time.sleep(moment)
        assert process.poll() is None, process.communicate()[1]
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    last = begin("killed")
    told = last.communicate(timeout=300)
    assert last.returncode == 0, told[1]
    assert "goes on after epoch" in told[1]
    runs = [tmp_path / out / "small-finetuned" for out in ("whole", "killed")]
    logs = []
    for run in runs:
        with (run / "log.csv").open(newline="", encoding="utf-8") as file:
            logs.append([row[:-2] for row in csv.reader(file)])
    assert logs[0] == logs[1]
    for split in ("valid", "test"):
        for variant in ("", "tta1"):
            one, other = (Predictions.read(predictions_path(run, split, variant)) for run in runs)
            np.testing.assert_array_equal(one.probability, other.probability)
    hidden = [path.name for path in (tmp_path / "killed").iterdir() if path.name.startswith(".") and path.is_dir()]
    assert hidden == []
