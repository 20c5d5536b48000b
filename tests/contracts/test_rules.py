"""What every rule in the tables promises, checked for each of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import rankdata

from evaluation.metrics import average_ranks
from evaluation.rules import RULES, Block, LogPool, Rule, WeightedMean

WEIGHTS = np.array([2.0, 0.0, 0.5])
EVERY: dict[str, Rule] = {
    **RULES,
    "weighted_mean with weights": WeightedMean(WEIGHTS),
    "logarithmic pool with weights": LogPool(WEIGHTS),
}


@pytest.fixture(params=EVERY, scope="module")
def rule(request: pytest.FixtureRequest) -> Rule:
    return EVERY[request.param]


def drawn(seed: int, n: int, k: int = 5) -> NDArray[np.float64]:
    """Rows with ties and zeros: few digits."""
    rows = np.round(np.random.default_rng(seed).dirichlet(np.full(k, 0.4), n), 1)
    rows[rows.sum(axis=1) == 0] = 1
    return rows / rows.sum(axis=1, keepdims=True)


def groups(seed: int, n: int) -> NDArray[np.intp]:
    """Starts of a few groups of n rows."""
    inner = np.random.default_rng(seed).permutation(np.arange(1, n))[: n // 3]
    return np.concatenate([[0], np.sort(inner)]).astype(np.intp)


def cases(test: Callable[..., None]) -> Callable[..., None]:
    return settings(max_examples=15)(given(seed=st.integers(0, 10_000), n=st.integers(1, 12))(test))


@cases
def test_rows_are_distributions(rule: Rule, seed: int, n: int) -> None:
    starts = groups(seed, n)
    fused = rule(Block(drawn(seed, n), starts, np.arange(n) % 3))
    assert fused.shape == (len(starts), 5)
    assert np.isfinite(fused).all()
    assert (fused >= 0).all()
    np.testing.assert_allclose(fused.sum(axis=1), 1, rtol=1e-12)


@cases
def test_the_order_of_rows_does_not_matter(rule: Rule, seed: int, n: int) -> None:
    rows, source, start = drawn(seed, n), np.arange(n) % 3, np.array([0])
    order = np.random.default_rng(seed).permutation(n)
    one, other = rule(Block(rows, start, source)), rule(Block(rows[order], start, source[order]))
    np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("name", ["borda", "reciprocal_rank", "majority"])
@cases
def test_equal_points_stay_equal_in_any_order_of_rows(name: str, seed: int, n: int) -> None:
    """Places are few, so ties are common: rounding must not break them, one way here and another there."""
    rows = np.random.default_rng(seed).dirichlet(np.ones(3), n)
    orders = [np.random.default_rng(seed + number).permutation(n) for number in range(4)]
    ranks = [rankdata(RULES[name](Block(rows[order], np.array([0])))[0]) for order in orders]
    for other in ranks[1:]:
        np.testing.assert_array_equal(ranks[0], other)


@cases
def test_classes_are_treated_alike(rule: Rule, seed: int, n: int) -> None:
    rows, source, starts = drawn(seed, n), np.arange(n) % 3, groups(seed, n)
    order = np.random.default_rng(seed).permutation(5)
    one, other = rule(Block(rows, starts, source)), rule(Block(rows[:, order], starts, source))
    np.testing.assert_allclose(one[:, order], other, rtol=1e-9, atol=1e-15)


@cases
def test_groups_do_not_meet(rule: Rule, seed: int, n: int) -> None:
    rows, source, starts = drawn(seed, n), np.arange(n) % 3, groups(seed, n)
    together = rule(Block(rows, starts, source))
    for group, (low, high) in enumerate(zip(starts, [*starts[1:], n], strict=True)):
        alone = rule(Block(rows[low:high], np.array([0]), source[low:high]))
        np.testing.assert_allclose(together[group], alone[0], rtol=1e-9, atol=1e-15)


@cases
def test_one_row_keeps_its_ranking_and_its_ties(rule: Rule, seed: int, n: int) -> None:
    rows = drawn(seed, n)
    fused = rule(Block(rows, np.arange(n), np.zeros(n, dtype=np.intp)))
    for column in np.tile(np.arange(5), (n, 1)).T:
        np.testing.assert_array_equal(average_ranks(fused, column), average_ranks(rows, column))


@cases
def test_what_all_say_twice_is_what_all_say(rule: Rule, seed: int, n: int) -> None:
    rows, source, start = drawn(seed, n), np.arange(n) % 3, np.array([0])
    once = rule(Block(rows, start, source))
    twice = rule(Block(np.repeat(rows, 2, axis=0), start, np.repeat(source, 2)))
    if rule is RULES["majority"]:
        # The share of the mean beside the votes shrinks with their number; no ranking moves by it.
        np.testing.assert_allclose(twice, once, atol=0.4)
    else:
        np.testing.assert_allclose(twice, once, rtol=1e-9, atol=1e-15)


def test_species_that_nothing_tells_apart_stay_tied(rule: Rule) -> None:
    rows = np.array([[0.5, 0.2, 0.2, 0.1], [0.1, 0.3, 0.3, 0.3], [0.0, 0.5, 0.5, 0.0]])
    fused = rule(Block(rows, np.array([0]), np.arange(3)))
    assert fused[0, 1] == fused[0, 2]


@pytest.mark.parametrize(
    "rows",
    [np.zeros((3, 4)), np.eye(4)[:3], np.eye(4)[[0, 0, 0]], np.full((3, 4), 0.25), np.ones((3, 1))],
    ids=["zeros", "each certain of another", "all certain", "undecided", "one class"],
)
def test_extremes_give_no_nan(rule: Rule, rows: NDArray[np.float64]) -> None:
    fused = rule(Block(rows, np.array([0]), np.arange(3)))
    assert np.isfinite(fused).all()
    assert fused.sum() == pytest.approx(1)
