"""Figures of rejection against scikit-learn and against counting every pair."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from evaluation.fusion import FusedObservations
from evaluation.intervals import intervals_of
from evaluation.unknown.detection import CURVE_METRICS, SHARES, Accepted, Plants, open_score, share


def drawn(seed: int, m: int = 40, levels: int = 8) -> tuple[Plants, np.ndarray]:
    """Plants with tied scores, of both kinds."""
    rng = np.random.default_rng(seed)
    known = rng.random(m) < 0.6
    known[:2] = True, False
    rank = np.where(known, rng.integers(1, 4, m), np.inf)
    author = np.array([f"a{number}" if number else "" for number in rng.integers(0, 6, m)])
    score = rng.integers(0, levels, m) / levels + 0.1 * known
    return Plants(known, rank <= 1, 1 / rank, author), score


def figure(name: str, plants: Plants, score: np.ndarray, weight: np.ndarray | None = None) -> float:
    (value,) = CURVE_METRICS[name](Accepted.of(plants, score, weight))
    return float(value)


@given(st.integers(0, 10**6), st.integers(2, 60), st.integers(1, 30))
def test_areas_are_shares_of_pairs(seed: int, m: int, levels: int) -> None:
    plants, score = drawn(seed, m, levels)
    assert figure("auroc", plants, score) == pytest.approx(roc_auc_score(plants.known, score))
    pairs = [
        right * ((one > other) + 0.5 * (one == other))
        for one, right in zip(score[plants.known], plants.right[plants.known], strict=True)
        for other in score[~plants.known]
    ]
    assert figure("oscr", plants, score) == pytest.approx(np.mean(pairs))
    false, true, _ = roc_curve(plants.known, score, drop_intermediate=False)
    assert figure("fpr95", plants, score) == pytest.approx(false[np.argmax(true >= 0.95 - 1e-9)])


def test_risk_coverage_area_of_distinct_scores_is_the_mean_risk_of_every_beginning() -> None:
    plants, _ = drawn(3)
    score = np.random.default_rng(4).permutation(40).astype(float)
    right = plants.right[np.argsort(-score)]
    risks = [1 - right[:n].mean() for n in range(1, 41)]
    assert figure("aurc", plants, score) == pytest.approx(np.mean(risks))


@given(st.integers(0, 10**6))
def test_a_weight_counts_as_so_many_copies(seed: int) -> None:
    plants, score = drawn(seed, 15)
    times = np.random.default_rng(seed).integers(0, 4, 15)
    times[:2] = 1
    copies = np.repeat(np.arange(15), times)
    many = Plants(plants.known[copies], plants.right[copies], plants.reciprocal[copies], plants.author[copies])
    for name in CURVE_METRICS:
        weighed = figure(name, plants, score, times[np.newaxis].astype(float))
        assert weighed == pytest.approx(figure(name, many, score[copies])), name


def test_without_unknown_plants_there_is_no_area() -> None:
    plants, score = drawn(0)
    only = Plants(np.ones(40, dtype=bool), plants.right, plants.reciprocal, plants.author)
    assert np.isnan([figure(name, only, score) for name in ("auroc", "oscr", "fpr95")]).all()
    assert 0 <= figure("aurc", only, score) <= 1


def test_s_with_rejection_by_hand() -> None:
    plants = Plants(
        known=np.array([True, True, True, False, False]),
        right=np.array([True, False, True, False, False]),
        reciprocal=np.array([1, 0.5, 1, 0, 0]),
        author=np.array(["a", "a", "b", "b", "c"]),
    )
    accepts = np.array([True, True, False, False, True])
    # a: (1 + 1/2) / 2; b: a known plant rejected, an unknown one rightly; c: an unknown plant is named.
    assert open_score(plants, accepts).value == pytest.approx((0.75 + 0.5 + 0) / 3)
    found = {name: float(share(*of(plants, accepts), np.ones((1, 5)))[0]) for name, of in SHARES.items()}
    assert found == pytest.approx({"coverage": 2 / 3, "unknown_rejected": 1 / 2, "precision": 1 / 3})


def test_who_is_unknown_is_told_by_the_classes() -> None:
    fused = FusedObservations(
        "test",
        np.array(["1", "2", "3"]),
        np.array(["", "", ""]),
        np.array(["x", "", "b"]),
        np.ones(3, dtype=np.intp),
        np.array(["a", "b"]),
        np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]]),
    )
    plants, named = Plants.of(fused)
    assert named.tolist() == [True, False, True]
    assert plants.known.tolist() == [False, True]
    assert plants.right.tolist() == [False, True]
    assert plants.reciprocal.tolist() == [0.0, 1.0]


def test_intervals_repeat_hold_the_figure_and_need_two_authors() -> None:
    plants, score = drawn(1, 200)

    def statistics(weight: np.ndarray) -> np.ndarray:
        accepted = Accepted.of(plants, score, weight)
        return np.stack([metric(accepted) for metric in CURVE_METRICS.values()], axis=1)

    ends = intervals_of(statistics, plants.author)
    assert ends == intervals_of(statistics, plants.author)
    for (low, high), value in zip(ends, statistics(np.ones((1, 200)))[0], strict=True):
        assert low <= value <= high
    assert np.isnan(intervals_of(statistics, np.full(200, "one"))).all()
