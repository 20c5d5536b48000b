"""Learning: the width and smoothing of a density, chosen by what they tell of records that were held out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.metrics import users
from evaluation.prior.density import ASPECTS, SMOOTHING, Aspect, Density
from evaluation.prior.records import Records
from featstore import shell

N_FOLDS = 4
MOST_JUDGED = 3000
"""Records at most by whose likelihood width and smoothing are chosen."""


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
    author = users(records.author[known])
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
