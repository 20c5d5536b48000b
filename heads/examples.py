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
    weight
        (n,) above 0, how much each counts; None for all alike.
    views
        (n,) view of each photograph; None where that is not known.

    Raises
    ------
    HeadError
        If they are no pair of this kind.
    """

    features: Features
    labels: NDArray[np.str_]
    weight: NDArray[np.float64] | None = None
    views: NDArray[np.str_] | None = None

    def __post_init__(self) -> None:
        require_features(self.features)
        if self.labels.shape != (len(self.features),) or self.labels.dtype.kind != "U":
            got = f"{self.labels.dtype} of shape {self.labels.shape} for {len(self.features)} rows"
            raise HeadError("one raw class id, a string, per row of features", got, "Pass both in the same order.")
        if (unknown := np.flatnonzero(self.labels == "")).size:
            raise HeadError("examples of known class", f"none in row {unknown[0]}", "Leave such photographs out.")
        if self.weight is not None and not (self.weight.shape == self.labels.shape and np.all(self.weight > 0)):
            raise HeadError(
                "one weight above 0 per row", f"{self.weight.shape}", "Leave photographs without weight out."
            )
        require_views(self.views, len(self.features))

    def of(self, classes: NDArray[np.str_]) -> Examples | None:
        """Keep those of the given classes; None if there are none."""
        known = np.isin(self.labels, classes)
        if known.all():
            return self
        return self.take(known) if known.any() else None

    def take(self, rows: NDArray[np.bool_] | NDArray[np.integer]) -> Examples:
        """Give some rows."""
        weight = self.weight[rows] if self.weight is not None else None
        return Examples(
            self.features[rows], self.labels[rows], weight, self.views[rows] if self.views is not None else None
        )

    @property
    def counts(self) -> NDArray[np.float64]:
        """(n,) weight of each row, 1 where none was given."""
        return np.ones(len(self.labels)) if self.weight is None else self.weight


def require_views(views: NDArray[np.str_] | None, n_rows: int) -> None:
    """Refuse views that are not one per row."""
    if views is not None and views.shape != (n_rows,):
        raise HeadError("one view per row", f"{views.shape} for {n_rows} rows", "Pass both in the same order.")


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
