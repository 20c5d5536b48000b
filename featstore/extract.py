"""Extraction: prepared photographs go through every network in full batches, and finished chunks to the store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from featstore import shell
from featstore.backbones import preprocess
from featstore.catalog import Catalog
from featstore.errors import WeightsError
from featstore.facts import Facts
from featstore.prepare import Job, Prepared, prepare_all
from featstore.rows import CHUNK_ROWS
from featstore.store import Store

if TYPE_CHECKING:
    import keras


class Network:
    """A backbone that takes batches of one fixed shape.

    Short batches are padded: one compiled program serves all, and a row's bits do not depend on how many
    photographs were left to do.
    """

    def __init__(self, name: str, model: keras.Model, batch_size: int) -> None:
        self.name = name
        self.side_px = int(model.input_shape[1])
        self.dimension = int(model.output_shape[-1])
        self._model = model
        self.batch_size = batch_size

    def features(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Turn (b, side, side, 3) RGB uint8 into (b, d) float32, b at most the batch size.

        Raises
        ------
        WeightsError
            If a feature is not finite, which no sound network yields.
        """
        padding = self.batch_size - len(images)
        padded = np.concatenate([images, np.zeros((padding, *images.shape[1:]), dtype=np.uint8)])
        output = np.asarray(self._model.predict_on_batch(preprocess(self.name, padded)), dtype=np.float32)
        features = output[: len(images)]
        if not np.isfinite(features).all():
            raise WeightsError(
                f"finite features of {self.name}", "NaN or infinity", "Its weights are damaged; replace them."
            )
        return features


@dataclass
class Unit:
    """One chunk of one view in the making: the rows still awaited and the features that have come."""

    view: str
    chunk: int
    keys: list[str]
    wanted: dict[str, set[str]]
    sha256: dict[str, str] = field(default_factory=dict)
    features: dict[tuple[str, str], NDArray[np.float32]] = field(default_factory=dict)
    n_awaited: int = 0


class Extraction:
    """One pass over what is missing. Batches run across chunks; a chunk is written when its last row has come."""

    def __init__(
        self, store: Store, networks: Sequence[Network], catalog: Catalog, facts: Facts, *, recipe: str
    ) -> None:
        self._store = store
        self._networks = {network.name: network for network in networks}
        self._recipe = recipe
        self._paths = dict(zip(catalog.frame["image_id"], catalog.frame["path"], strict=True))
        self._root = catalog.root.resolve()
        self._facts = facts
        self._computed: dict[tuple[str, str], dict[str, str]] = {}
        self._queues: dict[str, list[tuple[Unit, str, NDArray[np.uint8]]]] = {name: [] for name in self._networks}
        self.n_decoded = 0
        self.n_rows = 0

    def run(self, keys: dict[str, list[str]], n_workers: int) -> None:
        """Decode and compute every row of `keys` (image_ids by view, in row order) that does not count yet."""
        units = [unit for view, of_view in keys.items() for unit in self._units(view, of_view)]
        jobs = [(unit, self._job(unit, key)) for unit in units for key in unit.keys if unit.wanted[key]]
        if not jobs:
            return
        ahead = 4 * max(network.batch_size for network in self._networks.values())
        results = prepare_all((job for _, job in jobs), n_workers, ahead)
        with shell.progress(len(jobs), "featstore build", "images") as bar:
            for (unit, job), prepared in zip(jobs, results, strict=True):
                self._accept(unit, job, prepared)
                bar.update()
            for name in self._networks:
                self._flush(name)

    def _units(self, view: str, keys: list[str]) -> Iterator[Unit]:
        for name in self._networks:
            for chunk in self._store.damaged(view, name):
                shell.warn(f"chunk {chunk} of {view}/{name} is damaged or lost; its rows are made again")
                self._store.records.forget(view, name, chunk)
            self._computed[view, name] = self._store.computed(view, name)
        for chunk, start in enumerate(range(0, len(keys), CHUNK_ROWS)):
            of_chunk = keys[start : start + CHUNK_ROWS]
            wanted = {key: self._missing(view, key) for key in of_chunk}
            n_awaited = sum(bool(names) for names in wanted.values())
            if n_awaited:
                yield Unit(view, chunk, of_chunk, wanted, n_awaited=n_awaited)

    def _missing(self, view: str, image_id: str) -> set[str]:
        """Networks whose row of a photograph does not count; none for one that is gone or known to be damaged."""
        fact = self._facts.get(view, image_id)
        # Without a digest the file could not even be read, which may have changed without a trace.
        damaged = fact.status == "failed" and fact.sha256 != ""
        if image_id not in self._paths or damaged:
            return set()
        return {name for name in self._networks if not self._counts(view, name, image_id, fact.sha256)}

    def _counts(self, view: str, name: str, image_id: str, sha256: str) -> bool:
        return bool(sha256) and self._computed[view, name].get(image_id) == sha256

    def _job(self, unit: Unit, image_id: str) -> Job:
        fact = self._facts.get(unit.view, image_id)
        sides = {self._networks[name].side_px for name in unit.wanted[image_id]}
        path = self._root / self._paths[image_id]
        return Job(image_id, path, unit.view, self._recipe, tuple(sorted(sides)), fact.sha256, fact.box, fact.reason)

    def _accept(self, unit: Unit, job: Job, prepared: Prepared) -> None:
        self._facts.learn(unit.view, prepared, job.path)
        self.n_decoded += 1
        unit.sha256[job.image_id] = prepared.sha256
        # A file that was only touched or restored has its rows already.
        wanted = unit.wanted[job.image_id] = {
            name
            for name in unit.wanted[job.image_id]
            if not prepared.failed and not self._counts(unit.view, name, job.image_id, prepared.sha256)
        }
        if not wanted:
            self._finish_row(unit)
        for name in sorted(wanted):
            network = self._networks[name]
            self._queues[name].append((unit, job.image_id, prepared.crops[network.side_px]))
            if len(self._queues[name]) == network.batch_size:
                self._flush(name)

    def _flush(self, name: str) -> None:
        queue, self._queues[name] = self._queues[name], []
        if not queue:
            return
        features = self._networks[name].features(np.stack([image for _, _, image in queue]))
        self.n_rows += len(queue)
        for (unit, image_id, _), row in zip(queue, features, strict=True):
            unit.features[name, image_id] = row
            unit.wanted[image_id].discard(name)
            if not unit.wanted[image_id]:
                self._finish_row(unit)

    def _finish_row(self, unit: Unit) -> None:
        unit.n_awaited -= 1
        if unit.n_awaited:
            return
        self._facts.save(self._store, unit.view, unit.chunk, unit.keys)
        for name in self._networks:
            fresh = {key: row for (network, key), row in unit.features.items() if network == name}
            if fresh:
                self._write(unit, name, fresh)
        unit.features.clear()

    def _write(self, unit: Unit, name: str, fresh: dict[str, NDArray[np.float32]]) -> None:
        rows = self._store.read_chunk(unit.view, name, unit.chunk)
        contents = self._store.computed_in(unit.view, name, unit.chunk)
        for place, key in enumerate(unit.keys):
            if key in fresh:
                rows[place] = fresh[key]
                contents[key] = unit.sha256[key]
            elif key not in contents:
                # A row that no record vouches for may be half of a killed run.
                rows[place] = np.nan
        self._store.write_chunk(unit.view, name, unit.chunk, rows, contents)
