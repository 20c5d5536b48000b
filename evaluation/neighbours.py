"""Neighbours: the photographs learnt from that look most like another one to a network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from featstore.table import LazyTable

ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class Neighbour:
    """A photograph that a model has learnt from, beside another one.

    Attributes
    ----------
    image_id, class_id
        Whose it is.
    cosine
        Of the angle between the features of both, in [-1, 1]; 1 is the same direction.
    path
        Its file; whether it is still there has not been looked up.
    """

    image_id: str
    class_id: str
    cosine: float
    path: str


def neighbours_among(
    table: LazyTable, unit: Iterable[NDArray[np.float32]], features: NDArray[np.float32], n_nearest: int, root: Path
) -> list[list[Neighbour]]:
    """Find the photographs of a table that stand at the smallest angle to each row.

    Parameters
    ----------
    table
        n photographs.
    unit
        Their rows of d features in batches, at length 1, as `unit_batches` reads them.
    features
        (q, d), of any length.
    n_nearest
        Neighbours of each row at most.
    root
        Folder that the paths of the table start from.

    Returns
    -------
    list of q lists
        Most alike first; equal ones in the order of the table.
    """
    cosine, place = _nearest_rows(unit_rows(features), unit, n_nearest)
    ids, classes, paths = (table.papers[name].to_numpy() for name in ("image_id", "class_id", "path"))

    def neighbour(at: int, value: float) -> Neighbour:
        return Neighbour(str(ids[at]), str(classes[at]), value, str(root / paths[at]))

    return [list(map(neighbour, *row)) for row in zip(place.tolist(), cosine.tolist(), strict=True)]


def unit_batches(table: LazyTable) -> Iterator[NDArray[np.float32]]:
    """Read a table a few thousand rows at a time, each row at length 1."""
    for batch in table.batches(ROWS_AT_ONCE):
        yield unit_rows(batch.features)


def unit_rows(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows (n, d) at length 1."""
    length = np.linalg.norm(features, axis=1, keepdims=True)
    # A row of zeros looks like nothing: cosine 0 to everything.
    unit: NDArray[np.float32] = features / np.maximum(length, np.finfo(np.float32).tiny)
    return unit


def _nearest_rows(
    queries: NDArray[np.float32], unit: Iterable[NDArray[np.float32]], n_nearest: int
) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Cosine and place of the rows nearest to each query, (q, n_nearest), from the nearest on; equal ones in order."""
    best = np.empty((len(queries), 0), dtype=np.float32)
    place = np.empty((len(queries), 0), dtype=np.intp)
    start = 0
    for batch in unit:
        cosine = np.concatenate([best, queries @ batch.T], axis=1)
        own = np.broadcast_to(np.arange(start, start + len(batch)), (len(queries), len(batch)))
        at = np.concatenate([place, own], axis=1)
        order = np.argsort(-cosine, axis=1, kind="stable")[:, :n_nearest]
        best, place = np.take_along_axis(cosine, order, 1), np.take_along_axis(at, order, 1)
        start += len(batch)
    return best, place
