"""Every rule equals a loop over the definition, whatever the groups."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation import streaming
from evaluation.alignment import align
from evaluation.fusion import PRODUCT_FLOOR, RULES, Recipe, fuse, fuse_images, pool, recipes
from evaluation.predictions import Predictions
from evaluation.rules import WEIGHTED, Block
from evaluation.rules.learned import LEARNED
from featstore.errors import SettingsError


def slow_rule(name: str, rows: list[list[float]]) -> list[float]:
    """Every rule once more, species by species."""
    n = len(rows)
    ranks = [[rank_in(row, value) for value in row] for row in rows]
    firsts = [[(value == max(row)) / row.count(max(row)) for value in row] for row in rows]
    combined: dict[str, Callable[[int], float]] = {
        "mean": lambda c: sum(row[c] for row in rows) / n,
        "max": lambda c: max(row[c] for row in rows),
        "product": lambda c: math.prod(max(row[c], PRODUCT_FLOOR) ** (1 / n) for row in rows),
        "median": lambda c: statistics.median(row[c] for row in rows),
        "borda": lambda c: sum(len(row) + 1 - rank[c] for row, rank in zip(rows, ranks, strict=True)),
        "reciprocal_rank": lambda c: sum(1 / rank[c] for rank in ranks),
        "majority": lambda c: (
            sum(first[c] for first in firsts) * (n + 1) / n + sum(row[c] for row in rows) / sum(map(sum, rows))
        ),
    }
    fused = [combined[name](column) for column in range(len(rows[0]))]
    if not any(fused):
        return slow_rule("mean", rows)
    return [value / sum(fused) for value in fused]


def rank_in(row: list[float], value: float) -> float:
    greater, equal = sum(other > value for other in row), row.count(value)
    return greater + (equal + 1) / 2


def member(rng: np.random.Generator, observations: list[int], model: str = "net", n_classes: int = 4) -> Predictions:
    n = len(observations)
    return Predictions(
        model=model,
        split="test",
        image_id=np.array([f"{model} {row}" for row in range(n)]),
        observation_id=np.array([f"o{number}" for number in observations]),
        author=np.full(n, ""),
        view=np.full(n, "Leaf"),
        true_class=np.full(n, ""),
        classes=np.array([f"c{number}" for number in range(n_classes)]),
        probability=rng.dirichlet(np.full(n_classes, 0.3), n).astype(np.float32),
    )


def rows_of(predictions: Predictions, observation: str) -> list[list[float]]:
    return predictions.probability[predictions.observation_id == observation].astype(np.float64).tolist()


FIXED = [name for name in RULES if name != WEIGHTED]

groups_of_images = st.lists(st.integers(0, 5), min_size=1, max_size=20)


@pytest.mark.parametrize("rule", FIXED)
@settings(max_examples=25)
@given(observations=groups_of_images, n_models=st.integers(1, 3), seed=st.integers(0, 99))
def test_all_rows_at_once_equal_a_loop(rule: str, observations: list[int], n_models: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    first = member(rng, observations)
    members = [first] + [replace(first, probability=member(rng, observations).probability) for _ in range(n_models - 1)]
    fused = fuse(align(members), Recipe(rule))
    assert fused.n_images.sum() == len(observations)
    for row, observation in enumerate(fused.observation_id):
        rows = [line for one in members for line in rows_of(one, observation)]
        np.testing.assert_allclose(fused.probability[row], slow_rule(rule, rows), rtol=1e-9, atol=1e-300)
    np.testing.assert_allclose(fused.probability.sum(axis=1), 1, rtol=1e-12)


@pytest.mark.parametrize("image_rule", FIXED)
@pytest.mark.parametrize("model_rule", FIXED)
def test_two_steps_equal_two_loops(image_rule: str, model_rule: str) -> None:
    rng = np.random.default_rng(7)
    leaf = member(rng, [0, 1, 1, 2, 2, 2], "leaf")
    flower = member(rng, [2, 0, 1, 0], "flower")
    fused = fuse(align([leaf, flower], by="observation"), Recipe(model_rule, image_rule))
    for row, observation in enumerate(fused.observation_id):
        steps = [slow_rule(image_rule, rows_of(one, observation)) for one in (leaf, flower)]
        np.testing.assert_allclose(fused.probability[row], slow_rule(model_rule, steps), rtol=1e-6)
    assert fused.n_images.tolist() == [3, 3, 4]


def test_models_are_fused_image_by_image() -> None:
    rng = np.random.default_rng(3)
    first = member(rng, [0, 0, 1])
    second = replace(first, probability=member(rng, [0, 0, 1]).probability)
    found = fuse_images(align([first, second]), Recipe("max"))
    assert found is not None
    for row in range(3):
        rows = [one.probability[row].astype(np.float64).tolist() for one in (first, second)]
        np.testing.assert_allclose(found[row], slow_rule("max", rows), rtol=1e-9)
    apart = align([first, member(rng, [0, 1, 1], "organ")], by="observation")
    assert fuse_images(apart, Recipe("max")) is None


@pytest.mark.parametrize("rule", FIXED)
def test_the_order_of_members_does_not_matter(rule: str) -> None:
    rng = np.random.default_rng(5)
    first = member(rng, [0, 1, 1, 2])
    members = [replace(first, probability=member(rng, [0, 1, 1, 2]).probability) for _ in range(3)]
    one = fuse(align(members), Recipe(rule))
    other = fuse(align(members[::-1]), Recipe(rule))
    np.testing.assert_allclose(one.probability, other.probability, rtol=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_blocks_do_not_show(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(11)
    group = rng.permutation(np.concatenate([np.arange(30), rng.integers(0, 30, 70)]))
    rows = rng.dirichlet(np.ones(5), 100)
    whole = pool([rows], [group], 30, RULES[rule])
    monkeypatch.setattr(streaming, "CELLS_AT_ONCE", 3 * 5)
    np.testing.assert_array_equal(pool([rows], [group], 30, RULES[rule]), whole)


def test_a_zero_outvotes_but_does_not_silence() -> None:
    silent = np.array([[1.0, 0.0, 0.0], [0.0, 0.6, 0.4]])
    fused = RULES["product"](Block(silent, np.array([0])))
    assert np.all(np.isfinite(fused))
    assert fused.sum() == pytest.approx(1)
    # Both zeros weigh the same, so the other factor decides.
    assert np.argsort(-fused[0]).tolist() == [0, 1, 2]


def test_many_rows_do_not_underflow_into_ties() -> None:
    rng = np.random.default_rng(2)
    rows = rng.dirichlet(np.full(10, 0.05), 200).clip(1e-30)
    fused = RULES["product"](Block(rows, np.array([0])))[0]
    assert len(np.unique(fused)) == 10
    assert np.argsort(fused).tolist() == np.argsort(np.log(rows).sum(axis=0)).tolist()


def test_recipes_of_the_command_line() -> None:
    assert recipes([], None, None) == (Recipe("mean"),)
    assert recipes(["max", "mean", "max"], None, None) == (Recipe("max"), Recipe("mean"))
    assert recipes([], "max", None) == (Recipe("mean", "max"),)
    assert recipes([], None, "product") == (Recipe("product", "mean"),)
    assert [recipe.name for recipe in recipes(["mean"], "max", "product")] == ["mean", "max-then-product"]


def test_sets_of_rules() -> None:
    fixed, everything = recipes(["fixed"], None, None), recipes(["all"], None, None)
    assert [recipe.name for recipe in fixed] == FIXED, "weights that nobody gave are no rule"
    assert {recipe.rule for recipe in everything} == {*FIXED, *LEARNED}
    assert Recipe("max", "max") in everything
    assert Recipe("greedy", "mean") in everything
    assert Recipe("view_weights", None) in everything
    assert not any(recipe.image_rule and "view" in recipe.rule for recipe in everything)
    assert Recipe("weighted_mean", None, (1.0, 2.0)) in recipes(["fixed"], None, None, [1, 2])
    assert recipes([], None, None, [1, 2]) == (Recipe("weighted_mean", None, (1.0, 2.0)),)
    names = [recipe.name for recipe in recipes(["max"], None, None, (), "view")]
    assert names == ["max", "max-calibrated-view"], "the effect can be seen"


def test_weights_count_by_model() -> None:
    rng = np.random.default_rng(3)
    first = member(rng, [0, 0, 1])
    second = replace(first, probability=member(rng, [0, 0, 1]).probability)
    aligned = align([first, second])
    fused = fuse(aligned, Recipe(WEIGHTED, weights=(3.0, 1.0))).probability
    for row, own in enumerate([first.observation_id == "o0", first.observation_id == "o1"]):
        expected = (3 * first.probability[own].sum(axis=0) + second.probability[own].sum(axis=0)) / (4 * own.sum())
        np.testing.assert_allclose(fused[row], expected, rtol=1e-6)
    one = fuse(aligned, Recipe(WEIGHTED, weights=(1.0, 0.0))).probability
    np.testing.assert_allclose(one, fuse(align([first]), Recipe()).probability, rtol=1e-9)
    even = fuse(aligned, Recipe(WEIGHTED, weights=(2.0, 2.0))).probability
    np.testing.assert_allclose(even, fuse(aligned, Recipe()).probability, rtol=1e-9)
    with pytest.raises(SettingsError, match=r"length 2 \(one per model\), got 3\. Pass --weight once per model"):
        fuse(aligned, Recipe(WEIGHTED, weights=(1.0, 1.0, 1.0)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rule": WEIGHTED}, "weights for weighted_mean, got none"),
        ({"rule": "mean", "weights": (1.0,)}, "weights for weighted_mean alone"),
        ({"rule": WEIGHTED, "weights": (0.0, 0.0)}, "a weight above 0, got zeros alone"),
        ({"rule": WEIGHTED, "weights": (1.0, -1.0)}, "finite weights of at least 0"),
        ({"rule": WEIGHTED, "weights": (1.0, math.nan)}, "finite weights of at least 0"),
        ({"rule": "view_weights", "image_rule": "mean"}, "Leave out --image-rule"),
        ({"image_rule": WEIGHTED}, "a rule for images"),
        ({"calibrate": "views"}, r"a calibration out of none, all, view, got 'views'\. Did you mean view\?"),
    ],
)
def test_settings_that_fit_no_rule(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Recipe(**settings)


def test_an_unknown_rule_names_the_nearest() -> None:
    with pytest.raises(SettingsError, match=r"product, .*, got 'prodcut'\. Did you mean product\?"):
        Recipe("prodcut")
    with pytest.raises(SettingsError, match="got 'bordeaux'"):
        Recipe("mean", "bordeaux")
