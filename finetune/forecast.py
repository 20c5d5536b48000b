"""Forecast of fine-tuning: photographs, steps, time, memory and disk, measured on a few batches; nothing is trained."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import keras
import numpy as np

from featstore.backbones import preprocess
from featstore.errors import ImageError
from featstore.images import load_crop
from featstore.provenance import Json, free_bytes
from featstore.shell import in_words
from finetune.assemble import assemble
from finetune.crops import BOX
from finetune.earlier import content_of, finished_card
from finetune.folder import n_epochs_done
from finetune.settings import TrainSettings
from finetune.start import ENDING, SPLITS, Request, Start, open_start
from finetune.train import make_ready

_ROUNDS = 2
_N_DECODED = 6
_COPIES = 4
"""Weights in the run folder, of the epoch that is on, of the best one, and momentum."""


@dataclass(frozen=True)
class NetworkForecast:
    """What fine-tuning one network would take; seconds and bytes.

    Attributes
    ----------
    n_train, n_valid, n_photographs
        Photographs learnt from, judged after every epoch, and cut in all.
    n_predicted
        Photographs to predict before the first epoch and in the end, each variant counted. Of a run that is trained
        already the variants alone, if these are others.
    epochs
        Still to be done, at most: less those of an interrupted run that goes on; 0 if the run is trained already, or
        if the network is only to be judged as it starts.
    n_steps
        Of one epoch.
    step_s
        Of one batch, forwards and backwards.
    predict_s, decode_s
        Of one photograph: forwards through the network; decoded and cut by one processor.
    memory
        What this process took after the steps that were measured.
    n_bytes
        Disk that it takes at most, cut photographs included.
    is_done
        Whether the run is there already; speeds are 0 then.
    """

    name: str
    n_train: int
    n_valid: int
    n_photographs: int
    n_predicted: int
    epochs: int
    n_steps: int
    step_s: float
    predict_s: float
    decode_s: float
    memory: int
    n_bytes: int
    is_done: bool

    @property
    def epoch_s(self) -> float:
        """One epoch: its steps and the validation."""
        return self.n_steps * self.step_s + self.n_valid * self.predict_s

    @property
    def seconds(self) -> float:
        """All of it, with every epoch."""
        if self.is_done:
            return 0.0
        decoding = self.n_photographs * self.decode_s / (os.cpu_count() or 1)
        return decoding + self.epochs * self.epoch_s + self.n_predicted * self.predict_s


@dataclass(frozen=True)
class TrainingForecast:
    """What `finetune run` would do."""

    networks: tuple[NetworkForecast, ...]
    free_bytes: int

    COLUMNS: ClassVar[tuple[str, ...]] = (
        "network", "train", "valid", "epochs at most", "steps", "one epoch", "in all", "MB memory", "MB disk"
    )  # fmt: skip

    @property
    def seconds(self) -> float:
        """Of all networks."""
        return sum(network.seconds for network in self.networks)

    @property
    def n_bytes(self) -> int:
        """Room on the disk; cut photographs are removed in the end."""
        return sum(network.n_bytes for network in self.networks)

    def cells(self) -> list[list[str]]:
        """Rows of the table."""
        return [
            [one.name, f"{one.n_train:,}", f"{one.n_valid:,}", "done" if one.is_done else str(one.epochs),
             f"{one.n_steps:,}",
             "-" if one.is_done else in_words(one.epoch_s), "-" if one.is_done else in_words(one.seconds),
             f"{one.memory / 1e6:.0f}", f"{one.n_bytes / 1e6:.0f}"]
            for one in self.networks
        ]  # fmt: skip

    def to_json(self) -> dict[str, Json]:
        """Everything as one document."""
        networks: list[Json] = [
            {"network": one.name, "train": one.n_train, "valid": one.n_valid, "photographs": one.n_photographs,
             "done": one.is_done, "epochs": one.epochs, "steps_per_epoch": one.n_steps, "seconds_per_step": one.step_s,
             "seconds_per_epoch": one.epoch_s, "seconds": one.seconds, "memory_bytes": one.memory,
             "disk_bytes": one.n_bytes}
            for one in self.networks
        ]  # fmt: skip
        return {
            "schema": "training-forecast/1",
            "networks": networks,
            "seconds": self.seconds,
            "disk_bytes": self.n_bytes,
            "free_bytes": self.free_bytes,
        }


def foresee(request: Request, backbones: Sequence[str]) -> TrainingForecast:
    """Tell what `finetune.run.finetune_all` would do with the same arguments.

    Raises
    ------
    PhytobenchError
        As the run would, before anything is trained.
    """
    names: list[str | None] = [*dict.fromkeys(backbones)] or [None]
    out = request.out or request.runs
    found = tuple(_network(replace(request, backbone=name), out) for name in names)
    return TrainingForecast(found, free_bytes(out))


def _network(request: Request, out: Path) -> NetworkForecast:
    import psutil

    start, settings = open_start(request), request.settings
    name = f"{start.name}{ENDING}"
    parts = start.parts(settings)
    n_train, n_valid = int(parts["train"].sum()), int(parts["valid"].sum())
    card = finished_card(out / name, start, settings, restart=request.restart)
    is_done = card is not None and settings.predicts_as(card.details["settings"])
    # Of a run that is trained the plain predictions stay.
    variants = [n for n in settings.variants.values() if n or card is None]
    n_predicted = sum(1 + n for n in variants) * int(np.isin(start.split, SPLITS).sum())
    n_photographs = len(start.table.papers) if n_predicted else 0
    epochs = 0
    if card is None:
        n_predicted += n_valid
        epochs = settings.epochs
        if not request.restart:
            epochs -= n_epochs_done(out / name, content_of(start, settings))
    side_px = settings.side_px or start.identity.side_px
    batch_size = min(settings.batch_size, n_train)
    step_s = predict_s = decode_s = 0.0
    n_weights = 0
    if not is_done:
        network = assemble(start, name, side_px, settings.precision)
        step_s, predict_s = _speeds(network, start, settings, (batch_size, side_px, side_px, 3))
        decode_s = _decoding(start, side_px)
        n_weights = int(network.count_params())
    pixels = n_photographs * side_px * side_px * 3 if not is_done else 0
    return NetworkForecast(
        name, n_train, n_valid, n_photographs, n_predicted, epochs, n_train // batch_size, step_s, predict_s, decode_s,
        int(psutil.Process().memory_info().rss), pixels + _COPIES * 4 * n_weights, is_done,
    )  # fmt: skip


def _speeds(
    network: keras.Model, start: Start, settings: TrainSettings, shape: tuple[int, int, int, int]
) -> tuple[float, float]:
    """Seconds of one step, and of predicting one photograph."""
    drawn = np.random.default_rng(settings.seed).integers(0, 256, shape, dtype=np.uint8)
    images = preprocess(start.identity.backbone, drawn)
    target = np.eye(len(start.classes), dtype=np.float32)[np.arange(len(images)) % len(start.classes)]
    # As in the last epoch: while the head alone is warmed up, steps are cheaper.
    make_ready(network, settings, settings.epochs)
    step_s = _best(lambda: network.train_on_batch(images, target))
    return step_s, _best(lambda: network.predict_on_batch(images)) / len(images)


def _best(work: Callable[[], object]) -> float:
    """The shortest of `_ROUNDS`; the first one, which compiles, is not counted."""
    work()
    seconds = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def _decoding(start: Start, side_px: int) -> float:
    """Seconds to decode one photograph and cut it, of some that are evenly spread."""
    papers = start.table.papers
    rows = np.unique(np.linspace(0, len(papers) - 1, _N_DECODED).astype(int))
    started = time.perf_counter()
    for row in rows:
        paper = papers.iloc[int(row)]
        box = tuple(int(paper[name]) for name in BOX)
        try:
            load_crop(
                start.root / str(paper["path"]),
                (box[0], box[1], box[2], box[3]),
                side_px,
                start.recipe.of(paper["view"]),
            )
        except (ImageError, OSError):
            # The run leaves it out and says so.
            continue
    return (time.perf_counter() - started) / len(rows)
