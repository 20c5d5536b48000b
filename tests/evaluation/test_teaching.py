"""Streamed or in memory, learnt or not: every recipe's answers are the same, in places and in its file."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from evaluation import streaming
from evaluation.alignment import align
from evaluation.fuse import FuseSettings, fuse_runs
from evaluation.fused import FusedPlaces
from evaluation.learning import Fit, Lesson, answer, answer_honestly, fit_recipe
from evaluation.lessons import find_lesson
from evaluation.members import load_members
from evaluation.predictions import Predictions
from evaluation.recipes import Recipe
from evaluation.runs import RULE, observations_path, predictions_path
from evaluation.teaching import Teacher, fuse_recipes
from featstore.errors import PredictionsError, SettingsError

N, K = 60, 3
RECIPES = (
    Recipe("median"),
    Recipe("weighted_mean", "max", (1.0, 3.0)),
    Recipe("view_weights"),
    Recipe("mean", calibrate="view"),
    Recipe("weighted_product", calibrate="all"),
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two models' answers to valid and to test."""
    folder = tmp_path_factory.mktemp("runs")
    for number, (model, split) in enumerate((model, split) for model in ("a", "b") for split in ("valid", "test")):
        rng = np.random.default_rng(number)
        truth = np.repeat(np.arange(N) % K, 2)
        rows = rng.dirichlet(np.ones(K), 2 * N) + 0.4 * np.eye(K)[truth]
        Predictions(
            model=model,
            split=split,
            image_id=np.array([f"{split}{row}" for row in range(2 * N)]),
            observation_id=np.array([f"{split}{row // 2:02}" for row in range(2 * N)]),
            author=np.array([f"u{row // 2 % 5}" for row in range(2 * N)]),
            view=np.array(["Flower", "Leaf"])[np.arange(2 * N) % 2],
            true_class=np.array([f"c{place}" for place in truth]),
            classes=np.array([f"c{place}" for place in range(K)]),
            probability=(rows / rows.sum(axis=1, keepdims=True)).astype(np.float32),
            images_per_second=10.0,
        ).write(predictions_path(folder / model, split))
    return [folder / "a", folder / "b"]


@pytest.mark.parametrize(("split", "recipes"), [("valid", RECIPES[:4]), ("test", RECIPES)])
def test_one_pass_or_several_answer_as_each_recipe_alone(
    runs: list[Path], split: str, recipes: tuple[Recipe, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    members = load_members(runs, split).fused
    aligned = align([member.predictions for member in members])
    lesson = find_lesson(members, ["valid"], "image")
    whole = {}
    for recipe in recipes:
        fit = fit_recipe(lesson.aligned, recipe, 3) if recipe.needs_learning else Fit()
        if recipe.needs_learning and split == "valid":
            whole[recipe] = answer_honestly(aligned.loaded(), recipe, lesson, fit, 3)
        else:
            whole[recipe] = answer(aligned.loaded(), recipe, fit)
    monkeypatch.setattr(streaming, "CELLS_AT_ONCE", 20 * K)
    kept = {recipe: np.full((N, K), np.nan) for recipe in recipes}
    keep = {recipe: partial(put, rows) for recipe, rows in kept.items()}
    found = dict(fuse_recipes(aligned, recipes, Teacher(lesson, 3), 2, keep))
    assert set(found) == set(recipes)
    for recipe, one in whole.items():
        np.testing.assert_array_equal(kept[recipe], one.fused.probability)
        expected = FusedPlaces.of(one.fused, one.images, aligned.observations[0].index, 2)
        for name in ("rank", "own", "best", "probability"):
            np.testing.assert_array_equal(getattr(found[recipe].places, name), getattr(expected.places, name))
        np.testing.assert_array_equal(found[recipe].image_rank, expected.image_rank)


def put(whole: np.ndarray, low: int, rows: np.ndarray) -> None:
    whole[low : low + len(rows)] = rows


def test_a_fit_is_made_once(runs: list[Path]) -> None:
    members = load_members(runs, "test").fused
    teacher = Teacher(find_lesson(members, ["valid"], "image"))
    assert teacher.fit(RECIPES[2]) is teacher.fit(RECIPES[2])
    assert not teacher.fit(RECIPES[0]).learnt_something
    assert not Teacher(None).fit(RECIPES[2]).learnt_something


def test_the_files_hold_the_answers(runs: list[Path], tmp_path: Path) -> None:
    report = fuse_runs(runs, FuseSettings(RECIPES), tmp_path)
    aligned = align([member.predictions.loaded() for member in load_members(runs, "test").fused])
    lesson = Lesson(align([Predictions.read(predictions_path(run, "valid")) for run in runs]), "valid")
    for recipe, folder in zip(RECIPES, report.folders, strict=True):
        fit = fit_recipe(lesson.aligned, recipe) if recipe.needs_learning else Fit()
        fused = answer(aligned, recipe, fit).fused
        said = Predictions.read(observations_path(folder, "test"))
        np.testing.assert_array_equal(said.probability, fused.probability.astype(np.float32))
        np.testing.assert_array_equal(said.observation_id, fused.observation_id)
        assert said.image_id.tolist() == said.observation_id.tolist()
        assert (folder / RULE).is_file() == recipe.needs_learning
        assert not [path for path in folder.iterdir() if "partial" in path.name]


def test_nothing_is_written_where_a_setting_does_not_fit(runs: list[Path], tmp_path: Path) -> None:
    recipes = (Recipe(), Recipe("weighted_mean", weights=(1.0, 2.0, 3.0)))
    with pytest.raises(SettingsError, match="one per model"):
        fuse_runs(runs, FuseSettings(recipes), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_plants_that_teach_are_known_whatever_their_split_is_called(runs: list[Path], tmp_path: Path) -> None:
    """Test answers under the name of valid would otherwise be learnt from and judged on alike."""
    disguised = []
    for run in runs:
        test = Predictions.read(predictions_path(run, "test"))
        replace(test, split="valid").write(tmp_path / f"{run.name}.valid.predictions.h5")
        disguised.append(str(tmp_path / f"{run.name}.valid.predictions.h5"))
    members = load_members(runs, "test").fused
    lesson = find_lesson(members, disguised, "image")
    recipe = Recipe("stacked_classes")
    aligned = align([member.predictions for member in members])
    ((_, found),) = fuse_recipes(aligned, [recipe], Teacher(lesson))
    fit = fit_recipe(lesson.aligned, recipe)
    honest = answer_honestly(aligned.loaded(), recipe, lesson, fit)
    np.testing.assert_array_equal(found.places.own, FusedPlaces.of(honest.fused).places.own)
    itself = answer(aligned.loaded(), recipe, fit)
    assert not np.array_equal(found.places.own, FusedPlaces.of(itself.fused).places.own)


def test_a_model_learns_from_its_own_answers(runs: list[Path]) -> None:
    files = [str(predictions_path(run, "valid")) for run in reversed(runs)]
    with pytest.raises(PredictionsError, match="b to learn what a needs"):
        find_lesson(load_members(runs, "test").fused, files, "image")
