"""Batches: photographs in a new order every epoch, augmented ahead of the steps that train on them."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils.class_weight import compute_sample_weight

from featstore.errors import TrainingError
from finetune.augment import augment
from finetune.crops import Crops
from finetune.settings import TrainSettings
from heads.weights import well_voted

Preprocess: TypeAlias = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""(b, s, s, 3) RGB images to the input range of the network."""

_MOST_WORKERS = 8


class Batch(NamedTuple):
    """What one step is trained on.

    Attributes
    ----------
    images
        (b, s, s, 3) float32, as the network wants them.
    target
        (b, k) float32, one-hot.
    weight
        (b,) float32, what each image counts; None where all count the same.
    """

    images: NDArray[np.float32]
    target: NDArray[np.float32]
    weight: NDArray[np.float32] | None


def trained_rows(papers: pd.DataFrame, split: NDArray[np.str_], min_vote: float | None) -> NDArray[np.bool_]:
    """Which photographs train: those of the split whose vote is unknown or at least `min_vote`."""
    train: NDArray[np.bool_] = (split == "train") & well_voted(papers, min_vote)
    return train


def require_step(n_batches: int, settings: TrainSettings) -> None:
    """Refuse an epoch that would end without a step.

    Raises
    ------
    TrainingError
        If `accumulate` gathers more than its `n_batches` batches.
    """
    if settings.accumulate > n_batches:
        raise TrainingError(
            f"`accumulate` of at most the {n_batches} batches of an epoch",
            str(settings.accumulate),
            "An epoch would end without a step: lower it, or `batch_size`.",
        )


class TrainingBatches:
    """Photographs in a new order every epoch, augmented, all batches of one size.

    What does not fill a batch is left out of the epoch - other images each time - because a new shape would make
    the network compile again. Order and augmentation depend on the seed, the epoch and the image alone, so that any
    batch can be made at any time, by any thread.

    Parameters
    ----------
    crops
        The photographs.
    rows
        (n,) which of them.
    target
        (n, k) float32, one-hot.
    preprocess
        The network's own scaling.
    settings
        Batch size, seed, class weight, sampling and augmentation.
    """

    def __init__(
        self,
        crops: Crops,
        rows: NDArray[np.intp],
        target: NDArray[np.float32],
        preprocess: Preprocess,
        settings: TrainSettings,
    ) -> None:
        self._crops, self._rows, self._target, self._preprocess = crops, rows, target, preprocess
        self._settings = settings
        self._batch_size = min(settings.batch_size, len(rows))
        even = compute_sample_weight("balanced", target.argmax(axis=1))
        self._weight = even.astype(np.float32) if settings.class_weight == "balanced" else None
        self._chance = even / even.sum() if settings.sampling == "balanced" else None

    def __len__(self) -> int:
        """Batches per epoch."""
        return len(self._rows) // self._batch_size

    def of(self, epoch: int) -> Iterator[Callable[[], Batch]]:
        """Give for each batch of an epoch, counted from 1, a call that makes it."""
        key = (self._settings.seed, epoch)
        rng, n_images = np.random.default_rng(key), len(self._rows)
        every: NDArray[np.intp] = np.arange(n_images)
        drawn = rng.permutation(every) if self._chance is None else rng.choice(every, n_images, p=self._chance)
        # A photograph that is drawn again in an epoch is varied anew.
        repeat = np.asarray(pd.Series(drawn).groupby(drawn).cumcount(), dtype=np.int64)
        for number in range(len(self)):
            part = slice(number * self._batch_size, (number + 1) * self._batch_size)
            yield partial(self._made, drawn[part], repeat[part], key)

    def plain(self, n_most: int) -> Iterator[NDArray[np.float32]]:
        """Give `n_most` photographs at most, evenly spread and unvaried, (b, s, s, 3), all batches of one size."""
        n_chosen = max(min(n_most, len(self._rows)) // self._batch_size, 1) * self._batch_size
        chosen = self._rows[np.linspace(0, len(self._rows) - 1, n_chosen).astype(np.intp)]
        for rows in chosen.reshape(-1, self._batch_size):
            yield self._preprocess(self._crops.read(rows))

    def _made(self, chosen: NDArray[np.intp], repeat: NDArray[np.int64], key: tuple[int, int]) -> Batch:
        rows = self._rows[chosen]
        images = augment(
            self._crops.read(rows), self._settings.augment, key, self._crops.key[rows] + repeat, self._crops.white[rows]
        )
        return Batch(
            self._preprocess(images), self._target[chosen], None if self._weight is None else self._weight[chosen]
        )


class ReadAhead:
    """Batches made by threads while the network is at work on earlier ones.

    Attributes
    ----------
    waited_s
        Seconds in which the network had nothing to do because its next batch was not there.
    """

    def __init__(self, n_workers: int | None = None) -> None:
        # Half the cores: the network needs the others, or a graphics card does its part.
        self._n_workers = n_workers or max(1, min(_MOST_WORKERS, (os.cpu_count() or 1) // 2))
        self.waited_s = 0.0

    def __call__(self, calls: Iterator[Callable[[], Batch]]) -> Iterator[Batch]:
        """Give the batches in their order; never more than the workers and one wait in memory."""
        waiting: deque[Future[Batch]] = deque()
        with ThreadPoolExecutor(self._n_workers) as threads:
            try:
                for _ in range(self._n_workers + 1):
                    self._ask(calls, threads, waiting)
                while waiting:
                    started = time.perf_counter()
                    batch = waiting.popleft().result()
                    self.waited_s += time.perf_counter() - started
                    self._ask(calls, threads, waiting)
                    yield batch
            finally:
                for future in waiting:
                    future.cancel()

    @staticmethod
    def _ask(calls: Iterator[Callable[[], Batch]], threads: ThreadPoolExecutor, waiting: deque[Future[Batch]]) -> None:
        call = next(calls, None)
        if call is not None:
            waiting.append(threads.submit(call))
