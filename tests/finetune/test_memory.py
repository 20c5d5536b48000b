"""Freed memory is kept: blocks that are freed and asked for again cost no new pages."""

from __future__ import annotations

import subprocess
import sys

import pytest

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
