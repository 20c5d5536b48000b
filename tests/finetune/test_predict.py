"""Prediction: every photograph once, whatever the batch; variants averaged."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from finetune.augment import variants
from finetune.crops import Crops
from finetune.model import join
from finetune.predict import Viewing, predict

Parts = Callable[[], tuple[keras.Model, keras.Model]]
Scale = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@pytest.mark.parametrize("batch_size", [1, 5, 16, 64])
def test_plain_prediction_is_the_networks_own(parts: Parts, crops: Crops, scale: Scale, batch_size: int) -> None:
    network = join(*parts())
    rows = np.arange(3, 36)
    probability, speed = predict(network, crops, rows, Viewing(scale, batch_size), "test")
    expected = network.predict_on_batch(scale(crops.pixels[rows]))
    np.testing.assert_allclose(probability, expected, atol=1e-6)
    assert probability.dtype == np.float32
    assert speed > 0


def test_variants_are_averaged_with_the_image(parts: Parts, crops: Crops, scale: Scale) -> None:
    network = join(*parts())
    rows = np.arange(10)
    probability, _ = predict(network, crops, rows, Viewing(scale, 4, n_variants=3, seed=2), "test")
    seen = variants(crops.pixels[rows], 3, 2, crops.key[rows], crops.white[rows])
    each = [network.predict_on_batch(scale(v)) for v in seen]
    assert len(each) == 4
    np.testing.assert_allclose(probability, np.mean(each, axis=0), atol=1e-6)
    np.testing.assert_allclose(probability.sum(axis=1), 1, atol=1e-5)
    plain, _ = predict(network, crops, rows, Viewing(scale, 4), "test")
    assert not np.allclose(plain, probability, atol=1e-4)
