"""Images of one plant share one truth and one author."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.observations import group_observations
from evaluation.predictions import Predictions
from featstore.errors import PredictionsError


def make(observations: str, authors: list[str], truth: list[str]) -> Predictions:
    n = len(observations)
    return Predictions(
        model="net",
        split="test",
        image_id=np.array([f"i{row}" for row in range(n)]),
        observation_id=np.array(list(observations)),
        author=np.array(authors, dtype=np.str_),
        view=np.full(n, "Leaf"),
        true_class=np.array(truth, dtype=np.str_),
        classes=np.array(["1", "2"]),
        probability=np.full((n, 2), 0.5, dtype=np.float32),
    )


def test_images_are_collected_by_plant() -> None:
    plants = group_observations(make("bab", ["x", "y", "x"], ["1", "2", "1"]))
    assert plants.observation_id.tolist() == ["a", "b"]
    assert plants.index.tolist() == [1, 0, 1]
    assert plants.n_images.tolist() == [1, 2]
    assert plants.author.tolist() == ["y", "x"]
    assert plants.true_class.tolist() == ["2", "1"]
    assert plants.warnings == ()


def test_two_classes_in_one_plant_are_refused() -> None:
    with pytest.raises(PredictionsError, match=r"got 1 and 2 in observation a \(image i1\) of net"):
        group_observations(make("aa", ["", ""], ["1", "2"]))


def test_of_two_authors_the_first_counts_with_a_warning() -> None:
    plants = group_observations(make("aabb", ["", "bo", "cy", "anna"], ["1"] * 4))
    assert plants.author.tolist() == ["bo", "cy"]
    assert plants.warnings == ("Observations with several authors, of whom the first counts: b.",)


def test_an_image_without_a_class_takes_its_plants() -> None:
    plants = group_observations(make("aab", ["", "", ""], ["", "2", ""]))
    assert plants.true_class.tolist() == ["2", ""]
    assert plants.warnings == ("Observations with a class on some images only, which counts for all: a.",)
