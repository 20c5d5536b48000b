"""Mistakes: the observations that a result failed, and the species that it took for one another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.metrics import average_ranks, true_indices
from evaluation.report.results import Answers

N_CONFUSIONS = 12


@dataclass(frozen=True)
class Case:
    """An observation that was answered wrongly.

    Attributes
    ----------
    row
        Its row among the fused answers.
    observation_id, true_class, answer
        Ids; `answer` is the class named first.
    rank
        Place of the right species, above 1.
    confidence
        Probability of `answer`, in [0, 1].
    """

    row: int
    observation_id: str
    true_class: str
    answer: str
    rank: float
    confidence: float


@dataclass(frozen=True)
class Confusion:
    """Two species that were taken for one another.

    Attributes
    ----------
    first, second
        Class ids; `first` was taken for `second` at least as often as the other way round.
    first_for_second, second_for_first
        Observation ids of `first` that were answered `second`, and the other way round.
    """

    first: str
    second: str
    first_for_second: tuple[str, ...]
    second_for_first: tuple[str, ...]

    @property
    def count(self) -> int:
        """Observations confused, both ways."""
        return len(self.first_for_second) + len(self.second_for_first)


def mistakes(answers: Answers) -> list[Case]:
    """Every observation whose class is known and listed, but not named first; in the order of the answers."""
    fused = answers.fused
    index = true_indices(fused.true_class, fused.classes)
    rank = average_ranks(fused.probability, index)
    # An unlisted class has rank infinity: no answer could have been right, so none was a mistake worth showing.
    rows = np.flatnonzero((rank > 1) & np.isfinite(rank))
    first = fused.probability[rows].argmax(axis=1)
    # Where the truth shares the first place, what it shares it with is the answer.
    tied = np.flatnonzero(first == index[rows])
    for place in tied:
        others = fused.probability[rows[place]].copy()
        others[index[rows[place]]] = -1
        first[place] = others.argmax()
    return [
        Case(
            row,
            str(fused.observation_id[row]),
            str(fused.true_class[row]),
            str(fused.classes[column]),
            float(rank[row]),
            float(fused.probability[row, column]),
        )
        for row, column in zip(rows.tolist(), first.tolist(), strict=True)
    ]


def cases_of(answers: Answers, n_cases: int) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    """Choose what to show: the lowest places of the truth, and the most confident mistakes.

    Returns
    -------
    worst, confident
        At most `n_cases` each. Among equal places the more confident mistake comes first, then the order of the ids.
    """
    found = mistakes(answers)
    worst = sorted(found, key=lambda case: (-case.rank, -case.confidence, case.row))[:n_cases]
    confident = sorted(found, key=lambda case: (-case.confidence, -case.rank, case.row))[:n_cases]
    return tuple(worst), tuple(confident)


def confusions_of(answers: Answers, n_pairs: int = N_CONFUSIONS) -> tuple[Confusion, ...]:
    """Pairs of species by how often either was taken for the other, most often first; equal ones by their ids."""
    taken: dict[tuple[str, str], list[str]] = defaultdict(list)
    for case in mistakes(answers):
        taken[case.true_class, case.answer].append(case.observation_id)
    pairs = []
    for low, high in sorted({(min(pair), max(pair)) for pair in taken}):
        there, back = tuple(taken.get((low, high), ())), tuple(taken.get((high, low), ()))
        swapped = len(back) > len(there)
        pairs.append(Confusion(high, low, back, there) if swapped else Confusion(low, high, there, back))
    return tuple(sorted(pairs, key=lambda pair: -pair.count)[:n_pairs])


def image_rows(answers: Answers, cases: Sequence[Case]) -> NDArray[np.intp]:
    """Rows of every image of some observations, in the order of the images."""
    return np.flatnonzero(np.isin(answers.plant, [case.row for case in cases]))
