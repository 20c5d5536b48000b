"""Neighbours of a report's photographs, among those that taught."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from evaluation.neighbours import Neighbour, neighbours_among, unit_batches
from evaluation.report.herbarium import Herbarium
from featstore import shell
from featstore.errors import StoreError
from featstore.table import open_table

N_NEIGHBOURS = 3


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
    root, features = herbarium.store.root, asking.load().features
    alike = neighbours_among(table, unit_batches(table), features, n_neighbours, root)
    return dict(zip(asking.papers["image_id"].astype(str), alike, strict=True))


def image_ids_of(neighbours: Mapping[str, Sequence[Neighbour]]) -> list[str]:
    """Every photograph that is somebody's neighbour, once."""
    return list(dict.fromkeys(neighbour.image_id for some in neighbours.values() for neighbour in some))
