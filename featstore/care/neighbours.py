"""Neighbours: the most similar photographs of each one, by the angle between their features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featstore import shell

_BLOCK_ROWS = 1024


@dataclass(frozen=True)
class Neighbours:
    """The k most similar photographs of each one, itself aside, nearest first.

    Attributes
    ----------
    row
        (n, k) rows of the table.
    distance
        (n, k) Euclidean distance of unit vectors, 0..2: sqrt(2 - 2 cos).
    """

    row: NDArray[np.int64]
    distance: NDArray[np.float32]

    @property
    def k(self) -> int:
        """Number of neighbours of each photograph."""
        return int(self.row.shape[1])


def find_neighbours(features: NDArray[np.float32], k: int) -> Neighbours:
    """Search exactly, by scikit-learn's brute force, whose memory is bounded; 48,000 x 2,048 are about 10 TFLOP.

    Parameters
    ----------
    features
        (n, d). Their mean is taken off first: what all photographs share says nothing.
    k
        At most n - 1 are given.
    """
    from sklearn.neighbors import NearestNeighbors

    centred = features - features.mean(axis=0, dtype=np.float64).astype(np.float32)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    units = centred / np.maximum(length, np.float32(1e-12))
    n_rows = len(units)
    k = min(k, n_rows - 1)
    search = NearestNeighbors(n_neighbors=k + 1, algorithm="brute").fit(units)
    row = np.empty((n_rows, k), dtype=np.int64)
    distance = np.empty((n_rows, k), dtype=np.float32)
    with shell.progress(n_rows, "comparing photographs", "images") as bar:
        for start in range(0, n_rows, _BLOCK_ROWS):
            some = slice(start, start + _BLOCK_ROWS)
            found_distance, found_row = search.kneighbors(units[some])
            own = found_row == np.arange(n_rows)[some, None]
            # Among equal photographs a row may not find itself; then its last neighbour makes room.
            own[~own.any(axis=1), -1] = True
            row[some] = found_row[~own].reshape(-1, k)
            distance[some] = found_distance[~own].reshape(-1, k)
            bar.update(len(found_row))
    return Neighbours(row, distance)
