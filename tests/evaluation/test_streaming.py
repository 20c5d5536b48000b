"""Whatever the portions and threads: streamed places are those of the whole answers, bit by bit."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from evaluation import rows as rows_module
from evaluation import streaming
from evaluation.alignment import Aligned, align
from evaluation.fused import fuse_places
from evaluation.fusion import RULES, Recipe, fuse, fuse_images, mean_rule, pool
from evaluation.metrics import average_ranks, true_indices
from evaluation.places import Places
from evaluation.predictions import Predictions
from evaluation.rows import Matrix
from evaluation.rules import WEIGHTED
from evaluation.rules.fitted import FittedRule
from evaluation.streaming import LEFT_OUT, Portion, Stream
from evaluation.ways import model_names

N_PLANTS, N_CLASSES, N_BEST = 23, 9, 5
WEIGHTS = (0.5, 2.0, 0.0, 1.0)
RECIPES = [
    Recipe(rule, first, WEIGHTS if rule == WEIGHTED else ())
    for first in (None, "mean", "max", "median")
    for rule in RULES
]


def member(rng: np.random.Generator, name: str, plants: np.ndarray) -> Predictions:
    n = len(plants)
    # Few different values: ties at every place.
    probability = rng.integers(1, 4, (n, N_CLASSES)).astype(np.float64)
    probability[rng.random(n) < 0.5] = rng.dirichlet(np.ones(N_CLASSES), 1)
    return Predictions(
        model=name,
        split="test",
        image_id=np.array([f"{name[:1]}{row:03}" for row in range(n)]),
        observation_id=np.array([f"o{plant:02}" for plant in plants]),
        author=np.array([f"a{plant % 4}" for plant in plants]),
        view=np.where(np.arange(n) % 3 == 0, "Flower", "Leaf"),
        true_class=np.array([f"c{plant % (N_CLASSES + 2)}" for plant in plants]),
        classes=np.array([f"c{column}" for column in range(N_CLASSES)]),
        probability=(probability / probability.sum(axis=1, keepdims=True)).astype(np.float32),
    )


def members(by: str, folder: Path) -> Aligned[Matrix]:
    """Three models in memory and one in a file, in an order of its own."""
    rng = np.random.default_rng(8)
    names = ["net 1", "net 2", "net 3", "net 4"] if by == "image" else ["leaf", "stem", "flower", "bark"]
    shared = rng.permutation(np.concatenate([np.arange(N_PLANTS), rng.integers(0, N_PLANTS, 40)]))
    plants = [shared if by == "image" else rng.permutation(np.append(shared, n)) for n in range(4)]
    found: list[Predictions[Matrix]] = [member(rng, *pair) for pair in zip(names, plants, strict=True)]
    path = folder / "p.h5"
    found[3].take(rng.permutation(len(plants[3]))).write(path)
    return align([*found[:3], Predictions.open(path)], by)


def rules_of_views(aligned: Aligned[Matrix]) -> dict[Recipe, FittedRule]:
    """Learned rules whose weights are of models and views, in logarithms and not."""
    models = model_names(aligned)
    labels = tuple((model, view) for model in models for view in ("Flower", "Leaf"))
    weights, bias = np.linspace(0.2, 1.5, len(labels)), np.linspace(-1, 1, N_CLASSES)
    classes = aligned.members[0].classes
    return {
        Recipe("model_view_weights"): FittedRule(
            "model_view_weights", models, classes, labels, weights, np.zeros(1), logarithmic=False
        ),
        Recipe("stacked_views"): FittedRule("stacked_views", models, classes, labels, weights, bias, logarithmic=True),
    }


def put(whole: np.ndarray, low: int, rows: np.ndarray) -> None:
    whole[low : low + len(rows)] = rows


@pytest.mark.parametrize("by", ["image", "observation"])
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("n_rows", [1, 20, 10_000])
def test_streamed_equals_in_memory(
    by: str, threads: int, n_rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aligned = members(by, tmp_path)
    recipes = [*RECIPES, *(fitted := rules_of_views(aligned))]
    whole = [
        (fuse(aligned, recipe, fitted.get(recipe)), fuse_images(aligned, recipe, fitted.get(recipe)))
        for recipe in recipes
    ]
    monkeypatch.setattr(streaming, "CELLS_AT_ONCE", n_rows * N_CLASSES)
    monkeypatch.setattr(rows_module, "CELLS_AT_ONCE", n_rows * N_CLASSES)
    monkeypatch.setattr(streaming, "n_threads", lambda: threads)
    kept = [np.full(fused.probability.shape, np.nan) for fused, _ in whole]
    keep = [partial(put, rows) for rows in kept]
    streamed = fuse_places(aligned, recipes, N_BEST, fitted, keep)
    for found, rows, (fused, images) in zip(streamed, kept, whole, strict=True):
        np.testing.assert_array_equal(rows, fused.probability)
        truth = true_indices(fused.true_class, fused.classes)
        best = np.argsort(-fused.probability, axis=1, kind="stable")[:, :N_BEST]
        np.testing.assert_array_equal(found.places.rank, average_ranks(fused.probability, truth))
        np.testing.assert_array_equal(found.places.best, best)
        np.testing.assert_array_equal(found.places.probability, np.take_along_axis(fused.probability, best, axis=1))
        np.testing.assert_array_equal(found.n_images, fused.n_images)
        if images is None:
            assert len(found.image_rank) == len(found.index) == 0
        else:
            np.testing.assert_array_equal(found.image_rank, average_ranks(images, truth[found.index]))


def test_own_probability_is_that_of_the_right_species() -> None:
    rows = np.array([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1]])
    places = Places.of(rows, np.array([2, -1]), 5)
    assert places.own.tolist() == [0.2, 0.0]
    assert places.rank.tolist() == [3.0, np.inf]
    assert places.best.tolist() == [[0, 1, 2], [1, 0, 2]], "fewer classes than places; equals by column"


def test_rows_that_are_left_out_are_not_looked_at() -> None:
    rng = np.random.default_rng(3)
    matrix, group = rng.random((30, 4)), np.arange(30) % 6
    kept = rng.random(30) < 0.7
    kept[:6] = True
    found = pool([matrix], [np.where(kept, group, LEFT_OUT)], 6, mean_rule)
    np.testing.assert_array_equal(found, pool([matrix[kept]], [group[kept]], 6, mean_rule))


def test_a_portion_knows_where_its_rows_are_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "CELLS_AT_ONCE", 1)
    first, second = np.arange(5.0)[:, np.newaxis], np.arange(10.0, 13.0)[:, np.newaxis]
    groups, known = [np.array([1, 0, 1, 2, 0]), np.array([2, 1, 1])], [np.arange(5), np.arange(20, 23)]
    stream = Stream([first, second], groups, 3, known)

    def look(portion: Portion) -> tuple[list[float], list[list[int]], list[int]]:
        source = portion.block.source
        assert source is not None
        return portion.rows[:, 0].tolist(), [rows.tolist() for rows in portion.position], source.tolist()

    assert list(stream.map(look)) == [
        ([1.0, 4.0], [[1, 4], []], [1, 4]),
        ([0.0, 2.0, 11.0, 12.0], [[0, 2], [1, 2]], [0, 2, 21, 22]),
        ([3.0, 10.0], [[3], [0]], [3, 20]),
    ]
    unnamed = Stream([first, second], groups, 3)
    by_matrix = [list(block.source) for block in unnamed.map(lambda portion: portion.block) if block.source is not None]
    assert by_matrix == [[0, 0], [0, 0, 1, 1], [0, 1]]
    assert stream.n_portions == 3


def test_a_fault_in_a_thread_comes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "CELLS_AT_ONCE", 1)
    monkeypatch.setattr(streaming, "n_threads", lambda: 2)
    stream = Stream([np.ones((8, 1))], [np.arange(8)], 8)

    def fail(portion: Portion) -> None:
        raise ValueError(f"portion {portion.low}")

    with pytest.raises(ValueError, match="portion 0"):
        list(stream.map(fail))


@pytest.mark.parametrize("n_models", [1, 8])
@pytest.mark.parametrize("n_rows", [50, 400])
def test_a_portion_grows_with_neither_models_nor_rows(
    n_models: int, n_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "CELLS_AT_ONCE", 32 * 10)
    matrix, group = np.ones((n_rows, 10)), np.arange(n_rows) // 2
    stream = Stream([matrix] * n_models, [group] * n_models, n_rows // 2)
    sizes = list(stream.map(lambda portion: portion.rows.shape[0]))
    assert max(sizes) <= 32
    assert sum(sizes) == n_models * n_rows, "every row once"
