"""Strength: how far a prior is heeded, ``p(c | images) (p(x | c) / p(x)) ** strength``, chosen where labels are known.

Strength 1 is Bayes' rule for images and metadata that are independent within a species, 0 is no prior at all. The
log-likelihood is concave in the strengths, so that what is found is the best.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from evaluation.prior.learning import N_FOLDS, author_folds, clustered_error

HIGHEST = 3.0
_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Strengths:
    """What valid chose.

    Parameters
    ----------
    value
        (a,) strength of each aspect, 0 for all where the gain does not hold up.
    fitted
        (a,) before that decision.
    held_out
        (m, a) strengths for each plant of valid, chosen by the plants of other authors.
    gain, error
        Mean gain in log-likelihood of a plant by those, and its standard error over authors.
    n_labelled
        Plants of listed class of which the papers tell something: those that choose.
    """

    value: NDArray[np.float64]
    fitted: NDArray[np.float64]
    held_out: NDArray[np.float64]
    gain: float
    error: float
    n_labelled: int


def with_prior(
    probability: NDArray[np.float64], ratios: NDArray[np.float64], strength: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Give the probabilities with their prior, (m, k); a row whose ratios are all 0 stays as it is, bit for bit.

    Parameters
    ----------
    probability
        (m, k), rows sum to 1.
    ratios
        (a, m, k) log ratios of each aspect.
    strength
        (a,), or (m, a) for strengths of each plant's own.
    """
    weight = np.einsum("amk,ma->mk", ratios, np.broadcast_to(strength, (len(probability), len(ratios))))
    touched = (weight != 0).any(axis=1)
    result = probability.copy()
    result[touched] = np.exp(log_softmax(_log(probability[touched]) + weight[touched], axis=1))
    return result


def choose_strengths(
    probability: NDArray[np.float64],
    ratios: NDArray[np.float64],
    number: NDArray[np.intp],
    author: NDArray[np.intp],
    seed: int,
) -> Strengths:
    """Choose the strengths at which the labels of m plants are likeliest, and keep them only if that holds up.

    Each plant is judged by strengths that plants of other authors chose, in `N_FOLDS` parts. If its mean gain is not
    above its own standard error, all strengths are 0.

    Parameters
    ----------
    number
        (m,) column of each plant's class, -1 where it is unknown or not listed; such plants choose nothing.
    author
        (m,) number of each plant's user.
    """
    labelled = np.flatnonzero((number >= 0) & (ratios != 0).any(axis=(0, 2)))
    held_out = np.zeros((len(probability), len(ratios)))
    nothing = np.zeros(len(ratios))
    if len(np.unique(author[labelled])) < N_FOLDS:
        return Strengths(nothing, nothing, held_out, 0.0, 0.0, len(labelled))
    fitted = _fit(probability[labelled], ratios[:, labelled], number[labelled])
    fold = author_folds(author, np.random.default_rng(seed))
    for held in range(N_FOLDS):
        others = labelled[fold[labelled] != held]
        held_out[fold == held] = _fit(probability[others], ratios[:, others], number[others])
    better = with_prior(probability[labelled], ratios[:, labelled], held_out[labelled])
    rows, own = np.arange(len(labelled)), number[labelled]
    gains = _log(better)[rows, own] - _log(probability[labelled])[rows, own]
    error = clustered_error(gains, author[labelled])
    kept = gains.mean() > error
    return Strengths(fitted if kept else nothing, fitted, held_out, float(gains.mean()), error, len(labelled))


def _fit(
    probability: NDArray[np.float64], ratios: NDArray[np.float64], number: NDArray[np.intp]
) -> NDArray[np.float64]:
    from scipy.optimize import minimize

    rows, logs = np.arange(len(number)), _log(probability)
    if not len(rows):
        return np.zeros(len(ratios))

    def loss(strength: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        told = log_softmax(logs + np.tensordot(strength, ratios, 1), axis=1)
        expected = (np.exp(told) * ratios).sum(axis=2)
        return float(-told[rows, number].mean()), np.asarray((expected - ratios[:, rows, number]).mean(axis=1))

    found = minimize(loss, np.zeros(len(ratios)), jac=True, method="L-BFGS-B", bounds=[(0, HIGHEST)] * len(ratios))
    return np.asarray(found.x, dtype=np.float64).round(4)


def _log(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.log(np.maximum(probability, _TINY)))
