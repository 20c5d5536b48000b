"""Answering: the lowest rank of which the model is sure enough, and how often that is right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.fusion import FusedObservations
from evaluation.metrics import average_ranks, reciprocal_rank
from evaluation.taxonomy.taxa import RANKS, RolledUp, Taxonomy, roll_up

NO_ANSWER = len(RANKS)
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Ladder:
    """What a model says of m plants at every rank, and what is true.

    Parameters
    ----------
    observation_id, author
        (m,) of each plant.
    rolled
        The taxa of each rank, from species on.
    sure
        (m, r) probability of the likeliest taxon of each rank.
    right
        (m, r) whether that is the true one.
    reciprocal
        (m, r) reciprocal rank of the true taxon among those of its rank, 0 where the model knows no species of it.
    """

    observation_id: NDArray[np.str_]
    author: NDArray[np.str_]
    rolled: tuple[RolledUp, ...]
    sure: NDArray[np.float64]
    right: NDArray[np.bool_]
    reciprocal: NDArray[np.float64]

    @classmethod
    def of(cls, fused: FusedObservations, taxonomy: Taxonomy) -> tuple[Ladder, int]:
        """Roll the answers up; beside it, how many plants lack a named class with genus and family and stay out.

        A species that the model has not learnt can be answered rightly at the ranks where it knows a relative.
        """
        judged = np.flatnonzero(taxonomy.complete(fused.true_class))
        probability, truth = fused.probability[judged], fused.true_class[judged]
        rolled = tuple(roll_up(probability, fused.classes, taxonomy, rank) for rank in RANKS)
        true = [taxa.columns_of(taxonomy.of(truth, rank)) for rank, taxa in zip(RANKS, rolled, strict=True)]
        pairs = list(zip(rolled, true, strict=True))
        ladder = cls(
            observation_id=fused.observation_id[judged],
            author=fused.author[judged],
            rolled=rolled,
            sure=np.stack([taxa.sure for taxa in rolled], axis=1),
            right=np.stack([taxa.best == column for taxa, column in pairs], axis=1),
            reciprocal=np.stack(
                [reciprocal_rank(average_ranks(taxa.probability, column)) for taxa, column in pairs], axis=1
            ),
        )
        return ladder, len(fused.true_class) - len(judged)

    def answered(self, threshold: float, n_ranks: int = NO_ANSWER) -> NDArray[np.intp]:
        """(m,) number of the lowest of the first `n_ranks` ranks that reaches the threshold, `NO_ANSWER` if none."""
        reached = self.sure[:, :n_ranks] >= threshold
        return np.where(reached.any(axis=1), reached.argmax(axis=1), NO_ANSWER)

    def rightly(self, answered: NDArray[np.intp]) -> NDArray[np.bool_]:
        """(m,) whether a plant is answered, and rightly at the rank it is answered at."""
        at = np.minimum(answered, NO_ANSWER - 1)
        return (answered < NO_ANSWER) & self.right[np.arange(len(at)), at]


def choose_threshold(ladder: Ladder, precision: float, n_ranks: int = NO_ANSWER) -> float | None:
    """Choose the lowest threshold at which so large a share of all answers is right, whatever their ranks.

    One threshold serves all ranks: a probability means the same at each of them. None if no threshold does.
    """
    sure, right = ladder.sure[:, :n_ranks], ladder.right[:, :n_ranks]
    grid = np.unique(sure[sure > 0])
    n_answered, n_right = _at_least(sure.max(axis=1), grid), np.zeros(len(grid))
    lower = np.zeros(len(sure))
    for rank in range(n_ranks):
        # A rank answers from where no lower one does any more, up to its own probability.
        own, surely = right[:, rank], sure[:, rank]
        n_right += _at_least(surely[own], grid) - _at_least(np.minimum(lower, surely)[own], grid)
        lower = np.maximum(lower, surely)
    good = np.flatnonzero(n_right >= (precision - _ROUNDING) * n_answered)
    return float(grid[good[0]]) if len(good) else None


def _at_least(values: NDArray[np.float64], grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """(g,) how many values are at least as high as each threshold."""
    return np.asarray(len(values) - np.searchsorted(np.sort(values), grid), dtype=np.float64)
