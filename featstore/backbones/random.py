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
    of MobileNet sink to 1e-6); biases and BatchNormalization keep their neutral start.
    """
    import keras

    rng = np.random.default_rng(seed)
    for layer in network.layers:
        # Each channel of a depthwise kernel sees one input channel alone.
        depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        for variable in layer.weights:
            if len(variable.shape) < 2:
                continue
            shape = tuple(int(length) for length in variable.shape)
            fan_in = int(np.prod(shape[:2] if depthwise else shape[:-1]))
            limit = np.sqrt(6.0 / fan_in)
            variable.assign(rng.uniform(-limit, limit, shape).astype(np.float32))
