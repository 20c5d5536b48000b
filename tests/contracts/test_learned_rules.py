"""What every learned rule promises, checked for each of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluation.alignment import Aligned, align
from evaluation.fusion import Recipe, fuse
from evaluation.learning import Fit, Lesson, answer, answer_honestly, fit_recipe, select_plants
from evaluation.predictions import Predictions
from evaluation.rules.learned import LEARNED
from featstore.errors import PredictionsError, SettingsError

K = 6
VIEWS = np.array(["Flower", "Leaf"])


@pytest.fixture(params=LEARNED, scope="module")
def rule(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def plants(n: int, noises: tuple[float, ...], seed: int, split: str = "valid", n_images: int = 2) -> Aligned:
    """Members that see the right class of n plants through noise of their own; a noise of infinity sees nothing."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(rng.permutation(np.arange(n) % K), n_images)
    members = []
    for place, noise in enumerate(noises):
        right = 0.0 if np.isinf(noise) else 2.0
        logits = right * np.eye(K)[truth] + rng.normal(0, 1 if np.isinf(noise) else noise, (len(truth), K))
        probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        members.append(
            Predictions(
                model=f"net {place}",
                split=split,
                image_id=np.array([f"{row}" for row in range(len(truth))]),
                observation_id=np.array([f"plant {row // n_images:04d}" for row in range(len(truth))]),
                author=np.full(len(truth), ""),
                view=VIEWS[np.arange(len(truth)) % 2],
                true_class=np.array([f"c{number}" for number in truth]),
                classes=np.array([f"c{number}" for number in range(K)]),
                probability=probability.astype(np.float32),
            )
        )
    return align(members)


def log_loss(aligned: Aligned, recipe: Recipe, fit: Fit) -> float:
    fused = answer(aligned, recipe, fit).fused
    own = fused.probability[np.arange(len(fused.true_class)), np.searchsorted(fused.classes, fused.true_class)]
    return float(-np.log(np.maximum(own, 1e-12)).mean())


PLAIN = {name: Recipe("product" if learner.needs == "logs" else "mean") for name, learner in LEARNED.items()}


@pytest.fixture(scope="module")
def taught(rule: str) -> tuple[Recipe, Fit]:
    recipe = Recipe(rule, calibrate="view")
    return recipe, fit_recipe(plants(40, (1.0, 2.0), seed=1), recipe, seed=7, source="valid")


def test_it_gives_rows_that_sum_to_1_also_for_what_it_has_not_met(taught: tuple[Recipe, Fit]) -> None:
    asked = plants(10, (1.0, 2.0), seed=2)
    new = replace(asked, members=tuple(replace(one, view=np.full(20, "Stem")) for one in asked.members))
    for aligned in (asked, new):
        found = answer(aligned, *taught)
        assert found.images is not None
        for rows in (found.fused.probability, found.images):
            assert np.isfinite(rows).all()
            np.testing.assert_allclose(rows.sum(axis=1), 1, rtol=1e-9)


def test_it_comes_back_from_its_file(taught: tuple[Recipe, Fit], tmp_path: Path) -> None:
    (recipe, fit), asked, path = taught, plants(10, (1.0, 2.0), seed=2), tmp_path / "rule.json"
    fit.write(path)
    read = Fit.read(path)
    one, other = (answer(asked, recipe, which).fused.probability for which in (read, fit))
    np.testing.assert_array_equal(one, other)
    assert read.rule is not None
    assert read.rule.details["learnt_on"] == "valid"
    told = json.loads(path.read_text())
    path.write_text(json.dumps({**told, "schema": "fusion/0"}))
    with pytest.raises(PredictionsError, match="schema fusion/1"):
        Fit.read(path)
    path.write_text(json.dumps({**told, "rule": {**told["rule"], "rule": "voodoo"}}))
    with pytest.raises(PredictionsError, match="voodoo"):
        Fit.read(path)


def test_the_same_seed_repeats(taught: tuple[Recipe, Fit]) -> None:
    recipe, fit = taught
    again = fit_recipe(plants(40, (1.0, 2.0), seed=1), recipe, seed=7)
    assert fit.rule is not None
    assert again.rule is not None
    np.testing.assert_array_equal(again.rule.weights, fit.rule.weights)
    np.testing.assert_array_equal(again.rule.bias, fit.rule.bias)


def test_few_plants_leave_the_weights_equal(rule: str) -> None:
    aligned = plants(12, (0.5, 3.0), seed=5)
    asked = plants(40, (1.0, 2.0), seed=6)
    fused = answer(asked, Recipe(rule), fit_recipe(aligned, Recipe(rule))).fused.probability
    plain = fuse(asked, PLAIN[rule]).probability
    np.testing.assert_array_equal(fused.argmax(axis=1), plain.argmax(axis=1))


@pytest.mark.parametrize("name", [name for name, learner in LEARNED.items() if learner.sources != "view"])
def test_a_model_that_sees_nothing_is_not_listened_to(name: str) -> None:
    learnt, asked = plants(150, (1.0, np.inf), seed=8), plants(150, (1.0, np.inf), seed=9)
    fit = fit_recipe(learnt, Recipe(name))
    assert fit.rule is not None
    weights = fit.rule.weights if fit.rule.weights.ndim == 1 else fit.rule.weights.mean(axis=1)
    ours, theirs = ([w for w, label in zip(weights, fit.rule.labels, strict=True) if label[0].startswith(place)]
                    for place in ("1:", "2:"))  # fmt: skip
    assert np.abs(theirs).max() < 0.4 * min(ours)
    assert log_loss(asked, Recipe(name), fit) < log_loss(asked, PLAIN[name], Fit()) - 0.02


@pytest.mark.parametrize("name", ["view_weights", "model_view_weights", "stacked_views"])
def test_a_view_that_shows_nothing_is_not_listened_to(name: str) -> None:
    def blinded(seed: int) -> Aligned:
        aligned = plants(200, (1.0,), seed)
        (one,) = aligned.members
        noise = np.random.default_rng(seed).dirichlet(np.ones(K), len(one.view)).astype(np.float32)
        blind = replace(one, probability=np.where(one.view[:, np.newaxis] == "Leaf", noise, one.probability))
        return replace(aligned, members=(blind,))

    fit = fit_recipe(blinded(1), Recipe(name))
    assert log_loss(blinded(2), Recipe(name), fit) < log_loss(blinded(2), PLAIN[name], Fit()) - 0.05


@pytest.mark.parametrize("name", ["log_loss", "weighted_product"])
def test_what_teaches_is_answered_by_others(name: str) -> None:
    aligned, recipe = plants(60, (np.inf, np.inf), seed=11), Recipe(name)
    lesson = Lesson(select_plants(aligned, np.arange(60) < 50), "valid")
    fit = fit_recipe(lesson.aligned, recipe)
    found, whole = answer_honestly(aligned, recipe, lesson, fit).fused, answer(aligned, recipe, fit).fused
    np.testing.assert_array_equal(found.probability[50:], whole.probability[50:])
    own = np.arange(50), np.searchsorted(found.classes, found.true_class[:50])
    if name == "weighted_product":
        # From noise alone nothing can be learnt but what does not hold for others.
        assert np.log(found.probability[own]).mean() < np.log(whole.probability[own]).mean()


def test_other_members_or_classes_are_refused(rule: str, taught: tuple[Recipe, Fit]) -> None:
    aligned = plants(12, (1.0, 2.0), seed=12)
    with pytest.raises(SettingsError, match=r"the models that .* was learnt on, 1:net 0, 2:net 1"):
        answer(align(aligned.members[::-1]), *taught)
    with pytest.raises(SettingsError, match="Fit it first"):
        fuse(aligned, Recipe(rule))
    unknown = align([replace(one, true_class=np.full(24, "")) for one in aligned.members])
    with pytest.raises(PredictionsError, match="plants of known class to learn a fusion from"):
        fit_recipe(unknown, Recipe(rule))
