"""Assembling: the network of a run, built with the weights that made the features, in a number format and size."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import keras
import numpy as np
from numpy.typing import NDArray

from featstore import shell
from featstore.backbones import Pooling, build_backbone, preprocess, weights_sha256
from featstore.errors import ImageError, TrainingError, WeightsError
from featstore.images import load_crop
from finetune.crops import BOX, Crops
from finetune.model import join, require_same_start
from finetune.settings import Precision
from finetune.start import Start
from heads.mlp import MlpHead
from heads.registry import load_head

N_PROVED = 16
"""Photographs on which the whole network must equal the head on stored features before training."""


def assemble(start: Start, name: str, side_px: int, precision: Precision = "float32") -> keras.Model:
    """Build the whole network as training starts from it.

    Parameters
    ----------
    start
        What the run begins from.
    name
        Of the network.
    side_px
        Side of its input.
    precision
        Number format that it computes in; its weights and probabilities are float32.

    Raises
    ------
    WeightsError
        If the weights at hand are not those that made the features.
    """
    identity = start.identity
    with _policy(precision):
        backbone = build_backbone(identity.backbone, start.weights, side_px, cast("Pooling", identity.pooling))
        head = load_head(start.run / "fitted")
    if not isinstance(head, MlpHead):  # `open_start` has looked
        raise TrainingError("an mlp head", head.name, "Name another --backbone.")
    digest = weights_sha256(backbone)
    if digest != identity.weights_sha256:
        raise WeightsError(
            f"the weights of {identity.backbone} that the store was built with ({identity.weights_sha256[:12]})",
            f"others ({digest[:12]}) from {start.weights}",
            "Say where they are: --weights PATH; or build the store anew: featstore build --replace.",
        )
    return join(backbone, head.network, name)


def prove(network: keras.Model, start: Start, crops: Crops) -> float:
    """Largest difference between the whole network and the head on stored features, over a few photographs.

    Parameters
    ----------
    network
        As `assemble` gives it for the side of the stored features.
    start, crops
        What the run begins from, and its photographs, of any side. At another side than that of the stored features
        a few are read again, those that are still there.

    Raises
    ------
    TrainingError
        If photographs and weights no longer give the stored features, or no photograph can be read again.
    """
    rows = np.arange(len(crops.papers))
    if crops.pixels.shape[1] == start.identity.side_px:
        rows = _spread(rows)
        pixels = crops.read(rows)
    else:
        # Of an interrupted run all may be cut, and the photographs elsewhere now.
        paths = crops.papers["path"].tolist()
        rows = _spread(np.flatnonzero([(start.root / path).is_file() for path in paths]))
        rows, pixels = _read_again(start, crops, rows)
    images = preprocess(start.identity.backbone, pixels)
    return require_same_start(network, start.head.network, images, start.table.features[crops.place[rows]])


def _spread(rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """`N_PROVED` of some rows at most, evenly spread."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(N_PROVED, len(rows))).astype(np.intp))]


def _read_again(start: Start, crops: Crops, rows: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.uint8]]:
    """Those of some photographs that can be read, and their pixels at the side of the stored features."""
    chosen = crops.papers.iloc[rows]
    boxes = [tuple(box) for box in chosen[list(BOX)].to_numpy(np.int64).tolist()]
    found: dict[int, NDArray[np.uint8]] = {}
    reasons = [f"none below {start.root}"]
    for row, path, box, view in zip(rows.tolist(), chosen["path"], boxes, chosen["view"], strict=True):
        try:
            found[row] = load_crop(start.root / path, box, start.identity.side_px, start.recipe.of(view))
        except (ImageError, OSError) as error:
            reasons.append(error.got if isinstance(error, ImageError) else str(error))
    if not found:
        raise TrainingError("photographs to prove the start on", reasons[-1], "Say where they are now: --photos ROOT.")
    return np.array([*found], dtype=np.intp), np.stack([*found.values()])


def use_all_devices(batch_size: int) -> None:
    """Share every batch among all devices, where the backend can: JAX with several of them.

    Elsewhere a process has one device: train one network per process, each with a device of its own.
    """
    if keras.backend.backend() != "jax":
        return
    devices = keras.distribution.list_devices()
    if len(devices) < 2:
        return
    if batch_size % len(devices):
        shell.warn(f"{len(devices)} devices cannot share batches of {batch_size}: one is used. Change --batch-size.")
        return
    keras.distribution.set_distribution(keras.distribution.DataParallel(devices=devices))
    shell.say(f"every batch is shared among {len(devices)} devices")


@contextmanager
def _policy(name: str) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
