"""Linear discriminant analysis: classes as clouds of one shape, their common covariance shrunk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.special import softmax

from heads.examples import Examples, Features
from heads.head import Head, Tell, require_setting
from heads.standardise import Affine, Standardisation
from heads.threads import threads_for

FILE = "lda.npz"
AUTO = -1.0


@dataclass(eq=False, kw_only=True)
class LdaHead(Head):
    """Linear discriminant analysis with a shrunk covariance, on standardised features.

    As scikit-learn's `LinearDiscriminantAnalysis(solver="lsqr")` with the same fixed shrinkage. `AUTO` estimates it
    once, by Ledoit and Wolf's formula [1]_ on all photographs less the mean of their class; scikit-learn does so class
    by class, which costs as many times as there are classes and sees few photographs each time.

    Attributes
    ----------
    shrinkage
        0 keeps the covariance, 1 keeps its mean variance alone; `AUTO` (-1) estimates.
    shrinkage_
        What was used.

    References
    ----------
    .. [1] O. Ledoit, M. Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", Journal of
       Multivariate Analysis 88 (2004), 365-411.
    """

    name: ClassVar[str] = "lda"

    shrinkage: float = AUTO

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shrinkage != AUTO:
            require_setting("shrinkage", self.shrinkage, low=0, high=1)

    def _fit(self, train: Examples, valid: Examples | None, tell: Tell) -> None:
        del valid, tell
        standardisation = Standardisation.fit(train.features)
        number = np.searchsorted(self.classes_, train.labels)
        counts = np.bincount(number)
        rest = standardisation.apply(train.features)
        means = np.zeros((len(counts), rest.shape[1]))
        np.add.at(means, number, rest)
        means /= counts[:, np.newaxis]
        rest -= means[number]
        with threads_for(rest.shape, rest.shape[1]):
            covariance = self._shrunk(rest)
            weights = cho_solve(cho_factor(covariance, overwrite_a=True), means.T)
        offset = np.log(counts / counts.sum()) - 0.5 * np.einsum("kd,dk->k", means, weights)
        self._map = standardisation.then(weights, offset)

    def _shrunk(self, rest: NDArray[np.float64]) -> NDArray[np.float64]:
        """Covariance (d, d) of features less the mean of their class (n, d)."""
        from sklearn.covariance import ledoit_wolf_shrinkage

        n_rows, n_features = rest.shape
        covariance = np.asarray(rest.T @ rest / n_rows)
        estimated = self.shrinkage == AUTO
        self.shrinkage_ = float(ledoit_wolf_shrinkage(rest, assume_centered=True)) if estimated else self.shrinkage
        mean_variance = float(np.trace(covariance)) / n_features
        covariance *= 1 - self.shrinkage_
        # A column that never varies would leave nothing to divide by.
        covariance.flat[:: n_features + 1] += self.shrinkage_ * mean_variance + 1e-9
        return covariance

    def _probability(self, features: Features) -> NDArray[np.float64]:
        return np.asarray(softmax(self._map.apply(features), axis=1), dtype=np.float64)

    def _save(self, folder: Path) -> None:
        self._map.write(folder / FILE)

    def _load(self, folder: Path) -> None:
        self._map = Affine.read(folder / FILE)
