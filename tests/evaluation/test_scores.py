"""Scores of whole files equal a computation by loops and fractions, straight from the definition."""

from __future__ import annotations

import csv
import json
import math
from collections import defaultdict
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.alignment import align
from evaluation.fused import fuse_places
from evaluation.fusion import Recipe
from evaluation.predictions import Predictions
from evaluation.scores import METRICS, Score, score_fused, score_predictions, write_scores

EIGHTHS = 8


@st.composite
def cases(draw: st.DrawFn) -> Predictions:
    """Draw a small contest: ties (few levels), unknown authors, unknown classes, classes nobody lists."""
    n_classes = draw(st.integers(1, 4))
    n_plants = draw(st.integers(1, 5))
    classes = [f"c{number}" for number in range(n_classes)]
    authors = [draw(st.sampled_from(["", "anna", "bo"])) for _ in range(n_plants)]
    truths = [draw(st.sampled_from([*classes, "stranger", ""])) for _ in range(n_plants)]
    plants = draw(st.lists(st.integers(0, n_plants - 1), min_size=1, max_size=10))
    votes = [draw(st.lists(st.integers(0, n_classes - 1), min_size=EIGHTHS, max_size=EIGHTHS)) for _ in plants]
    return Predictions(
        model="net",
        split="test",
        image_id=np.array([f"i{row}" for row in range(len(plants))]),
        observation_id=np.array([f"o{plant}" for plant in plants]),
        author=np.array([authors[plant] for plant in plants], dtype=np.str_),
        view=np.array([draw(st.sampled_from(["Flower", "Leaf"])) for _ in plants]),
        true_class=np.array([truths[plant] for plant in plants], dtype=np.str_),
        classes=np.array(classes),
        probability=np.array(
            [[row.count(species) / EIGHTHS for species in range(n_classes)] for row in votes], dtype=np.float32
        ),
    )


def mean(values: list[Fraction]) -> Fraction:
    return sum(values, Fraction()) / len(values)


def reciprocal(row: list[Fraction], classes: list[str], truth: str) -> Fraction:
    if truth not in classes:
        return Fraction(0)
    own = row[classes.index(truth)]
    places = [place for place, value in enumerate(sorted(row, reverse=True), start=1) if value == own]
    return 1 / mean([Fraction(place) for place in places])


def slow_scores(predictions: Predictions, view: str) -> dict[str, Fraction]:
    """The definitions in loops: users, their plants, the plants' images."""
    classes = predictions.classes.tolist()
    users: dict[str, dict[str, list[list[Fraction]]]] = defaultdict(lambda: defaultdict(list))
    truth: dict[str, str] = {}
    for row, probability in enumerate(predictions.probability.tolist()):
        if view not in ("all", predictions.view[row]) or not predictions.true_class[row]:
            continue
        plant = str(predictions.observation_id[row])
        truth[plant] = str(predictions.true_class[row])
        user = str(predictions.author[row]) or f"owner of {plant}"
        users[user][plant].append([Fraction(value) for value in probability])
    if not users:
        return {}

    def averaged(of_plant: Callable[[str, list[list[Fraction]]], Fraction]) -> Fraction:
        return mean([mean([of_plant(plant, rows) for plant, rows in plants.items()]) for plants in users.values()])

    def fused(rows: list[list[Fraction]]) -> list[Fraction]:
        return [mean(list(column)) for column in zip(*rows, strict=True)]

    plants = {plant: rows for plants in users.values() for plant, rows in plants.items()}
    places = [reciprocal(fused(rows), classes, truth[plant]) for plant, rows in plants.items()]
    return {
        "S": averaged(lambda plant, rows: reciprocal(fused(rows), classes, truth[plant])),
        "S_image": averaged(lambda plant, rows: mean([reciprocal(row, classes, truth[plant]) for row in rows])),
        **{f"top_{k}": mean([Fraction(place > 0 and 1 / place <= k) for place in places]) for k in (1, 3, 5)},
    }


@given(cases())
def test_one_model(predictions: Predictions) -> None:
    scores = score_predictions(predictions, run="name")
    for view in ("all", "Flower", "Leaf"):
        found = {score.metric: score.value for score in scores if score.view == view}
        expected = {name: float(value) for name, value in slow_scores(predictions, view).items()}
        assert found == pytest.approx(expected, abs=1e-12)
    assert all((score.run, score.split) == ("name", "test") for score in scores)
    for score in scores:
        # With one author nothing is known about others.
        assert math.isnan(score.low) == math.isnan(score.high)
        assert score.n_observations < 2 or math.isnan(score.low) or 0 <= score.low <= score.high <= 1
    total = {score.n_observations for score in scores if score.view == "all"}
    known = predictions.true_class != ""
    assert total in ({len(np.unique(predictions.observation_id[known]))}, set())


@given(cases())
def test_a_fusion_of_one_model_scores_as_the_model(predictions: Predictions) -> None:
    (places,) = fuse_places(align([predictions]), [Recipe("mean")], 1)
    fused = score_fused(places, "net")
    alone = [score for score in score_predictions(predictions) if score.view == "all"]
    assert [(score.metric, score.n_observations) for score in fused] == [
        (score.metric, score.n_observations) for score in alone
    ]
    np.testing.assert_allclose([score.value for score in fused], [score.value for score in alone], atol=1e-12)


@given(cases())
def test_a_fusion_without_images_has_no_image_score(predictions: Predictions) -> None:
    (places,) = fuse_places(align([predictions], by="observation"), [Recipe("mean")], 1)
    scores = score_fused(places, "fusion:mean")
    assert {score.metric for score in scores} in (set(METRICS) - {"S_image"}, set())


def test_a_view_counts_its_own_images_alone() -> None:
    predictions = Predictions(
        model="net",
        split="valid",
        image_id=np.array(["1", "2"]),
        observation_id=np.array(["o", "o"]),
        author=np.array(["", ""]),
        view=np.array(["Leaf", "Flower"]),
        true_class=np.array(["a", "a"]),
        classes=np.array(["a", "b"]),
        probability=np.array([[0.1, 0.9], [0.95, 0.05]], dtype=np.float32),
    )
    tops = {score.view: score.value for score in score_predictions(predictions) if score.metric == "top_1"}
    assert tops == {"all": 1.0, "Flower": 1.0, "Leaf": 0.0}


def test_files_carry_every_row_and_empty_intervals(tmp_path: Path) -> None:
    scores = [
        Score("a, b", "test", "all", "S", 1 / 3, math.nan, math.nan, 4),
        Score("a, b", "test", "Leaf", "top_1", 0.5, 0.25, 0.75, 2),
    ]
    table, document = write_scores(scores, tmp_path / "run")
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["value"]) for row in rows] == [1 / 3, 0.5]
    assert [(row["low"], row["high"]) for row in rows] == [("", ""), ("0.25", "0.75")]
    assert list(rows[0]) == ["run", "split", "view", "metric", "value", "low", "high", "n_observations"]
    content = json.loads(document.read_text())
    assert content["schema"] == "scores/1"
    assert content["scores"][0] == {
        "run": "a, b",
        "split": "test",
        "view": "all",
        "metric": "S",
        "value": 1 / 3,
        "low": None,
        "high": None,
        "n_observations": 4,
    }


def test_a_score_without_a_value_cannot_exist() -> None:
    with pytest.raises(ValueError, match="finite"):
        Score("a", "test", "all", "S", math.nan, math.nan, math.nan, 4)
    with pytest.raises(ValueError, match="at least one observation"):
        Score("a", "test", "all", "S", 0.5, math.nan, math.nan, 0)
