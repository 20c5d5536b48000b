"""Intervals: the drawn scores are those of authors drawn one by one, and the intervals hold what they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation import intervals as module
from evaluation.intervals import N_DRAWS, difference, intervals
from evaluation.metrics import PerAuthor, image_score, observation_score, top_k_score


@pytest.fixture
def author() -> NDArray[np.str_]:
    """Forty plants of eight authors, some with many, and five of unknown author."""
    rng = np.random.default_rng(3)
    return np.array([*(f"a{number}" for number in np.sort(rng.integers(0, 8, 35) ** 2 // 8)), *[""] * 5])


def test_every_drawn_score_is_that_of_the_drawn_authors_one_by_one(author: NDArray[np.str_]) -> None:
    """The draws are repeated by copying whole authors into a new contest, scored by the plain definition."""
    rng = np.random.default_rng(0)
    rank = rng.integers(1, 9, len(author)).astype(np.float64)
    plant = rng.permutation(np.r_[np.arange(len(author)), rng.integers(0, len(author), 60)])
    image_rank = rng.integers(1, 9, len(plant)).astype(np.float64)
    names = [name for name in np.unique(author) if name]
    members = [np.flatnonzero(author == name) for name in names] + [[row] for row in np.flatnonzero(author == "")]
    # Users are numbered with the unknown ones first.
    members = members[len(names) :] + members[: len(names)]
    scores = [
        observation_score(1 / rank, author),
        top_k_score(rank, 3, author),
        image_score(1 / image_rank, plant, author),
    ]
    drawn = module._drawn(scores)
    times = module._times_drawn(len(members))
    assert drawn.shape == (N_DRAWS, 3)
    for row in range(0, N_DRAWS, 199):
        users = [user for user, count in enumerate(times[row]) for _ in range(count)]
        plants = [np.asarray(members[user]) for user in users]
        assert drawn[row, 0] == pytest.approx(np.mean([np.mean(1 / rank[of_user]) for of_user in plants]))
        assert drawn[row, 1] == pytest.approx(np.mean(rank[np.concatenate(plants)] <= 3))
        per_plant = [np.mean(1 / image_rank[plant == one]) for one in range(len(author))]
        assert drawn[row, 2] == pytest.approx(
            np.mean([np.mean([per_plant[one] for one in of_user]) for of_user in plants])
        )


def test_an_interval_holds_its_score_and_repeats(author: NDArray[np.str_]) -> None:
    rank = np.random.default_rng(1).integers(1, 5, len(author)).astype(np.float64)
    scores = [observation_score(1 / rank, author), top_k_score(rank, 1, author)]
    ends = intervals(scores)
    assert ends == intervals(scores)
    for score, (low, high) in zip(scores, ends, strict=True):
        assert 0 <= low < score.value < high <= 1


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    """Contests of 60 authors of differing skill and size, whose expected score is known."""
    rng = np.random.default_rng(7)
    n_authors, n_contests, inside = 60, 300, 0
    for _ in range(n_contests):
        skill = rng.beta(4, 2, n_authors)
        n_plants = rng.integers(1, 9, n_authors)
        total = rng.binomial(n_plants, skill) / n_plants
        ((low, high),) = intervals([PerAuthor(total, np.ones(n_authors))])
        inside += low <= 4 / 6 <= high
    assert 0.90 <= inside / n_contests <= 0.98


def test_authors_of_many_plants_widen_an_interval() -> None:
    """A hundred plants tell less when ten authors took them than when a hundred did."""
    rank = np.repeat([1.0, 4.0], 50)
    apart = np.array([f"a{row}" for row in range(100)])
    together = np.array([f"a{row // 10}" for row in range(100)])
    (wide,), (narrow,) = (intervals([observation_score(1 / rank, author)]) for author in (together, apart))
    assert wide[1] - wide[0] > 2 * (narrow[1] - narrow[0])


def test_a_difference_is_judged_on_the_same_draws(author: NDArray[np.str_]) -> None:
    """A run that is a little better everywhere is told apart, though both intervals overlap."""
    rng = np.random.default_rng(2)
    worse = rng.integers(2, 9, len(author)).astype(np.float64)
    first, second = observation_score(1 / (worse - 0.5), author), observation_score(1 / worse, author)
    (low_of_first, _), (_, high_of_second) = intervals([first, second])
    assert low_of_first < high_of_second
    found = difference(first, second)
    assert found.distinguishable
    assert found.value == pytest.approx(first.value - second.value)
    assert found.low < found.value < found.high
    assert difference(second, first).value == -found.value
    same = difference(first, first)
    assert (same.value, same.low, same.high, same.distinguishable) == (0, 0, 0, False)


def test_one_author_tells_nothing_about_others() -> None:
    alone = observation_score(np.array([1.0, 0.5]), np.array(["anna", "anna"]))
    assert all(math.isnan(end) for ends in intervals([alone]) for end in ends)
    assert not difference(alone, alone).distinguishable


def test_no_author_is_drawn_more_often_than_can_be_counted() -> None:
    times = module._times_drawn(1000)
    assert (times.sum(axis=1) == 1000).all()
    assert times.max() < 255
