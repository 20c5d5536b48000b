"""Row keys in zarr: which photograph each row of a view is; once as text, and again as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from featstore.catalog import VIEWS
from featstore.errors import StoreError
from featstore.store.arrays import ArraySpec, array_at, holds
from featstore.store.papers import UNREADABLE
from featstore.store.place import Place

if TYPE_CHECKING:
    import zarr
    from zarr.core.metadata import ArrayV3Metadata

CHUNK_ROWS = 65_536
_REMEDY = "featstore repair takes their copy."


class RowKeys:
    """The row keys of a store; `featstore.store.store` tells how they lie in zarr."""

    def __init__(self, place: Place, group: zarr.Group) -> None:
        self._place = place
        self._group = group

    @property
    def views(self) -> tuple[str, ...]:
        """Views that have rows, in the order of `VIEWS`; also one of which only the copy is left."""
        return tuple(view for view in VIEWS if holds(self._place, _text(view)) or holds(self._place, _numbers(view)))

    def read(self, view: str) -> list[str]:
        """image_id of each row of a view that is taken; none before it has rows.

        Raises
        ------
        StoreError
            If they are damaged, or gone and only their copy is there.
        """
        copied = holds(self._place, _numbers(view))
        if not holds(self._place, _text(view)):
            if copied:
                raise self.lost(view, "their copy alone")
            return []
        try:
            keys = _taken(array_at(self._group, _text(view)))
            n_known = int(array_at(self._group, _numbers(view)).shape[0]) if copied else 0
        except (ValueError, OSError, RuntimeError) as error:
            raise self.lost(view, str(error)) from error
        if len(keys) < n_known or (copied and not keys):
            raise self.lost(view, f"{len(keys)} of {n_known}" if keys else "their copy alone")
        return keys

    def read_alone(self, view: str) -> list[str]:
        """As `read`, whatever is the matter with their copy."""
        try:
            return _taken(array_at(self._group, _text(view)))
        except UNREADABLE as error:
            raise self.lost(view, repr(error)) from error

    def read_copy(self, view: str) -> list[str]:
        """As `read`, from the numbers that other libraries read.

        Raises
        ------
        StoreError
            If they are damaged.
        """
        try:
            numbers = np.asarray(array_at(self._group, _numbers(view))[:], dtype=np.uint8)
            keys = [bytes(row).rstrip(b"\0").decode() for row in numbers]
        except (ValueError, OSError, RuntimeError) as error:
            raise self.lost(view, f"{error} (in their copy)") from error
        if not all(keys):
            raise self.lost(view, "a copy that is lost in part")
        return keys

    def write(self, view: str, keys: Sequence[str]) -> None:
        """Set the rows of a view. A writer that is killed meanwhile leaves "" keys at the end, never other ones."""
        path = _text(view)
        spec = ArraySpec(path, (0,), (CHUNK_ROWS,), "str")
        array = array_at(self._group, path) if holds(self._place, path) else spec.create(self._group)
        array.resize((len(keys),))
        array[:] = np.asarray(keys, dtype=object)
        encoded = [key.encode() for key in keys]
        width = max(map(len, encoded))
        utf8 = np.frombuffer(b"".join(key.ljust(width, b"\0") for key in encoded), dtype=np.uint8).reshape(-1, width)
        # Derived from image_id for readers that know numbers only, so it may be replaced.
        ArraySpec(_numbers(view), utf8.shape, (CHUNK_ROWS, width), "uint8").create(self._group)[:] = utf8

    def lost(self, view: str, got: str, remedy: str = _REMEDY) -> StoreError:
        """What to raise where the keys of a view are not as they were written."""
        return StoreError(f"the row keys of {view} in {self._place.url} as they were written", got, remedy)


def _text(view: str) -> str:
    return f"{view}/image_id"


def _numbers(view: str) -> str:
    return f"{view}/image_id_utf8"


def _taken(array: zarr.Array[ArrayV3Metadata]) -> list[str]:
    keys = [str(key) for key in np.asarray(array[:])]
    return keys[: keys.index("")] if "" in keys else keys
