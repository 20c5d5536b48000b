"""Scores of whole files equal a computation by loops and fractions, straight from the definition."""

from __future__ import annotations

import csv
import json
import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.alignment import align
from evaluation.fused import fuse_places
from evaluation.fusion import Recipe
from evaluation.metrics import SMALLEST, UNKNOWN_AUTHORS, UnknownAuthor
from evaluation.predictions import Predictions
from evaluation.ranking import rank_predictions
from evaluation.scores import METRICS, Score, Scoring, score_fused, score_predictions, write_scores
from featstore.errors import SettingsError

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
    by_species: dict[str, list[Fraction]] = defaultdict(list)
    for plant, place in zip(plants, places, strict=True):
        by_species[truth[plant]].append(place)
    own = [fused(rows)[classes.index(truth[plant])] for plant, rows in plants.items() if truth[plant] in classes]
    losses = [Fraction(-math.log(max(float(value), SMALLEST))) for value in own]
    return {
        "S": averaged(lambda plant, rows: reciprocal(fused(rows), classes, truth[plant])),
        "S_image": averaged(lambda plant, rows: mean([reciprocal(row, classes, truth[plant]) for row in rows])),
        **{f"top_{k}": mean([Fraction(place > 0 and 1 / place <= k) for place in places]) for k in (1, 2, 3, 5)},
        "mrr": mean(places),
        "class_mrr": mean([mean(own) for own in by_species.values()]),
        "class_top_1": mean([mean([Fraction(place == 1) for place in own]) for own in by_species.values()]),
        **({"log_loss": mean(losses)} if losses else {}),
    }


@settings(max_examples=200)
@given(cases(), st.sampled_from(UNKNOWN_AUTHORS))
def test_every_metric_is_its_definition(predictions: Predictions, unknown_author: UnknownAuthor) -> None:
    scoring = Scoring(top=(2, 5), unknown_author=unknown_author)
    ranked = rank_predictions(predictions, unknown_author)
    if unknown_author == "one":
        predictions = replace(predictions, author=np.where(predictions.author == "", "nobody", predictions.author))
    for view in ("all", "Flower", "Leaf"):
        sums = {name: metric(ranked[view]) for name, metric in scoring.metrics.items()} if view in ranked else {}
        found = {name: score.value for name, score in sums.items() if score is not None}
        # Has a test of its own.
        assert ("calibration_error" in found) == ("log_loss" in found)
        found.pop("calibration_error", None)
        expected = {name: float(value) for name, value in slow_scores(predictions, view).items()}
        assert found == pytest.approx(expected, abs=1e-12)


@settings(max_examples=50)
@given(cases(), st.sampled_from(UNKNOWN_AUTHORS))
def test_one_model(predictions: Predictions, unknown_author: UnknownAuthor) -> None:
    scoring = Scoring(top=(2,), unknown_author=unknown_author)
    scores = score_predictions(predictions, "name", scoring)
    ranked = rank_predictions(predictions, unknown_author)
    for score in scores:
        found = scoring.metrics[score.metric](ranked[score.view])
        assert found is not None
        assert (score.run, score.split, score.value) == ("name", "test", found.value)
        # With one author nothing is known about others.
        assert math.isnan(score.low) == math.isnan(score.high) == (found.n_authors < 2)
        ends_at = math.inf if score.metric == "log_loss" else 1
        assert math.isnan(score.low) or 0 <= score.low <= score.high <= ends_at
    known = predictions.true_class != ""
    listed = np.isin(predictions.true_class, predictions.classes)
    for score in scores:
        if score.view == "all":
            counted = listed if METRICS.get(score.metric, METRICS["S"]).listed_only else known
            assert score.n_observations == len(np.unique(predictions.observation_id[counted]))


@settings(max_examples=50)
@given(cases())
def test_a_fusion_of_one_model_scores_as_the_model(predictions: Predictions) -> None:
    (places,) = fuse_places(align([predictions]), [Recipe("mean")], 1)
    fused = score_fused(places, "net")
    alone = [score for score in score_predictions(predictions) if score.view == "all"]
    assert [(score.metric, score.n_observations) for score in fused] == [
        (score.metric, score.n_observations) for score in alone
    ]
    np.testing.assert_allclose([score.value for score in fused], [score.value for score in alone], atol=1e-12)


@settings(max_examples=50)
@given(cases())
def test_a_fusion_without_images_has_no_image_score(predictions: Predictions) -> None:
    (places,) = fuse_places(align([predictions], by="observation"), [Recipe("mean")])
    scores = score_fused(places, "fusion:mean")
    about_listed = {name for name, metric in METRICS.items() if metric.listed_only}
    expected = set(METRICS) - {"S_image"} - (set() if any_listed(predictions) else about_listed)
    assert {score.metric for score in scores} in (expected, set())


def any_listed(predictions: Predictions) -> bool:
    return bool(np.isin(predictions.true_class, predictions.classes).any())


def test_losses_are_named_so_that_their_direction_is_plain() -> None:
    for name, metric in METRICS.items():
        assert metric.higher_is_better != name.endswith(("loss", "error"))


@pytest.mark.parametrize(("top", "unknown_author"), [((0,), "own"), ((3, -1), "own"), ((), "some")])
def test_scoring_that_cannot_be_is_refused(top: tuple[int, ...], unknown_author: UnknownAuthor) -> None:
    with pytest.raises(SettingsError, match=r"--top|--unknown-author"):
        Scoring(top, unknown_author)


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
