"""Rows: features in whole chunks, each found by (view, image_id) and vouched for by a completion record."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import zarr
from numpy.typing import NDArray

from featstore.catalog import VIEWS
from featstore.errors import StoreError
from featstore.records import Records

if TYPE_CHECKING:
    from zarr.core.metadata import ArrayV3Metadata

CHUNK_ROWS = 64
KEY_CHUNK_ROWS = 65_536


class Rows(ABC):
    """The rows of a store's views; `featstore.store` tells how they lie in zarr."""

    def __init__(self, group: zarr.Group, records: Records) -> None:
        self._group = group
        self.records = records

    @abstractmethod
    def identity_number(self, backbone: str) -> int:
        """Number of what makes a backbone's features now; `StoreError` if the store has none of it."""

    @property
    def views(self) -> tuple[str, ...]:
        """Views that have rows, in the order of `VIEWS`."""
        return tuple(view for view in VIEWS if f"{view}/image_id" in self._group)

    def row_keys(self, view: str) -> list[str]:
        """image_id of each row of a view; "" where a row is not taken."""
        if f"{view}/image_id" not in self._group:
            return []
        return [str(key) for key in np.asarray(self._array(f"{view}/image_id")[:])]

    def write_row_keys(self, view: str, keys: Sequence[str]) -> None:
        """Set the rows of a view. Known keys keep their places, so that features stay with their images."""
        path = f"{view}/image_id"
        if path not in self._group:
            self._group.create_array(path, shape=(0,), chunks=(KEY_CHUNK_ROWS,), dtype=str)
        array = self._array(path)
        array.resize((len(keys),))
        array[:] = np.asarray(keys, dtype=object)
        encoded = [key.encode() for key in keys]
        width = max(map(len, encoded))
        utf8 = np.frombuffer(b"".join(key.ljust(width, b"\0") for key in encoded), dtype=np.uint8).reshape(-1, width)
        # Derived from image_id for readers that know numbers only, so it may be replaced.
        copy = self._group.create_array(
            f"{view}/image_id_utf8",
            shape=utf8.shape,
            chunks=(KEY_CHUNK_ROWS, width),
            dtype="uint8",
            overwrite=True,
        )
        copy[:] = utf8

    def prepare_features(self, view: str, backbone: str, dimension: int) -> None:
        """Give a backbone an array with one row per row key of the view, keeping what is there."""
        n_rows = len(self.row_keys(view))
        for path, shape, chunks, dtype, fill in (
            (f"{view}/{backbone}", (n_rows, dimension), (CHUNK_ROWS, dimension), "float32", np.nan),
            (f"{view}/identity/{backbone}", (n_rows,), (CHUNK_ROWS,), "int32", -1),
        ):
            if path in self._group:
                array = self._array(path)
                if array.shape != shape:
                    array.resize(shape)
                continue
            self._group.create_array(path, shape=shape, chunks=chunks, dtype=dtype, fill_value=fill, compressors=None)

    def read_chunk(self, view: str, backbone: str, chunk: int) -> NDArray[np.float32]:
        """Rows of one chunk, (rows, d) float32, NaN where not computed."""
        return np.asarray(self._array(f"{view}/{backbone}")[self._rows(chunk)], dtype=np.float32)

    def write_chunk(
        self, view: str, backbone: str, chunk: int, rows: NDArray[np.float32], contents: Mapping[str, str]
    ) -> None:
        """Write a whole chunk, then the record that makes its rows count.

        Parameters
        ----------
        rows
            (rows, d) float32, NaN where not computed.
        contents
            sha256 of the photograph behind each computed row, by image_id.
        """
        number = self.identity_number(backbone)
        computed = ~np.isnan(rows).all(axis=1)
        # An old record must not vouch for new rows if we are killed in between.
        self.records.forget(view, backbone, chunk)
        self._array(f"{view}/{backbone}")[self._rows(chunk)] = rows
        self._array(f"{view}/identity/{backbone}")[self._rows(chunk)] = np.where(computed, number, -1).astype(np.int32)
        self.records.write(
            view,
            backbone,
            chunk,
            {"identity": number, "n_rows": len(rows), "rows": dict(contents), "sha256": _digest(rows)},
        )

    def read_features(self, view: str, backbone: str) -> NDArray[np.float32]:
        """All rows of a view, (n_view, d) float32, NaN where not computed."""
        return np.asarray(self._array(f"{view}/{backbone}")[:], dtype=np.float32)

    def dimension(self, backbone: str) -> int:
        """Number of features of a backbone; `StoreError` if the store has none."""
        self.identity_number(backbone)
        for view in VIEWS:
            if self.has_features(view, backbone):
                return int(self._array(f"{view}/{backbone}").shape[1])
        raise StoreError(f"features of {backbone}", "none computed", "Run featstore build again.")

    def has_features(self, view: str, backbone: str) -> bool:
        """Whether a view has an array of this backbone."""
        return f"{view}/{backbone}" in self._group

    def _array(self, path: str) -> zarr.Array[ArrayV3Metadata]:
        return cast("zarr.Array[ArrayV3Metadata]", self._group[path])

    @staticmethod
    def _rows(chunk: int) -> slice:
        return slice(chunk * CHUNK_ROWS, (chunk + 1) * CHUNK_ROWS)

    def damaged(self, view: str, backbone: str) -> list[int]:
        """Chunks whose bytes are not those that their record vouches for, or whose record lacks what it should say."""
        found = []
        for chunk, record in sorted(self.records.chunks(view, backbone).items()):
            try:
                n_rows = int(cast("int", record["n_rows"]))
                intact = _digest(self.read_chunk(view, backbone, chunk)[:n_rows]) == record["sha256"]
            except (KeyError, TypeError, ValueError, RuntimeError, OSError):
                intact = False
            if not intact:
                found.append(chunk)
        return found

    def computed_in(self, view: str, backbone: str, chunk: int) -> dict[str, str]:
        """As `computed`, for one chunk."""
        record = self.records.chunk(view, backbone, chunk)
        if record is None or record["identity"] != self.identity_number(backbone):
            return {}
        return cast("dict[str, str]", record["rows"])

    def computed(self, view: str, backbone: str) -> dict[str, str]:
        """sha256 of the photograph behind every row that counts, by image_id."""
        current = self.identity_number(backbone)
        rows: dict[str, str] = {}
        for record in self.records.chunks(view, backbone).values():
            if record["identity"] == current:
                rows |= cast("dict[str, str]", record["rows"])
        return rows


def _digest(rows: NDArray[np.float32]) -> str:
    return hashlib.sha256(np.ascontiguousarray(rows).data).hexdigest()
