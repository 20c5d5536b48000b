"""The whole network: equal to its parts before training, BatchNormalization fixed while the rest moves."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import ops
from numpy.typing import NDArray

from featstore.errors import TrainingError
from finetune.model import batch_normalizations, join, require_same_start, seed_dropout

Parts = Callable[[], tuple[keras.Model, keras.Model]]


def images(n: int = 8, side_px: int = 32) -> NDArray[np.float32]:
    return np.random.default_rng(0).uniform(-1, 1, (n, side_px, side_px, 3)).astype(np.float32)


def values(network: keras.Model) -> dict[str, NDArray[np.float32]]:
    return {variable.path: ops.convert_to_numpy(variable).copy() for variable in network.weights}


def train_steps(network: keras.Model, rate: float = 0.05, n_steps: int = 3) -> None:
    network.compile(optimizer=keras.optimizers.SGD(rate, momentum=0.9), loss="categorical_crossentropy")
    batch = images(side_px=network.input_shape[1])
    target = np.eye(network.output_shape[-1], dtype=np.float32)[np.arange(8) % network.output_shape[-1]]
    for _ in range(n_steps):
        network.train_on_batch(batch, target)


def test_the_whole_equals_its_parts_before_training(parts: Parts) -> None:
    backbone, head = parts()
    features = backbone.predict_on_batch(images())
    expected = head.predict_on_batch(features)

    network = join(backbone, head)

    np.testing.assert_allclose(network.predict_on_batch(images()), expected, atol=1e-6)
    assert require_same_start(network, head, images(), features) < 1e-6


def test_only_batch_normalization_stays_while_training(parts: Parts) -> None:
    network = join(*parts())
    fixed = {variable.path for layer in batch_normalizations(network) for variable in layer.weights}
    fixed |= {
        variable.path
        for layer in network.layers[-1].layers
        if isinstance(layer, keras.layers.Normalization)
        for variable in layer.weights
    }
    assert len(batch_normalizations(network)) == 2, "the nested one must be found too"
    before = values(network)

    train_steps(network)

    after = values(network)
    for path, value in before.items():
        if path in fixed:
            np.testing.assert_array_equal(after[path], value, err_msg=path)
        elif "seed_generator" not in path:
            assert not np.array_equal(after[path], value), f"{path} did not move"


def test_without_freezing_the_statistics_would_move(parts: Parts) -> None:
    # The trap this module exists for; if Keras mends it, this test says so.
    backbone, head = parts()
    network = keras.Model(backbone.input, head(backbone(backbone.input, training=False)))
    before = values(network)
    train_steps(network)
    after = values(network)
    assert any(not np.array_equal(after[path], before[path]) for path in before if "moving_mean" in path)


def test_mobilenet_keeps_its_statistics_bit_for_bit() -> None:
    backbone = keras.applications.MobileNet(include_top=False, weights=None, input_shape=(32, 32, 3), pooling="avg")
    rng = np.random.default_rng(0)
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
            # Keras' own start lets the signal die in 27 layers; this one keeps it alive.
            (kernel,) = layer.get_weights()
            n_inputs = np.prod(kernel.shape[: 2 if isinstance(layer, keras.layers.DepthwiseConv2D) else 3])
            layer.set_weights([rng.normal(0, np.sqrt(2 / n_inputs), kernel.shape)])
    head = keras.Sequential([keras.Input((1024,)), keras.layers.Dense(4, activation="softmax")])
    network = join(backbone, head)
    before = values(network)
    train_steps(network, rate=1e-4, n_steps=2)
    after = values(network)
    statistics = [path for path in before if "moving_" in path]
    assert len(statistics) == 2 * 27
    for path in statistics:
        np.testing.assert_array_equal(after[path], before[path])
    moved = [path for path in before if "kernel" in path and not np.array_equal(after[path], before[path])]
    assert len(moved) == 27 + 1


def test_dropout_is_active_in_training_and_seeded(parts: Parts) -> None:
    network = join(*parts())
    batch = images()

    def outputs(seed: int) -> NDArray[np.float32]:
        seed_dropout(network, seed)
        return np.asarray(ops.convert_to_numpy(network(batch, training=True)))

    assert not np.array_equal(outputs(1), ops.convert_to_numpy(network(batch, training=False)))
    np.testing.assert_array_equal(outputs(1), outputs(1))
    assert not np.array_equal(outputs(1), outputs(2))


def test_a_head_of_another_network_is_refused(parts: Parts) -> None:
    backbone, _ = parts()
    head = keras.Sequential([keras.Input((7,)), keras.layers.Dense(3, activation="softmax")])
    with pytest.raises(TrainingError, match="12 features"):
        join(backbone, head)


@pytest.mark.parametrize("spoil", ["features", "nan"])
def test_a_stale_store_is_refused(parts: Parts, spoil: str) -> None:
    backbone, head = parts()
    features = np.array(backbone.predict_on_batch(images()))
    features[3] = np.nan if spoil == "nan" else features[3] + 0.05
    with pytest.raises(TrainingError, match="on 8 photographs"):
        require_same_start(join(backbone, head), head, images(), features)
