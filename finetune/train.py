"""Training: the recipe that moves a whole network in very small steps and keeps its best state."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import keras

from featstore.errors import TrainingError
from finetune.batches import PlainBatches, TrainingBatches
from finetune.callbacks import EpochClock, Reporter, StartingPoint, StopAtNaN
from finetune.curve import best_epoch
from finetune.model import seed_dropout
from finetune.settings import TrainSettings

WEIGHTS, LOG, CURVE = "model.weights.h5", "log.csv", "curve.png"
"""Files that training writes into the run folder."""


@dataclass(frozen=True)
class Training:
    """How training went.

    Attributes
    ----------
    log
        One row per epoch from 0, the state before training: loss, accuracy, val_loss, val_accuracy, learning_rate.
    best_epoch
        The epoch whose weights the network now has: lowest validation loss, the first of equals.
    trouble
        Why training had to stop, "" if it ended by itself.
    """

    log: tuple[Mapping[str, float], ...]
    best_epoch: int
    trouble: str

    @property
    def epochs_run(self) -> int:
        """Epochs that were trained, finished or not."""
        return len(self.log) - 1


def train(
    network: keras.Model, batches: TrainingBatches, valid: PlainBatches, settings: TrainSettings, folder: Path
) -> Training:
    """Train a network in place and leave it at its best epoch.

    Categorical cross-entropy, stochastic gradient descent with momentum; the rate falls when the validation loss
    stays, training ends when it stays for longer. Epoch 0, the network as it came, is a candidate like any other.

    Parameters
    ----------
    network
        As `finetune.model.join` gives it.
    batches, valid
        What is trained on and what decides.
    settings
        See `TrainSettings`.
    folder
        Gets `WEIGHTS` (the best so far, after every epoch that improves), `LOG` and `CURVE` (after every epoch).

    Raises
    ------
    TrainingError
        If the validation loss is no number before training.
    """
    network.compile(
        optimizer=keras.optimizers.SGD(settings.rate, momentum=settings.momentum),
        loss=keras.losses.CategoricalCrossentropy(),
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
    )
    seed_dropout(network, settings.seed)
    reporter = Reporter(settings.epochs, len(batches), folder / CURVE, network.name)
    nan = StopAtNaN()
    recipe = [EpochClock(batches), *_recipe(settings, folder), nan, reporter]
    start = StartingPoint(recipe, _before(network, valid))
    network.fit(
        batches,
        validation_data=valid,
        initial_epoch=1,
        epochs=settings.epochs + 1,
        callbacks=[*recipe, start],
        shuffle=False,  # the batches bring their own order
        verbose=0,
    )
    return Training(tuple(reporter.log), best_epoch(reporter.log), nan.reason)


def _before(network: keras.Model, valid: PlainBatches) -> dict[str, float]:
    """Validation loss and accuracy of the network as it came."""
    found = network.evaluate(valid, return_dict=True, verbose=0)
    if not math.isfinite(found["loss"]):
        raise TrainingError(
            "a finite validation loss before training", str(found["loss"]), "Fit the head again: heads compare."
        )
    return {f"val_{name}": float(value) for name, value in found.items()}


def _recipe(settings: TrainSettings, folder: Path) -> list[keras.callbacks.Callback]:
    """The callbacks that decide and record, in the order in which they must be asked."""
    return [
        keras.callbacks.ReduceLROnPlateau(
            monitor="val_loss",
            factor=settings.plateau_factor,
            patience=settings.plateau_patience,
            min_delta=0.0,
            min_lr=settings.min_rate,
        ),
        keras.callbacks.EarlyStopping(monitor="val_loss", patience=settings.patience, restore_best_weights=True),
        keras.callbacks.ModelCheckpoint(
            str(folder / WEIGHTS), monitor="val_loss", save_best_only=True, save_weights_only=True
        ),
        # After the plateau callback, which puts the rate into what is logged.
        keras.callbacks.CSVLogger(str(folder / LOG)),
    ]
