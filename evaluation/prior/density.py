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

from evaluation.metrics import users_of
from evaluation.prior.records import Records
from featstore import shell

SMOOTHING = (0.3, 1.0, 3.0, 10.0, 30.0)
"""Values of `a` that are tried: so many records of all plants count as the class's own."""
N_FOLDS = 4
MOST_JUDGED = 3000
"""Records at most by whose likelihood width and smoothing are chosen."""
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


@dataclass(frozen=True, eq=False)
class Learnt:
    """An aspect with the width and smoothing that its records chose.

    Parameters
    ----------
    density
        Of all records.
    width, smoothing
        As chosen.
    gain, error
        Mean log-likelihood, in nats, of the class of a held-out record above that of its frequency, and its standard
        error over authors; width and smoothing of each are those that the records of other folds chose.
    n_judged
        Records behind them.
    """

    density: Density
    width: float
    smoothing: float
    gain: float
    error: float
    n_judged: int

    def log_ratio(self, records: Records) -> NDArray[np.float64]:
        """(m, k) of other plants."""
        return self.density.log_ratio(self.density.aspect.vectors(records), self.width, self.smoothing)

    def reaches(self, records: Records) -> NDArray[np.bool_]:
        """(m,) which plants it says something about."""
        return self.density.within_reach(self.density.aspect.vectors(records), self.width)


def learn(name: str, records: Records, number: NDArray[np.intp], n_classes: int, seed: int) -> Learnt | None:
    """Learn an aspect from records with the columns of their classes; None where fewer than two authors tell it.

    Parameters
    ----------
    name
        In `ASPECTS`.
    number
        (n,) column of each record's class, -1 for none.
    """
    aspect = ASPECTS[name]
    vectors = aspect.vectors(records)
    known = np.flatnonzero(np.isfinite(vectors).all(axis=1) & (number >= 0))
    if not len(known):
        return None
    author = users_of(records.author[known])
    if author.max() < 1:
        return None
    rng = np.random.default_rng(seed)
    fold = author_folds(author, rng)
    judged = np.sort(rng.permutation(len(known))[:MOST_JUDGED])
    gains = np.empty((len(aspect.widths), len(SMOOTHING), len(judged)))
    with shell.progress(len(aspect.widths), f"learning {name}", "widths") as bar:
        for row, width in enumerate(aspect.widths):
            gains[row] = _held_out(aspect, vectors[known], number[known], fold, judged, width, n_classes)
            bar.update(1)
    best, gain = _best(gains), _unflattered(gains, fold[judged])
    density = Density.of(aspect, vectors, number, n_classes)
    return Learnt(density, aspect.widths[best[0]], SMOOTHING[best[1]], float(gain.mean()),
                  clustered_error(gain, author[judged]), len(judged))  # fmt: skip


def _best(gains: NDArray[np.float64]) -> tuple[int, int]:
    """Number of the width and of the smoothing with the highest mean gain, (w, s, n)."""
    width, smoothing = np.unravel_index(gains.mean(axis=2).argmax(), gains.shape[:2])
    return int(width), int(smoothing)


def _unflattered(gains: NDArray[np.float64], fold: NDArray[np.intp]) -> NDArray[np.float64]:
    """(n,) gain of each record at the width and smoothing that are best for the other folds, from (w, s, n)."""
    found: NDArray[np.float64] = gains[_best(gains)].copy()
    for held in np.unique(fold):
        own = fold == held
        if not own.all():
            found[own] = gains[_best(gains[:, :, ~own])][own]
    return found


def author_folds(author: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.intp]:
    """(n,) fold of each row, all of an author in one."""
    return np.asarray(rng.permutation(int(author.max()) + 1)[author] % N_FOLDS, dtype=np.intp)


def clustered_error(values: NDArray[np.float64], author: NDArray[np.intp]) -> float:
    """Standard error of the mean of values (n,) whose authors (n,) were drawn, each with everything of theirs."""
    return float(np.sqrt((np.bincount(author, values - values.mean()) ** 2).sum()) / len(values))


def _held_out(
    aspect: Aspect,
    vectors: NDArray[np.float64],
    number: NDArray[np.intp],
    fold: NDArray[np.intp],
    judged: NDArray[np.intp],
    width: float,
    n_classes: int,
) -> NDArray[np.float64]:
    """(s, judged) gain of each judged record by the records of other folds, for every smoothing."""
    gains = np.zeros((len(SMOOTHING), len(judged)))
    for held in range(N_FOLDS):
        at = np.flatnonzero(fold[judged] == held)
        others = fold != held
        if not len(at) or not others.any():
            continue
        rows = judged[at]
        frequency = np.bincount(number[others], minlength=n_classes) + 1.0
        density = Density.of(aspect, vectors[others], number[others], n_classes)
        weight = np.log(frequency / frequency.sum()) + density.log_ratios(vectors[rows], width)
        total = np.log(np.exp(weight - weight.max(axis=2, keepdims=True)).sum(axis=2)) + weight.max(axis=2)
        own = weight[:, np.arange(len(rows)), number[rows]]
        gains[:, at] = own - total - np.log(frequency / frequency.sum())[number[rows]]
    return gains
