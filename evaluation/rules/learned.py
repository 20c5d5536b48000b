"""Learned rules: what each looks at, how it is fitted, and how hard it is held to equal weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from evaluation.rules.evidence import Evidence, linear_loss
from evaluation.rules.stacking import Coefficients, Stacking
from evaluation.rules.weighing import by_least_squares, by_log_loss, by_selection

N_FOLDS = 5
MIN_PLANTS = 4 * N_FOLDS
"""With fewer plants nothing is learnt and the strongest setting stands."""


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
        (evidence, strengths, seed) -> what was learnt at each strength.
    """

    sources: str
    needs: str
    strengths: tuple[float, ...]
    fit: Callable[[Evidence, Sequence[float], int], Sequence[Fitted]]


Fit = Callable[[Evidence, Sequence[float], int], Sequence[Fitted]]


def _linear(weigh: Callable[[Evidence, Sequence[float]], list[NDArray[np.float64]]]) -> Fit:
    return lambda evidence, strengths, _: [Linear(weights) for weights in weigh(evidence, strengths)]


def _selected(evidence: Evidence, strengths: Sequence[float], seed: int) -> Sequence[Fitted]:
    return [Linear(weights) for weights in by_selection(evidence, strengths, seed)]


def _stacked(stacking: Stacking) -> Fit:
    return lambda evidence, strengths, _: stacking.fit(evidence, strengths)


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
        "stacked_classes": Learner("model", "logs", _PENALTIES, _stacked(Stacking(bias=True, classwise=True))),
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

    Judged by log loss on plants held out in turn; the error is that of the paired difference from the best, so that few
    or contradictory plants leave the weights equal.
    """
    sides = folds_of(evidence.number, evidence.shared, seed)
    if not sides:
        (fitted,) = learner.fit(evidence, learner.strengths[:1], seed)
        return Choice(fitted, learner.strengths[0], {})
    losses = np.empty((len(learner.strengths), len(evidence)))
    for known, asked in sides:
        held = evidence.select(asked)
        for row, fitted in enumerate(learner.fit(evidence.select(known), learner.strengths, seed)):
            losses[row, asked] = fitted.losses(held)
    means = losses.mean(axis=1)
    apart = losses - losses[means.argmin()]
    error = apart.std(axis=1, ddof=1) / np.sqrt(len(evidence))
    row = int(np.flatnonzero(apart.mean(axis=1) <= error)[0])
    *_, fitted = learner.fit(evidence, learner.strengths[: row + 1], seed)
    return Choice(fitted, learner.strengths[row], dict(zip(learner.strengths, means.tolist(), strict=True)))


Sides = tuple[NDArray[np.bool_], NDArray[np.bool_]]
"""(m,) plants to learn from, and plants to judge."""


def folds_of(number: NDArray[np.intp], shared: NDArray[np.intp], seed: int) -> list[Sides]:
    """Divide plants into `N_FOLDS` parts, each judged once; none with fewer than `MIN_PLANTS` plants.

    Parameters
    ----------
    number
        (m,) class of each plant: every part gets about as many of each.
    shared
        (r, 2) pairs (plant, answer). A plant with an answer in common with those that are judged is not learnt from -
        unless that would leave less than a fifth, as where a model says the same of everything.
    """
    if len(number) < MIN_PLANTS:
        return []
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(number))
    part = np.empty(len(number), dtype=np.intp)
    # One after another through the classes, so that parts are equal in size, too.
    part[order[np.argsort(number[order], kind="stable")]] = np.arange(len(number)) % N_FOLDS
    plant, answer = shared.T
    sides = []
    for held in range(N_FOLDS):
        asked = part == held
        known = ~asked
        known[plant[np.isin(answer, answer[asked[plant]])]] = False
        sides.append((known if known.sum() >= len(number) / 5 else ~asked, asked))
    return sides
