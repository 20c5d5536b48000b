"""Arrays: how each one of a store lies in zarr, told by what it is for, so that a changed layout is noticed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import zarr
from zarr.codecs import Crc32cCodec
from zarr.storage import MemoryStore

from featstore.errors import StoreError
from featstore.store.place import Place

if TYPE_CHECKING:
    from zarr.core.buffer import Buffer
    from zarr.core.metadata import ArrayV3Metadata

_ABSENT: dict[str, object] = {"float32": np.nan, "float64": np.nan, "int32": -1, "uint8": 0, "str": ""}


@dataclass(frozen=True)
class ArraySpec:
    """One array: every chunk has a crc32c, and nothing is compressed.

    Attributes
    ----------
    path
        From the root of the store.
    dtype
        One of float32, float64, int32, uint8 and str.
    shards
        Shape of a file that holds several chunks; None for one chunk per file.
    """

    path: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: str
    shards: tuple[int, ...] | None = None

    def create(self, group: zarr.Group) -> zarr.Array[ArrayV3Metadata]:
        """Create it empty, in the place of any other."""
        return cast(
            "zarr.Array[ArrayV3Metadata]",
            group.create_array(
                self.path, shape=self.shape, chunks=self.chunks, shards=self.shards, overwrite=True,
                dtype=str if self.dtype == "str" else self.dtype, fill_value=_ABSENT[self.dtype],
                compressors=[Crc32cCodec()],
                # A column of the catalogue has all its files, so that a lost one is missed.
                config={"write_empty_chunks": self.dtype in {"str", "float64"}},
            ),
        )  # fmt: skip

    @property
    def layout_key(self) -> str:
        """Where its layout lies."""
        return f"{self.path}/zarr.json"

    def layout(self) -> bytes:
        """What lies there."""
        content: dict[str, Buffer] = {}
        self.create(zarr.create_group(MemoryStore(content)))
        return content[self.layout_key].to_bytes()

    def layout_fault(self, found: bytes | None) -> str:
        """What is wrong with a layout, "" if nothing is; a number of rows other than ours is fine."""
        try:
            ours, theirs = json.loads(self.layout()), json.loads(found or b"")
            # Later versions of zarr may write more, never less.
            differing = [key for key in ours if key != "shape" and ours[key] != theirs.get(key)]
            if ours["shape"][1:] != theirs.get("shape", [])[1:]:
                differing.append("shape")
        except (ValueError, TypeError, AttributeError) as error:
            return f"no layout of an array: {error}"
        return f"another {', '.join(differing)}" if differing else ""


def holds(place: Place, path: str) -> bool:
    """Whether something lies at a path of the store, by its layout."""
    return place.read(f"{path}/zarr.json") is not None


def array_at(group: zarr.Group, path: str) -> zarr.Array[ArrayV3Metadata]:
    """Open an array.

    Raises
    ------
    StoreError
        If its layout cannot be read.
    """
    try:
        return cast("zarr.Array[ArrayV3Metadata]", group[path])
    except (ValueError, KeyError, TypeError) as error:
        expected = f"the layout of {path} as it was written"
        raise StoreError(expected, repr(error), "featstore repair writes it anew.") from error
