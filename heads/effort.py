"""Effort: about how long a fit takes on this machine and how much memory it needs, told before it begins."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from heads.head import Head

_SIDE = 1024
_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Size:
    """How much there is to learn from.

    Attributes
    ----------
    n_images, n_features, n_classes
        Of the photographs that are learnt from.
    n_valid
        Photographs that choices are made on.
    """

    n_images: int
    n_features: int
    n_classes: int
    n_valid: int = 0


@dataclass(frozen=True)
class Work:
    """What a fit costs, whatever the machine.

    Attributes
    ----------
    operations
        As many floating-point operations of one large float32 matrix product would take as long.
    n_bytes
        Memory beside the features themselves.
    """

    operations: float = 0.0
    n_bytes: float = 0.0

    def then(self, other: Work) -> Work:
        """Both, one after the other."""
        return Work(self.operations + other.operations, max(self.n_bytes, other.n_bytes))


@dataclass(frozen=True)
class Effort:
    """What work costs on this machine.

    Attributes
    ----------
    seconds
        Expected time on an idle machine: an order of magnitude, from operation counts and typical numbers of steps.
        `make bench-heads` prints it beside what was measured.
    n_bytes
        Memory beside the features themselves.
    """

    seconds: float = 0.0
    n_bytes: float = 0.0

    def __add__(self, other: Effort) -> Effort:
        return Effort(self.seconds + other.seconds, max(self.n_bytes, other.n_bytes))

    def times(self, factor: float) -> Effort:
        """The same work again and again."""
        return Effort(self.seconds * factor, self.n_bytes)


def estimate(head: Head, size: Size) -> Effort:
    """Estimate one fit of an unfitted head."""
    work = head.work(size)
    return Effort(work.operations / matrix_rate(), work.n_bytes)


@lru_cache(maxsize=1)
def matrix_rate() -> float:
    """Operations per second of a float32 matrix product here, the best of five; takes less than a second."""
    factor = np.ones((_SIDE, _SIDE), dtype=np.float32)
    times = []
    for _ in range(5):
        started = time.perf_counter()
        factor @ factor
        times.append(time.perf_counter() - started)
    return 2.0 * _SIDE**3 / max(min(times), 1e-6)


def free_memory() -> float:
    """Bytes that this process could still take, within the limit of its control group."""
    import psutil

    free, limit = float(psutil.virtual_memory().available), _of_group()
    return free if limit is None else min(free, limit)


def _of_group() -> float | None:
    try:
        most = float((_CGROUP / "memory.max").read_text(encoding="utf-8"))
        used = float((_CGROUP / "memory.current").read_text(encoding="utf-8"))
        # What is cached of files is given back when it is needed.
        stat = dict(line.split() for line in (_CGROUP / "memory.stat").read_text(encoding="utf-8").splitlines())
        return most - used + float(stat.get("inactive_file", 0))
    except (OSError, ValueError):
        # "max" is no number: there is no limit.
        return None
