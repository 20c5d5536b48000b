"""Intervals: how far a score would move with other authors, by drawing authors anew.

Photographs of one author are alike in place, day, camera and habit, so authors are what is drawn, with everything that
they photographed; an observation of unknown author is drawn by itself. Both ends are percentiles of the drawn scores,
the further out the fewer authors there are [3]_, as a t-interval is wider than a normal one; for an error made of
distances (calibration) mirrored at the score itself, for a mean over species, of which draws lack some, moved so that
the drawn scores lie around it.

References
----------
.. [1] B. Efron, R. Tibshirani, "An Introduction to the Bootstrap", Chapman & Hall 1993, chapter 13: percentile
   intervals; chapter 15: permutation tests.
.. [2] A. Davison, D. Hinkley, "Bootstrap Methods and their Application", Cambridge 1997, section 5.2: basic intervals,
   the mirrored ones.
.. [3] T. Hesterberg, "What Teachers Should Know about the Bootstrap", The American Statistician 69, 2015, 371-386:
   expanded percentile intervals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import ndtr, stdtrit

from evaluation.metrics import Users, users
from evaluation.per_author import PerAuthor, side_by_side
from evaluation.simplest import EQUAL
from featstore.errors import counted

N_DRAWS = 2000
N_SWAPS = 9999
LEVEL = 0.95
FEW = 20
"""With fewer observations an interval is said to say little."""
FEW_AUTHORS = 10
"""With fewer authors an interval is said to hold the truth too rarely: of four in 87-90 % of cases, of two in half."""
LEAST_AUTHORS = 4
"""With fewer authors runs are not told apart."""
_SEED = 2014
_BLOCK = 250
_CELLS = 500_000
"""Numbers held at once: few enough for the processor's cache and for any memory."""


@dataclass(frozen=True)
class Difference:
    """How much better one run is than another on the same observations.

    Attributes
    ----------
    value
        First less second.
    low, high
        Ends of its interval, both drawn with the same authors; NaN with fewer than `LEAST_AUTHORS`.
    """

    value: float
    low: float
    high: float

    @property
    def distinguishable(self) -> bool:
        """Whether the interval leaves out 0, and not by rounding."""
        return self.low > EQUAL or self.high < -EQUAL


def few_remarks(n_observations: Mapping[str, int], n_authors: Mapping[str, int]) -> list[str]:
    """Say which splits are too small, or of too few authors, for their intervals to say much.

    Parameters
    ----------
    n_observations, n_authors
        Split -> observations of known class, and their users.

    >>> few_remarks({"valid": 4, "test": 20}, {"valid": 4, "test": 20})
    ['Only 4 observations of valid are scored: with fewer than 20 an interval says little, even where it is narrow.']
    """
    return [text for split, n in n_observations.items() if (text := _few_remark(split, n, n_authors[split]))]


def few_among(split: str, author: Users) -> list[str]:
    """`few_remarks` of the scored observations of a split: (m,) user of each."""
    return few_remarks({split: len(author)}, {split: len(np.unique(users(author)))})


def _few_remark(split: str, n_observations: int, n_authors: int) -> str:
    if n_authors == 1:
        return f"One author has all observations of {split}: nothing is known of others, so there are no intervals."
    if 0 < n_observations < FEW:
        scored = counted(n_observations, "observation")
        return (
            f"Only {scored} of {split} {'is' if n_observations == 1 else 'are'} scored: "
            f"with fewer than {FEW} an interval says little, even where it is narrow."
        )
    if 1 < n_authors < FEW_AUTHORS:
        return (
            f"The observations of {split} are of {n_authors} authors: with fewer than {FEW_AUTHORS} an interval holds "
            "the truth more rarely than it says."
        )
    return ""


def intervals(scores: Sequence[PerAuthor]) -> list[tuple[float, float]]:
    """Ends of the interval of each score.

    Parameters
    ----------
    scores
        Of the same authors.

    Returns
    -------
    list[tuple[float, float]]
        (low, high), the expanded percentile interval of `N_DRAWS` draws; NaN with fewer than two authors. Where noise
        adds to a score, drawn scores lie too high by as much as the score itself, and the interval is mirrored at it
        and cut at 0: ``2 score - high, 2 score - low``; the score may then lie above it.
    """
    drawn = _centred(scores)
    ends = [_ends(column, score.n_authors) for score, column in zip(scores, drawn.T, strict=True)]
    return [_within(score, found) for score, found in zip(scores, ends, strict=True)]


def difference(first: PerAuthor, second: PerAuthor) -> Difference:
    """Compare two runs on the same authors; both are drawn with the same ones.

    The ends are percentiles, for errors too: what noise adds to both of them it does not add to their difference.
    Two or three authors tell no difference: of two equal runs one would seem better in 33 and 13 % of cases.
    """
    drawn = _centred([first, second])
    less = first.value - second.value
    few = first.n_authors < LEAST_AUTHORS
    ends = (math.nan, math.nan) if few else _ends(drawn[:, 0] - drawn[:, 1], first.n_authors)
    return Difference(0.0 if abs(less) <= EQUAL else less, *ends)


def swap_p_value(first: PerAuthor, second: PerAuthor) -> float:
    """Probability of so great a difference, in either direction, if it were chance which run is which.

    For every author a coin decides whether the two runs change places, with everything that the author photographed.
    That is a fair test of the hypothesis that the runs are alike for every author; it asks for no distribution, and it
    is not corrected for the number of runs that are compared.

    Returns
    -------
    float
        In [1 / (`N_SWAPS` + 1), 1]; NaN with fewer than two authors.
    """
    if first.n_authors < 2:
        return math.nan
    change = csr_array(second.sums) - csr_array(first.sums)
    all_first: NDArray[np.float64] = np.asarray(first.sums.sum(axis=0))[np.newaxis]
    all_second: NDArray[np.float64] = np.asarray(second.sums.sum(axis=0))[np.newaxis]
    rng = np.random.default_rng([_SEED, first.n_authors])
    # Rounding must not tell equal differences apart.
    threshold = abs(first.value - second.value) - 1e-12
    n_greater = 0
    for start in range(0, N_SWAPS, _BLOCK):
        swapped = rng.integers(0, 2, (first.n_authors, min(_BLOCK, N_SWAPS - start))).astype(np.float64)
        moved = np.asarray(change.T @ swapped).T
        apart = np.abs(first.of(all_first + moved) - second.of(all_second - moved))
        n_greater += int(np.count_nonzero(apart >= threshold))
    return (n_greater + 1) / (N_SWAPS + 1)


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
    user = users(author)
    n_users = int(user.max()) + 1
    if n_users < 2:
        return [(math.nan, math.nan)] * statistics(np.ones((1, len(author)))).shape[1]
    times = _times_drawn(n_users)
    blocks = (times[start : start + _BLOCK].astype(np.float64) for start in range(0, N_DRAWS, _BLOCK))
    drawn = np.concatenate([statistics(block[:, user]) for block in blocks])
    return [_ends(column, n_users) for column in drawn.T]


def _drawn(scores: Sequence[PerAuthor]) -> NDArray[np.float64]:
    """(`N_DRAWS`, number of scores), or no rows with fewer than two authors."""
    (n_authors,) = {score.n_authors for score in scores}
    if n_authors < 2:
        return np.empty((0, len(scores)))
    # A sparse product adds up every column alike, wherever it stands: equal scores stay equal to the last bit.
    sums = csr_array(side_by_side([score.sums for score in scores])).T
    ends = np.cumsum([score.n_columns for score in scores])[:-1]
    found = np.empty((N_DRAWS, len(scores)))
    step = max(1, _CELLS // max(sums.shape))
    for start in range(0, N_DRAWS, step):
        times = _times_drawn(n_authors)[start : start + step].T.astype(np.float64)
        parts = np.split(np.asarray(sums @ times).T, ends, axis=1)
        found[start : start + step] = np.stack([score.of(part) for score, part in zip(scores, parts, strict=True)], 1)
    return found


def _centred(scores: Sequence[PerAuthor]) -> NDArray[np.float64]:
    """Drawn scores, those of which parts drop out around the score: a rare species is missing from a third of them."""
    drawn = _drawn(scores)
    for column, score in enumerate(scores):
        if score.parts_drop_out and len(drawn):
            drawn[:, column] += score.value - drawn[:, column].mean()
    return drawn


def _within(score: PerAuthor, ends: tuple[float, float]) -> tuple[float, float]:
    """Mirror the interval of an error at its value, and keep a moved or mirrored one within what the score can be."""
    low, high = ends
    if math.isnan(low) or not (score.noise_adds or score.parts_drop_out):
        return low, high
    if score.noise_adds:
        low, high = 2 * score.value - high, 2 * score.value - low
    return max(0.0, low), min(1.0, max(0.0, high))


def _ends(drawn: NDArray[np.float64], n_authors: int) -> tuple[float, float]:
    # A draw in which no author has anything that the metric looks at has no score.
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn):
        return math.nan, math.nan
    beyond = _share_beyond(n_authors)
    low, high = np.quantile(drawn, [beyond, 1 - beyond])
    return float(low), float(high)


def _share_beyond(n_authors: int) -> float:
    """Share of the draws beyond either end: that of a normal distribution beyond the ends of a t-interval.

    Drawn scores spread too little, by sqrt((n - 1) / n), and as if that spread were known.

    >>> [round(_share_beyond(n), 4) for n in (4, 10, 60, 570)]
    [0.0001, 0.0086, 0.0218, 0.0246]
    """
    end = math.sqrt(n_authors / (n_authors - 1)) * stdtrit(n_authors - 1, (1 - LEVEL) / 2)
    return float(ndtr(end))


@lru_cache(maxsize=16)
def _times_drawn(n_authors: int) -> NDArray[np.uint8]:
    """(`N_DRAWS`, n_authors) how often each author is drawn; the same for all runs, so that they can be compared."""
    rng = np.random.default_rng([_SEED, n_authors])
    times = np.empty((N_DRAWS, n_authors), dtype=np.uint8)
    for start in range(0, N_DRAWS, _BLOCK):
        block = times[start : start + _BLOCK]
        # Draws are counted together: each has numbers of its own.
        drawn = rng.integers(n_authors, size=block.shape) + n_authors * np.arange(len(block))[:, np.newaxis]
        block[:] = np.bincount(drawn.ravel(), minlength=block.size).reshape(block.shape)
    return times
