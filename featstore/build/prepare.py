"""Preparation: photographs are read, decoded, cut and resized on worker processes."""

from __future__ import annotations

import hashlib
import itertools
import multiprocessing
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from featstore.errors import ImageError, StoreError
from featstore.images import decode, read_bytes, resize, stamp
from featstore.processes import end_with_parent
from featstore.roi import Box, ViewRecipe, cut, find_box

if TYPE_CHECKING:
    from featstore.store.records import Region

NO_BOX: Box = (0, 0, 0, 0)


@dataclass(frozen=True)
class Job:
    """One photograph to prepare: where it lies, its view's recipe, and the input sides (px) that are needed.

    `known_region` was found before in the file of digest `known_sha256`; it is not searched again.
    """

    image_id: str
    path: Path
    recipe: ViewRecipe
    sides_px: tuple[int, ...]
    known_sha256: str = ""
    known_region: Region | None = None


@dataclass(frozen=True)
class Prepared:
    """A photograph ready for every network, or the reason why it is not.

    Attributes
    ----------
    crops
        (side, side, 3) RGB uint8 by side; empty if the photograph failed.
    box
        Region in px of the full upright photograph.
    reason
        Why the photograph failed, or why its whole area was kept as the region; "" otherwise.
    failed
        Whether the photograph could not be used.
    stamp
        Size and time of its file, seen before it was read: one that changes meanwhile is another one to the next build.
    """

    image_id: str
    sha256: str = ""
    box: Box = NO_BOX
    reason: str = ""
    failed: bool = False
    crops: Mapping[int, NDArray[np.uint8]] = field(default_factory=dict)
    stamp: tuple[int, int] = (-1, -1)


def prepare(job: Job) -> Prepared:
    """Read, decode, find the region and resize; a photograph that cannot be used says why instead of raising."""
    # Before the bytes: the other way round, the new file's stamp would stand beside the old one's digest for good.
    seen = stamp(job.path)
    digest = ""
    try:
        data = read_bytes(job.path)
        digest = hashlib.sha256(data).hexdigest()
        photograph = decode(data, job.path.name)
    except ImageError as error:
        return Prepared(job.image_id, digest, reason=str(error), failed=True, stamp=seen)
    except MemoryError:
        # Without a digest, so that the next run tries again.
        reason = f"not enough memory to decode {job.path.name}"
        return Prepared(job.image_id, reason=reason, failed=True, stamp=seen)
    if job.known_region and digest == job.known_sha256:
        box, reason = photograph.to_working(job.known_region[0]), job.known_region[1]
    else:
        found = find_box(photograph.pixels, job.recipe)
        box, reason = found.box, found.reason
    region = cut(photograph.pixels, box, job.recipe)
    crops = {side: resize(region, side) for side in job.sides_px}
    return Prepared(job.image_id, digest, photograph.to_full(box), reason, crops=crops, stamp=seen)


def prepare_all(jobs: Iterable[Job], n_workers: int, ahead: int) -> Iterator[Prepared]:
    """Prepare photographs in order, at most `ahead` of them before they are asked for.

    Parameters
    ----------
    n_workers
        Worker processes; 0 prepares in this one.

    Raises
    ------
    StoreError
        If a worker process is killed from outside.
    """
    if n_workers == 0:
        yield from map(prepare, jobs)
        return
    # Spawned, because forking a process that runs a network's threads can hang it.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(n_workers, mp_context=context, initializer=end_with_parent) as pool:
        queue = iter(jobs)
        with _interrupts_ignored():
            # The workers start here and inherit this, so that an early Ctrl-C does not make each of them complain.
            waiting = deque(pool.submit(prepare, job) for job in itertools.islice(queue, ahead))
        try:
            while waiting:
                prepared = waiting.popleft().result()
                waiting.extend(pool.submit(prepare, job) for job in itertools.islice(queue, 1))
                yield prepared
        except BrokenProcessPool as error:
            raise StoreError(
                "worker processes that live until the end",
                "one that was killed (often for lack of memory)",
                "Run again, with fewer --workers if it repeats; what was completed is kept.",
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
