"""Density: how much likelier a place or a month is for one class than for all plants together.

Of each class, the density is the sum of a von Mises-Fisher kernel [1]_ around every record, smoothed to the density of
all classes together: ``p(x | c) = (sum of kernels of c + a p(x)) / (n_c + a)``. A class without records is as likely
anywhere as all plants are, and says nothing. Width and `a` are chosen on the records alone, by folds between authors,
because an author photographs many plants at one place and day.

References
----------
.. [1] K. Mardia, P. Jupp, "Directional Statistics", Wiley 2000, chapter 12.5: kernel density on the circle and sphere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy.special import i0e

from evaluation.prior.records import Records

SMOOTHING = (0.3, 1.0, 3.0, 10.0, 30.0)
"""Values of `a` that are tried: so many records of all plants count as the class's own."""
REACH = 3.0
"""A place without any record within so many widths is left alone: there the densities are mere tails."""
_BLOCK = 256
_EARTH_KM = 6371.0


@dataclass(frozen=True)
class Aspect:
    """Something that papers tell of a plant.

    Parameters
    ----------
    vectors
        Records -> (n, d) unit vectors, NaN where unknown.
    widths
        Of the kernel, in its unit; all are tried.
    unit
        What a width is told in.
    radians
        Of one unit.
    kernel
        (cosines of the angles from a record, concentration) -> density; integrates to 1 over the circle or sphere.
    floor
        The density that is the same everywhere.
    """

    vectors: Callable[[Records], NDArray[np.float64]]
    widths: tuple[float, ...]
    unit: str
    radians: float
    kernel: Callable[[NDArray[np.float64], float], NDArray[np.float64]]
    floor: float

    def density(self, cosine: NDArray[np.float64], width: float) -> NDArray[np.float64]:
        """Kernel of a width at angles of these cosines from a record."""
        return self.kernel(cosine, (width * self.radians) ** -2)


def on_sphere(cosine: NDArray[np.float64], concentration: float) -> NDArray[np.float64]:
    """Density of von Mises and Fisher on the sphere."""
    rise = np.exp(concentration * (cosine - 1))
    return np.asarray(rise * concentration / (2 * np.pi * -np.expm1(-2 * concentration)))


def on_circle(cosine: NDArray[np.float64], concentration: float) -> NDArray[np.float64]:
    """Density of von Mises on the circle."""
    return np.asarray(np.exp(concentration * (cosine - 1)) / (2 * np.pi * i0e(concentration)))


ASPECTS: Mapping[str, Aspect] = MappingProxyType(
    {
        "place": Aspect(
            lambda records: records.place, (10.0, 30.0, 100.0, 300.0), "km", 1 / _EARTH_KM, on_sphere, 1 / (4 * np.pi)
        ),
        "month": Aspect(
            lambda records: records.month, (0.5, 1.0, 1.5, 2.5), "months", 2 * np.pi / 12, on_circle, 1 / (2 * np.pi)
        ),
    }
)


@dataclass(frozen=True, eq=False)
class Density:
    """One aspect of the records that were learnt from.

    Parameters
    ----------
    aspect
        Which.
    vectors
        (n, d) of the records that have it, ordered by class.
    number
        (n,) column of each one's class, rising.
    n_classes
        Columns in all.
    """

    aspect: Aspect
    vectors: NDArray[np.float64]
    number: NDArray[np.intp]
    n_classes: int

    @classmethod
    def of(cls, aspect: Aspect, vectors: NDArray[np.float64], number: NDArray[np.intp], n_classes: int) -> Density:
        """Keep the rows with the aspect and a class (number >= 0)."""
        known = np.flatnonzero(np.isfinite(vectors).all(axis=1) & (number >= 0))
        order = known[np.argsort(number[known], kind="stable")]
        return cls(aspect, vectors[order], number[order], n_classes)

    def log_ratio(self, asked: NDArray[np.float64], width: float, smoothing: float) -> NDArray[np.float64]:
        """(m, k) log of p(x | class) / p(x) at each place asked, (m, d); 0 where it is unknown or out of reach."""
        result = np.zeros((len(asked), self.n_classes))
        for rows, kernels in self._blocks(asked, width):
            result[rows] = self._log(kernels, smoothing)
        return result

    def log_ratios(self, asked: NDArray[np.float64], width: float) -> NDArray[np.float64]:
        """(s, m, k): as `log_ratio`, for every value of `SMOOTHING`."""
        result = np.zeros((len(SMOOTHING), len(asked), self.n_classes))
        for rows, kernels in self._blocks(asked, width):
            for number, smoothing in enumerate(SMOOTHING):
                result[number, rows] = self._log(kernels, smoothing)
        return result

    def within_reach(self, asked: NDArray[np.float64], width: float) -> NDArray[np.bool_]:
        """(m,) whether the aspect is known and a record lies within `REACH` widths."""
        found = np.zeros(len(asked), dtype=np.bool_)
        for rows, _ in self._blocks(asked, width):
            found[rows] = True
        return found

    def _blocks(
        self, asked: NDArray[np.float64], width: float
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float64]]]:
        """Rows within reach and the sums of kernels (b, k) of each class there, a few hundred at a time."""
        known = np.flatnonzero(np.isfinite(asked).all(axis=1))
        if not len(self.vectors) or not len(known):
            return
        # There are few months, and a garden is visited often: each is looked at once.
        distinct, which = np.unique(asked[known], axis=0, return_inverse=True)
        order = known[np.argsort(which, kind="stable")]
        ends = np.cumsum(np.bincount(which))
        classes, starts = np.unique(self.number, return_index=True)
        nearest = np.cos(min(REACH * width * self.aspect.radians, np.pi))
        for start in range(0, len(distinct), _BLOCK):
            cosine = distinct[start : start + _BLOCK] @ self.vectors.T
            near = np.flatnonzero(cosine.max(axis=1) >= nearest)
            sums = np.zeros((len(near), self.n_classes))
            sums[:, classes] = np.add.reduceat(self.aspect.density(cosine[near], width), starts, axis=1)
            for row, place in enumerate((start + near).tolist()):
                rows = order[ends[place - 1] if place else 0 : ends[place]]
                yield rows, sums[row : row + 1]

    def _log(self, kernels: NDArray[np.float64], smoothing: float) -> NDArray[np.float64]:
        count = np.bincount(self.number, minlength=self.n_classes)
        overall = (kernels.sum(axis=1, keepdims=True) + self.aspect.floor) / (len(self.vectors) + 1)
        return np.asarray(np.log((kernels + smoothing * overall) / ((count + smoothing) * overall)))
