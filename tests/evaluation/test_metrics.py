"""Metrics equal the definitions, computed slowly and exactly."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata
from sklearn.metrics import (
    balanced_accuracy_score,
    label_ranking_average_precision_score,
    top_k_accuracy_score,
)
from sklearn.metrics import log_loss as log_loss_of_scikit_learn

from evaluation.metrics import (
    N_BINS,
    POOLED,
    SMALLEST,
    average_ranks,
    calibration_error,
    class_mean,
    first_place_share,
    image_score,
    log_loss,
    observation_score,
    own_probability,
    reciprocal_rank,
    top_k_score,
    true_indices,
    users,
    with_unknown,
)
from evaluation.per_author import PerAuthor


def slow_rank(row: list[Fraction], true_index: int) -> Fraction | None:
    """Average of the first and the last place that the species could take."""
    if true_index == -1:
        return None
    best = 1 + sum(value > row[true_index] for value in row)
    worst = sum(value >= row[true_index] for value in row)
    return Fraction(best + worst, 2)


def slow_mean(values: list[Fraction]) -> Fraction:
    return sum(values, Fraction()) / len(values)


@st.composite
def rows_with_ties(draw: st.DrawFn) -> tuple[list[list[Fraction]], list[int]]:
    n_classes = draw(st.integers(1, 5))
    eighths = st.lists(st.integers(0, n_classes - 1), min_size=8, max_size=8)
    counts = draw(st.lists(eighths, min_size=1, max_size=8))
    rows = [[Fraction(row.count(species), 8) for species in range(n_classes)] for row in counts]
    return rows, [draw(st.integers(-1, n_classes - 1)) for _ in rows]


@given(rows_with_ties())
def test_ranks_with_ties_and_missing_species(case: tuple[list[list[Fraction]], list[int]]) -> None:
    rows, truth = case
    ranks = average_ranks(np.array(rows, dtype=np.float32), np.array(truth, dtype=np.intp))
    for row, index, rank in zip(rows, truth, ranks.tolist(), strict=True):
        expected = slow_rank(row, index)
        assert rank == (float("inf") if expected is None else expected)


def test_ranks_equal_scipy() -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 20, (200, 40)) / 20
    truth = rng.integers(0, 40, 200)
    expected = rankdata(-scores, method="average", axis=1)[np.arange(200), truth]
    np.testing.assert_array_equal(average_ranks(scores, truth), expected)


def test_reciprocal_rank_equals_scikit_learn_without_ties() -> None:
    rng = np.random.default_rng(1)
    scores = rng.random((50, 9))
    truth = rng.integers(0, 9, 50)
    reciprocal = reciprocal_rank(average_ranks(scores, truth))
    # With one relevant label, label ranking average precision is the mean reciprocal rank.
    expected = label_ranking_average_precision_score(np.eye(9)[truth], scores)
    assert reciprocal.mean() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_top_k_equals_scikit_learn_without_ties(k: int) -> None:
    rng = np.random.default_rng(k)
    scores = rng.random((300, 12))
    truth = rng.integers(0, 12, 300)
    expected = top_k_accuracy_score(truth, scores, k=k, labels=np.arange(12))
    ranks = average_ranks(scores, truth)
    assert top_k_score(ranks, k, np.array([""] * len(ranks))).value == pytest.approx(expected)


def test_the_tie_convention_is_neither_lucky_nor_adversarial() -> None:
    ranks = average_ranks(np.array([[0.4, 0.4, 0.2], [0.25, 0.25, 0.5]]), np.array([1, 0]))
    assert ranks.tolist() == [1.5, 2.5]
    assert [top_k_score(ranks, k, np.array([""] * len(ranks))).value for k in (1, 2, 3)] == [0.0, 0.5, 1.0]
    assert reciprocal_rank(np.array([1.0, 4.0, np.inf])).tolist() == [1.0, 0.25, 0.0]


@st.composite
def plants_of_users(draw: st.DrawFn) -> tuple[list[str], list[list[Fraction]]]:
    """Authors of plants, unknown ones among them, and reciprocal ranks of each plant's images."""
    authors = draw(st.lists(st.sampled_from(["", "anna", "bo", "cy"]), min_size=1, max_size=9))
    reciprocal = st.sampled_from([Fraction(0), Fraction(1), Fraction(1, 2), Fraction(2, 3), Fraction(1, 7)])
    return authors, [draw(st.lists(reciprocal, min_size=1, max_size=4)) for _ in authors]


def slow_score(authors: list[str], plants: list[Fraction]) -> Fraction:
    users: dict[str, list[Fraction]] = defaultdict(list)
    for number, (author, plant) in enumerate(zip(authors, plants, strict=True)):
        users[author or f"unknown {number}"].append(plant)
    return slow_mean([slow_mean(values) for values in users.values()])


@given(plants_of_users(), st.randoms(use_true_random=False))
def test_scores_average_over_users_then_plants_then_images(
    case: tuple[list[str], list[list[Fraction]]], random: object
) -> None:
    authors, plants = case
    author = np.array(authors, dtype=np.str_)
    best = [max(images) for images in plants]
    expected = slow_score(authors, best)
    assert observation_score(np.array(best, dtype=np.float64), author).value == pytest.approx(
        float(expected), abs=1e-12
    )

    images = [(number, value) for number, values in enumerate(plants) for value in values]
    random.shuffle(images)
    plant, reciprocal = (np.array(column) for column in zip(*images, strict=True))
    expected = slow_score(authors, [slow_mean(values) for values in plants])
    found = image_score(reciprocal.astype(np.float64), plant.astype(np.intp), author).value
    assert found == pytest.approx(float(expected), abs=1e-12)


def test_a_busy_user_does_not_outvote_the_others() -> None:
    author = np.array(["busy"] * 9 + ["other"])
    assert observation_score(np.array([1.0] * 9 + [0.0]), author).value == 0.5
    assert observation_score(np.array([1.0] * 9 + [0.0]), np.array([""] * 10)).value == 0.9


def test_true_indices_find_columns_and_strangers() -> None:
    classes = np.array(["10", "2", "30"])
    truth = np.array(["30", "10", "", "99", "2", "1"])
    assert true_indices(truth, classes).tolist() == [2, 0, -1, -1, 1, -1]


def test_class_top_1_equals_balanced_accuracy() -> None:
    rng = np.random.default_rng(4)
    scores, truth = rng.random((400, 7)), rng.choice(7, 400, p=[0.5, 0.2, 0.1, 0.1, 0.05, 0.04, 0.01])
    first = (average_ranks(scores, truth) <= 1).astype(np.float64)
    found = class_mean(first, truth.astype(np.str_), np.array([""] * 400)).value
    assert found == pytest.approx(balanced_accuracy_score(truth, scores.argmax(axis=1)), rel=1e-12)


@pytest.mark.parametrize("zero", [False, True])
def test_log_loss_equals_scikit_learn(zero: bool) -> None:
    rng = np.random.default_rng(5)
    probability, truth = rng.dirichlet(np.ones(6), 200), rng.integers(0, 6, 200)
    if zero:
        probability[3] = np.eye(6)[(truth[3] + 1) % 6]
    own = own_probability(probability, truth)
    found = log_loss(own, np.ones(200, dtype=bool), np.array([""] * 200)).value
    assert found == pytest.approx(log_loss_of_scikit_learn(truth, probability, labels=np.arange(6)), rel=1e-9)
    assert (own.min() == 0) == zero
    assert -np.log(SMALLEST) == pytest.approx(36.04, abs=0.01)


def test_a_species_that_is_not_listed_does_not_count_in_the_loss() -> None:
    own, author = np.array([0.5, 0.0, 0.25]), np.array(["anna", "bo", "bo"])
    found = log_loss(own, np.array([True, False, True]), author)
    assert found.value == pytest.approx((np.log(2) + np.log(4)) / 2)
    assert found.alone.tolist() == pytest.approx([np.log(2), np.log(4)])


@given(rows_with_ties())
def test_equals_in_front_share_the_first_place(case: tuple[list[list[Fraction]], list[int]]) -> None:
    rows, truth = case
    probability, index = np.array(rows, dtype=np.float64), np.array(truth, dtype=np.intp)
    ranks, own = average_ranks(probability, index), own_probability(probability, index)
    share = first_place_share(ranks, own, probability.max(axis=1))
    for row, right, found in zip(rows, truth, share.tolist(), strict=True):
        in_front = [species for species, value in enumerate(row) if value == max(row)]
        assert found == pytest.approx(1 / len(in_front) if right in in_front else 0.0)


@st.composite
def sure_plants(draw: st.DrawFn) -> list[tuple[int, float, str, bool]]:
    """Sureness in 64ths (none of which but the last is the end of a part), share of the first place, author, listed."""
    plant = st.tuples(
        st.integers(1, 64), st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from(["", "anna", "bo"]), st.booleans()
    )
    return draw(st.lists(plant, min_size=1, max_size=20).filter(lambda plants: any(one[3] for one in plants)))


@given(sure_plants())
def test_calibration_error_by_loops(plants: list[tuple[int, float, str, bool]]) -> None:
    sure, right, author, listed = (np.array(column) for column in zip(*plants, strict=True))
    found = calibration_error(sure / 64, right, listed, author.astype(np.str_)).value
    counted = [(confidence / 64, share) for confidence, share, _, known in plants if known]
    expected = 0.0
    for part in range(N_BINS):
        own = [pair for pair in counted if part / N_BINS < pair[0] <= (part + 1) / N_BINS]
        if own:
            gap = abs(np.mean([pair[0] for pair in own]) - np.mean([pair[1] for pair in own]))
            expected += len(own) / len(counted) * float(gap)
    assert found == pytest.approx(expected, abs=1e-12)


def test_unknown_authors_are_many_users_or_one() -> None:
    author = np.array(["", "bo", "", "anna", ""])
    assert len(set(users(with_unknown(author, "own")))) == 5
    pooled = users(with_unknown(author, "one"))
    assert len(set(pooled)) == 3
    assert pooled[0] == pooled[2] == pooled[4]
    assert POOLED in with_unknown(author, "one")
    reciprocal = np.array([1.0, 0.0, 1.0, 0.0, 1.0])
    assert observation_score(reciprocal, with_unknown(author, "own")).value == pytest.approx(3 / 5)
    assert observation_score(reciprocal, with_unknown(author, "one")).value == pytest.approx(1 / 3)
    np.testing.assert_array_equal(users(pooled), pooled)


def test_a_ratio_of_sums_needs_no_more_than_two_columns() -> None:
    score = PerAuthor(np.array([1.0, 2.0]), np.array([2.0, 2.0]))
    assert score.value == pytest.approx(3 / 4)
    assert score.alone.tolist() == [0.5, 1.0]
