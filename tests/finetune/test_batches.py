"""Batches: order, weights and sampling as promised, whoever makes them and whenever."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from finetune.batches import Batch, ReadAhead, TrainingBatches, trained_rows
from finetune.crops import Crops
from finetune.settings import AugmentSettings, TrainSettings

Scale = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def batch(batches: TrainingBatches, number: int = 0, epoch: int = 1) -> Batch:
    return list(batches.of(epoch))[number]()


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
    _, target, weights = batch(batches)
    assert weights is not None
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
        images, classes, weights = batch(batches, number)
        assert weights is None
        assert images.shape == (8, 32, 32, 3)
        for image, one_hot in zip(images, classes, strict=True):
            (row,) = [r for r in range(30) if np.array_equal(scale(crops.pixels[r]), image)]
            np.testing.assert_array_equal(one_hot, target[row])
            seen.append(row)
    assert len(set(seen)) == 24


def test_each_epoch_has_its_own_order_which_repeats(crops: Crops, target: NDArray[np.float32], scale: Scale) -> None:
    one, other = (training(crops, target, scale, TrainSettings(batch_size=8)) for _ in range(2))
    np.testing.assert_array_equal(batch(one, 1).images, batch(other, 1).images)
    assert not np.array_equal(batch(one, 1).images, batch(other, 1, epoch=2).images)
    np.testing.assert_array_equal(batch(one, 1, epoch=2).images, batch(other, 1, epoch=2).images)


def test_few_photographs_make_one_batch(crops: Crops, target: NDArray[np.float32], scale: Scale) -> None:
    batches = TrainingBatches(crops, np.arange(5), target[:5], scale, TrainSettings(batch_size=16))
    assert len(batches) == 1
    assert batch(batches).images.shape == (5, 32, 32, 3)


def test_balanced_batches_bring_the_weights_of_their_images(
    crops: Crops, target: NDArray[np.float32], scale: Scale
) -> None:
    rows = np.flatnonzero((np.arange(36) % 3 != 0) | (np.arange(36) < 6))
    settings = TrainSettings(batch_size=len(rows), class_weight="balanced")
    _, classes, weights = batch(TrainingBatches(crops, rows, target[rows], scale, settings))
    assert weights is not None
    for number, count in enumerate(target[rows].sum(axis=0)):
        np.testing.assert_allclose(weights[classes[:, number] == 1], len(rows) / (3 * count), rtol=1e-6)


def test_an_unreadable_neighbour_does_not_change_the_draws(
    crops: Crops, target: NDArray[np.float32], scale: Scale
) -> None:
    settings = TrainSettings(batch_size=1, augment=AugmentSettings(probability=1))
    whole = batch(TrainingBatches(crops, np.array([7]), target[[7]], scale, settings)).images
    kept = np.delete(np.arange(36), 3)
    papers = crops.papers.iloc[kept].reset_index(drop=True)
    fewer = dataclasses.replace(crops, papers=papers, place=kept, white=crops.white[kept])
    found = batch(TrainingBatches(fewer, np.array([6]), target[[7]], scale, settings)).images
    np.testing.assert_array_equal(found, whole)


def test_balanced_sampling_shows_every_class_equally_often(crops: Crops, scale: Scale) -> None:
    classes = np.array([0] * 30 + [1] * 5 + [2])
    settings = TrainSettings(batch_size=36, sampling="balanced", augment=AugmentSettings(probability=0))
    batches = TrainingBatches(crops, np.arange(36), np.eye(3, dtype=np.float32)[classes], scale, settings)
    share = np.mean([batch(batches, epoch=epoch).target.mean(axis=0) for epoch in range(1, 201)], axis=0)
    # 7,200 draws: four standard deviations are 0.022.
    np.testing.assert_allclose(share, 1 / 3, atol=0.022)
    assert batch(batches).weight is None


def test_a_photograph_that_is_drawn_again_is_varied_anew(crops: Crops, scale: Scale) -> None:
    classes = np.array([0] * 35 + [1])
    settings = TrainSettings(batch_size=36, sampling="balanced", augment=AugmentSettings(probability=1, noise=1))
    batches = TrainingBatches(crops, np.arange(36), np.eye(2, dtype=np.float32)[classes], scale, settings)
    images, target, _ = batch(batches)
    rare = images[target[:, 1] == 1]
    assert len(rare) > 10
    assert len({image.tobytes() for image in rare}) == len(rare)


def test_plain_photographs_are_spread_and_unvaried(crops: Crops, target: NDArray[np.float32], scale: Scale) -> None:
    batches = training(crops, target, scale, TrainSettings(batch_size=4))
    seen = np.concatenate(list(batches.plain(11)))
    assert seen.shape == (8, 32, 32, 3)
    rows = np.linspace(0, 29, 8).astype(int)
    np.testing.assert_array_equal(seen, scale(crops.pixels[rows]))


@pytest.mark.parametrize("n_workers", [1, 2, 5])
def test_reading_ahead_keeps_the_order_and_the_bits(
    crops: Crops, target: NDArray[np.float32], scale: Scale, n_workers: int
) -> None:
    batches = training(crops, target, scale, TrainSettings(batch_size=3))
    expected = [call().images for call in batches.of(4)]
    found = [made.images for made in ReadAhead(n_workers)(batches.of(4))]
    assert len(found) == 10
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_no_more_batches_wait_than_workers_and_one() -> None:
    made, lock = [0], threading.Lock()
    nothing = np.zeros(0, np.float32)

    def make() -> Batch:
        with lock:
            made[0] += 1
        return Batch(nothing, nothing, None)

    ahead = ReadAhead(2)
    for taken, _ in enumerate(ahead(iter([make] * 50)), start=1):
        time.sleep(0.002)
        assert made[0] <= taken + 3
    assert made[0] == 50


def test_waiting_is_counted_and_errors_arrive() -> None:
    nothing = np.zeros(0, np.float32)

    def slow() -> Batch:
        time.sleep(0.05)
        return Batch(nothing, nothing, None)

    def broken() -> Batch:
        raise OSError("disk is gone")

    ahead = ReadAhead(1)
    assert len(list(ahead(iter([slow] * 4)))) == 4
    assert 0.1 < ahead.waited_s < 2

    def calls() -> Iterator[Callable[[], Batch]]:
        yield slow
        yield broken

    with pytest.raises(OSError, match="disk is gone"):
        list(ReadAhead(1)(calls()))
