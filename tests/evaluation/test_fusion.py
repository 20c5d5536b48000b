"""Every rule equals a loop over the definition, whatever the groups."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation import streaming
from evaluation.alignment import align
from evaluation.fusion import PRODUCT_FLOOR, RULES, Recipe, fuse, fuse_images, pool, recipes
from evaluation.predictions import Predictions
from featstore.errors import SettingsError


def slow_rule(name: str, rows: list[list[float]]) -> list[float]:
    columns = list(zip(*rows, strict=True))
    combined = {
        "mean": lambda values: sum(values) / len(values),
        "max": max,
        "product": lambda values: math.prod(max(value, PRODUCT_FLOOR) ** (1 / len(values)) for value in values),
    }[name]
    fused = [combined(values) for values in columns]
    return [value / sum(fused) for value in fused]


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


groups_of_images = st.lists(st.integers(0, 5), min_size=1, max_size=20)


@pytest.mark.parametrize("rule", RULES)
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


@pytest.mark.parametrize("image_rule", RULES)
@pytest.mark.parametrize("model_rule", RULES)
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


@pytest.mark.parametrize("rule", RULES)
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


@pytest.mark.parametrize("rule", RULES)
def test_one_row_stays_itself(rule: str) -> None:
    row = np.array([[0.5, 0.25, 0.25]])
    np.testing.assert_allclose(RULES[rule](row, np.array([0])), row, rtol=1e-12)


def test_a_zero_outvotes_but_does_not_silence() -> None:
    silent = np.array([[1.0, 0.0, 0.0], [0.0, 0.6, 0.4]])
    fused = RULES["product"](silent, np.array([0]))
    assert np.all(np.isfinite(fused))
    assert fused.sum() == pytest.approx(1)
    # Both zeros weigh the same, so the other factor decides.
    assert np.argsort(-fused[0]).tolist() == [0, 1, 2]


def test_many_rows_do_not_underflow_into_ties() -> None:
    rng = np.random.default_rng(2)
    rows = rng.dirichlet(np.full(10, 0.05), 200).clip(1e-30)
    fused = RULES["product"](rows, np.array([0]))[0]
    assert len(np.unique(fused)) == 10
    assert np.argsort(fused).tolist() == np.argsort(np.log(rows).sum(axis=0)).tolist()


def test_recipes_of_the_command_line() -> None:
    assert recipes([], None, None) == (Recipe("mean"),)
    assert recipes(["max", "mean", "max"], None, None) == (Recipe("max"), Recipe("mean"))
    assert recipes([], "max", None) == (Recipe("mean", "max"),)
    assert recipes([], None, "product") == (Recipe("product", "mean"),)
    assert [recipe.name for recipe in recipes(["mean"], "max", "product")] == ["mean", "max-then-product"]


def test_an_unknown_rule_names_the_nearest() -> None:
    with pytest.raises(SettingsError, match=r"mean, max, product, got 'prodcut'\. Did you mean product\?"):
        Recipe("prodcut")
    with pytest.raises(SettingsError, match="got 'borda'"):
        Recipe("mean", "borda")
