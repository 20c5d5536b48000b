"""Learned rules: what each looks at, how it is fitted, and how hard it is held to equal weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from evaluation.rules.evidence import Evidence, linear_loss
from evaluation.rules.stacking import Coefficients, Stacking
from evaluation.rules.weighing import by_least_squares, by_log_loss, by_selection

N_FOLDS = 5
MIN_GROUPS = 2 * N_FOLDS
"""With fewer groups of plants nothing is learnt and the strongest setting stands."""


@dataclass(frozen=True, eq=False)
class Linear:
    """Weights of a linear pool.

    Attributes
    ----------
    weights
        (s,) of each source, at least 0, with a mean of 1.
    """

    weights: NDArray[np.float64]

    def losses(self, evidence: Evidence) -> NDArray[np.float64]:
        """(m,) -log of the right class's probability."""
        return linear_loss(self.weights, evidence)


Fitted = Linear | Coefficients


@dataclass(frozen=True)
class Learner:
    """One way to learn a rule.

    Attributes
    ----------
    sources
        What has a coefficient: ``"model"``, ``"view"``, ``"model_view"`` (each model on each view), or ``"model+view"``
        (one of each, added up).
    needs
        Which large part of the evidence it reads: ``"sums"``, ``"logs"`` or ``""``.
    strengths
        Ways to hold it to equal weights, the strongest first.
    fit
        (evidence, strength, seed) -> what was learnt.
    """

    sources: str
    needs: str
    strengths: tuple[float, ...]
    fit: Callable[[Evidence, float, int], Fitted]


def _linear(weigh: Callable[[Evidence, float], NDArray[np.float64]]) -> Callable[[Evidence, float, int], Fitted]:
    return lambda evidence, strength, _: Linear(weigh(evidence, strength))


def _selected(evidence: Evidence, strength: float, seed: int) -> Fitted:
    return Linear(by_selection(evidence, strength, seed))


def _stacked(stacking: Stacking) -> Callable[[Evidence, float, int], Fitted]:
    return lambda evidence, strength, _: stacking.fit(evidence, strength)


_PENALTIES = (1e3, 1.0, 0.1, 0.03, 0.01, 0.003, 0.001)
_MIXED = (1.0, 0.75, 0.5, 0.25, 0.0)

LEARNED: Mapping[str, Learner] = MappingProxyType(
    {
        "greedy": Learner("model", "sums", _MIXED, _selected),
        "log_loss": Learner("model", "", _PENALTIES, _linear(by_log_loss)),
        "least_squares": Learner("model", "sums", _PENALTIES, _linear(by_least_squares)),
        "view_weights": Learner("view", "", _PENALTIES, _linear(by_log_loss)),
        "model_view_weights": Learner("model_view", "", _PENALTIES, _linear(by_log_loss)),
        "weighted_product": Learner("model", "logs", _PENALTIES, _stacked(Stacking())),
        "stacked": Learner("model", "logs", _PENALTIES, _stacked(Stacking(bias=True))),
        "stacked_views": Learner("model+view", "logs", _PENALTIES, _stacked(Stacking(bias=True))),
        "stacked_classes": Learner("model", "logs", _PENALTIES[:-1], _stacked(Stacking(bias=True, classwise=True))),
    }
)
"""Rules that are fitted on plants of known class."""


@dataclass(frozen=True, eq=False)
class Choice:
    """A learned rule at the strength that a cross-validation chose.

    Attributes
    ----------
    fitted
        On all of the evidence.
    strength
        The chosen one.
    loss
        Strength -> mean log loss on plants held out; empty where there were too few groups to try.
    """

    fitted: Fitted
    strength: float
    loss: Mapping[float, float]


def learn(learner: Learner, evidence: Evidence, seed: int) -> Choice:
    """Fit a learner at the strongest setting that is within one standard error of the best.

    Judged by log loss on groups of plants held out in turn; the error is that of the paired difference from the best,
    so that few or contradictory plants leave the weights equal.
    """
    fold = folds_of(evidence.group, seed)
    if fold is None:
        strength = learner.strengths[0]
        return Choice(learner.fit(evidence, strength, seed), strength, {})
    losses = np.empty((len(learner.strengths), len(evidence)))
    for held in range(N_FOLDS):
        known, asked = evidence.select(fold != held), evidence.select(fold == held)
        for row, strength in enumerate(learner.strengths):
            losses[row, fold == held] = learner.fit(known, strength, seed).losses(asked)
    best = losses[losses.mean(axis=1).argmin()]
    apart = losses - best
    error = _standard_errors(apart, evidence.group)
    row = int(np.flatnonzero(apart.mean(axis=1) <= error)[0])
    means = dict(zip(learner.strengths, losses.mean(axis=1).tolist(), strict=True))
    return Choice(learner.fit(evidence, learner.strengths[row], seed), learner.strengths[row], means)


def folds_of(group: NDArray[np.intp], seed: int, n_folds: int = N_FOLDS) -> NDArray[np.intp] | None:
    """(m,) part of each plant, groups whole, parts about equal; None with fewer than `MIN_GROUPS` groups.

    The largest groups are dealt first, each to the part with the fewest plants so far; equal ones in random order.
    """
    _, number, size = np.unique(group, return_inverse=True, return_counts=True)
    if len(size) < MIN_GROUPS:
        return None
    order = np.random.default_rng(seed).permutation(len(size))
    order = order[np.argsort(-size[order], kind="stable")]
    filled, part = np.zeros(n_folds, dtype=np.intp), np.empty(len(size), dtype=np.intp)
    for one in order:
        part[one] = filled.argmin()
        filled[part[one]] += size[one]
    return np.asarray(part[number])


def _standard_errors(apart: NDArray[np.float64], group: NDArray[np.intp]) -> NDArray[np.float64]:
    """(r,) standard error of the mean of each row of differences, groups being what is independent."""
    _, number = np.unique(group, return_inverse=True)
    n_groups, centred = int(number.max()) + 1, apart - apart.mean(axis=1, keepdims=True)
    totals = np.stack([np.bincount(number, row) for row in centred])
    variance = (totals**2).sum(axis=1) * n_groups / max(1, n_groups - 1)
    return np.asarray(np.sqrt(variance) / apart.shape[1])
