"""Work: one unit of photographs goes through every network, then its chunks and its record are written."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from featstore import shell
from featstore.backbones import Network
from featstore.build.plan import Plan, RowTask, UnitTask
from featstore.build.prepare import Prepared
from featstore.store import Store
from featstore.store.chunks import DamagedError
from featstore.store.records import Fact, FeatureRows, Record
from featstore.store.rows import digest


@dataclass
class Tally:
    """What was done: photographs decoded, rows computed, rows that have to be made again, and seconds by stage.

    Attributes
    ----------
    seconds
        ``waiting`` for photographs, in the ``networks`` and ``writing``.
    """

    n_decoded: int = 0
    n_rows: int = 0
    n_dropped: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, other: Tally) -> None:
        """Add another tally to this one."""
        self.n_decoded += other.n_decoded
        self.n_rows += other.n_rows
        self.n_dropped += other.n_dropped
        for stage, seconds in other.seconds.items():
            self.spend(stage, seconds)

    def spend(self, stage: str, seconds: float) -> None:
        """Count time for a stage."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds


class UnitWork:
    """One unit in the making. Short batches are padded by the network, so that bits do not depend on what was left."""

    def __init__(self, store: Store, plan: Plan, networks: Mapping[str, Network], task: UnitTask) -> None:
        self._store = store
        self._plan = plan
        self._networks = networks
        self._task = task
        self._before = store.records.read(task.view, task.unit) or Record()
        self._old = self._before.without(task.lost)
        self._facts = [self._old_fact(place, key) for place, key in enumerate(task.keys)]
        self._queues: dict[str, list[tuple[int, NDArray[np.uint8]]]] = {name: [] for name in networks}
        self._fresh: dict[str, dict[int, NDArray[np.float32]]] = {name: {} for name in networks}
        self.tally = Tally()

    def _old_fact(self, place: int, key: str) -> Fact | None:
        fact = self._old.facts[place] if place < len(self._old.facts) else None
        return fact if fact is not None and fact.image_id == key else None

    def accept(self, row: RowTask, prepared: Prepared) -> None:
        """Take in a photograph, and run every network whose batch it fills."""
        self.tally.n_decoded += 1
        self._facts[row.place] = self._fact(row, prepared)
        if prepared.failed:
            return
        for name in row.names:
            # A file that was only touched or restored has its rows already.
            if not self._counts(name, row.place, trusted=row.job.known_sha256 == prepared.sha256):
                network = self._networks[name]
                self._queues[name].append((row.place, prepared.crops[network.side_px]))
                if len(self._queues[name]) == network.batch_size:
                    self._flush(name)

    def finish(self, check: Callable[[], None]) -> Tally:
        """Run what is left in the queues and write the unit: the chunks of every network, then the record.

        Parameters
        ----------
        check
            Raises if nothing may be written any more; asked just before.
        """
        for name in self._networks:
            self._flush(name)
        check()
        started = time.perf_counter()
        fresh = [name for name, rows in self._fresh.items() if rows]
        blocks = {name: self._block(name) for name in fresh}
        before = self._before.without([name for name in self._task.lost if name not in fresh])
        self._store.commit(self._task.view, self._task.unit, self._facts, before, blocks)
        self.tally.spend("writing", time.perf_counter() - started)
        return self.tally

    def _fact(self, row: RowTask, prepared: Prepared) -> Fact:
        old = self._facts[row.place]
        boxes = dict(old.boxes) if old and old.sha256 == prepared.sha256 else {}
        if not prepared.failed:
            boxes[row.job.recipe.identity] = (prepared.box, prepared.reason)
        status, reason = ("failed", prepared.reason) if prepared.failed else ("done", "")
        return Fact(row.job.image_id, prepared.sha256, status, reason, *prepared.stamp, boxes)

    def _counts(self, name: str, place: int, *, trusted: bool) -> bool:
        return trusted and self._record().counts(
            name, place, self._task.keys[place], self._plan.accepted(name, self._task.view)
        )

    def _record(self) -> Record:
        return Record(self._facts, self._old.features)

    def _flush(self, name: str) -> None:
        queue, self._queues[name] = self._queues[name], []
        if not queue:
            return
        started = time.perf_counter()
        features = self._networks[name].features(np.stack([image for _, image in queue]))
        self.tally.spend("networks", time.perf_counter() - started)
        self.tally.n_rows += len(queue)
        self._fresh[name].update((place, row) for (place, _), row in zip(queue, features, strict=True))

    def _block(self, name: str) -> tuple[NDArray[np.float32], FeatureRows]:
        """The unit's rows of one network, and what vouches for them: fresh ones, and old ones that still count."""
        task, fresh = self._task, self._fresh[name]
        n_rows = len(task.keys)
        block = np.full((n_rows, self._networks[name].dimension), np.nan, dtype=np.float32)
        identity, sha256 = [-1] * n_rows, [""] * n_rows
        kept = [place for place in range(n_rows) if place not in fresh and self._counts(name, place, trusted=True)]
        if kept:
            try:
                existing = self._store.rows.read_unit(task.view, name, task.unit)
            except DamagedError as error:
                shell.warn(str(error))
                self.tally.n_dropped += len(kept)
                kept = []
            else:
                block[kept] = existing[kept]
        old = self._old.features.get(name)
        for place in kept:
            if old is not None:
                identity[place], sha256[place] = old.identity[place], old.sha256[place]
        current = self._plan.columns[name].current[task.view]
        for place, row in fresh.items():
            fact = self._facts[place]
            block[place] = row
            identity[place], sha256[place] = current, fact.sha256 if fact else ""
        return block, FeatureRows(identity, sha256, digest(block))
