"""Callbacks: what happens beside the steps - epochs counted, progress told, curve drawn, NaN noticed."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import keras

from featstore import shell
from finetune.batches import TrainingBatches
from finetune.curve import draw_curve


class EpochClock(keras.callbacks.Callback):  # type: ignore[misc]  # Keras is published without types
    """Tells the batches which epoch they are made for."""

    def __init__(self, batches: TrainingBatches) -> None:
        super().__init__()
        self._batches = batches

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Set the epoch before its first batch is asked for."""
        del logs
        self._batches.epoch = epoch


class StopAtNaN(keras.callbacks.Callback):  # type: ignore[misc]  # Keras is published without types
    """Ends training as soon as a loss is no number; `reason` says where, "" while all is well."""

    reason = ""

    def __init__(self) -> None:
        super().__init__()
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Remember where we are."""
        del logs
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Look at the mean training loss so far."""
        if logs and not math.isfinite(logs["loss"]):
            self._stop(f"the training loss became {logs['loss']} in step {batch + 1} of epoch {self._epoch}")

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Look at the validation loss."""
        if logs and not math.isfinite(logs["val_loss"]):
            self._stop(f"the validation loss became {logs['val_loss']} in epoch {epoch}")

    def _stop(self, reason: str) -> None:
        self.reason = self.reason or reason
        self.model.stop_training = True


class Reporter(keras.callbacks.Callback):  # type: ignore[misc]  # Keras is published without types
    """Shows a bar within each epoch and one line after it, and draws the learning curve anew.

    Attributes
    ----------
    log
        One row per epoch so far: loss, accuracy, val_loss, val_accuracy, learning_rate.
    """

    def __init__(self, n_epochs: int, n_steps: int, picture: Path, title: str) -> None:
        super().__init__()
        self.log: list[dict[str, float]] = []
        self._n_epochs, self._n_steps = n_epochs, n_steps
        self._picture, self._title = picture, title
        self._open = ExitStack()
        self._bar: shell.Bar | None = None
        self._started = time.perf_counter()

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Open the epoch's bar."""
        del logs
        self._started = time.perf_counter()
        self._bar = self._open.enter_context(
            shell.progress(self._n_steps, f"epoch {epoch}/{self._n_epochs}", "batches")
        )

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Move the bar."""
        del batch
        if self._bar is not None and logs:
            self._bar.set_postfix_str(f"loss {logs['loss']:.4f}")
            self._bar.update()

    def on_test_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Close the bar before validation, whose time is none of its business."""
        del logs
        self._open.close()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Tell the epoch's figures and draw the curve."""
        row = {name: float(value) for name, value in (logs or {}).items()}
        self.log.append(row)
        valid = f"validation loss {row['val_loss']:.4f}, accuracy {row['val_accuracy']:.4f}"
        if epoch == 0:
            shell.say(f"before training: {valid}")
        else:
            seconds = time.perf_counter() - self._started
            training = f"training loss {row['loss']:.4f}, accuracy {row['accuracy']:.4f}"
            rate = f"rate {row['learning_rate']:.3g}"
            shell.say(f"epoch {epoch}/{self._n_epochs}: {valid}; {training}; {rate}; {seconds:.0f} s")
        draw_curve(self.log, self._picture, self._title)

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        """Close what an interrupted epoch left open."""
        del logs
        self._open.close()


class StartingPoint(keras.callbacks.Callback):  # type: ignore[misc]  # Keras is published without types
    """Makes the state before training count as epoch 0 for every other callback.

    So the starting point is logged, saved and compared like any epoch: a run can end no worse on validation than
    the head that it began with. Must be the last callback, because each of them resets itself when training begins.
    """

    def __init__(self, others: Sequence[keras.callbacks.Callback], logs: Mapping[str, float]) -> None:
        super().__init__()
        self._others, self._logs = others, logs

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Pass the starting figures on; training loss and accuracy are unknown, NaN."""
        del logs
        # One dict for all: the plateau callback adds the rate that the log then writes.
        row = {"accuracy": math.nan, "loss": math.nan, **self._logs}
        for callback in self._others:
            callback.on_epoch_end(0, row)
