"""Prediction: every photograph once, whatever the batch; variants averaged."""

from __future__ import annotations

import time
from collections.abc import Callable

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from finetune.augment import variants
from finetune.crops import Crops
from finetune.model import join
from finetune.predict import Viewing, each_variant, predict, with_log_sum_exp

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


def test_a_batch_is_no_larger_than_few_photographs_need(parts: Parts, crops: Crops, scale: Scale) -> None:
    """However large it was asked for: what fills it up costs memory, too."""
    sizes = set()

    def watched(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        sizes.add(len(images))
        return scale(images)

    network, n_rows = join(*parts()), len(crops.papers)
    predict(network, crops, np.arange(n_rows), Viewing(watched, 4096), "x")
    predict(network, crops, np.arange(1), Viewing(watched, 4096), "x")
    each_variant(network, crops, np.arange(3), Viewing(watched, 4096, 2), "x")
    assert n_rows <= max(sizes) < 2 * n_rows
    assert {1, 4} <= sizes


@pytest.mark.parametrize("n_variants", [0, 2])
def test_compiling_is_no_part_of_the_speed(crops: Crops, scale: Scale, n_variants: int) -> None:
    """Neither of many batches nor of a single one."""

    class Slow:
        """A network that takes a second to compile."""

        compiled = False

        def predict_on_batch(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
            time.sleep(0 if self.compiled else 1)
            self.compiled = True
            return np.ones((len(images), 2), np.float32)

    for batch_size in (4, 16):
        _, speed = predict(Slow(), crops, np.arange(10), Viewing(scale, batch_size, n_variants), "test")
        assert speed > 20


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


def test_log_sum_exp_is_a_column_beside_the_same_probabilities(parts: Parts, crops: Crops, scale: Scale) -> None:
    network = join(*parts())
    rows, viewing = np.arange(10), Viewing(scale, 4, n_variants=2, seed=2)
    plain, _ = predict(network, crops, rows, viewing, "test")
    both, _ = predict(with_log_sum_exp(network), crops, rows, viewing, "test")
    np.testing.assert_allclose(both[:, :-1], plain, atol=1e-6)
    head = network.layers[-1]
    hidden = keras.Model(head.inputs, head.layers[-2].output)
    features = keras.Model(network.input, network.layers[-2].output)
    kernel, bias = head.layers[-1].get_weights()
    seen = variants(crops.pixels[rows], 2, 2, crops.key[rows], crops.white[rows])
    logits = [keras.ops.convert_to_numpy(hidden(features(scale(v)))) @ kernel + bias for v in seen]
    expected = np.mean([np.log(np.exp(one).sum(axis=1)) for one in logits], axis=0)
    np.testing.assert_allclose(both[:, -1], expected, rtol=1e-4)
