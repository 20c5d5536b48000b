"""A network of two convolutions that `--backbone small` names in tests; as a script, the command line that knows it."""

from __future__ import annotations

import sys

import keras
import pytest

from featstore.backbones import BACKBONES
from featstore.backbones.table import Backbone

_HOME = "finetune_tests.small"


def preprocess_input(images: object, data_format: str) -> object:
    return images / 127.5 - 1  # type: ignore[operator]  # an array or a tensor


def small(*, include_top: bool, weights: str | None, input_shape: tuple[int, int, int], pooling: str) -> keras.Model:
    """Build the network as constructors of `keras.applications` are called."""
    assert (include_top, weights) == (False, None)
    x = images = keras.Input(input_shape)
    for width in (12, 24):
        x = keras.layers.Conv2D(width, 3, strides=2, padding="same", use_bias=False)(x)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    pool = {"avg": keras.layers.GlobalAveragePooling2D, "max": keras.layers.GlobalMaxPooling2D}[pooling]
    return keras.Model(images, pool()(x), name="small")


def register(patch: pytest.MonkeyPatch, *names: str) -> None:
    """Put it into the table of backbones, as `small` or under other names."""
    patch.setitem(sys.modules, _HOME, sys.modules[__name__])
    for name in names or ("small",):
        patch.setitem(BACKBONES, name, Backbone(name, "small", _HOME, 32, 8, 24, "small.h5"))


if __name__ == "__main__":
    from finetune.cli import main

    register(pytest.MonkeyPatch())
    main()
