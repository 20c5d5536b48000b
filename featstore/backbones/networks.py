"""Networks: backbones built with their weights, without their classifier, each with its own preprocessing."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from featstore.backbones.random import random_seed, randomise
from featstore.backbones.sources import NO_WEIGHTS, keras_home, meant, weight_file
from featstore.backbones.table import BACKBONES, Backbone, Pooling, backbone_named, check_options
from featstore.errors import WeightsError

if TYPE_CHECKING:
    import keras


def build_backbone(
    name: str, weights: str = "imagenet", side_px: int | None = None, pooling: Pooling = "avg"
) -> keras.Model:
    """Build a network that turns (b, side, side, 3) preprocessed images into (b, dimension) features.

    Parameters
    ----------
    weights
        ``"imagenet"`` (downloaded once into Keras' cache; the shipped ones where ImageNet has none), ``"shipped"``
        (part of this package), ``"random"`` or ``"random:SEED"``, or the path of a weight file, or of a folder that
        holds ``<name>.weights.h5``, ``<name>.h5`` or Keras' own ImageNet file.
    side_px
        Side of the input; None takes the network's own.
    pooling
        Global pooling of the last feature maps.

    Raises
    ------
    SettingsError
        If the name or pooling is unknown or the side too small.
    WeightsError
        If the weights are missing, unreachable or those of another network.
    """
    check_options(name, pooling, side_px)
    backbone, weights = BACKBONES[name], meant(name, weights)
    side = backbone.side_px if side_px is None else side_px
    if weights in {"imagenet", NO_WEIGHTS}:
        return _construct(backbone, side, pooling, "imagenet")
    network = _construct(backbone, side, pooling, None)
    seed = random_seed(weights)
    if seed is None:
        _load_file(network, weight_file(backbone, weights), name)
    else:
        randomise(network, seed)
    return network


def preprocess(name: str, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Scale RGB images 0..255 (b, s, s, 3) to the network's own input range; `images` stays as it is.

    A network that does this in its own first layers gets the numbers 0..255.
    """
    # preprocess_input works in place on floats, so it gets a copy of its own.
    return cast("NDArray[np.float32]", _preprocess_input(name)(images.astype(np.float32), data_format="channels_last"))


def from_pixels(name: str, model: keras.Model, batch_size: int) -> keras.Model:
    """Put the preprocessing into the network: (batch_size, side, side, 3) RGB uint8 to (batch_size, d) float32.

    A quarter of the bytes travel to a graphics card, and the compiler sees all of the arithmetic.
    """
    import keras

    pixels = keras.Input(model.input_shape[1:], batch_size=batch_size, dtype="uint8")
    scaled = _preprocess_input(name)(keras.ops.cast(pixels, "float32"), data_format="channels_last")
    return keras.Model(pixels, model(scaled, training=False))


def weights_sha256(network: keras.Model) -> str:
    """Digest of a network's weights: names, shapes and float bytes, whatever file they came from."""
    digest = hashlib.sha256()
    for variable in network.weights:
        # Layer names that Keras numbers per process (conv2d_17) are no part of what the weights are.
        digest.update(f"{variable.name}{tuple(variable.shape)}".encode())
        digest.update(np.ascontiguousarray(_numpy(variable)).tobytes())
    return digest.hexdigest()


def _preprocess_input(name: str) -> Callable[..., object]:
    return cast("Callable[..., object]", _module(backbone_named(name)).preprocess_input)


def _module(backbone: Backbone) -> ModuleType:
    return importlib.import_module(f"keras.applications.{backbone.module}" if backbone.in_keras else backbone.module)


def _construct(backbone: Backbone, side: int, pooling: str, weights: str | None) -> keras.Model:
    import keras

    home = keras.applications if backbone.in_keras else _module(backbone)
    constructor = getattr(home, backbone.application)
    try:
        # Keras announces downloads on standard output, which belongs to results.
        with contextlib.redirect_stdout(sys.stderr):
            return constructor(include_top=False, weights=weights, input_shape=(side, side, 3), pooling=pooling)
    except Exception as error:
        # get_file raises a bare Exception when the download fails, ValueError when the file is broken.
        if weights is None:
            raise
        cache = keras_home() / "models"
        raise WeightsError(
            f"the ImageNet weights of {backbone.name}, from Keras' download or in {cache}",
            str(error).partition("\n")[0] or type(error).__name__,
            f'Offline: on a connected machine run `python -c "import keras; keras.applications.{backbone.application}'
            f'(include_top=False)"`, copy its {cache.name} folder to {cache}, or give --weights FOLDER; '
            "--weights random only shows that everything runs.",
        ) from error


def _load_file(network: keras.Model, path: Path, name: str) -> None:
    # Keras only warns of layers that a file lacks and leaves them as they were: NaN shows which those are.
    network.set_weights([np.full(weight.shape, np.nan, dtype=weight.dtype) for weight in network.get_weights()])
    fault = ""
    try:
        with warnings.catch_warnings(action="ignore", category=UserWarning):
            network.load_weights(path)
    except (ValueError, OSError, KeyError) as error:
        fault = str(error).splitlines()[0][:200]
    else:
        missing = [variable.path for variable in network.weights if np.isnan(_numpy(variable)).any()]
        fault = f"{len(missing)} of its {len(network.weights)} arrays are missing or NaN" if missing else ""
    if fault:
        raise WeightsError(
            f"weights of {name} without its classifier in {path.name}",
            f"a file that does not fit: {fault}",
            "Give the file of this network (Keras' *notop* weights).",
        )


def _numpy(variable: keras.Variable) -> NDArray[np.float32]:
    import keras

    return np.asarray(keras.ops.convert_to_numpy(variable), dtype=np.float32)
