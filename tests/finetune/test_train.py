"""Training: the best epoch is kept, the start counts, runs repeat, and NaN ends them with what was best."""

from __future__ import annotations

import csv
import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops
from numpy.typing import NDArray

from featstore.errors import TrainingError
from finetune.batches import Crops, PlainBatches, TrainingBatches
from finetune.model import batch_normalizations, join
from finetune.settings import TrainSettings
from finetune.train import CURVE, LOG, WEIGHTS, Training, train

Parts = Callable[[], tuple[keras.Model, keras.Model]]
Scale = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
QUICK = TrainSettings(epochs=3, batch_size=8, rate=0.01)


@pytest.fixture
def start(
    parts: Parts, crops: Crops, target: NDArray[np.float32], scale: Scale, tmp_path: Path
) -> Callable[[TrainSettings, str], tuple[keras.Model, Training, Path, PlainBatches]]:
    """Train anew with some settings, in a folder of some name."""

    def run(settings: TrainSettings, name: str) -> tuple[keras.Model, Training, Path, PlainBatches]:
        folder = tmp_path / name
        folder.mkdir()
        network = join(*parts())
        valid = PlainBatches(crops, np.arange(24, 36), target[24:], scale, settings.batch_size)
        batches = TrainingBatches(crops, np.arange(24), target[:24], scale, settings)
        return network, train(network, batches, valid, settings, folder), folder, valid

    return run


def read_log(folder: Path) -> list[dict[str, float]]:
    with (folder / LOG).open(encoding="utf-8") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def test_training_learns_logs_and_keeps_the_best(start: Callable[..., tuple]) -> None:
    network, training, folder, valid = start(dataclasses.replace(QUICK, epochs=6), "run")

    log = read_log(folder)
    assert [row["epoch"] for row in log] == list(range(training.epochs_run + 1))
    assert math.isnan(log[0]["loss"])
    assert all(row["learning_rate"] > 0 for row in log)
    losses = [row["val_loss"] for row in log]
    assert training.best_epoch == int(np.argmin(losses)) > 0
    assert min(losses) < 0.9 * losses[0]
    # The network in memory and the weights on disk are those of the best epoch.
    assert network.evaluate(valid, verbose=0, return_dict=True)["loss"] == pytest.approx(min(losses), rel=1e-5)
    before = [ops.convert_to_numpy(variable) for variable in network.weights]
    network.load_weights(folder / WEIGHTS)
    for value, variable in zip(before, network.weights, strict=True):
        if "seed_generator" not in variable.path:
            np.testing.assert_array_equal(ops.convert_to_numpy(variable), value)
    assert (folder / CURVE).read_bytes().startswith(b"\x89PNG")
    assert training.trouble == ""


def test_a_seed_repeats_the_run_and_another_does_not(start: Callable[..., tuple]) -> None:
    _, _, one, _ = start(QUICK, "one")
    _, _, again, _ = start(QUICK, "again")
    _, _, other, _ = start(dataclasses.replace(QUICK, seed=1), "other")
    assert (one / LOG).read_text() == (again / LOG).read_text()
    assert (one / LOG).read_text() != (other / LOG).read_text()


def test_a_run_is_never_worse_than_its_start(start: Callable[..., tuple]) -> None:
    # This rate throws the network far away at once.
    settings = dataclasses.replace(QUICK, rate=0.9, patience=2, epochs=8)
    network, training, folder, valid = start(settings, "run")
    losses = [row["val_loss"] for row in training.log]
    assert min(losses[1:], default=math.inf) > losses[0] or any(map(math.isnan, losses))
    assert training.best_epoch == 0
    assert network.evaluate(valid, verbose=0, return_dict=True)["loss"] == pytest.approx(losses[0], rel=1e-5)
    assert training.epochs_run <= 2
    assert (folder / WEIGHTS).is_file()


def test_the_rate_falls_when_the_loss_stays_and_the_log_shows_it(start: Callable[..., tuple]) -> None:
    settings = dataclasses.replace(QUICK, rate=0.3, plateau_patience=1, plateau_factor=0.1, patience=3, epochs=5)
    _, _, folder, _ = start(settings, "run")
    log = read_log(folder)
    best = math.inf
    rate = settings.rate
    for row in log:
        assert row["learning_rate"] == pytest.approx(rate, rel=1e-5)
        if row["val_loss"] >= best:
            rate *= settings.plateau_factor
        best = min(best, row["val_loss"])
    assert rate < settings.rate, "the loss never rose, so nothing was tested"


def test_no_epochs_keep_the_starting_point(start: Callable[..., tuple]) -> None:
    _, training, folder, _ = start(dataclasses.replace(QUICK, epochs=0), "run")
    assert (training.epochs_run, training.best_epoch) == (0, 0)
    assert len(read_log(folder)) == 1


def test_nan_ends_training_and_keeps_the_best(
    parts: Parts, crops: Crops, target: NDArray[np.float32], scale: Scale, tmp_path: Path
) -> None:
    class Poisoned(TrainingBatches):
        def __getitem__(self, number: int) -> tuple[NDArray[np.float32], ...]:
            images, classes = super().__getitem__(number)
            return (images * np.nan if (self.epoch, number) == (2, 1) else images), classes

    network = join(*parts())
    valid = PlainBatches(crops, np.arange(24, 36), target[24:], scale, 8)
    batches = Poisoned(crops, np.arange(24), target[:24], scale, QUICK)

    training = train(network, batches, valid, QUICK, tmp_path)

    assert "nan in step 2 of epoch 2" in training.trouble
    assert training.epochs_run == 2
    assert training.best_epoch in {0, 1}
    best = min(row["val_loss"] for row in training.log[:2])
    assert network.evaluate(valid, verbose=0, return_dict=True)["loss"] == pytest.approx(best, rel=1e-5)


def test_a_network_that_is_no_number_before_training_is_refused(
    parts: Parts, crops: Crops, target: NDArray[np.float32], scale: Scale, tmp_path: Path
) -> None:
    network = join(*parts())
    layer = batch_normalizations(network)[0]
    layer.set_weights([np.full_like(value, np.nan) for value in layer.get_weights()])
    valid = PlainBatches(crops, np.arange(24, 36), target[24:], scale, 8)
    batches = TrainingBatches(crops, np.arange(24), target[:24], scale, QUICK)
    with pytest.raises(TrainingError, match="before training"):
        train(network, batches, valid, QUICK, tmp_path)


def test_batch_normalization_stays_through_a_whole_run(parts: Parts, start: Callable[..., tuple]) -> None:
    network, _, _, _ = start(QUICK, "run")
    fresh = join(*parts())
    for layer, expected in zip(batch_normalizations(network), batch_normalizations(fresh), strict=True):
        for value, same in zip(layer.get_weights(), expected.get_weights(), strict=True):
            np.testing.assert_array_equal(value, same)


def test_balanced_classes_train_too(start: Callable[..., tuple]) -> None:
    _, training, _, _ = start(dataclasses.replace(QUICK, class_weight="balanced", epochs=1), "run")
    assert math.isfinite(training.log[1]["val_loss"])
