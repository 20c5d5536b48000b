"""Gain by models: sets equal the ordinary fusion, greedy order and front equal brute force."""

from __future__ import annotations

import math
from itertools import combinations
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.alignment import align
from evaluation.fused import FusedPlaces
from evaluation.fusion import RULES, Recipe, fuse
from evaluation.gain.contest import Contest, contest_of
from evaluation.gain.models import greedy_order, greedy_scores, model_gain, pareto_front
from evaluation.gain.plan import GainPlan
from evaluation.predictions import Predictions
from evaluation.rules import WEIGHTED
from evaluation.scores import score_fused


def members(seed: int, n_models: int, plant: list[int]) -> list[Predictions]:
    rng = np.random.default_rng(seed)
    n = len(plant)
    return [
        Predictions(
            model=f"net {number}",
            split="test",
            image_id=np.array([f"i{row}" for row in range(n)]),
            observation_id=np.array([f"o{each}" for each in plant]),
            author=np.array([f"a{each % 3}" for each in plant]),
            view=np.full(n, "Leaf"),
            true_class=np.array([f"c{each % 4}" for each in plant]),
            classes=np.array(["c0", "c1", "c2", "c3"]),
            probability=rng.dirichlet(np.full(4, 0.4), n).astype(np.float32),
            images_per_second=10.0 * (number + 1),
        )
        for number in range(n_models)
    ]


def contest(seed: int = 0, n_models: int = 4, plant: list[int] | None = None) -> Contest:
    found = members(seed, n_models, plant or [0, 0, 1, 2, 2, 2, 3, 4, 5, 5])
    return contest_of(found, [member.model for member in found])


def fused_score(found: Contest, chosen: tuple[int, ...], rule: str, metric: str = "S") -> float:
    fused = fuse(align([found.members[number] for number in chosen]), Recipe(rule))
    return {score.metric: score.value for score in score_fused(FusedPlaces.of(fused), "set")}[metric]


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != WEIGHTED])
@settings(max_examples=6)
@given(seed=st.integers(0, 99), plant=st.lists(st.integers(0, 5), min_size=1, max_size=12))
def test_every_set_is_the_ordinary_fusion(rule: str, seed: int, plant: list[int]) -> None:
    found = contest(seed, 3, plant)
    gain = model_gain(found, (2, 0, 1), plan=GainPlan(rule))
    for step, chosen in zip(gain.steps, [(2,), (2, 0), (2, 0, 1)], strict=True):
        assert step.score.value == pytest.approx(fused_score(found, chosen, rule))
        assert step.top_1.value == pytest.approx(fused_score(found, chosen, rule, "top_1"))
        assert step.gain.value == pytest.approx(step.score.value - gain.steps[0].score.value)
    for sets in gain.any_sets:
        every = [fused_score(found, chosen, rule) for chosen in combinations(range(3), sets.n_models)]
        assert sets.every_set
        assert sets.mean == pytest.approx(fmean(every))


@given(seed=st.integers(0, 99))
@settings(max_examples=8)
def test_every_step_is_the_best_one_that_is_left(seed: int) -> None:
    found = contest(seed, 5)
    order = greedy_order(found, range(5))
    assert sorted(order) == list(range(5))
    scores = greedy_scores(found, order)
    for m, score in enumerate(scores):
        others = [fused_score(found, (*order[:m], number), "mean") for number in set(range(5)) - set(order[:m])]
        assert score == pytest.approx(max(others))


def test_seconds_add() -> None:
    gain = model_gain(contest(), (3, 1))
    assert [step.seconds for step in gain.steps] == pytest.approx([1 / 40, 1 / 40 + 1 / 20])


def test_a_model_of_unknown_speed_has_a_score_and_no_cost() -> None:
    found = members(0, 2, [0, 1, 2])
    unknown = found[1].take(np.arange(3))
    object.__setattr__(unknown, "images_per_second", math.nan)
    gain = model_gain(contest_of([found[0], unknown], ["known", "unknown"]), (0, 1))
    assert math.isnan(gain.steps[1].seconds)
    assert not gain.steps[1].on_front
    assert gain.steps[0].on_front


places = st.tuples(st.integers(1, 4), st.integers(0, 4))


@given(st.lists(places, min_size=1, max_size=12))
def test_the_front_is_what_nothing_dominates(sets: list[tuple[int, int]]) -> None:
    front = pareto_front([cost for cost, _ in sets], [score for _, score in sets])
    for (cost, score), on_front in zip(sets, front, strict=True):
        dominated = any(other != (cost, score) and other[0] <= cost and other[1] >= score for other in sets)
        assert on_front is not dominated


def test_sets_are_drawn_when_there_are_too_many_and_a_seed_repeats_them() -> None:
    found = contest(n_models=8)
    gains = [model_gain(found, order, plan=GainPlan(n_draws=10)) for order in (range(8), tuple(reversed(range(8))))]
    middle = gains[0].any_sets[3]
    assert (middle.n_models, middle.n_sets, middle.every_set) == (4, 10, False)
    # Which sets are drawn does not depend on the order that valid taught.
    assert [sets.mean for sets in gains[0].any_sets] == pytest.approx([sets.mean for sets in gains[1].any_sets])
    assert gains[0].any_sets[-1].every_set
