"""Batches: the store's own crops, failures told, order and weights as promised."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from featstore.errors import TrainingError
from featstore.images import load_crop
from featstore.roi import RECIPES
from finetune.batches import (
    Crops,
    PlainBatches,
    TrainingBatches,
    cut_photographs,
    trained_rows,
)
from finetune.settings import AugmentSettings, TrainSettings

Scale = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def write_photographs(folder: Path, n: int = 6) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = []
    for number in range(n):
        path = folder / f"{number}.jpg"
        pixels = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
        if number == 1:
            pixels[:] = 250  # a leaf on light ground, whitened by the recipe
            pixels[20:40, 30:50] = (30, 90, 30)
        Image.fromarray(pixels).save(path, quality=95)
        rows.append(
            {
                "image_id": f"i{number}",
                "path": path.name,
                "view": "LeafScan" if number == 1 else "Flower",
                "class_id": str(number % 2),
                "vote": np.nan,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                "box_top": 5,
                "box_left": 10,
                "box_bottom": 55,
                "box_right": 70,
            }
        )
    return pd.DataFrame(rows)


def test_crops_are_the_very_pixels_of_the_store(tmp_path: Path) -> None:
    papers = write_photographs(tmp_path)
    crops = cut_photographs(papers, tmp_path, 32, RECIPES["article"], tmp_path / "cache.npy")

    assert crops.failures == {}
    assert crops.pixels.shape == (6, 32, 32, 3)
    assert isinstance(crops.pixels, np.memmap)
    for row, paper in papers.iterrows():
        expected = load_crop(tmp_path / paper["path"], (5, 10, 55, 70), 32, RECIPES["article"].of(paper["view"]))
        np.testing.assert_array_equal(crops.read(np.array([row]))[0], expected)
    np.testing.assert_array_equal(crops.white, [False, True, False, False, False, False])


def test_a_lost_damaged_or_changed_photograph_is_left_out_and_told(tmp_path: Path) -> None:
    papers = write_photographs(tmp_path)
    (tmp_path / "0.jpg").unlink()
    (tmp_path / "2.jpg").write_bytes((tmp_path / "2.jpg").read_bytes()[:300])
    damaged = (tmp_path / "3.jpg").read_bytes()[:200]
    (tmp_path / "3.jpg").write_bytes(damaged)
    papers.loc[3, "sha256"] = hashlib.sha256(damaged).hexdigest()

    crops = cut_photographs(papers, tmp_path, 32, RECIPES["none"], tmp_path / "cache.npy")

    assert list(crops.papers["image_id"]) == ["i1", "i4", "i5"]
    assert list(crops.failures) == ["i0", "i2", "i3"]
    assert "No such file" in crops.failures["i0"]
    assert "has changed" in crops.failures["i2"]
    assert "damaged" in crops.failures["i3"]
    expected = load_crop(tmp_path / "4.jpg", (5, 10, 55, 70), 32, RECIPES["none"].of("Flower"))
    np.testing.assert_array_equal(crops.read(np.array([1]))[0], expected)


def test_a_wrong_root_says_which_option_helps(tmp_path: Path) -> None:
    papers = write_photographs(tmp_path)
    with pytest.raises(TrainingError, match="--photos ROOT"):
        cut_photographs(papers, tmp_path / "elsewhere", 32, RECIPES["none"], tmp_path / "cache.npy")


def test_only_known_low_votes_are_left_out(crops: Crops) -> None:
    split = np.where(np.arange(36) < 20, "train", "valid")
    kept = trained_rows(crops.papers, split, 2)
    vote = crops.papers["vote"].to_numpy()
    for row in range(36):
        assert kept[row] == (row < 20 and vote[row] != 1)
    np.testing.assert_array_equal(trained_rows(crops.papers, split, None), split == "train")


def training(crops: Crops, target: NDArray[np.float32], scale: Scale, settings: TrainSettings) -> TrainingBatches:
    return TrainingBatches(crops, np.arange(30), target[:30], scale, settings)


def test_balanced_weights_give_every_class_the_same_say(crops: Crops, scale: Scale) -> None:
    classes = np.array([0, 0, 0, 0, 0, 1, 1, 2])
    settings = TrainSettings(batch_size=8, class_weight="balanced", augment=AugmentSettings(probability=0))
    batches = TrainingBatches(crops, np.arange(8), np.eye(3, dtype=np.float32)[classes], scale, settings)
    batches.on_epoch_begin()
    _, target, weights = batches[0]
    assert [weights[target.argmax(axis=1) == c].sum() for c in range(3)] == pytest.approx([8 / 3] * 3)
    assert weights.dtype == np.float32


def test_batches_have_one_shape_and_carry_their_own_classes(
    crops: Crops, target: NDArray[np.float32], scale: Scale
) -> None:
    settings = TrainSettings(batch_size=8, augment=AugmentSettings(probability=0))
    batches = training(crops, target, scale, settings)
    assert len(batches) == 3
    seen = []
    for number in range(3):
        images, classes = batches[number]
        assert images.shape == (8, 32, 32, 3)
        for image, one_hot in zip(images, classes, strict=True):
            (row,) = [r for r in range(30) if np.array_equal(scale(crops.pixels[r]), image)]
            np.testing.assert_array_equal(one_hot, target[row])
            seen.append(row)
    assert len(set(seen)) == 24


def test_each_epoch_has_its_own_order_which_repeats(crops: Crops, target: NDArray[np.float32], scale: Scale) -> None:
    one, other = (training(crops, target, scale, TrainSettings(batch_size=8)) for _ in range(2))
    np.testing.assert_array_equal(one[1][0], other[1][0])
    other.epoch = 2
    assert not np.array_equal(one[1][0], other[1][0])
    one.epoch = 2
    np.testing.assert_array_equal(one[1][0], other[1][0])


def test_few_photographs_make_one_batch(crops: Crops, target: NDArray[np.float32], scale: Scale) -> None:
    batches = TrainingBatches(crops, np.arange(5), target[:5], scale, TrainSettings(batch_size=16))
    assert len(batches) == 1
    assert batches[0][0].shape == (5, 32, 32, 3)


def test_balanced_batches_bring_the_weights_of_their_images(
    crops: Crops, target: NDArray[np.float32], scale: Scale
) -> None:
    rows = np.flatnonzero((np.arange(36) % 3 != 0) | (np.arange(36) < 6))
    settings = TrainSettings(batch_size=len(rows), class_weight="balanced")
    _, classes, weights = TrainingBatches(crops, rows, target[rows], scale, settings)[0]
    for number, count in enumerate(target[rows].sum(axis=0)):
        np.testing.assert_allclose(weights[classes[:, number] == 1], len(rows) / (3 * count), rtol=1e-6)


def test_an_unreadable_neighbour_does_not_change_the_draws(
    crops: Crops, target: NDArray[np.float32], scale: Scale
) -> None:
    settings = TrainSettings(batch_size=1, augment=AugmentSettings(probability=1))
    whole = TrainingBatches(crops, np.array([7]), target[[7]], scale, settings)[0][0]
    kept = np.delete(np.arange(36), 3)
    fewer = dataclasses.replace(crops, place=kept, white=crops.white[kept])
    np.testing.assert_array_equal(TrainingBatches(fewer, np.array([6]), target[[7]], scale, settings)[0][0], whole)


def test_validation_sees_every_photograph_once_in_order(
    crops: Crops, target: NDArray[np.float32], scale: Scale
) -> None:
    rows = np.arange(30, 36)
    batches = PlainBatches(crops, rows, target[rows], scale, 4)
    assert len(batches) == 2
    images = np.concatenate([batches[number][0] for number in range(2)])
    np.testing.assert_array_equal(images, scale(crops.pixels[rows]))
    np.testing.assert_array_equal(np.concatenate([batches[number][1] for number in range(2)]), target[rows])
