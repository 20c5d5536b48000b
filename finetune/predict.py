"""Prediction: a whole network looks at photographs, plainly or at several variants of each."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from featstore import shell
from finetune.augment import variants
from finetune.batches import Preprocess
from finetune.crops import Crops
from heads.mlp import logits_of


@dataclass(frozen=True)
class Viewing:
    """How photographs are looked at.

    Parameters
    ----------
    preprocess
        The network's own scaling.
    batch_size
        Images per batch.
    n_variants
        Variants whose predictions are averaged with the image's own; 0 for the image alone.
    seed
        Of the variants' strengths.
    """

    preprocess: Preprocess
    batch_size: int
    n_variants: int = 0
    seed: int = 0


def predict(
    network: keras.Model, crops: Crops, rows: NDArray[np.intp], viewing: Viewing, label: str
) -> tuple[NDArray[np.float32], float]:
    """Predict photographs.

    Parameters
    ----------
    network
        (b, s, s, 3) preprocessed images to (b, k) probabilities, or what `with_log_sum_exp` makes of it.
    crops, rows
        The photographs, at least one, and which of them.
    viewing
        Plain or with variants.
    label
        What the bar is about.

    Returns
    -------
    probability : (n, k) float32
        The mean over the image and its variants.
    images_per_second : float
        Photographs per second from cut pixels to probabilities; decoding is not counted, nor the first batch, because
        it may compile the network. A single batch is therefore looked at twice.
    """
    size = _batch_size(len(rows), viewing)
    starts = range(0, len(rows), size)
    found, seconds = [], []
    if len(starts) == 1:
        _look(network, crops, _padded(rows, 0, size), replace(viewing, n_variants=0))
    with shell.progress(len(rows), label, "images") as bar:
        for start in starts:
            started = time.perf_counter()
            found.append(_look(network, crops, _padded(rows, start, size), viewing))
            seconds.append(time.perf_counter() - started)
            bar.update(min(size, len(rows) - start))
    timed = slice(1, None) if len(seconds) > 1 else slice(None)
    n_timed = sum(min(size, len(rows) - start) for start in starts[timed])
    return np.concatenate(found)[: len(rows)].astype(np.float32), n_timed / sum(seconds[timed])


def with_log_sum_exp(network: keras.Model) -> keras.Model:
    """Give the network with a column more, the log-sum-exp of its logits; for `predict`, which averages it alike.

    Parameters
    ----------
    network
        As `finetune.model.join` gives it.
    """
    features, head = network.layers[-2].output, network.layers[-1]
    log_sum_exp = ops.logsumexp(logits_of(head)(features), axis=1, keepdims=True)
    return keras.Model(network.input, ops.concatenate([network.output, log_sum_exp], axis=1))


def each_variant(
    network: keras.Model, crops: Crops, rows: NDArray[np.intp], viewing: Viewing, label: str
) -> NDArray[np.float64]:
    """Predict photographs and each of their variants by itself, (number of variants + 1, n, k); see `predict`."""
    blocks, size = [], _batch_size(len(rows), viewing)
    with shell.progress(len(rows), label, "images") as bar:
        for start in range(0, len(rows), size):
            inputs = _inputs(crops, _padded(rows, start, size), viewing)
            blocks.append(np.stack([ops.convert_to_numpy(network.predict_on_batch(images)) for images in inputs]))
            bar.update(min(size, len(rows) - start))
    return np.concatenate(blocks, axis=1)[:, : len(rows)].astype(np.float64)


def _batch_size(n_rows: int, viewing: Viewing) -> int:
    """As asked, but no more than few photographs need; of a few sizes only, since each compiles the network."""
    return min(viewing.batch_size, 1 << (n_rows - 1).bit_length())


def _padded(rows: NDArray[np.intp], start: int, batch_size: int) -> NDArray[np.intp]:
    """One batch of rows; the last is filled up, since another shape would compile the network again."""
    chosen = rows[start : start + batch_size]
    return np.pad(chosen, (0, batch_size - len(chosen)), mode="edge")


def _look(network: keras.Model, crops: Crops, rows: NDArray[np.intp], viewing: Viewing) -> NDArray[np.float64]:
    seen = [network.predict_on_batch(images) for images in _inputs(crops, rows, viewing)]
    return np.asarray(np.mean([ops.convert_to_numpy(one) for one in seen], axis=0, dtype=np.float64))


def _inputs(crops: Crops, rows: NDArray[np.intp], viewing: Viewing) -> Iterator[NDArray[np.float32]]:
    pixels = crops.read(rows)
    for varied in variants(pixels, viewing.n_variants, viewing.seed, crops.key[rows], crops.white[rows]):
        yield viewing.preprocess(varied)
