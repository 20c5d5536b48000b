"""Standardisation: every column to mean 0 and variance 1, safe where a column does not vary."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from heads.arrays import read_arrays, write_arrays
from heads.threads import threads_for

CONSTANT = 1e-5
"""A column whose standard deviation is this small a part of its largest magnitude counts as constant.

The last bits of a feature depend on the size of the batch it was computed in (a relative 1e-6 was measured);
divided by such a deviation, the first real signal would be blown up a thousandfold.
"""

_BLOCK_ROWS = 4096


@dataclass(frozen=True, eq=False)
class Standardisation:
    """Mean and scale of every column.

    Attributes
    ----------
    mean
        (d,) float64.
    scale
        (d,) float64 above 0: the standard deviation (dividing by n), 1 where the column is constant.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def fit(cls, features: NDArray[np.float32], weight: NDArray[np.float64] | None = None) -> Standardisation:
        """Measure the columns of features (n, d) in float64, block by block, without a second copy.

        Rows count as `weight` (n,), all alike without it.
        """
        counts = np.ones(len(features)) if weight is None else weight
        total, squares = np.zeros(features.shape[1]), np.zeros(features.shape[1])
        parts = [counts[start : start + _BLOCK_ROWS] for start in range(0, len(counts), _BLOCK_ROWS)]
        with threads_for(features[:_BLOCK_ROWS].shape, 1):
            for part, block in zip(parts, _blocks(features), strict=True):
                total += part @ block
            mean = total / counts.sum()
            for part, block in zip(parts, _blocks(features), strict=True):
                squares += part @ np.square(block - mean)
        deviation = np.sqrt(squares / counts.sum())
        magnitude = np.maximum(features.max(axis=0), -features.min(axis=0)).astype(np.float64)
        return cls(mean, np.where(deviation > CONSTANT * magnitude, deviation, 1.0))

    @classmethod
    def none(cls, n_columns: int) -> Standardisation:
        """Leave all columns as they are."""
        return cls(np.zeros(n_columns), np.ones(n_columns))

    def apply(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Standardise features (n, d)."""
        return (features - self.mean) / self.scale

    def then(self, weights: NDArray[np.float64], offset: NDArray[np.float64]) -> Affine:
        """Put ``standardised @ weights + offset`` into one map on the raw features."""
        scaled = weights / self.scale[:, np.newaxis]
        return Affine(scaled, offset - self.mean @ scaled)


@dataclass(frozen=True, eq=False)
class Affine:
    """The map ``features @ weights + offset``.

    Attributes
    ----------
    weights
        (d, m) float64.
    offset
        (m,) float64.

    Raises
    ------
    ValueError
        If their shapes do not fit.
    """

    weights: NDArray[np.float64]
    offset: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.weights.ndim != 2 or self.offset.shape != self.weights.shape[1:]:
            raise ValueError(f"weights of shape {self.weights.shape} do not fit offset of shape {self.offset.shape}")

    def apply(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Map features (n, d) to (n, m), computed in float64."""
        with threads_for(features[:_BLOCK_ROWS].shape, len(self.offset)):
            return np.concatenate([block @ self.weights + self.offset for block in _blocks(features)])

    def write(self, path: Path) -> None:
        """Write the map as an ``.npz`` of two arrays, whole or not at all."""
        write_arrays(path, weights=self.weights, offset=self.offset)

    @classmethod
    def read(cls, path: Path) -> Affine:
        """Read what `write` wrote; `ValueError` or `OSError` if that cannot be done."""
        return cls(*read_arrays(path, "weights", "offset"))


def _blocks(features: NDArray[np.float32]) -> Iterator[NDArray[np.float64]]:
    for start in range(0, len(features), _BLOCK_ROWS):
        yield features[start : start + _BLOCK_ROWS].astype(np.float64)
