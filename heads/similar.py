"""Similar: the photographs learnt from that look most like others; their features are read once, as far as they fit."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.identify.contract import OPEN_VIEW, Neighbour
from evaluation.report.neighbours import nearest_rows, unit_batches, unit_rows
from featstore.table import LazyTable

KEPT_BYTES = 512 * 2**20
"""Features of one run that stay in memory: 48,000 photographs by 2,048 features take 393 MB. Beyond it, views are read
out of the store each time, a few thousand rows at once."""


class Neighbourhood:
    """The photographs that a run has learnt from, view by view.

    Several threads may ask it at once.

    Parameters
    ----------
    table
        Their papers and features.
    root
        Folder that their paths start from.
    kept_bytes
        How much of their features stays in memory; a view stays as a whole or not at all.
    """

    def __init__(self, table: LazyTable, root: Path, kept_bytes: int = KEPT_BYTES) -> None:
        self._table, self._root = table, root
        views = table.papers["view"].to_numpy(np.str_)
        self._places = {str(view): np.flatnonzero(views == view) for view in np.unique(views)}
        self._kept: dict[str, NDArray[np.float32]] = {}
        self._room = kept_bytes
        self._lock = threading.Lock()

    def searched(self, view: str) -> str:
        """The view that is looked through: a photograph's own, or all of them where nothing learnt from is of it."""
        return view if view in self._places else OPEN_VIEW

    def nearest(self, features: NDArray[np.float32], view: str, n_neighbours: int) -> list[list[Neighbour]]:
        """Find the photographs whose features stand at the smallest angle.

        Parameters
        ----------
        features
            (q, d) of the photographs that are asked about.
        view
            As `searched` gives it.

        Returns
        -------
        Of each photograph at most `n_neighbours`, the most alike first.

        Raises
        ------
        StoreError
            If features are lost or damaged.
        """
        views = list(self._places) if view == OPEN_VIEW else [view]
        batches = chain.from_iterable(self._unit(one) for one in views)
        cosine, near = nearest_rows(unit_rows(features), batches, n_neighbours)
        papers = self._table.papers.iloc[np.concatenate([self._places[one] for one in views])[near.ravel()]]
        told = zip(papers["image_id"], papers["class_id"], cosine.ravel().tolist(), papers["path"], strict=True)
        found = [
            Neighbour(image_id, class_id, value, str(self._root / path)) for image_id, class_id, value, path in told
        ]
        width = near.shape[1]
        return [found[start : start + width] for start in range(0, len(found), width)]

    def _unit(self, view: str) -> Iterator[NDArray[np.float32]]:
        """Features of a view at length 1, (b, d) each: all at once where they are kept."""
        with self._lock:
            kept = self._kept.get(view)
            if kept is None:
                papers = self._table.papers.iloc[self._places[view]].reset_index(drop=True)
                table = replace(self._table, papers=papers)
                n_bytes = len(table) * table.dimension * np.dtype(np.float32).itemsize
                if n_bytes <= self._room:
                    kept = self._kept[view] = np.concatenate(list(unit_batches(table)))
                    self._room -= n_bytes
        if kept is not None:
            yield kept
        else:
            yield from unit_batches(table)
