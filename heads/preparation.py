"""What happens to features before a head sees them: unit length, and fewer columns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from featstore.errors import SettingsError
from heads.arrays import read_arrays, write_arrays
from heads.covariance import Scatter
from heads.effort import Size, Work
from heads.examples import Examples, Features
from heads.standardise import Affine, Standardisation
from heads.threads import threads_for

FILE = "preparation.npz"
PASS = 1000.0
"""Operations of a matrix product in the time that a pass over one number in memory takes, measured."""
Reduction = Literal["pca", "lda"]
REDUCTIONS = ("pca", "lda")


@dataclass(frozen=True, eq=False)
class Preparation:
    """A map of features that was fitted on the photographs to learn from.

    Attributes
    ----------
    unit_length
        Whether each row is first brought to length 1.
    projection
        Then (d, m): standardised and projected; None keeps all columns.
    """

    unit_length: bool = False
    projection: Affine | None = None

    @classmethod
    def fit(
        cls, train: Examples, *, unit_length: bool, standardise: bool, components: int, reduction: str, seed: int
    ) -> Preparation:
        """Fit it.

        Parameters
        ----------
        components
            Columns to keep, fewer where there are fewer photographs, features or classes; 0 keeps all as they are.
        reduction
            ``pca``: directions of most variance; ``lda``: those in which the class means differ most, against the
            scatter within classes.
        """
        if not components:
            return cls(unit_length)
        features = with_unit_length(train.features) if unit_length else train.features
        none = Standardisation.none(features.shape[1])
        statistics = Standardisation.fit(features, train.weight) if standardise else none
        fit = _principal if reduction == "pca" else _discriminating
        weights, offset = fit(statistics.apply(features), train, components, seed)
        return cls(unit_length, statistics.then(weights, offset))

    def apply(self, features: Features) -> Features:
        """Prepare features (n, d); without anything to do they are given back as they are."""
        prepared = with_unit_length(features) if self.unit_length else features
        return prepared if self.projection is None else self.projection.apply(prepared).astype(np.float32)

    def write(self, folder: Path) -> None:
        """Write what was fitted, if anything was."""
        if self.projection is not None:
            write_arrays(folder / FILE, weights=self.projection.weights, offset=self.projection.offset)

    @classmethod
    def read(cls, folder: Path, *, unit_length: bool, components: int) -> Preparation:
        """Read what `write` wrote; `ValueError` or `OSError` if that cannot be done."""
        return cls(unit_length, Affine(*read_arrays(folder / FILE, "weights", "offset")) if components else None)


def preparing(size: Size, components: int, reduction: str) -> Work:
    """Estimate what preparing features costs: a few passes over them, and a decomposition where columns are reduced."""
    n_cells = float(size.n_images + size.n_valid) * size.n_features
    passes = Work(PASS * n_cells, 8.0 * n_cells)
    if not components:
        return passes
    products = 2.0 * size.n_images * size.n_features * (size.n_features if reduction == "lda" else 20.0 * components)
    return passes.then(Work(2 * products + 20.0 * size.n_features**3, 16.0 * n_cells))


def with_unit_length(features: Features) -> Features:
    """Rows at length 1; a row of zeros stays as it is."""
    length = np.sqrt(np.einsum("nd,nd->n", features, features, dtype=np.float64))
    return np.asarray(features / np.maximum(length, 1e-12)[:, np.newaxis], dtype=np.float32)


def require_reduction(name: str) -> None:
    """Refuse an unknown reduction."""
    if name not in REDUCTIONS:
        raise SettingsError(f"`reduction` among {', '.join(REDUCTIONS)}", repr(name), "Correct this setting.")


def _principal(
    standardised: NDArray[np.float64], train: Examples, components: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    from sklearn.decomposition import PCA

    del train
    model = PCA(min(components, *standardised.shape), random_state=seed)
    with threads_for(standardised.shape, components):
        model.fit(standardised)
    weights = np.asarray(model.components_.T, dtype=np.float64)
    return weights, -np.asarray(model.mean_, dtype=np.float64) @ weights


def _discriminating(
    standardised: NDArray[np.float64], train: Examples, components: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    del seed
    number = np.unique(train.labels, return_inverse=True)[1]
    scatter = Scatter.of(standardised, number, train.counts)
    # The estimate alone leaves directions that only the noise of a few photographs tells apart.
    weights = scatter.discriminants(components, max(scatter.estimated_shrinkage, 0.1))
    return weights, np.zeros(weights.shape[1])
