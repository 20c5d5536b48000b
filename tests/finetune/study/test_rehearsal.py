"""The rehearsal: the article in one command on a small package of the official layout, killed in the middle."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from featstore.synth import SynthSettings, synthesise
from finetune.study.variations import HEADS

OPTIONS = (
    "--weights", "random", "--backbone", "seedling", "--side", "32", "--epochs", "1",
    "--without", "max", "--without", "all-votes", "--without", "votes-3",
)  # fmt: skip
STEPS = [
    "features",
    "features-whole",
    "heads",
    "heads-whole",
    "finetune",
    "finetune-whole",
    "fuse",
    "article",
    "report",
]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="what is killed there is killed otherwise")
def test_the_article_in_one_command_survives_a_kill(tmp_path: Path) -> None:
    photos, out = tmp_path / "PlantCLEF2014", tmp_path / "article"
    synthesise(photos, SynthSettings(n_species=3, n_observations=4, side_px=64, n_corrupt=0))
    command = [sys.executable, "-m", "finetune.cli", "article", str(photos), "--out", str(out), *OPTIONS, "--json"]

    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        # In the middle of the first comparison: one head is there, the other is not.
        while first.poll() is None and not (out / "runs" / "article" / "seedling-mlp").is_dir():
            time.sleep(0.05)
        assert first.poll() is None
    finally:
        first.kill()
        first.wait()
    notes = json.loads((out / "journal.json").read_text())["steps"]
    assert notes["heads"]["code"] is None

    second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert second.returncode == 0, second.stderr[-3000:]
    told = json.loads(second.stdout)
    states = {step["step"]: step["state"] for step in told["steps"]}
    assert list(states) == STEPS
    assert states == {name: "was done" if name.startswith("features") else "done" for name in STEPS}
    assert f"$ heads compare {out / 'features.zarr'} --backbone seedling" in second.stderr
    assert (out / "report.html").is_file()

    rows = told["rows"]
    heads = [row for row in rows if row["kind"] == "head"]
    networks = [row for row in rows if row["kind"] == "network"]
    assert {(row["features"], row["classifier"]) for row in heads} == {
        (features, head) for features in ("average, region of interest", "average, whole photograph") for head in HEADS
    }
    assert sorted(row["classifier"] for row in networks) == [
        "fine-tuned",
        "fine-tuned",
        "fine-tuned + TTA",
        "fine-tuned + TTA",
    ]
    article = {row["kind"]: row["S_published"] for row in told["article"]}
    assert article == {"best single": 0.60785, "+ TTA": 0.615734, "merged": 0.635100, "merged + TTA": None}
    for row in (*rows, *told["article"]):
        assert row["weights"] == "RANDOM"
        assert not row["missing"]
        assert 0 <= row["S_low"] <= row["S"] <= row["S_high"] <= 1
    assert any("RANDOM weights" in remark for remark in told["remarks"])
    assert any("NOT COMPARABLE" in remark for remark in told["remarks"])


@pytest.mark.slow
@pytest.mark.exhaustive
def test_every_step_of_the_article_with_two_networks(tmp_path: Path) -> None:
    """Maximum pooling, all votes and votes above 2, too: fourteen steps, nothing left out."""
    photos, out = tmp_path / "PlantCLEF2014", tmp_path / "article"
    synthesise(photos, SynthSettings(n_species=3, n_observations=6, side_px=64, n_corrupt=0))
    options = [
        "--weights",
        "random",
        "--backbone",
        "seedling",
        "--backbone",
        "mobilenet",
        "--side",
        "32",
        "--epochs",
        "1",
    ]
    command = [sys.executable, "-m", "finetune.cli", "article", str(photos), "--out", str(out), *options, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout)
    assert [step["state"] for step in told["steps"]] == ["done"] * 14
    assert not any(row["missing"] for row in told["rows"])
    assert {row["features"].partition(",")[0] for row in told["rows"] if row["kind"] == "head"} == {
        "average",
        "maximum",
    }
    networks = [row for row in told["rows"] if row["kind"] == "network"]
    # Votes of 2 or more, of 3 or more, and whole photographs; plain and augmented.
    assert len(networks) == 2 * 3 * 2
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert {step["state"] for step in json.loads(again.stdout)["steps"]} == {"was done"}
