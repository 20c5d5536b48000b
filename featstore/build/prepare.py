"""Preparation: photographs are read, decoded, cut and resized on worker processes."""

from __future__ import annotations

import hashlib
import itertools
import multiprocessing
import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from featstore import shell
from featstore.errors import ImageError, StoreError
from featstore.images import decode, read_bytes, resize, stamp
from featstore.processes import UNGUARDED, end_with_parent, interrupts_held
from featstore.roi import Box, ViewRecipe, cut, find_box

if TYPE_CHECKING:
    from featstore.store.records import Region

NO_BOX: Box = (0, 0, 0, 0)

_MANY = 8
"""Of so many photographs in a row that kill their decoders, it is not the photographs' fault."""
# More handles than these cannot be waited for on Windows.
_MOST_PROCESSES = 61 if os.name == "nt" else 1024


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
        return Prepared(job.image_id, digest, reason=error.in_short, failed=True, stamp=seen)
    except MemoryError:
        # Without a digest, so that the next run tries again.
        return Prepared(job.image_id, reason="not enough memory to decode it", failed=True, stamp=seen)
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

    A photograph that kills its decoder, for lack of memory for example, fails; the others are prepared all the same.

    Parameters
    ----------
    n_workers
        Worker processes; 0 prepares in this one.

    Raises
    ------
    StoreError
        If worker processes are killed whatever they decode.
    """
    if n_workers == 0:
        yield from map(prepare, jobs)
        return
    queue = iter(jobs)
    while under_way := (yield from _together(queue, n_workers, ahead)):
        shell.warn("a process that decodes was killed; the photographs under way are tried one at a time")
        yield from _apart(under_way)


def _together(queue: Iterator[Job], n_workers: int, ahead: int) -> Generator[Prepared, None, list[Job]]:
    """Prepare photographs on several processes until one of these is killed; gives those that were under way then."""
    with _decoders(n_workers) as pool:
        with interrupts_held():
            waiting = deque((job, _submit(pool, job)) for job in itertools.islice(queue, ahead))
        try:
            while waiting:
                prepared = waiting[0][1].result()
                waiting.popleft()
                waiting.extend((job, _submit(pool, job)) for job in itertools.islice(queue, 1))
                yield prepared
        except BrokenProcessPool:
            # Nobody knows which of them it was.
            return [job for job, _ in waiting]
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return []


def _apart(jobs: Iterable[Job]) -> Iterator[Prepared]:
    """Prepare photographs one at a time; one that kills its decoder fails, and the next ones get another."""
    left, n_killed = deque(jobs), 0
    while left:
        with _decoders(1) as pool:
            try:
                with interrupts_held():
                    pool.submit(os.getpid).result()
            except BrokenProcessPool as error:
                raise _killed("one that was killed before it had anything to do", UNGUARDED) from error
            try:
                while left:
                    prepared = _submit(pool, left[0]).result()
                    left.popleft()
                    n_killed = 0
                    yield prepared
            except BrokenProcessPool as error:
                job, n_killed = left.popleft(), n_killed + 1
                if n_killed == _MANY:
                    raise _killed(f"{_MANY} that were killed one after the other (often for lack of memory)") from error
                # Without a digest, so that the next run tries again.
                reason = f"its decoder was killed, often for lack of memory: {job.path.name}"
                yield Prepared(job.image_id, reason=reason, failed=True, stamp=stamp(job.path))


def _decoders(n_workers: int) -> ProcessPoolExecutor:
    # Spawned, because forking a process that runs a network's threads can hang it.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(min(n_workers, _MOST_PROCESSES), mp_context=context, initializer=end_with_parent)


def _submit(pool: ProcessPoolExecutor, job: Job) -> Future[Prepared]:
    """Hand a photograph over; a pool that is broken by now says so when the result is asked for."""
    try:
        with interrupts_held():
            return pool.submit(prepare, job)
    except BrokenProcessPool as error:
        future: Future[Prepared] = Future()
        future.set_exception(error)
        return future


def _killed(got: str, remedy: str = "") -> StoreError:
    again = "Run again, with fewer --workers if it repeats; what was completed is kept."
    return StoreError("worker processes that live until the end", got, f"{remedy}{again}")
