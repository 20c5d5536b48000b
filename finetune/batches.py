"""Batches: photographs are decoded and cut once, every later epoch reads the cut pixels from disk."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import keras
import numpy as np
import pandas as pd
from keras import ops
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from sklearn.utils.class_weight import compute_sample_weight

from featstore import shell
from featstore.errors import ImageError, TrainingError, listed
from featstore.images import load_crop
from featstore.provenance import sha256_of_file
from featstore.roi import Recipe
from finetune.augment import augment
from finetune.settings import TrainSettings
from finetune.transforms import white_ground
from heads.weights import well_voted

Preprocess: TypeAlias = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""(b, s, s, 3) RGB images to the input range of the network."""

BOX = ("box_top", "box_left", "box_bottom", "box_right")


@dataclass(frozen=True)
class Crops:
    """Photographs as the network is to see them, waiting on disk.

    Attributes
    ----------
    papers
        One row per photograph that could be cut, in the order of the store.
    pixels
        (m, s, s, 3) uint8, m >= n, a memory map: what the machine has no room for stays on disk. It has a row for
        every photograph that was asked for, also for those that could not be cut.
    place
        (n,) row of `pixels` that belongs to each row of `papers`.
    white
        (n,) whether the photograph is a leaf scan on white ground.
    failures
        image_id and reason of every photograph that could not be cut.
    """

    papers: pd.DataFrame
    pixels: NDArray[np.uint8]
    place: NDArray[np.intp]
    white: NDArray[np.bool_]
    failures: dict[str, str] = field(default_factory=dict)

    def read(self, rows: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Read the pixels of some photographs, (b, s, s, 3) uint8, into memory."""
        return np.asarray(self.pixels[self.place[rows]])

    def rows_of(self, mask: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Rows of `papers` for which a mask over all photographs, unreadable ones included, holds."""
        return np.flatnonzero(mask[self.place])


def cut_photographs(papers: pd.DataFrame, root: Path, side_px: int, recipe: Recipe, cache: Path) -> Crops:
    """Decode every photograph, cut the region that the store knows and keep it in a file.

    Decoding runs on threads (it releases the interpreter's lock); memory does not grow with the number of
    photographs. One that cannot be read, or is not the file the store was built from, is left out and reported.

    Parameters
    ----------
    papers
        Rows of a store's papers with status done.
    root
        Folder that their paths start from.
    side_px, recipe
        Input side of the network and ROI recipe behind its features.
    cache
        The ``.npy`` file that is written, s * s * 3 bytes per photograph.

    Raises
    ------
    TrainingError
        If no photograph can be read.
    OSError
        If the disk has no room for the file.
    """
    pixels = open_memmap(cache, mode="w+", dtype=np.uint8, shape=(len(papers), side_px, side_px, 3))
    _reserve(cache)
    paths, views, digests = (papers[column].to_list() for column in ("path", "view", "sha256"))
    boxes = papers[list(BOX)].to_numpy(np.int64).tolist()

    def cut_one(row: int) -> str:
        path = root / paths[row]
        try:
            if sha256_of_file(path) != digests[row]:
                return f"{paths[row]} has changed since the store was built"
            # Each thread writes rows of its own, so nothing waits and nothing is kept in memory.
            pixels[row] = load_crop(path, tuple(boxes[row]), side_px, recipe.of(views[row]))
        except (ImageError, OSError) as error:
            return str(error)
        return ""

    reasons: list[str] = []
    with (
        shell.progress(len(paths), "decoding", "images") as bar,
        ThreadPoolExecutor(min(32, os.cpu_count() or 1)) as threads,
    ):
        for reason in threads.map(cut_one, range(len(paths))):
            reasons.append(reason)
            bar.update()
    pixels.flush()
    return _kept(papers, pixels, reasons, root)


def _reserve(path: Path) -> None:
    """Claim the disk for a file that so far has only a length; without it a full disk would kill the process."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _kept(papers: pd.DataFrame, pixels: NDArray[np.uint8], reasons: Sequence[str], root: Path) -> Crops:
    place = np.flatnonzero([not reason for reason in reasons])
    failures = {str(key): reason for key, reason in zip(papers["image_id"], reasons, strict=True) if reason}
    if not place.size:
        raise TrainingError(
            f"the photographs of the store below {root}",
            f"{len(failures)} that cannot be used ({listed(list(failures.values()), 1)})",
            "Say where they are now: --photos ROOT.",
        )
    kept = papers.iloc[place].reset_index(drop=True)
    white = np.zeros(len(place), dtype=np.bool_)
    for row in np.flatnonzero(kept["view"] == "LeafScan"):
        white[row] = white_ground(pixels[place[row]][None])[0]
    return Crops(kept, pixels, place, white, failures)


def trained_rows(papers: pd.DataFrame, split: NDArray[np.str_], min_vote: float | None) -> NDArray[np.bool_]:
    """Which photographs train: those of the split whose vote is unknown or at least `min_vote`."""
    train: NDArray[np.bool_] = (split == "train") & well_voted(papers, min_vote)
    return train


class PlainBatches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras is published without types
    """Photographs in order, unchanged, with their classes: what validation sees.

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
    batch_size
        Images per batch; the last may be smaller.
    """

    def __init__(
        self,
        crops: Crops,
        rows: NDArray[np.intp],
        target: NDArray[np.float32],
        preprocess: Preprocess,
        batch_size: int,
    ) -> None:
        super().__init__()
        self._crops, self._rows, self._target, self._preprocess = crops, rows, target, preprocess
        self._batch_size = batch_size

    def __len__(self) -> int:
        """Batches per epoch."""
        return math.ceil(len(self._rows) / self._batch_size)

    def __getitem__(self, number: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """One batch: images (b, s, s, 3) and one-hot classes (b, k)."""
        chosen = slice(number * self._batch_size, (number + 1) * self._batch_size)
        return self._preprocess(self._crops.read(self._rows[chosen])), self._target[chosen]


class TrainingBatches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras is published without types
    """Photographs in a new order every epoch, augmented, all batches of one size.

    What does not fill a batch is left out of the epoch - other images each time - because a new shape would make
    the network compile again. Order and augmentation depend on the seed, the epoch and the image alone.

    Parameters
    ----------
    crops, rows, target, preprocess
        As for `PlainBatches`.
    settings
        Batch size, seed, class weight and augmentation.
    """

    def __init__(
        self,
        crops: Crops,
        rows: NDArray[np.intp],
        target: NDArray[np.float32],
        preprocess: Preprocess,
        settings: TrainSettings,
    ) -> None:
        super().__init__()
        self._crops, self._rows, self._target, self._preprocess = crops, rows, target, preprocess
        self._settings = settings
        self._batch_size = min(settings.batch_size, len(rows))
        balanced = settings.class_weight == "balanced"
        self._weight = compute_sample_weight("balanced", target.argmax(axis=1)).astype(np.float32) if balanced else None
        self.epoch = 1
        """The epoch that batches are made for; whoever counts epochs sets it before each."""

    def __len__(self) -> int:
        """Batches per epoch."""
        return len(self._rows) // self._batch_size

    def __getitem__(self, number: int) -> tuple[NDArray[np.float32], ...]:
        """One batch: images (b, s, s, 3), one-hot classes (b, k) and, if classes are balanced, weights (b,)."""
        key = (self._settings.seed, self.epoch)
        order = np.random.default_rng(key).permutation(len(self._rows))
        chosen = order[number * self._batch_size :][: self._batch_size]
        rows = self._rows[chosen]
        varied = augment(
            self._crops.read(rows), self._settings.augment, key, self._crops.place[rows], self._crops.white[rows]
        )
        # The network meets 8-bit photographs, as it did when the features were stored.
        images = np.rint(ops.convert_to_numpy(varied)).astype(np.uint8)
        batch = (self._preprocess(images), self._target[chosen])
        return batch if self._weight is None else (*batch, self._weight[chosen])
