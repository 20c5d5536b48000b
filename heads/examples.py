"""What a head learns from: features and raw class ids, checked at the door."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from featstore.errors import PhytobenchError

Features: TypeAlias = NDArray[np.float32]
"""(n, d), one row per photograph."""


class HeadError(PhytobenchError):
    """A head cannot be fitted on, asked about or opened from what it was given."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Photographs of known class.

    Parameters
    ----------
    features
        (n, d) float32, finite.
    labels
        (n,) raw class ids, none empty.

    Raises
    ------
    HeadError
        If they are no pair of this kind.
    """

    features: Features
    labels: NDArray[np.str_]

    def __post_init__(self) -> None:
        require_features(self.features)
        if self.labels.shape != (len(self.features),) or self.labels.dtype.kind != "U":
            got = f"{self.labels.dtype} of shape {self.labels.shape} for {len(self.features)} rows"
            raise HeadError("one raw class id, a string, per row of features", got, "Pass both in the same order.")
        if (unknown := np.flatnonzero(self.labels == "")).size:
            raise HeadError("examples of known class", f"none in row {unknown[0]}", "Leave such photographs out.")

    def of(self, classes: NDArray[np.str_]) -> Examples | None:
        """Keep those of the given classes; None if there are none."""
        known = np.isin(self.labels, classes)
        if known.all():
            return self
        return Examples(self.features[known], self.labels[known]) if known.any() else None


def require_features(features: Features, n_features: int | None = None) -> None:
    """Refuse what is no finite float32 matrix with at least one row and, if given, `n_features` columns."""
    if features.ndim != 2 or not features.size or features.dtype != np.float32:
        got = f"{features.dtype} of shape {features.shape}"
        raise HeadError("features as float32 of shape (n, d) with rows and columns", got, "Load them with load_table.")
    if n_features is not None and features.shape[1] != n_features:
        got = f"{features.shape[1]}"
        raise HeadError(f"{n_features} features, as the head was fitted on", got, "Use the backbone of its run.")
    # The sum is finite only if every value is, and needs no second array.
    if not np.isfinite(features.sum(dtype=np.float64)):
        row = int(np.argmin(np.isfinite(features).all(axis=1)))
        raise HeadError("finite features", f"others in row {row}", "Run featstore build again for this photograph.")
