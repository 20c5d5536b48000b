"""Scores of each class: which species a model knows, and which it takes for others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.metrics import reciprocal_rank
from evaluation.ranking import Ranked


@dataclass(frozen=True, eq=False)
class ClassScores:
    """Figures of each class that occurs, sorted by raw class id.

    Attributes
    ----------
    class_id
        (c,) raw class ids.
    n_observations
        (c,) plants of each, at least 1.
    mrr
        (c,) mean reciprocal rank of its plants, in [0, 1].
    top_1
        (c,) share of its plants that are named first, in [0, 1].
    """

    class_id: NDArray[np.str_]
    n_observations: NDArray[np.int64]
    mrr: NDArray[np.float64]
    top_1: NDArray[np.float64]


def score_classes(ranked: Ranked) -> ClassScores:
    """Score each class on its own plants, each plant counting alike."""
    class_id, number, count = np.unique(ranked.true_class, return_inverse=True, return_counts=True)
    mrr = np.bincount(number, reciprocal_rank(ranked.rank)) / count
    return ClassScores(class_id, count.astype(np.int64), mrr, np.bincount(number, ranked.rank <= 1) / count)
