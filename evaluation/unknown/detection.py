"""Detection: how well a score separates plants of known species from those of unknown ones.

All figures look at plants whose true class is named. A plant is *accepted* at a threshold if its score is at least
that; equal scores are accepted together, which is why a tie of a known and an unknown plant counts half in an area.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from evaluation.fusion import FusedObservations
from evaluation.metrics import NOT_LISTED, average_ranks, observation_score, reciprocal_rank, true_indices
from evaluation.per_author import PerAuthor
from evaluation.predictions import Predictions
from evaluation.unknown.evidence import Evidence, max_probability

_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Plants:
    """Plants whose true class is named, with their answers.

    Parameters
    ----------
    known
        (m,) whether the class is among those that the model has learnt.
    right
        (m,) whether the right species has rank 1; never for an unknown one.
    reciprocal
        (m,) reciprocal rank of the right species, 0 for an unknown one.
    author
        (m,) user of each plant, ``""`` for a user of its own.
    """

    known: NDArray[np.bool_]
    right: NDArray[np.bool_]
    reciprocal: NDArray[np.float64]
    author: NDArray[np.str_]

    @classmethod
    def of(cls, fused: FusedObservations) -> tuple[Plants, NDArray[np.bool_]]:
        """Judge the answers; beside the plants, which rows of `fused` (those with a named class) they are."""
        named = fused.true_class != ""
        number = true_indices(fused.true_class[named], fused.classes)
        rank = average_ranks(fused.probability[named], number)
        return cls(number != NOT_LISTED, rank <= 1, reciprocal_rank(rank), fused.author[named]), named

    @property
    def n_known(self) -> int:
        """Plants of species that the model has learnt."""
        return int(self.known.sum())

    @property
    def n_unknown(self) -> int:
        """Plants of other species."""
        return int((~self.known).sum())


@dataclass(frozen=True, eq=False)
class Accepted:
    """What is accepted at each threshold, from the strictest on, in b draws of the plants.

    Parameters
    ----------
    threshold
        (g,) the distinct scores, falling.
    known, unknown, right
        (b, g) weight of known plants accepted at each, of unknown ones, and of known ones that are answered rightly.
    n_known, n_unknown
        (b,) weight of all known plants, and of all unknown ones.
    """

    threshold: NDArray[np.float64]
    known: NDArray[np.float64]
    unknown: NDArray[np.float64]
    right: NDArray[np.float64]
    n_known: NDArray[np.float64]
    n_unknown: NDArray[np.float64]

    @classmethod
    def of(cls, plants: Plants, score: NDArray[np.float64], weight: NDArray[np.float64] | None = None) -> Accepted:
        """Count; `weight` (b, m) says how often each plant counts in each draw, None once in a single one."""
        weight = np.ones((1, len(score))) if weight is None else weight
        order = np.argsort(-score, kind="stable")
        falling = score[order]
        last = np.flatnonzero(np.append(falling[1:] != falling[:-1], True))
        ordered = weight[:, order]
        known, unknown, right = (
            np.cumsum(ordered * of[order], axis=1)[:, last] for of in (plants.known, ~plants.known, plants.right)
        )
        return cls(falling[last], known, unknown, right, known[:, -1], unknown[:, -1])


def auroc(accepted: Accepted) -> NDArray[np.float64]:
    """Area under the ROC curve, in [0, 1]: the chance that a known plant scores above an unknown one."""
    return _area(accepted.known, accepted)


def oscr(accepted: Accepted) -> NDArray[np.float64]:
    """Area under the open-set classification rate curve [1]_, in [0, 1].

    The curve is the share of known plants that are accepted *and* rightly named, against the share of unknown plants
    that are accepted. The area is the chance that a known plant is rightly named and scores above an unknown one.

    References
    ----------
    .. [1] A. Dhamija, M. Gunther, T. Boult, "Reducing Network Agnostophobia", NeurIPS 2018, section 4.
    """
    return _area(accepted.right, accepted)


def fpr95(accepted: Accepted) -> NDArray[np.float64]:
    """Share of *unknown* plants accepted where at least 95 % of the *known* ones are, in [0, 1]; lower is better.

    Known plants are the positives, as in the literature on out-of-distribution detection [1]_.

    References
    ----------
    .. [1] S. Liang, Y. Li, R. Srikant, "Enhancing the Reliability of Out-of-distribution Image Detection in Neural
       Networks", ICLR 2018, section 4.3.
    """
    enough = accepted.known >= 0.95 * accepted.n_known[:, np.newaxis] - _ROUNDING
    at = enough.argmax(axis=1)
    return _ratio(accepted.unknown[np.arange(len(at)), at], np.where(accepted.n_known > 0, accepted.n_unknown, 0))


def aurc(accepted: Accepted) -> NDArray[np.float64]:
    """Area under the risk-coverage curve [1]_, in [0, 1]; lower is better, 0 is reached by a model without mistakes.

    Coverage is the share of all plants that are accepted, risk the share of wrong answers among those; every answer
    about an unknown species is wrong.

    References
    ----------
    .. [1] Y. Geifman, R. El-Yaniv, "Selective Classification for Deep Neural Networks", NeurIPS 2017.
    """
    covered = accepted.known + accepted.unknown
    wrong = 1 - _ratio(accepted.right, covered)
    more = np.diff(covered, axis=1, prepend=0)
    # A plant that was not drawn covers nothing, and its risk is none.
    return _ratio(np.where(more > 0, more * wrong, 0).sum(axis=1), accepted.n_known + accepted.n_unknown)


CURVE_METRICS: Mapping[str, Callable[[Accepted], NDArray[np.float64]]] = MappingProxyType(
    {"auroc": auroc, "fpr95": fpr95, "oscr": oscr, "aurc": aurc}
)
"""Name -> (b,) figure of each draw, NaN where a draw has not both kinds of plants; of the whole curve."""


def accepted_known(plants: Plants, accepts: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Coverage: accepted plants, among those of known species."""
    return accepts, plants.known


def rejected_unknown(plants: Plants, accepts: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Rejected plants, among those of unknown species."""
    return ~accepts, ~plants.known


def right_of_accepted(plants: Plants, accepts: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Precision: rightly named plants, among all that are accepted."""
    return plants.right, accepts


SHARES: Mapping[str, Callable[[Plants, NDArray[np.bool_]], tuple[NDArray[np.bool_], NDArray[np.bool_]]]] = (
    MappingProxyType({"coverage": accepted_known, "unknown_rejected": rejected_unknown, "precision": right_of_accepted})
)
"""Name -> which plants count, and among which; at one threshold."""


def share(of: NDArray[np.bool_], among: NDArray[np.bool_], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """(b,) weighted share of the plants `of`, (m,), among those of `among`; NaN where there is none of these."""
    both: NDArray[np.float64] = weight @ (of & among).astype(np.float64)
    return _ratio(both, weight @ among.astype(np.float64))


def open_score(plants: Plants, accepts: NDArray[np.bool_]) -> PerAuthor:
    """S with rejection: the contest's S where "unknown species" is an answer, too.

    An accepted plant counts by the reciprocal rank of its species, as in S: 0 for an unknown one. A rejected plant
    counts 1 if its species is unknown, else 0. The definition is this suite's own; the contests had no such task.
    """
    counts = np.where(accepts, plants.reciprocal, (~plants.known).astype(np.float64))
    return observation_score(counts, plants.author)


def _area(gained: NDArray[np.float64], accepted: Accepted) -> NDArray[np.float64]:
    """Area under (unknown accepted, gained), by trapezoids, both as shares."""
    before = np.concatenate([np.zeros((len(gained), 1)), gained[:, :-1]], axis=1)
    steps = np.diff(accepted.unknown, axis=1, prepend=0)
    return _ratio((steps * (gained + before) / 2).sum(axis=1), accepted.n_known * accepted.n_unknown)


def _ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = np.full(np.shape(above), math.nan)
    return np.divide(above, below, out=result, where=below > 0)


def unknown_auroc(predictions: Predictions) -> float | None:
    """Area under the ROC curve of the highest fused probability of a plant, known species against unknown ones.

    Parameters
    ----------
    predictions
        Plants whose true class is named and not among the classes are unknown; those of no named class are left out.

    Returns
    -------
    In [0, 1]: 0.5 is chance, 1 a perfect order; None without plants of both kinds.
    """
    evidence = Evidence.of(predictions)
    plants, named = Plants.of(evidence.fused)
    if not plants.n_known or not plants.n_unknown:
        return None
    return float(auroc(Accepted.of(plants, max_probability(evidence)[named]))[0])
