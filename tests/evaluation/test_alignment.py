"""Only members that provably belong together are fused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evaluation.alignment import align
from evaluation.predictions import Predictions
from featstore.errors import PredictionsError, SettingsError


def make(images: str = "abcd", observations: str = "1122", model: str = "first", **changes: object) -> Predictions:
    n = len(images)
    rng = np.random.default_rng(n)
    plain = Predictions(
        model=model,
        split="test",
        image_id=np.array(list(images)),
        observation_id=np.array(list(observations)),
        author=np.array([f"author {name}" for name in observations]),
        view=np.full(n, "Leaf"),
        true_class=np.array(list(observations)),
        classes=np.array(["1", "2", "3"]),
        probability=rng.dirichlet(np.ones(3), n).astype(np.float32),
    )
    return replace(plain, **changes)


def test_rows_are_brought_into_the_first_members_order() -> None:
    first = make("cabd", "2112")
    moved = make("abcd", "1122", model="second")
    aligned = align([first, moved])
    second = aligned.members[1]
    assert second.image_id.tolist() == ["c", "a", "b", "d"]
    assert second.observation_id.tolist() == ["2", "1", "1", "2"]
    np.testing.assert_array_equal(second.probability, moved.probability[[2, 0, 1, 3]])
    assert aligned.n_images.tolist() == [2, 2]
    assert aligned.same_images


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split": "valid"}, "one split, got test of first, valid of second"),
        ({"classes": np.array(["1", "2", "4"])}, r"same classes .* 1 only in first \(3\); 1 only in second \(4\)"),
        ({"image_id": np.array(["a", "b", "c", "x"])}, r"same images .* only in first \(d\); 1 only in second \(x\)"),
        ({"true_class": np.array(["1", "1", "3", "3"])}, r"`true_class` of every image.* image c \(2 / 3\), image d"),
        (
            {"observation_id": np.array(["1", "2", "2", "2"])},
            r"`observation_id` .* first / second for image b \(1 / 2\)",
        ),
        ({"author": np.array(["author 1", "author 1", "", "author 2"])}, r"`author` .* image c \(author 2 / \)"),
        ({"view": np.array(["Leaf", "Leaf", "Leaf", "Stem"])}, r"`view` .* image d \(Leaf / Stem\)"),
    ],
)
def test_misaligned_members_are_refused_with_the_reason(changes: dict[str, object], message: str) -> None:
    with pytest.raises(PredictionsError, match=message):
        align([make(), make(model="second", **changes)])


def test_members_of_another_size_are_refused_with_a_way_out() -> None:
    with pytest.raises(PredictionsError, match=r"2 only in first \(c, d\)\. .*--align observation"):
        align([make(), make("ab", "11", model="second")])


def test_members_of_other_plants_get_no_advice_that_would_not_help() -> None:
    strangers = {"true_class": np.array(["1", "2"])}
    with pytest.raises(PredictionsError, match=r"same observations .*2 only in second \(8, 9\)") as told:
        align([make(), make("xy", "89", model="second", **strangers)])
    assert "--align" not in str(told.value)
    with pytest.raises(PredictionsError, match=r"same images .*--align observation"):
        align([make(), make("xy", "12", model="second")])


def test_many_differences_are_counted_not_listed() -> None:
    many = "".join(chr(ord("a") + number) for number in range(20))
    with pytest.raises(PredictionsError, match=r"image e .* and 15 more"):
        align([make(many, "1" * 20), make(many, "1" * 20, model="second", view=np.full(20, "Stem"))])


def test_networks_per_organ_align_by_observation() -> None:
    leaf, flower = make("abc", "112", model="leaf"), make("xcy", "122", model="flower")
    aligned = align([leaf, flower], by="observation")
    assert not aligned.same_images
    assert aligned.observations[1].index.tolist() == [0, 1, 1]
    assert aligned.n_images.tolist() == [3, 2], "image c is in both members and counts once"


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (make("xyz", "113", model="flower"), r"same observations .*only in first \(2\); 1 only in flower \(3\)"),
        (make("xy", "12", model="flower", true_class=np.array(["1", "3"])), r"`true_class` .* observation 2 \(2 / 3\)"),
        (make("xy", "12", model="flower", author=np.array(["author 1", "bo"])), "`author` of every observation"),
        (make("ax", "21", model="flower"), r"`observation_id` .* image a \(1 / 2\)"),
        (make("xy", "12", model="flower", classes=np.array(["1", "2", "4"])), "same classes"),
    ],
)
def test_plants_that_differ_are_refused(other: Predictions, message: str) -> None:
    with pytest.raises(PredictionsError, match=message):
        align([make("abc", "112"), other], by="observation")


def test_the_way_of_aligning_must_exist() -> None:
    with pytest.raises(SettingsError, match="image, observation, got 'plant'"):
        align([make()], by="plant")
    with pytest.raises(SettingsError, match="at least one member"):
        align([])


def test_doubts_are_told_once() -> None:
    two = {"author": np.array(["x", "y", "z", "z"])}
    aligned = align([make(**two), make(model="second", **two)])
    assert len(aligned.warnings) == 1
