"""A colour histogram in the clothes of a network: what colour alone tells, and what every network has to beat."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras

LEVELS = 5
"""Steps of each channel; red, green and blue together have 125 colours."""


def preprocess_input(images: object, data_format: str | None = None) -> object:
    """Scale 0..255 to 0..1."""
    del data_format
    return images / 255.0  # type: ignore[operator]  # an array or a tensor


def ColourHistogram(  # noqa: N802  # named as the constructors of keras.applications are
    *, include_top: bool, weights: str | None, input_shape: tuple[int, int, int], pooling: str
) -> keras.Model:
    """Build a model without weights: (b, s, s, 3) in 0..1 to (b, `LEVELS` ** 3) shares of joint colours.

    They add up to 1. A pixel between two levels counts for both, so that a little more light moves it a little.
    """
    import keras
    from keras import ops

    del include_top, weights
    pixels = keras.Input(input_shape)
    centres = np.linspace(0, 1, LEVELS, dtype=np.float32)
    near = ops.relu(1 - (LEVELS - 1) * ops.abs(ops.expand_dims(pixels, -1) - centres))
    red, green, blue = (near[:, :, :, channel] for channel in range(3))
    flat = (-1, *input_shape[:2], LEVELS**2)
    joint = ops.reshape(ops.expand_dims(red, -1) * ops.expand_dims(green, -2), flat)
    joint = ops.expand_dims(joint, -1) * ops.expand_dims(blue, -2)
    joint = ops.reshape(joint, (-1, *input_shape[:2], LEVELS**3))
    pool = keras.layers.GlobalAveragePooling2D if pooling == "avg" else keras.layers.GlobalMaxPooling2D
    return keras.Model(pixels, pool()(joint), name="colour")
