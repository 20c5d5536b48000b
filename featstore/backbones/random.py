"""Random weights: seeded, drawn by NumPy, and the same on every Keras backend."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from featstore.errors import SettingsError

if TYPE_CHECKING:
    import keras

RANDOM_VERSION = 1
"""Raised when `randomise` draws other weights."""


def random_seed(weights: str) -> int | None:
    """Seed that ``random[:SEED]`` means; None for other weights.

    >>> random_seed("random"), random_seed("random:7"), random_seed("imagenet")
    (0, 7, None)
    """
    word, _, seed = weights.partition(":")
    if word != "random" or Path(weights).exists():
        return None
    if seed and not seed.isdigit():
        raise SettingsError("--weights random:SEED with a whole number", repr(weights), "Write for example random:1.")
    return int(seed or 0)


def randomise(network: keras.Model, seed: int) -> None:
    """Fill a network with seeded random weights, the same on every Keras backend.

    Kernels are He-uniform over their fan-in, so that the signal survives every network (a Glorot start let that
    of MobileNet sink to 1e-6); biases and normalisations keep their neutral start, layer scales become 1 (ConvNeXt
    starts them at 1e-6, and its blocks would count for nothing), and gates are half open (saturated ones made the
    features of EfficientNetV2S a matter of rounding).
    """
    rng = np.random.default_rng(seed)
    for layer in network.layers:
        for variable in layer.weights:
            shape = tuple(int(length) for length in variable.shape)
            if type(layer).__name__ == "LayerScale":
                variable.assign(np.ones(shape, dtype=np.float32))
            if len(shape) < 2:
                continue
            fan_in = int(np.prod(shape[:2] if _is_depthwise(layer, variable) else shape[:-1]))
            limit = 0.0 if _is_gate(layer) else np.sqrt(6.0 / fan_in)
            variable.assign(rng.uniform(-limit, limit, shape).astype(np.float32))


def _is_depthwise(layer: keras.layers.Layer, variable: keras.Variable) -> bool:
    """Whether each channel of a kernel sees one input channel alone."""
    import keras

    if isinstance(layer, keras.layers.SeparableConv2D):
        return variable is layer.depthwise_kernel
    return isinstance(layer, keras.layers.DepthwiseConv2D)


def _is_gate(layer: keras.layers.Layer) -> bool:
    """Whether a layer opens and closes channels, as squeeze-and-excitation does."""
    import keras

    return getattr(layer, "activation", None) is keras.activations.sigmoid
