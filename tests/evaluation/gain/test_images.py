"""Gain by photographs: every figure equals a loop over all sets of images, and a closed form where there is one."""

from __future__ import annotations

import math
from itertools import combinations
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from evaluation.fusion import RULES
from evaluation.gain.contest import Contest, contest_of
from evaluation.gain.curves import ENOUGH_PLANTS, ImageCurve, ImageGain
from evaluation.gain.images import image_gain, image_sets
from evaluation.gain.plan import GainPlan
from evaluation.predictions import Predictions
from evaluation.rules import WEIGHTED, Block
from evaluation.scores import score_predictions
from featstore.errors import SettingsError

EVERY_SET = 10_000


def predictions(plant: NDArray[np.intp], probability: NDArray[np.float32], model: str = "net") -> Predictions:
    """Images of plants; three authors and some unknown ones, two views."""
    n, n_classes = probability.shape
    authors = np.array(["anna", "ben", "", "carl"])
    return Predictions(
        model=model,
        split="test",
        image_id=np.array([f"i{row:05}" for row in range(n)]),
        observation_id=np.array([f"o{number:04}" for number in plant]),
        author=authors[plant % 4],
        view=np.array(["Leaf", "Flower"])[np.arange(n) % 2],
        true_class=np.array([f"c{number % n_classes:03}" for number in plant]),
        classes=np.array([f"c{number:03}" for number in range(n_classes)]),
        probability=probability,
    )


def drawn(seed: int, plant: list[int], n_models: int = 1) -> list[Predictions]:
    rng = np.random.default_rng(seed)
    shape = np.full(4, 0.3)
    return [
        predictions(np.array(plant), rng.dirichlet(shape, len(plant)).astype(np.float32), f"net {number}")
        for number in range(n_models)
    ]


def curve_of(gain: ImageGain, at_least: int | None, view: str = "all") -> ImageCurve:
    (found,) = [curve for curve in gain.curves if (curve.view, curve.at_least) == (view, at_least)]
    return found


def slow_figures(contest: Contest, rule: str, at_least: int, k: int) -> tuple[float, float]:
    """S and Top-1 by the plain definition: a mean over all sets, plants and users."""
    users: dict[str, list[float]] = {}
    hits: list[float] = []
    for number, author in enumerate(contest.plants.author.tolist()):
        rows = np.flatnonzero(contest.plants.index == number)
        if len(rows) < at_least:
            continue
        ranks = []
        for chosen in combinations(rows.tolist(), min(k, len(rows))):
            votes = np.concatenate([member.probability[list(chosen)] for member in contest.members])
            fused = RULES[rule](Block(votes.astype(np.float64), np.array([0])))[0]
            own = fused[contest.true_index[number]]
            ranks.append(np.count_nonzero(fused > own) + (np.count_nonzero(fused == own) + 1) / 2)
        users.setdefault(author or f"nobody {number}", []).append(fmean(1 / rank for rank in ranks))
        hits.append(fmean(float(rank <= 1) for rank in ranks))
    return fmean(fmean(values) for values in users.values()), fmean(hits)


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != WEIGHTED])
@settings(max_examples=8)
@given(plant=st.lists(st.integers(0, 4), min_size=2, max_size=12), seed=st.integers(0, 99), n_models=st.integers(1, 2))
def test_every_point_equals_a_loop_over_all_sets(rule: str, plant: list[int], seed: int, n_models: int) -> None:
    contest = contest_of(drawn(seed, plant, n_models), ["a", "b"][:n_models])
    gain = image_gain(contest, "run", GainPlan(rule, max_images=4, n_draws=EVERY_SET))
    for curve in [curve for curve in gain.curves if curve.view == "all"]:
        for point in curve.points:
            s, top_1 = slow_figures(contest, rule, curve.at_least or 1, point.n_images)
            assert (point.score.value, point.top_1.value) == (pytest.approx(s), pytest.approx(top_1))
            assert point.gain.value == pytest.approx(s - curve.points[0].score.value)


@given(
    plant=st.lists(st.integers(0, 5), min_size=2, max_size=15).filter(lambda plant: len(set(plant)) < len(plant)),
    seed=st.integers(0, 99),
)
@settings(max_examples=8)
def test_with_all_images_it_is_the_ordinary_fusion(plant: list[int], seed: int) -> None:
    """At most k images, k the most there are: the scores of `evaluate fuse`, intervals included."""
    (member,) = drawn(seed, plant)
    gain = image_gain(contest_of([member], ["net"]), "net", GainPlan(max_images=99))
    usual = {score.metric: score for score in score_predictions(member) if score.view == "all"}
    last = curve_of(gain, None).points[-1]
    for figure, metric in ((last.score, "S"), (last.top_1, "top_1")):
        ends = usual[metric].value, usual[metric].low, usual[metric].high
        assert (figure.value, figure.low, figure.high) == pytest.approx(ends, nan_ok=True)


def test_independent_images_follow_the_closed_form() -> None:
    """Each image says "right" with probability 2/3 and else "wrong"; the mean of three is right with 20/27."""
    rng = np.random.default_rng(5)
    plant = np.repeat(np.arange(2000), 3)
    right = np.where(rng.random(len(plant)) < 2 / 3, 0.9, 0.1)
    own = (plant % 2)[:, np.newaxis] == np.arange(2)
    member = predictions(plant, np.where(own, right[:, np.newaxis], 1 - right[:, np.newaxis]).astype(np.float32))
    points = curve_of(image_gain(contest_of([member], ["net"]), "net"), 3).points
    # One of two species is always in place 1, 2 or, tied, 1.5; two images disagree with probability 4/9.
    expected = {1: 2 / 3, 2: 4 / 9, 3: 20 / 27}
    assert [point.top_1.value for point in points] == pytest.approx(list(expected.values()), abs=0.03)
    assert points[0].top_1.low < 2 / 3 < points[0].top_1.high


def test_a_plant_is_on_a_curve_from_one_image_to_the_last() -> None:
    """Plants with one image are hopeless; they lower no point of the curve of plants with two."""
    plant = np.array([0, 1, 2, 2])
    right = np.array([0.0, 0.0, 1.0, 1.0], dtype=np.float32)
    own = (plant % 2)[:, np.newaxis] == np.arange(2)
    member = predictions(plant, np.where(own, right[:, np.newaxis], 1 - right[:, np.newaxis]))
    gain = image_gain(contest_of([member], ["net"]), "net")
    assert [point.score.value for point in curve_of(gain, 2).points] == [1.0, 1.0]
    assert [point.top_1.value for point in curve_of(gain, None).points] == pytest.approx([1 / 3, 1 / 3])


@given(n=st.integers(1, 9), data=st.data(), seed=st.integers(0, 9))
@settings(max_examples=20)
def test_images_are_drawn_without_replacement(n: int, data: st.DataObject, seed: int) -> None:
    k = data.draw(st.integers(1, n))
    plan = GainPlan(n_draws=6, seed=seed)
    sets = image_sets(n, k, 5, plan)
    assert sets.shape == (5, min(math.comb(n, k), 6), k)
    assert all(len(set(chosen)) == k and set(chosen) <= set(range(n)) for chosen in sets.reshape(-1, k).tolist())
    assert np.array_equal(sets, image_sets(n, k, 5, plan))


def test_a_seed_repeats_and_another_draws_other_images() -> None:
    contest = contest_of(drawn(1, [number // 8 for number in range(80)]), ["net"])
    first, again, other = (image_gain(contest, "net", GainPlan(n_draws=3, seed=seed)).to_json() for seed in (4, 4, 5))
    assert first == again
    assert first["curves"] != other["curves"]


def test_the_order_of_the_rows_changes_nothing() -> None:
    (member,) = drawn(1, [number // 8 for number in range(80)])
    moved = member.take(np.random.default_rng(2).permutation(80))
    gains = [image_gain(contest_of([each], ["net"]), "net", GainPlan(n_draws=3)) for each in (member, moved)]
    for curve, same in zip(gains[0].curves, gains[1].curves, strict=True):
        ends = [[point.score.value for point in each.points] for each in (curve, same)]
        assert ends[0] == pytest.approx(ends[1])


def test_a_view_has_curves_of_its_own_images() -> None:
    (member,) = drawn(3, [0, 0, 0, 0, 1, 1, 1, 1])
    leaf = member.select(member.view == "Leaf")
    of_view = curve_of(image_gain(contest_of([member], ["net"]), "net"), 2, "Leaf").points
    assert of_view == curve_of(image_gain(contest_of([leaf], ["net"]), "net"), 2).points


def test_one_image_each_has_no_curve() -> None:
    gain = image_gain(contest_of(drawn(0, [0, 1, 2]), ["net"]), "net")
    assert gain.curves == ()
    assert gain.main() is None


def test_one_author_has_figures_without_intervals() -> None:
    (member,) = drawn(0, [0, 0, 4, 4])
    point = curve_of(image_gain(contest_of([member], ["net"]), "net"), 2).points[-1]
    assert math.isnan(point.score.low)
    assert math.isnan(point.gain.high)
    assert point.to_json()["S_low"] is None


def test_the_main_curve_is_the_longest_on_enough_plants() -> None:
    plant = [*np.repeat(np.arange(ENOUGH_PLANTS), 3).tolist(), *[ENOUGH_PLANTS] * 5]
    gain = image_gain(contest_of(drawn(0, plant), ["net"]), "net")
    chosen = gain.main()
    assert chosen is not None
    assert (chosen.at_least, chosen.n_observations) == (3, ENOUGH_PLANTS + 1)


def test_plants_of_unknown_class_are_left_out() -> None:
    (member,) = drawn(0, [0, 0, 1, 1, 2, 2])
    truth = np.where(member.observation_id == "o0001", "", member.true_class)
    names = ("image_id", "observation_id", "author", "view", "classes", "probability")
    unknown = Predictions(
        model="net", split="test", true_class=truth, **{name: getattr(member, name) for name in names}
    )
    kept = member.select(member.observation_id != "o0001")
    gains = [image_gain(contest_of([each], ["net"]), "net") for each in (unknown, kept)]
    assert gains[0].curves == gains[1].curves


@pytest.mark.parametrize("wrong", [{"max_images": 1}, {"n_draws": 0}, {"rule": "medium"}])
def test_a_plan_that_makes_no_sense_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(SettingsError):
        GainPlan(**wrong)  # type: ignore[arg-type]  # wrong on purpose
