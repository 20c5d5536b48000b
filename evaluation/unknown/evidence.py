"""Evidence: how sure a model is of a plant, by several scores; a higher one speaks for a species that it has learnt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from evaluation.alignment import align
from evaluation.fusion import FusedObservations, Recipe, fuse
from evaluation.observations import group_observations
from evaluation.predictions import Predictions
from featstore.errors import SettingsError


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of the plants of some predictions.

    Parameters
    ----------
    fused
        m plants, their images averaged.
    plant
        (n,) position of each image's plant.
    log_sum_exp
        (n,) of the logits of each image, None for a model without.
    closeness
        Name in `REJECTIONS` -> (n,) how close each image's features are to those learnt; empty without a store.
    """

    fused: FusedObservations
    plant: NDArray[np.intp]
    log_sum_exp: NDArray[np.float32] | None = None
    closeness: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    @classmethod
    def of(cls, predictions: Predictions, closeness: Mapping[str, NDArray[np.float64]] | None = None) -> Evidence:
        """Average the images of each plant."""
        fused = fuse(align([predictions]), Recipe("mean"))
        return cls(fused, group_observations(predictions).index, predictions.log_sum_exp, closeness or {})

    def mean_of(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """(m,) mean over the images of each plant of (n,) values."""
        totals = np.bincount(self.plant, weights=values, minlength=len(self.fused.observation_id))
        return np.asarray(totals / np.bincount(self.plant), dtype=np.float64)


Rejection = Callable[[Evidence], NDArray[np.float64] | None]
"""(m,) score of each plant, higher for species that are known; None where the evidence has not what it takes."""


def max_probability(evidence: Evidence) -> NDArray[np.float64]:
    """Highest probability, in (0, 1] [1]_.

    References
    ----------
    .. [1] D. Hendrycks, K. Gimpel, "A Baseline for Detecting Misclassified and Out-of-Distribution Examples in Neural
       Networks", ICLR 2017.
    """
    return np.asarray(evidence.fused.probability.max(axis=1), dtype=np.float64)


def entropy(evidence: Evidence) -> NDArray[np.float64]:
    """Entropy of the probabilities in nats, negative, so that it rises with certainty: in [-log k, 0]."""
    probability = evidence.fused.probability
    logs = np.log(probability, out=np.zeros_like(probability), where=probability > 0)
    return np.asarray((probability * logs).sum(axis=1), dtype=np.float64)


def margin(evidence: Evidence) -> NDArray[np.float64]:
    """Highest probability less the second, in [0, 1]; the highest itself where there is one class only."""
    if evidence.fused.probability.shape[1] == 1:
        return max_probability(evidence)
    second, first = np.partition(evidence.fused.probability, (-2, -1), axis=1)[:, -2:].T
    return np.asarray(first - second, dtype=np.float64)


def energy(evidence: Evidence) -> NDArray[np.float64] | None:
    """Log-sum-exp of the logits - the negative free energy at temperature 1 [1]_ - averaged over the images.

    References
    ----------
    .. [1] W. Liu, X. Wang, J. Owens, Y. Li, "Energy-based Out-of-distribution Detection", NeurIPS 2020, eq. 4.
    """
    return None if evidence.log_sum_exp is None else evidence.mean_of(evidence.log_sum_exp)


def _closeness(name: str) -> Rejection:
    def score(evidence: Evidence) -> NDArray[np.float64] | None:
        return evidence.mean_of(evidence.closeness[name]) if name in evidence.closeness else None

    return score


DISTANCES = ("neighbours", "mahalanobis")
"""Scores from stored features, see `evaluation.unknown.closeness`."""
REJECTIONS: Mapping[str, Rejection] = MappingProxyType(
    {
        "max_probability": max_probability,
        "entropy": entropy,
        "margin": margin,
        "energy": energy,
        **{name: _closeness(name) for name in DISTANCES},
    }
)
WHY_ABSENT: Mapping[str, str] = MappingProxyType(
    {
        "energy": "the predictions have no log-sum-exp of logits; mlp, logistic and fine-tuned runs of this version do",
        **dict.fromkeys(DISTANCES, "it needs features: --store"),
    }
)


def chosen_scores(names: Sequence[str]) -> tuple[str, ...]:
    """Names in `REJECTIONS` as the command line asks for them; ``all``, or none, stands for every one.

    Raises
    ------
    SettingsError
        If there is no such score.
    """
    if not names or "all" in names:
        return tuple(REJECTIONS)
    for name in names:
        if name not in REJECTIONS:
            near = get_close_matches(name, REJECTIONS, n=1)
            remedy = f"Did you mean {near[0]}?" if near else "Pass one of these."
            raise SettingsError(f"a score out of all, {', '.join(REJECTIONS)}", f"{name!r}", remedy)
    return tuple(dict.fromkeys(names))
