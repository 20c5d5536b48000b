"""The schedule: which rate an epoch has and when training ends, read off the log of the epochs before.

Nothing is remembered beside the log, so a run that is taken up again decides as if it had never stopped. The rules
are those of Keras' ReduceLROnPlateau and EarlyStopping with ``min_delta=0``; the tests hold them side by side.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from finetune.settings import TrainSettings

Log = Sequence[Mapping[str, float]]
"""One row per epoch from 0, the state before training, with at least ``val_loss``."""


def warming_up(epoch: int, settings: TrainSettings) -> bool:
    """Whether the head alone is trained in an epoch, counted from 1."""
    return epoch <= settings.head_warmup


def rate_of(epoch: int, log: Log, settings: TrainSettings) -> float:
    """Learning rate of an epoch.

    Parameters
    ----------
    epoch
        Counted from 1.
    log
        The epochs before it, ``log[0]`` to ``log[epoch - 1]``.
    settings
        Rate, schedule and warm-up.
    """
    if warming_up(epoch, settings):
        return settings.head_warmup_rate
    if settings.schedule == "constant":
        return settings.rate
    first = settings.head_warmup + 1
    if settings.schedule == "cosine":
        share = (epoch - first) / max(settings.epochs - first, 1)
        return settings.min_rate + (settings.rate - settings.min_rate) * (1 + math.cos(math.pi * share)) / 2
    rate, waited = settings.rate, 0
    best = _best(log[:first])
    for row in log[first:epoch]:
        if row["val_loss"] < best:
            best, waited = row["val_loss"], 0
            continue
        waited += 1
        if waited >= settings.plateau_patience and rate > settings.min_rate:
            rate, waited = max(rate * settings.plateau_factor, settings.min_rate), 0
    return rate


def is_over(log: Log, settings: TrainSettings) -> bool:
    """Whether training ends after the epochs of `log`: all are done, or the validation loss has not fallen for long.

    Epochs of the head's warm-up are compared with, but not counted.
    """
    done = len(log) - 1
    if done >= settings.epochs:
        return True
    best, waited = _best(log[: settings.head_warmup + 1]), 0
    for row in log[settings.head_warmup + 1 :]:
        if row["val_loss"] < best:
            best, waited = row["val_loss"], 0
        else:
            waited += 1
    return waited >= settings.patience


def best_epoch(log: Log) -> int:
    """Position in `log` of the lowest finite validation loss, the first of equals; 0 if there is none."""
    losses = [row["val_loss"] if math.isfinite(row["val_loss"]) else math.inf for row in log]
    return losses.index(min(losses))


def _best(log: Log) -> float:
    return min((row["val_loss"] for row in log if math.isfinite(row["val_loss"])), default=math.inf)
