"""Another backend, and several devices: JAX shares every batch among them. Skips where JAX is not installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import sys
from pathlib import Path
import keras
from featstore.build.build import build_store
from featstore.build.settings import BuildSettings
from featstore.store import Store
from featstore.synth import SynthSettings, synthesise
from finetune.run import finetune
from finetune.settings import TrainSettings
from finetune.start import Request
from heads.compare import CompareSettings, compare_heads

folder = Path(sys.argv[1])
synthesise(folder / "photos", SynthSettings(n_species=3, n_observations=4, side_px=96, n_corrupt=0))
settings = BuildSettings(("mobilenet_v2",), "random", side_px=32, n_workers=0)
build_store(folder / "photos", folder / "f.zarr", settings)
compare_heads(Store.open(folder / "f.zarr"), CompareSettings(heads=("mlp",)), folder / "runs")
report = finetune(Request(folder / "f.zarr", folder / "runs", TrainSettings(epochs=1, batch_size=8, tta=1)))
print(keras.backend.backend(), report.epochs_run, report.trouble)
"""


@pytest.mark.slow
def test_jax_trains_on_two_devices(tmp_path: Path) -> None:
    pytest.importorskip("jax")
    environment = {
        **os.environ, "KERAS_BACKEND": "jax", "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["jax", "1"]
    assert "every batch is shared among 2 devices" in done.stderr
