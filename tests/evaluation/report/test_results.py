"""Results of a report are those of `evaluate fuse`, whatever the rule."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from evaluation.alignment import align
from evaluation.fused import FusedPlaces
from evaluation.fusion import RULES, Recipe, fuse
from evaluation.members import load_members
from evaluation.recipes import FIXED
from evaluation.report.questions import questions
from evaluation.report.results import answers, judge, lead, ordered
from evaluation.rows import same_rows
from evaluation.rules import Block
from evaluation.scores import score_fused, score_predictions
from evaluation.simplest import Needs


@pytest.fixture(scope="module")
def members(scene):
    return load_members(scene.runs, "test")


def test_every_model_and_both_fusions_are_asked(members) -> None:
    asked = questions(members.listed, members.fused, "mean")
    assert [question.run for question in asked] == [
        "net-a",
        "net-b",
        "net-b + TTA5",
        "fusion:mean of all 2",
        "fusion:mean of all 2 + TTA",
    ]
    # A run without augmented predictions takes part with its plain ones.
    augmented = asked[-1]
    plain, varied = augmented.members
    assert same_rows(plain.probability, members.listed[0].predictions.probability)
    assert same_rows(varied.probability, members.listed[2].predictions.probability)


def test_those_that_valid_would_merge_are_fused_too(members) -> None:
    paths = [member.path for member in members.fused]
    third = replace(members.fused[0], run="net-c", predictions=replace(members.fused[0].predictions, model="net-c"))
    asked = questions(members.listed, (*members.fused, replace(third, path=paths[0].with_name("c"))), "max", paths)
    fusions = [question for question in asked if question.kind == "fusion"]
    assert [question.run for question in fusions][::2] == ["fusion:max of all 3", "fusion:max of 2 chosen on valid"]
    assert fusions[2].models == "net-a, net-b"
    # One that is stored is not made again.
    stored = replace(fusions[2], run="fusion-max")
    again = questions(members.listed, members.fused, "max", stored=[stored])
    assert [question.run for question in again if question.kind == "fusion"][:1] == ["fusion-max"]
    assert not any(question.run == "fusion:max of all 2" for question in again)


def test_a_model_alone_scores_as_everywhere(members) -> None:
    for question in questions(members.listed, members.fused, "mean")[:3]:
        expected = score_predictions(question.members[0], question.run)
        found = judge(question, "image").scores
        assert {(s.view, s.metric): (s.value, s.low, s.high) for s in expected if s.metric != "S_image"} == {
            (s.view, s.metric): (s.value, s.low, s.high) for s in found if s.metric != "S_image"
        }


@pytest.mark.parametrize("rule", FIXED)
def test_views_are_fused_by_the_rule(members, rule: str) -> None:
    question = next(one for one in questions(members.listed, members.fused, rule) if one.kind == "fusion")
    result = judge(question, "image")
    for view in ("Flower", "Leaf"):
        alone = align([member.select(member.view == view) for member in question.members])
        expected = score_fused(FusedPlaces.of(fuse(alone, Recipe(rule))), question.run)
        assert [result.score(score.metric, view).value for score in expected] == [score.value for score in expected]


@pytest.mark.parametrize("rule", FIXED)
def test_images_are_fused_over_the_members_that_saw_them(members, rule: str) -> None:
    """Members with images of their own: an image that both saw is fused, another one stands as it is."""
    first, second = (member.predictions for member in members.fused)
    first = first.select(first.view == "Leaf")
    question = next(one for one in questions(members.listed, members.fused, rule) if one.kind == "fusion")
    question = type(question)(question.run, "fusion", False, (first, second), Recipe(rule))
    found = answers(question, "observation")
    assert sorted(found.images.image_id.tolist()) == sorted(second.image_id.tolist())
    for row, image_id in enumerate(found.images.image_id):
        rows = [one.probability[one.image_id == image_id] for one in (first, second) if image_id in one.image_id]
        expected = RULES[rule](Block(np.concatenate(rows).astype(float), np.array([0])))[0]
        np.testing.assert_allclose(found.images.probability[row], expected, rtol=1e-5)
        assert found.fused.observation_id[found.plant[row]] == found.images.observation_id[row]


def test_of_equals_on_valid_the_simplest_comes_first_whatever_test_says(members) -> None:
    result = judge(questions(members.listed, members.fused, "mean")[0], "image")
    better = tuple(replace(score, value=0.99) if score.metric == "S" else score for score in result.scores)
    needs = {"large": Needs(2), "simple": Needs(1), "unknown": Needs(0)}
    large, simple, unknown = (replace(result, question=replace(result.question, needs=need)) for need in needs.values())
    large = replace(large, scores=better, on_valid=0.8 + 1e-16)
    simple, unknown = replace(simple, on_valid=0.8), replace(unknown, on_valid=math.nan)
    assert ordered([large, unknown, simple]) == [simple, large, unknown]
    without = [replace(one, on_valid=math.nan, scores=result.scores) for one in (large, simple)]
    assert ordered(without) == without[::-1]


def test_the_best_comes_first_and_its_lead_is_paired(members) -> None:
    results = ordered([judge(question, "image") for question in questions(members.listed, members.fused, "mean")])
    on_valid = [result.on_valid for result in results]
    assert on_valid == sorted(on_valid, reverse=True)
    values = [result.s.value for result in results]
    assert lead(results).value == pytest.approx(values[0] - values[1])
    assert lead(results[:1]) is None
    assert math.isnan(lead([results[0], results[0]]).low) is False
    assert lead([results[0], results[0]]).distinguishable is False
