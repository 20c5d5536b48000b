"""Intervals: the drawn scores are those of authors drawn one by one, and the intervals hold what they promise."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from evaluation import intervals as module
from evaluation.intervals import N_DRAWS, N_SWAPS, difference, few_among, intervals, swap_p_value
from evaluation.metrics import calibration_error, class_mean, image_score, observation_score, top_k_score
from evaluation.per_author import PerAuthor
from evaluation.ranking import Ranked
from evaluation.scores import METRICS


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


@pytest.mark.parametrize(("n_authors", "least"), [(4, 0.86), (10, 0.91), (60, 0.92)])
def test_intervals_hold_the_truth_about_as_often_as_they_say(n_authors: int, least: float) -> None:
    """Contests of authors of differing skill and size, whose expected score is known.

    Plain percentiles hold it in 75 % of these contests of 4 authors, and in 90 % of those of 10.
    """
    rng = np.random.default_rng(7)
    n_contests, inside = 600, 0
    for _ in range(n_contests):
        skill = rng.beta(4, 2, n_authors)
        n_plants = rng.integers(1, 9, n_authors)
        total = rng.binomial(n_plants, skill) / n_plants
        ((low, high),) = intervals([PerAuthor(total, np.ones(n_authors))])
        inside += low <= 4 / 6 <= high
    assert least <= inside / n_contests <= 0.98


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


def test_few_authors_are_told_where_plants_are_many() -> None:
    author = np.array([f"a{row % 4}" for row in range(37)])
    (told,) = few_among("valid", author)
    assert told.startswith("The observations of valid are of 4 authors: with fewer than 10")
    (told,) = few_among("valid", np.full(37, "anna"))
    assert told.startswith("One author has all observations of valid")
    (told,) = few_among("valid", author[:4])
    assert told.startswith("Only 4 observations of valid are scored")
    (told,) = few_among("valid", np.full(4, "anna"))
    assert told.startswith("One author has all observations of valid")
    # Of unknown author each is by itself.
    assert few_among("valid", np.full(37, "")) == []


def test_one_author_tells_nothing_about_others() -> None:
    alone = observation_score(np.array([1.0, 0.5]), np.array(["anna", "anna"]))
    assert all(math.isnan(end) for ends in intervals([alone]) for end in ends)
    assert not difference(alone, alone).distinguishable


def test_no_author_is_drawn_more_often_than_can_be_counted() -> None:
    times = module._times_drawn(1000)
    assert (times.sum(axis=1) == 1000).all()
    assert times.max() < 255


def test_two_or_three_authors_tell_no_difference() -> None:
    """Every plant is better in the first run, and that may be these authors' alone."""
    for n_authors, told in ((2, False), (3, False), (4, True)):
        author = np.array([f"a{row % n_authors}" for row in range(36)])
        found = difference(observation_score(np.full(36, 0.9), author), observation_score(np.full(36, 0.5), author))
        assert (found.distinguishable, math.isnan(found.low)) == (told, not told)


def test_equal_runs_are_told_apart_about_as_rarely_as_an_interval_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two authors a third of the pairs would be, without the rule."""

    def share(n_authors: int) -> float:
        rng, apart = np.random.default_rng(1), 0
        for _ in range(300):
            author = np.repeat(np.arange(n_authors), 10)
            skill = rng.beta(4, 2, n_authors)[author]
            first, second = (observation_score((rng.random(len(author)) < skill).astype(float), author) for _ in "ab")
            apart += difference(first, second).distinguishable
        return apart / 300

    assert share(2) == share(3) == 0
    assert 0 < share(4) < 0.09
    monkeypatch.setattr(module, "LEAST_AUTHORS", 2)
    assert share(2) > 0.25


@st.composite
def contests(draw: st.DrawFn) -> Ranked:
    """Draw a few plants, some of unknown author, some of a species that is not listed."""
    author = draw(st.lists(st.sampled_from(["", "anna", "bo", "cy"]), min_size=2, max_size=9))
    n = len(author)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    probability = rng.dirichlet(np.ones(3), n)
    own, rank = probability[:, 0].copy(), 1.0 + (probability[:, 1:] > probability[:, :1]).sum(axis=1)
    lost = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    own[lost], rank[lost] = 0.0, np.inf
    plant = np.r_[np.arange(n), rng.integers(0, n, 4)]
    return Ranked(
        observation_id=np.arange(n).astype(np.str_),
        true_class=rng.choice(["a", "b", "c"], n),
        rank=rank,
        author=np.array(author, dtype=np.str_),
        image_rank=rng.integers(1, 4, n + 4).astype(np.float64),
        plant=plant.astype(np.intp),
        own=own,
        confidence=probability.max(axis=1),
    )


def copied(ranked: Ranked, times: NDArray[np.uint8]) -> Ranked:
    """Another contest in which each user takes part as often as it was drawn, every time under another name."""
    plants = [
        (plant, f"{user} for the {turn}.")
        for user, count in enumerate(times)
        for turn in range(count)
        for plant in np.flatnonzero(ranked.user == user).tolist()
    ]
    rows = np.array([plant for plant, _ in plants])
    images = [(row, image) for row, plant in enumerate(rows) for image in np.flatnonzero(ranked.plant == plant)]
    return Ranked(
        observation_id=np.arange(len(rows)).astype(np.str_),
        true_class=ranked.true_class[rows],
        rank=ranked.rank[rows],
        author=np.array([name for _, name in plants]),
        image_rank=ranked.image_rank[[image for _, image in images]],
        plant=np.array([row for row, _ in images]),
        own=ranked.own[rows],
        confidence=ranked.confidence[rows],
    )


@settings(max_examples=50)
@given(contests(), st.data())
def test_every_metric_is_drawn_as_its_own_value_in_a_contest_of_the_drawn_authors(
    ranked: Ranked, data: st.DataObject
) -> None:
    n_users = len(set(ranked.user.tolist()))
    sums = {name: found for name, metric in METRICS.items() if (found := metric(ranked)) is not None}
    drawn = module._drawn(list(sums.values()))
    assert drawn.shape == (0 if n_users < 2 else N_DRAWS, len(sums))
    if n_users < 2:
        return
    for draw in data.draw(st.lists(st.integers(0, N_DRAWS - 1), min_size=4, max_size=4)):
        again = copied(ranked, module._times_drawn(n_users)[draw])
        for column, name in enumerate(sums):
            expected = METRICS[name](again)
            # No plant of a listed species was drawn.
            value = math.nan if expected is None else expected.value
            assert drawn[draw, column] == pytest.approx(value, abs=1e-12, nan_ok=True)


@settings(max_examples=40)
@given(contests(), st.sampled_from(["S", "top_1", "class_mrr", "log_loss", "calibration_error"]))
def test_a_swap_test_of_few_authors_counts_all_swaps(ranked: Ranked, name: str) -> None:
    """Against every assignment of the two runs to the authors, each scored by the plain definition."""
    rng = np.random.default_rng(0)
    own = np.where(ranked.own > 0, rng.uniform(0.01, 0.3, len(ranked.own)), 0.0)
    rank = np.where(np.isfinite(ranked.rank), rng.permutation(len(own)) + 1.0, np.inf)
    other = Ranked(
        ranked.observation_id, ranked.true_class, rank, ranked.author, ranked.image_rank, ranked.plant,
        own, np.full(len(own), 0.5),
    )  # fmt: skip
    first, second = METRICS[name](ranked), METRICS[name](other)
    n_users = len(set(ranked.user.tolist()))
    if first is None or second is None or n_users < 2:
        return
    apart = []
    for swaps in product([False, True], repeat=n_users):
        swapped = np.array(swaps)[ranked.user]
        pair = [METRICS[name](mixed(ranked, other, mask)) for mask in (swapped, ~swapped)]
        apart.append(abs(pair[0].value - pair[1].value))
    exact = np.mean(np.array(apart) >= apart[0] - 1e-9)
    # A share of N_SWAPS random swaps, five standard errors wide.
    assert swap_p_value(first, second) == pytest.approx(exact, abs=2.5 / math.sqrt(N_SWAPS) + 1e-3)


def mixed(first: Ranked, second: Ranked, swapped: NDArray[np.bool_]) -> Ranked:
    return Ranked(
        first.observation_id, first.true_class, np.where(swapped, second.rank, first.rank), first.author,
        first.image_rank, first.plant, np.where(swapped, second.own, first.own),
        np.where(swapped, second.confidence, first.confidence),
    )  # fmt: skip


def test_chance_alone_gives_every_p_value_equally_often() -> None:
    """Two runs that are alike for every author: a p-value of 5 % or less comes about once in twenty contests."""
    rng = np.random.default_rng(11)
    low = 0
    for _ in range(100):
        skill = rng.uniform(0.2, 0.9, 20)
        runs = [PerAuthor(rng.binomial(5, skill) / 5, np.ones(20)) for _ in range(2)]
        low += swap_p_value(*runs) <= 0.05
    assert 1 <= low <= 12
    alone = observation_score(np.array([1.0]), np.array(["anna"]))
    assert math.isnan(swap_p_value(alone, alone))


def test_the_interval_of_a_calibration_error_holds_the_truth() -> None:
    """Every plant is said to be right by 0.05 too surely; chance adds to that, and drawing authors adds it again."""
    rng = np.random.default_rng(13)
    author, listed = np.repeat([f"a{number}" for number in range(60)], 4), np.ones(240, dtype=bool)
    inside = inside_percentiles = 0
    values = []
    for _ in range(100):
        sure = rng.uniform(0.2, 1.0, 240)
        score = calibration_error(sure, (rng.random(240) < sure - 0.05).astype(np.float64), listed, author)
        ((low, high),) = intervals([score])
        inside += low <= 0.05 <= high
        low, high = module._ends(module._drawn([score])[:, 0], 60)
        inside_percentiles += low <= 0.05 <= high
        values.append(score.value)
    assert np.mean(values) > 0.06
    assert inside >= 80
    assert inside > inside_percentiles + 15


def test_the_interval_of_a_class_mean_holds_the_truth() -> None:
    rng = np.random.default_rng(17)
    skill = rng.beta(4, 2, 20)
    author = np.repeat([f"a{number}" for number in range(80)], 5)
    inside = 0
    for _ in range(100):
        species = rng.integers(0, 20, 400)
        value = (rng.random(400) < skill[species]).astype(np.float64)
        ((low, high),) = intervals([class_mean(value, species.astype(np.str_), author)])
        inside += low <= skill.mean() <= high
    assert inside >= 88


def test_rare_species_that_draws_lack_do_not_move_the_interval_of_a_class_mean() -> None:
    """Eighteen species by 27 authors each, 21 by one author each that are easier: a draw lacks a third of these."""
    rng = np.random.default_rng(19)
    species = np.r_[np.repeat(np.arange(18), 27), np.repeat(np.arange(18, 39), 3)]
    author = np.r_[np.arange(18 * 27), 18 * 27 + np.repeat(np.arange(21), 3)].astype(np.intp)
    chance = np.where(species < 18, rng.beta(8, 4, 39)[species], 0.95)
    truth = np.mean([chance[species == one].mean() for one in range(39)])
    inside = 0
    for _ in range(60):
        value = (rng.random(len(species)) < chance).astype(np.float64)
        score = class_mean(value, species.astype(np.str_), author)
        ((low, high),) = intervals([score])
        assert low < score.value < high
        inside += low <= truth <= high
    assert inside >= 53
    worse = class_mean(value * (rng.random(len(value)) < 0.8), species.astype(np.str_), author)
    less = difference(worse, score)
    assert less.low < less.value < less.high < 0
