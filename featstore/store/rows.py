"""Rows in zarr: the feature arrays of every view, read and written in whole units."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from featstore.errors import StoreError
from featstore.store.arrays import ArraySpec, array_at, holds
from featstore.store.chunks import Layout, read_rows
from featstore.store.place import Place
from featstore.store.row_keys import RowKeys

if TYPE_CHECKING:
    import zarr

CHUNK_ROWS = 128

_ABSENT = 2**64 - 1
"""What a shard's index says of a chunk that it does not hold."""


@dataclass(frozen=True)
class Grid:
    """How rows are divided.

    Attributes
    ----------
    chunk_rows
        Rows that are read together.
    unit_rows
        Rows that one worker owns and writes: one chunk, or a shard of several.
    """

    chunk_rows: int = CHUNK_ROWS
    unit_rows: int = CHUNK_ROWS

    def __post_init__(self) -> None:
        if self.chunk_rows < 1 or self.unit_rows % self.chunk_rows or self.unit_rows < self.chunk_rows:
            raise StoreError(
                "shards of one or several whole chunks",
                f"{self.unit_rows} rows in shards, {self.chunk_rows} in chunks",
                f"Choose a multiple of {self.chunk_rows}.",
            )

    @property
    def sharded(self) -> bool:
        """Whether several chunks lie in one file."""
        return self.unit_rows > self.chunk_rows

    def unit(self, unit: int) -> slice:
        """Rows of a unit."""
        return slice(unit * self.unit_rows, (unit + 1) * self.unit_rows)


class Rows:
    """Feature arrays; `featstore.store.store` tells how they lie in zarr."""

    def __init__(self, place: Place, group: zarr.Group, grid: Grid, keys: RowKeys) -> None:
        self._place = place
        self._group = group
        self._keys = keys
        self.grid = grid

    def has(self, view: str, name: str) -> bool:
        """Whether a view has a feature array of this name."""
        return holds(self._place, f"{view}/{name}")

    def dimension(self, view: str, name: str) -> int:
        """Number of features in an array."""
        return int(array_at(self._group, f"{view}/{name}").shape[1])

    def prepare(self, view: str, name: str, dimension: int, n_rows: int | None = None) -> None:
        """Give a view a feature array with one row per row key (`n_rows`, if it is known), keeping what is there."""
        n_rows = len(self._keys.read(view)) if n_rows is None else n_rows
        for spec in self.specs(view, name, dimension, n_rows):
            if holds(self._place, spec.path) and array_at(self._group, spec.path).shape[1:] == spec.shape[1:]:
                if array_at(self._group, spec.path).shape != spec.shape:
                    array_at(self._group, spec.path).resize(spec.shape)
            else:
                spec.create(self._group)

    def mend_layout(self, view: str, name: str, dimension: int) -> None:
        """Write anew how a feature array lies, and leave its chunks alone."""
        for spec in self.specs(view, name, dimension, len(self._keys.read(view))):
            self._place.write(spec.layout_key, spec.layout())

    def specs(self, view: str, name: str, dimension: int, n_rows: int) -> tuple[ArraySpec, ArraySpec]:
        """How a feature array and the identities beside it lie."""
        unit = self.grid.unit_rows
        shards = (unit, dimension) if self.grid.sharded else None
        chunks = (self.grid.chunk_rows, dimension)
        return (
            ArraySpec(f"{view}/{name}", (n_rows, dimension), chunks, "float32", shards),
            ArraySpec(f"{view}/identity/{name}", (n_rows,), (unit,), "int32"),
        )

    def read_unit(self, view: str, name: str, unit: int) -> NDArray[np.float32]:
        """Rows of one unit, (rows, d) float32, NaN where not computed."""
        rows = self.grid.unit(unit)
        n_rows = int(array_at(self._group, f"{view}/{name}").shape[0])
        return self.read(view, name, np.arange(rows.start, min(n_rows, rows.stop), dtype=np.int64))

    def read_identity(self, view: str, name: str, unit: int) -> NDArray[np.int32]:
        """Numbers of what made the rows of one unit, -1 where not computed."""
        return np.asarray(array_at(self._group, f"{view}/identity/{name}")[self.grid.unit(unit)], dtype=np.int32)

    def write_unit(
        self, view: str, name: str, unit: int, features: NDArray[np.float32], identity: NDArray[np.int32]
    ) -> None:
        """Write the rows of one unit, (rows, d), and what made each; the record that makes them count comes later."""
        rows = self.grid.unit(unit)
        if self.grid.sharded:
            # All of it is written; zarr would first read the shard that is there, and stop at a damaged one.
            self._place.delete(f"{view}/{name}/c/{unit}/0")
        array_at(self._group, f"{view}/{name}")[rows] = features
        array_at(self._group, f"{view}/identity/{name}")[rows] = identity

    def delete_unit(self, view: str, name: str, unit: int) -> None:
        """Remove the files of one unit."""
        self._place.delete(f"{view}/{name}/c/{unit}/0")
        self._place.delete(f"{view}/identity/{name}/c/{unit}")

    def read(self, view: str, name: str, places: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """Rows of a view by place (all if None), (n, d) float32, NaN where not computed.

        Only the chunks that hold them are opened.

        Raises
        ------
        DamagedError
            If a chunk is not as it was written.
        """
        n_rows, dimension = array_at(self._group, f"{view}/{name}").shape
        places = np.arange(n_rows, dtype=np.int64) if places is None else places
        features = np.empty((len(places), dimension), dtype=np.float32)
        self.read_into(view, name, places, features, np.arange(len(places), dtype=np.int64))
        return features

    def read_into(
        self,
        view: str,
        name: str,
        places: NDArray[np.int64],
        features: NDArray[np.float32],
        at: NDArray[np.int64],
    ) -> None:
        """As `read`, into the rows `at` of `features`."""
        read_rows(self._place, self._layout(view, name, features.shape[1]), places, features, at)

    def lost(self, view: str, name: str, units: Sequence[int]) -> list[int]:
        """Those of `units` whose file is gone or has another length than it was written with."""
        sizes = self._place.sizes(f"{view}/{name}/c")
        layout = self._layout(view, name, self.dimension(view, name))
        found = {unit: sizes.get(layout.key(unit), 0) for unit in units}
        if self.grid.sharded:
            return [unit for unit, size in found.items() if not self._is_whole_shard(layout, unit, size)]
        return [unit for unit, size in found.items() if size != layout.chunk_bytes]

    def _is_whole_shard(self, layout: Layout, unit: int, size: int) -> bool:
        """Whether a shard holds the chunks that its index names, and nothing else.

        Its length alone does not tell, because chunks without any row are left out.
        """
        index_bytes = layout.chunks_per_file * 16 + 4
        n_chunks, rest = divmod(size - index_bytes, layout.chunk_bytes)
        if n_chunks < 1 or rest:
            return False
        index = self._place.read_part(layout.key(unit), -index_bytes, index_bytes) or b""
        if len(index) != index_bytes:
            return False
        entries = np.frombuffer(index, dtype="<u8", count=layout.chunks_per_file * 2).reshape(-1, 2)
        present = entries[(entries != _ABSENT).all(axis=1)]
        starts = np.arange(n_chunks, dtype=np.uint64) * np.uint64(layout.chunk_bytes)
        return np.array_equal(np.sort(present[:, 0]), starts) and bool((present[:, 1] == layout.chunk_bytes).all())

    def _layout(self, view: str, name: str, dimension: int) -> Layout:
        return Layout(f"{view}/{name}", self.grid.chunk_rows, dimension, self.grid.unit_rows // self.grid.chunk_rows)


def digest(features: NDArray[np.float32]) -> str:
    """sha256 of rows as little-endian float32."""
    return hashlib.sha256(np.ascontiguousarray(features, dtype="<f4").data).hexdigest()
