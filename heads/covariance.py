"""What discriminant analysis rests on: the mean of each class, and how photographs scatter around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heads.threads import threads_for


@dataclass(frozen=True, eq=False)
class Scatter:
    """How photographs stand around the mean of their class.

    Attributes
    ----------
    share
        (k,) how much each class counts, adding up to 1.
    means
        (k, d) mean of each class.
    within
        (d, d) covariance of photographs less the mean of their class, dividing by n.
    estimated_shrinkage
        Ledoit and Wolf's for `within`, estimated once on all photographs less their class mean [1]_.

    References
    ----------
    .. [1] O. Ledoit, M. Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", Journal of
       Multivariate Analysis 88 (2004), 365-411.
    """

    share: NDArray[np.float64]
    means: NDArray[np.float64]
    within: NDArray[np.float64]
    estimated_shrinkage: float

    @classmethod
    def of(cls, features: NDArray[np.float64], number: NDArray[np.int64], weight: NDArray[np.float64]) -> Scatter:
        """Measure features (n, d), which are overwritten, of classes `number` (n,), each counting as `weight` (n,)."""
        from sklearn.covariance import ledoit_wolf_shrinkage

        counts = np.bincount(number, weight)
        means = class_sums(features, number, weight) / counts[:, np.newaxis]
        rest = features
        rest -= means[number]
        rest *= np.sqrt(weight * (len(weight) / weight.sum()))[:, np.newaxis]
        with threads_for(rest.shape, rest.shape[1]):
            within = np.asarray(rest.T @ rest / len(rest))
            shrinkage = float(ledoit_wolf_shrinkage(rest, assume_centered=True))
        return cls(counts / counts.sum(), means, within, shrinkage)

    @property
    def mean_variance(self) -> float:
        """Mean of the variances of all columns within classes."""
        return float(np.trace(self.within)) / len(self.within)

    def shrunk(self, shrinkage: float) -> NDArray[np.float64]:
        """(d, d) `within`, a share of it replaced by its mean variance in every direction."""
        covariance = (1 - shrinkage) * self.within
        # A column that never varies would leave nothing to divide by.
        covariance.flat[:: len(covariance) + 1] += shrinkage * self.mean_variance + TINY
        return covariance

    def discriminants(self, n_directions: int, shrinkage: float) -> NDArray[np.float64]:
        """(d, m) directions in which class means differ most, in units of the scatter within classes.

        m is at most one less than there are classes, and at most d.
        """
        from scipy.linalg import eigh

        centre = self.share @ self.means
        spread = (self.means - centre) * np.sqrt(self.share)[:, np.newaxis]
        n_directions = min(n_directions, len(self.share) - 1, len(self.within))
        last = len(self.within) - 1
        with threads_for(self.within.shape, len(self.within)):
            _, found = eigh(spread.T @ spread, self.shrunk(shrinkage), subset_by_index=[last - n_directions + 1, last])
        return np.asarray(found[:, ::-1])


TINY = 1e-9


def class_sums(
    features: NDArray[np.floating], number: NDArray[np.int64], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(k, d) weighted sum of the rows of each class."""
    from scipy.sparse import csr_array

    n_rows = len(number)
    chooser = csr_array((weight, (number, np.arange(n_rows))), shape=(int(number.max()) + 1, n_rows))
    return np.asarray(chooser @ features, dtype=np.float64)
