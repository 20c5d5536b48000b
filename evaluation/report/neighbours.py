"""Neighbours: the training photographs that look most like another one to a network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from evaluation.identify.contract import Neighbour
from evaluation.report.herbarium import Herbarium
from featstore import shell
from featstore.errors import StoreError
from featstore.table import LazyTable, open_table

N_NEIGHBOURS = 3
ROWS_AT_ONCE = 4096


def nearest_neighbours(
    herbarium: Herbarium, image_ids: NDArray[np.str_], n_neighbours: int = N_NEIGHBOURS
) -> dict[str, list[Neighbour]]:
    """Find the training photographs nearest to some images, by the features of one network, within their view.

    Features are read a few thousand rows at a time, so a store of any size fits.

    Parameters
    ----------
    herbarium
        Whose `backbone` and `teaching` photographs count.
    image_ids
        Any; those without features of this network have no neighbours.

    Returns
    -------
    dict[str, list[Neighbour]]
        Most alike first; equal ones in the order of the catalogue.

    Raises
    ------
    StoreError
        If features are lost or damaged.
    """
    views = sorted({str(view) for view in herbarium.papers.reindex(image_ids)["view"].dropna()})
    teaching = set(herbarium.teaching["image_id"])
    found: dict[str, list[Neighbour]] = {}
    with shell.progress(len(views), "looking for neighbours", "views") as bar:
        for view in views if herbarium.backbone else ():
            found |= _within_view(herbarium, view, set(image_ids.tolist()), teaching, n_neighbours)
            bar.update()
    return found


def _within_view(
    herbarium: Herbarium, view: str, asked: set[str], teaching: set[str], n_neighbours: int
) -> Mapping[str, list[Neighbour]]:
    try:
        asking = open_table(herbarium.store, herbarium.backbone, views=view, image_ids=asked)
        table = open_table(herbarium.store, herbarium.backbone, views=view, image_ids=teaching)
    except StoreError:
        # No photograph of this view has features: nothing to compare.
        return {}
    cosine, place = nearest_rows(unit_rows(asking.load().features), unit_batches(table), n_neighbours)
    ids, classes, paths = (table.papers[name].to_numpy() for name in ("image_id", "class_id", "path"))
    root = herbarium.store.root
    return {
        str(image_id): [
            Neighbour(str(ids[at]), str(classes[at]), value, str(root / paths[at]))
            for at, value in zip(place[row].tolist(), cosine[row].tolist(), strict=True)
        ]
        for row, image_id in enumerate(asking.papers["image_id"])
    }


def nearest_rows(
    queries: NDArray[np.float32], batches: Iterable[NDArray[np.float32]], n_nearest: int
) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Cosine and place of the rows that are nearest to each query, the nearest first.

    Parameters
    ----------
    queries
        (q, d) of unit length.
    batches
        n rows of unit length, some (b, d) after the other.

    Returns
    -------
    cosine, place
        (q, min(n_nearest, n)); places count through all batches, and of equal rows the earlier one comes first.
    """
    best = np.empty((len(queries), 0), dtype=np.float32)
    place = np.empty((len(queries), 0), dtype=np.intp)
    start = 0
    for batch in batches:
        cosine = np.concatenate([best, queries @ batch.T], axis=1)
        own = np.broadcast_to(np.arange(start, start + len(batch)), (len(queries), len(batch)))
        at = np.concatenate([place, own], axis=1)
        order = np.argsort(-cosine, axis=1, kind="stable")[:, :n_nearest]
        best, place = np.take_along_axis(cosine, order, 1), np.take_along_axis(at, order, 1)
        start += len(batch)
    return best, place


def unit_batches(table: LazyTable) -> Iterator[NDArray[np.float32]]:
    """Features of a table at length 1, at most (`ROWS_AT_ONCE`, d) in memory at once."""
    return (unit_rows(batch.features) for batch in table.batches(ROWS_AT_ONCE))


def unit_rows(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows (n, d) at length 1."""
    length = np.linalg.norm(features, axis=1, keepdims=True)
    # A row of zeros looks like nothing: cosine 0 to everything.
    unit: NDArray[np.float32] = features / np.maximum(length, np.finfo(np.float32).tiny)
    return unit


def image_ids_of(neighbours: Mapping[str, Sequence[Neighbour]]) -> list[str]:
    """Every photograph that is somebody's neighbour, once."""
    return list(dict.fromkeys(neighbour.image_id for some in neighbours.values() for neighbour in some))
