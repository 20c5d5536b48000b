"""A small whole network and small photographs, quick enough to train in a test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from finetune.crops import Crops

SIDE_PX, N_CLASSES = 32, 3


@pytest.fixture(scope="session", autouse=True)
def _small(small_backbone: Path) -> None:
    """Every test here knows the small network."""


@pytest.fixture
def parts() -> Callable[[], tuple[keras.Model, keras.Model]]:
    """Build a seeded backbone (with a nested BatchNormalization) and a head like the mlp."""

    def build() -> tuple[keras.Model, keras.Model]:
        kernel = [keras.initializers.HeNormal(seed=seed) for seed in range(5)]
        inner = keras.Sequential(
            [keras.layers.Conv2D(8, 3, strides=2, kernel_initializer=kernel[0]), keras.layers.BatchNormalization()]
        )
        images = keras.Input((SIDE_PX, SIDE_PX, 3))
        x = keras.layers.ReLU()(inner(images))
        x = keras.layers.BatchNormalization()(keras.layers.Conv2D(12, 3, kernel_initializer=kernel[1])(x))
        backbone = keras.Model(images, keras.layers.GlobalAveragePooling2D()(x))
        rng = np.random.default_rng(0)
        for layer in (inner.layers[1], backbone.layers[-2]):
            gamma, beta, mean, variance = layer.get_weights()
            layer.set_weights([gamma, beta, rng.normal(0, 0.1, mean.shape), rng.uniform(0.5, 1.5, variance.shape)])
        normalization = keras.layers.Normalization()
        head = keras.Sequential(
            [
                keras.Input((12,)),
                normalization,
                keras.layers.Dense(16, activation="selu", kernel_initializer=kernel[2]),
                keras.layers.Dropout(0.5, seed=4),
                keras.layers.Dense(N_CLASSES, activation="softmax", kernel_initializer=kernel[3]),
            ]
        )
        normalization.adapt(rng.normal(0.1, 0.7, (64, 12)).astype(np.float32))
        return backbone, head

    return build


@pytest.fixture
def crops() -> Crops:
    """36 photographs of three classes: a red, a green and a blue disc on grey, with noise."""
    rng = np.random.default_rng(1)
    n = 36
    pixels = rng.integers(90, 166, (n, SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX] - SIDE_PX / 2
    for row in range(n):
        pixels[row, (y**2 + x**2) < rng.integers(36, 150), row % N_CLASSES] = 230
    papers = pd.DataFrame(
        {
            "image_id": [f"i{row}" for row in range(n)],
            "view": "Flower",
            "class_id": [str(row % N_CLASSES) for row in range(n)],
            "vote": np.where(np.arange(n) % 4 == 0, np.nan, np.arange(n) % 4),
        }
    )
    return Crops(papers, pixels, np.arange(n), np.zeros(n, dtype=np.bool_))


@pytest.fixture
def target(crops: Crops) -> NDArray[np.float32]:
    """One-hot classes of `crops`."""
    return np.eye(N_CLASSES, dtype=np.float32)[crops.papers["class_id"].astype(int)]


@pytest.fixture
def scale() -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """A network's own scaling: 0..255 to -1..1."""

    def to_unit(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.asarray(images / np.float32(127.5) - np.float32(1), dtype=np.float32)

    return to_unit
