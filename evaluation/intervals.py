"""Intervals: how far a score would move with other authors, by drawing authors anew.

Photographs of one author are alike in place, day, camera and habit, so authors are what is drawn, with everything that
they photographed; an observation of unknown author is drawn by itself. Both ends are percentiles of the drawn scores.

References
----------
.. [1] B. Efron, R. Tibshirani, "An Introduction to the Bootstrap", Chapman & Hall 1993, chapter 13: percentile
   intervals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from evaluation.metrics import PerAuthor, users_of

N_DRAWS = 2000
LEVEL = 0.95
_SEED = 2014
_BLOCK = 250


@dataclass(frozen=True)
class Difference:
    """How much better one run is than another on the same observations.

    Attributes
    ----------
    value
        First less second.
    low, high
        Ends of its interval, both drawn with the same authors; NaN with fewer than two authors.
    """

    value: float
    low: float
    high: float

    @property
    def distinguishable(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


def intervals(scores: Sequence[PerAuthor]) -> list[tuple[float, float]]:
    """Ends of the interval of each score.

    Parameters
    ----------
    scores
        Of the same authors.

    Returns
    -------
    list[tuple[float, float]]
        (low, high), the `LEVEL` percentile interval of `N_DRAWS` draws; NaN with fewer than two authors.
    """
    return [_ends(column) for column in _drawn(scores).T]


def difference(first: PerAuthor, second: PerAuthor) -> Difference:
    """Compare two runs on the same authors; both are drawn with the same ones."""
    drawn = _drawn([first, second])
    return Difference(first.value - second.value, *_ends(drawn[:, 0] - drawn[:, 1]))


def intervals_of(
    statistics: Callable[[NDArray[np.float64]], NDArray[np.float64]], author: NDArray[np.str_]
) -> list[tuple[float, float]]:
    """Ends of the intervals of figures that are no ratios of sums over authors, such as areas under a curve.

    Parameters
    ----------
    statistics
        (b, m) how often each plant counts in each of b draws -> (b, q) the q figures; NaN where a draw has none, which
        is then left aside.
    author
        (m,) user of each plant, ``""`` for a user of its own.

    Returns
    -------
    list[tuple[float, float]]
        (low, high) of each; NaN with fewer than two authors.
    """
    user = users_of(author)
    n_users = int(user.max()) + 1
    if n_users < 2:
        return [(math.nan, math.nan)] * statistics(np.ones((1, len(author)))).shape[1]
    drawn = np.concatenate([statistics(block[:, user]) for block in _blocks(n_users)])
    return [_ends(column[np.isfinite(column)]) for column in drawn.T]


def _drawn(scores: Sequence[PerAuthor]) -> NDArray[np.float64]:
    """(`N_DRAWS`, number of scores), or no rows with fewer than two authors."""
    (n_authors,) = {len(score.total) for score in scores}
    if n_authors < 2:
        return np.empty((0, len(scores)))
    totals = np.stack([score.total for score in scores], axis=1)
    weights = np.stack([score.weight for score in scores], axis=1)
    blocks = [(block @ totals) / (block @ weights) for block in _blocks(n_authors)]
    return np.concatenate(blocks)


def _ends(drawn: NDArray[np.float64]) -> tuple[float, float]:
    if not len(drawn):
        return math.nan, math.nan
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _blocks(n_authors: int) -> Iterator[NDArray[np.float64]]:
    times = _times_drawn(n_authors)
    for start in range(0, N_DRAWS, _BLOCK):
        yield times[start : start + _BLOCK].astype(np.float64)


@lru_cache(maxsize=16)
def _times_drawn(n_authors: int) -> NDArray[np.uint8]:
    """(`N_DRAWS`, n_authors) how often each author is drawn; the same for all runs, so that they can be compared."""
    rng = np.random.default_rng([_SEED, n_authors])
    times = np.empty((N_DRAWS, n_authors), dtype=np.uint8)
    for row in times:
        row[:] = np.bincount(rng.integers(n_authors, size=n_authors), minlength=n_authors)
    return times
