"""Weights of a linear pool, learnt: by log loss, by least squares, and by greedy selection.

References
----------
.. [1] R. Caruana, A. Niculescu-Mizil, G. Crew, A. Ksikes, "Ensemble Selection from Libraries of Models", ICML 2004.
.. [2] L. Breiman, "Stacked Regressions", Machine Learning 24, 1996: non-negative weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evaluation.metrics import average_ranks
from evaluation.rules.evidence import TINY, Evidence

N_BAGS = 10
N_STEPS = 15


def by_log_loss(evidence: Evidence, strengths: Sequence[float]) -> list[NDArray[np.float64]]:
    """Weights (s,) with a mean of 1 under which the right classes are likeliest, for every strength.

    Minimised are the mean log loss and `strength` times the squared distance of the weights' logarithms from their
    mean. Where every plant has as many rows of each source, the loss is convex in the weights.
    """
    from scipy.optimize import minimize

    def loss(theta: NDArray[np.float64], strength: float) -> tuple[float, NDArray[np.float64]]:
        weights = np.exp(theta - theta.max())
        own, total = np.maximum(evidence.own @ weights, TINY), evidence.count @ weights
        slope = (evidence.count / total[:, np.newaxis] - evidence.own / own[:, np.newaxis]).mean(axis=0) * weights
        apart = theta - theta.mean()
        value = np.mean(np.log(total) - np.log(own)) + strength * apart @ apart
        return float(value), slope + 2 * strength * apart

    start, found = np.zeros(evidence.n_sources), []
    for strength in strengths:
        # Beyond e^-8 a source is silent; without bounds its logarithm would wander off.
        start = minimize(loss, start, args=(strength,), jac=True, method="L-BFGS-B", bounds=[(-8, 8)] * len(start)).x
        weights = np.exp(start - start.max())
        found.append(weights / weights.mean())
    return found


def by_least_squares(evidence: Evidence, strengths: Sequence[float]) -> list[NDArray[np.float64]]:
    """Non-negative weights (s,) with a mean of 1, for every strength.

    Their pool comes closest to 1 for the right class and 0 elsewhere, summed over the squares of all distances.

    Each source speaks by the mean of its rows. `strength`, in units of a source's mean square, draws the weights
    towards equal ones.
    """
    from scipy.optimize import nnls

    rows = evidence.shares()
    n_sources = evidence.n_sources
    gram = np.zeros((n_sources, n_sources))
    for low in range(0, len(evidence), 256):
        flat = rows[:, low : low + 256].reshape(n_sources, -1)
        gram += flat @ flat.T
    right = rows[:, np.arange(len(evidence)), evidence.number].astype(np.float64).sum(axis=1)
    found = []
    for strength in strengths:
        pull = strength * np.trace(gram) / n_sources
        # |Lw - z|^2 with L'L = the matrix and L'z = the right side is the same sum of squares, in s rows.
        root = np.linalg.cholesky(gram + (pull + 1e-9 * np.trace(gram)) * np.eye(n_sources)).T
        weights, _ = nnls(root, np.linalg.solve(root.T, right + pull / n_sources))
        found.append(weights / weights.mean() if weights.any() else np.ones(n_sources))
    return found


def by_selection(evidence: Evidence, strengths: Sequence[float], seed: int) -> list[NDArray[np.float64]]:
    """Weights (s,) with a mean of 1, for every strength: how often greedy selection takes each source.

    In each of `N_BAGS` bags, a random half of the plants: begin with no source and add, with replacement, the one whose
    addition lifts the mean reciprocal rank most, `N_STEPS` times; what was taken until the highest score counts. Bags
    draw plants, not sources as in [1]_, whose libraries hold thousands. Of equal gains the lower log loss decides.
    `strength` in [0, 1] is the share of equal weights in the result.
    """
    rng = np.random.default_rng(seed)
    rows = evidence.shares()
    weights = np.zeros(evidence.n_sources)
    for _ in range(N_BAGS):
        bag = rng.permutation(len(evidence))[: (len(evidence) + 1) // 2]
        taken = _select(rows[:, bag], evidence.number[bag])
        weights += taken / taken.sum()
    return [(1 - strength) * weights / weights.mean() + strength for strength in strengths]


def _select(rows: NDArray[np.float32], number: NDArray[np.intp]) -> NDArray[np.float64]:
    """(s,) times that each source is taken until the best score."""
    n_sources = len(rows)
    pool, taken = np.zeros_like(rows[0]), np.zeros(n_sources)
    best, best_taken = (-1.0, 0.0), taken
    for step in range(1, N_STEPS + 1):
        tried = [_quality(pool + rows[source], number, step) for source in range(n_sources)]
        chosen = max(range(n_sources), key=tried.__getitem__)
        pool, taken = pool + rows[chosen], taken + np.eye(n_sources)[chosen]
        if tried[chosen] > best:
            best, best_taken = tried[chosen], taken
    return best_taken


def _quality(pool: NDArray[np.float32], number: NDArray[np.intp], step: int) -> tuple[float, float]:
    """Mean reciprocal rank, then likelihood; higher is better."""
    own = pool[np.arange(len(pool)), number].astype(np.float64) / step
    return float(np.mean(1 / average_ranks(pool, number))), float(np.log(np.maximum(own, TINY)).mean())
