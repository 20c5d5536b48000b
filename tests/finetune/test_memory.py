"""Memory that is freed is used again, and a disk that is full is noticed before it is written to."""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from evaluation.predictions import Predictions
from heads.mlp import save_weights

CODE = """
import ctypes, resource, sys
from finetune.memory import keep_freed_memory
kept = keep_freed_memory() if sys.argv[1] == "keep" else False
library = ctypes.CDLL(None)
library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
library.free.argtypes = [ctypes.c_void_p]

def once():
    block = library.malloc(64 * 2**20)
    ctypes.memset(block, 1, 64 * 2**20)
    library.free(block)

once()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    once()
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> tuple[bool, int]:
    done = subprocess.run([sys.executable, "-c", CODE, how], capture_output=True, text=True, check=True)
    kept, count = done.stdout.split()
    return kept == "True", int(count)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc is on Linux")
def test_freed_memory_is_used_again() -> None:
    kept, with_it = faults("keep")
    if not kept:
        pytest.skip("this C library cannot be told")
    _, without = faults("plain")
    assert with_it < without / 10


def test_hdf5_is_not_begun_on_a_full_disk(
    parts: Callable[[], tuple[keras.Model, keras.Model]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # What fills up under HDF5 ends the process with a crash, after the message.
    _, head = parts()
    predictions = Predictions(
        "m", "valid", *(np.array([text]) for text in ("i1", "o1", "a", "Leaf", "1")), classes=np.array(["1", "2"]),
        probability=np.array([[0.5, 0.5]], np.float32),
    )  # fmt: skip
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 1000))  # type: ignore[attr-defined]  # its own
    for write in (
        lambda: save_weights(head, tmp_path / "runs" / "m.weights.h5"),
        lambda: predictions.write(tmp_path / "runs" / "valid.predictions.h5"),
    ):
        with pytest.raises(OSError, match="No space left") as caught:
            write()
        assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / "runs"))
    assert list((tmp_path / "runs").iterdir()) == []
