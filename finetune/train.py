"""Training: the recipe that moves a whole network in very small steps and keeps its best state."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from featstore import shell
from featstore.errors import TrainingError
from featstore.provenance import replacing
from finetune.batches import Batch, ReadAhead, TrainingBatches, require_step
from finetune.checkpoint import read_log, restore, write_checkpoint
from finetune.crops import Crops
from finetune.curve import draw_curve
from finetune.model import recalibrate, seed_dropout, set_trainable
from finetune.optimizer import make_optimizer
from finetune.predict import Viewing, predict
from finetune.schedule import best_epoch, is_over, rate_of, warming_up
from finetune.settings import TrainSettings
from heads.mlp import save_weights

WEIGHTS, LOG, CURVE, CHECKPOINT = "model.weights.h5", "log.csv", "curve.png", "checkpoint.npz"
"""Files that training writes into the run folder; the checkpoint is for going on and removed in the end."""

COLUMNS = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds", "waiting")
"""Of the log; loss and accuracy of epoch 0 are unknown, NaN. Waiting is a share of the seconds of the steps."""

_CALIBRATING = 2048
"""Training photographs at most from which ``batch_norm = "recalibrate"`` estimates."""


@dataclass(frozen=True)
class Validation:
    """The photographs that decide.

    Attributes
    ----------
    crops, rows
        The photographs, and which of them.
    number
        (n,) column of each one's class.
    viewing
        Plain.
    """

    crops: Crops
    rows: NDArray[np.intp]
    number: NDArray[np.intp]
    viewing: Viewing

    def judge(self, network: keras.Model) -> dict[str, float]:
        """Cross-entropy, unsmoothed and unweighted, and accuracy per image."""
        probability, _ = predict(network, self.crops, self.rows, self.viewing, "validating")
        own = probability[np.arange(len(self.number)), self.number].astype(np.float64)
        # Clipped as Keras' loss is; written so that NaN stays NaN.
        loss = -np.log(np.maximum(own, keras.config.epsilon())).mean()
        return {"val_loss": float(loss), "val_accuracy": float(np.mean(probability.argmax(axis=1) == self.number))}


@dataclass(frozen=True)
class Training:
    """How training went.

    Attributes
    ----------
    log
        One row per epoch from 0, the state before training; see `COLUMNS`.
    best_epoch
        The epoch whose weights the network now has: lowest validation loss, the first of equals.
    trouble
        Why training had to stop, "" if it ended by itself.
    resumed_at
        Epochs that an interrupted run had already done, 0 if there was none.
    """

    log: tuple[Mapping[str, float], ...]
    best_epoch: int
    trouble: str
    resumed_at: int = 0

    @property
    def epochs_run(self) -> int:
        """Epochs that were trained, finished or not."""
        return len(self.log) - 1


def train(
    network: keras.Model, batches: TrainingBatches, valid: Validation, settings: TrainSettings, folder: Path
) -> Training:
    """Train a network in place and leave it at its best epoch.

    Categorical cross-entropy, stochastic gradient descent with momentum; the rate falls and training ends as
    `finetune.schedule` says. Epoch 0, the network as it came, is a candidate like any other. A run that was
    interrupted, also by a kill, goes on after its last whole epoch, to the same result.

    Parameters
    ----------
    network
        As `finetune.model.join` gives it.
    batches, valid
        What is trained on and what decides.
    settings
        See `TrainSettings`.
    folder
        Gets `WEIGHTS` (the best so far, after every epoch that improves), `LOG`, `CURVE` and `CHECKPOINT` (after
        every epoch).

    Raises
    ------
    TrainingError
        If the validation loss is no number before training, or the checkpoint is damaged.
    """
    # The same layers without an optimizer, whose variables would be saved with the weights.
    bare = keras.Model(network.input, network.output, name=network.name)
    require_step(len(batches), settings)
    log = read_log(folder / CHECKPOINT) or []
    resumed_at = max(len(log) - 1, 0)
    if log:
        make_ready(network, settings, max(resumed_at, 1))
        restore(folder / CHECKPOINT, network, optimizer=True)
        # The process may have ended between the checkpoint and these.
        _write(log, folder, network.name)
        shell.say(f"an interrupted run goes on after epoch {resumed_at}")
    else:
        seed_dropout(network, settings.seed)
        # Compiled before it is judged: one function predicts from here to the end.
        make_ready(network, settings, 1)
        log.append(_before(network, valid, settings))
        save_weights(bare, folder / WEIGHTS)
        if settings.batch_norm == "recalibrate" and settings.epochs:
            shell.say("estimating the statistics of normalisation on training photographs")
            recalibrate(network, partial(batches.plain, _CALIBRATING), settings.train_from)
            make_ready(network, settings, 1)
        _record(log, folder, network)
    shell.say(_told(log[-1], settings))
    trouble = ""
    while not is_over(log, settings) and not trouble:
        epoch = len(log)
        if epoch > 1 and warming_up(epoch, settings) != warming_up(epoch - 1, settings):
            make_ready(network, settings, epoch)
        rate = rate_of(epoch, log, settings)
        network.optimizer.learning_rate = rate
        row, trouble = _epoch(network, batches, valid, epoch, rate)
        log.append(row)
        if trouble:
            _write(log, folder, network.name)
            break
        if best_epoch(log) == epoch:
            save_weights(bare, folder / WEIGHTS)
        # Last: whatever ends the process before, the epoch is done again, to the same end.
        _record(log, folder, network)
        shell.say(_told(row, settings))
    bare.load_weights(folder / WEIGHTS)
    if settings.batch_norm == "recalibrate":
        # The function that predicts has copied the statistics of the head's Normalization, which may be others again.
        network.make_predict_function(force=True)
    return Training(tuple(log), best_epoch(log), trouble, resumed_at)


def make_ready(network: keras.Model, settings: TrainSettings, epoch: int) -> None:
    """Compile for an epoch: what learns, how, and with no momentum."""
    set_trainable(network, settings, head_only=warming_up(epoch, settings))
    network.compile(
        optimizer=make_optimizer(network, settings, settings.rate),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=settings.label_smoothing),
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
    )
    network.optimizer.build(network.trainable_variables)


def _before(network: keras.Model, valid: Validation, settings: TrainSettings) -> dict[str, float]:
    """The row of epoch 0."""
    started = time.perf_counter()
    found = valid.judge(network)
    if not math.isfinite(found["val_loss"]):
        raise TrainingError(
            "a finite validation loss before training", str(found["val_loss"]), "Fit the head again: heads compare."
        )
    seconds = time.perf_counter() - started
    return _row(0, {"loss": math.nan, "accuracy": math.nan}, found, rate_of(1, [found], settings), seconds, 0.0)


def _epoch(
    network: keras.Model, batches: TrainingBatches, valid: Validation, epoch: int, rate: float
) -> tuple[dict[str, float], str]:
    """Train for one epoch and judge; give its row and what went wrong."""
    started = time.perf_counter()
    figures, waiting, trouble = run_steps(network, batches, epoch)
    found = {"val_loss": math.nan, "val_accuracy": math.nan}
    if not trouble:
        found = valid.judge(network)
        if not math.isfinite(found["val_loss"]):
            trouble = f"the validation loss became {found['val_loss']} in epoch {epoch}"
    return _row(epoch, figures, found, rate, time.perf_counter() - started, waiting), trouble


def run_steps(network: keras.Model, batches: TrainingBatches, epoch: int) -> tuple[dict[str, float], float, str]:
    """Take the steps of one epoch.

    Parameters
    ----------
    network
        Compiled.
    batches
        What is trained on.
    epoch
        Counted from 1.

    Returns
    -------
    figures : dict[str, float]
        Mean loss and accuracy over the steps.
    waiting : float
        Share of the time in which the network waited for photographs.
    trouble : str
        Why the steps ended early, "" if they did not.
    """
    ahead, started = ReadAhead(), time.perf_counter()
    waiting, figures = 0.0, {"loss": math.nan, "accuracy": math.nan}
    total = dict.fromkeys(figures, 0.0)
    with shell.progress(len(batches), f"epoch {epoch}", "batches") as bar:
        for step, batch in enumerate(ahead(batches.of(epoch)), start=1):
            for name, value in _step(network, batch).items():
                total[name] += value
            figures = {name: value / step for name, value in total.items()}
            waiting = ahead.waited_s / (time.perf_counter() - started)
            bar.set_postfix_str(f"loss {figures['loss']:.4f}, waiting {waiting:.0%}")
            bar.update()
            if not math.isfinite(figures["loss"]):
                trouble = f"the training loss became {figures['loss']} in step {step} of epoch {epoch}"
                return figures, waiting, trouble
    return figures, waiting, ""


def _step(network: keras.Model, batch: Batch) -> dict[str, float]:
    """Train on one batch; give its own loss and accuracy.

    `Model.fit` is not used: what it reads ahead depends on chance, and a run could not be taken up in the middle.
    """
    found = network.train_on_batch(batch.images, batch.target, sample_weight=batch.weight, return_dict=True)
    return {name: float(value) for name, value in found.items()}


def _row(
    epoch: int,
    training: Mapping[str, float],
    validation: Mapping[str, float],
    rate: float,
    seconds: float,
    waiting: float,
) -> dict[str, float]:
    return {
        "epoch": float(epoch),
        "loss": training["loss"],
        "accuracy": training["accuracy"],
        **validation,
        "learning_rate": rate,
        "seconds": seconds,
        "waiting": waiting,
    }


def _record(log: Sequence[Mapping[str, float]], folder: Path, network: keras.Model) -> None:
    """Write the checkpoint, then what can be made from it again."""
    write_checkpoint(folder / CHECKPOINT, network, log)
    _write(log, folder, network.name)


def _write(log: Sequence[Mapping[str, float]], folder: Path, title: str) -> None:
    """Write the log and draw the curve; a picture that fails costs nobody an epoch."""
    with replacing(folder / LOG) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows([int(row["epoch"]), *(row[name] for name in COLUMNS[1:])] for row in log)
    try:
        draw_curve(log, folder / CURVE, title)
    except Exception as error:  # noqa: BLE001  # whatever it is, hours of training weigh more than a picture
        shell.warn(f"{CURVE} was not drawn ({type(error).__name__}: {error}); training goes on")


def _told(row: Mapping[str, float], settings: TrainSettings) -> str:
    valid = f"validation loss {row['val_loss']:.4f}, accuracy {row['val_accuracy']:.4f}"
    if not row["epoch"]:
        return f"before training: {valid}"
    return (
        f"epoch {row['epoch']:.0f}/{settings.epochs}: {valid}; training loss {row['loss']:.4f}, accuracy "
        f"{row['accuracy']:.4f}; rate {row['learning_rate']:.3g}; {row['seconds']:.0f} s, {row['waiting']:.0%} of the "
        "steps waiting for photographs"
    )
