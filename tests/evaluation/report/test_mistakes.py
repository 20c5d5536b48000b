"""Mistakes are found, ordered and paired as brute force does."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from evaluation.fusion import FusedObservations
from evaluation.report.mistakes import cases_of, confusions_of, mistakes
from evaluation.report.results import Answers

CLASSES = ("10", "7", "8", "9")


@st.composite
def fused_answers(draw: st.DrawFn) -> Answers:
    # Few levels: ties are frequent.
    weights = draw(st.lists(st.lists(st.integers(1, 4), min_size=4, max_size=4), min_size=1, max_size=12))
    truth = [draw(st.sampled_from((*CLASSES, "", "elsewhere"))) for _ in weights]
    rows = np.array(weights, dtype=float)
    fused = FusedObservations(
        "test",
        np.array([f"o{row:02}" for row in range(len(rows))]),
        np.full(len(rows), ""),
        np.array(truth, dtype=np.str_),
        np.ones(len(rows), dtype=np.intp),
        np.array(CLASSES),
        rows / rows.sum(axis=1, keepdims=True),
    )
    return Answers(fused, None, np.arange(len(rows)))


@given(fused_answers(), st.integers(0, 5))
def test_mistakes_against_brute_force(answers: Answers, n_cases: int) -> None:
    fused = answers.fused
    expected = {}
    for row, truth in enumerate(fused.true_class.tolist()):
        if truth not in CLASSES:
            continue
        own = fused.probability[row, CLASSES.index(truth)]
        better = int((fused.probability[row] > own).sum())
        equal = int((fused.probability[row] == own).sum())
        rank = better + (equal + 1) / 2
        if rank > 1:
            rivals = [(-p, name) for p, name in zip(fused.probability[row], CLASSES, strict=True) if name != truth]
            expected[fused.observation_id[row]] = (rank, min(rivals)[1])
    found = mistakes(answers)
    assert {case.observation_id: (case.rank, case.answer) for case in found} == expected
    worst, confident = cases_of(answers, n_cases)
    assert [case.rank for case in worst] == sorted((rank for rank, _ in expected.values()), reverse=True)[:n_cases]
    confidences = sorted((case.confidence for case in found), reverse=True)[:n_cases]
    assert [case.confidence for case in confident] == confidences


@given(fused_answers())
def test_pairs_count_both_ways_and_lose_nobody(answers: Answers) -> None:
    pairs = confusions_of(answers, 100)
    expected = Counter(frozenset((case.true_class, case.answer)) for case in mistakes(answers))
    assert {frozenset((pair.first, pair.second)): pair.count for pair in pairs} == expected
    assert [pair.count for pair in pairs] == sorted(expected.values(), reverse=True)
    for pair in pairs:
        assert len(pair.first_for_second) >= len(pair.second_for_first)
        for name in pair.first_for_second:
            assert answers.fused.true_class[answers.fused.observation_id == name] == pair.first
