"""The whole network: equal to its parts before training, BatchNormalization fixed while the rest moves."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import ops
from numpy.typing import NDArray

from featstore.errors import TrainingError
from finetune.model import (
    batch_normalizations,
    join,
    recalibrate,
    require_same_start,
    seed_dropout,
    set_trainable,
)
from finetune.settings import TrainSettings

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


def test_train_normalises_by_the_batch_and_moves_the_statistics(parts: Parts) -> None:
    network = join(*parts())
    set_trainable(network, TrainSettings(batch_norm="train"))
    before = values(network)
    train_steps(network)
    after = values(network)
    for layer in batch_normalizations(network):
        for variable in layer.weights:
            assert not np.array_equal(after[variable.path], before[variable.path]), variable.path


def test_recalibrate_takes_the_statistics_of_the_photographs(parts: Parts) -> None:
    backbone, head = parts()
    network = join(backbone, head)
    batch = images(24)
    recalibrate(network, lambda: iter(np.split(batch, 3)))
    first, _ = batch_normalizations(network)
    (convolution,) = [layer for layer in network.layers[1].layers if isinstance(layer, keras.layers.Conv2D)]
    seen = ops.convert_to_numpy(convolution(batch))
    # The first layer sees the images themselves: mean and variance over all of them are exact.
    np.testing.assert_allclose(first.moving_mean, seen.mean(axis=(0, 1, 2)), atol=1e-5)
    np.testing.assert_allclose(first.moving_variance, seen.var(axis=(0, 1, 2)), rtol=1e-4)
    features = ops.convert_to_numpy(backbone(batch, training=False))
    normalization = head.layers[0]
    np.testing.assert_allclose(ops.convert_to_numpy(normalization(features)).mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(ops.convert_to_numpy(normalization(features)).std(axis=0), 1, atol=1e-3)
    # Every channel behind the second is nearly standard, as scale 1 and shift 0 promise.
    assert [layer.momentum for layer in batch_normalizations(network)] == [0.99, 0.99]


def batch_normalizations_of(layer: keras.layers.Layer) -> list[keras.layers.BatchNormalization]:
    if isinstance(layer, keras.layers.BatchNormalization):
        return [layer]
    return batch_normalizations(layer) if isinstance(layer, keras.Model) else []


def test_recalibrate_leaves_what_lies_before_the_first_layer_that_learns(parts: Parts) -> None:
    network = join(*parts())
    layers = network.layers[:-1]
    last = max(number for number, layer in enumerate(layers) if batch_normalizations_of(layer))
    before = values(network)
    recalibrate(network, lambda: iter(np.split(images(24), 3)), layers[last].name)
    after = values(network)
    moved = {path for path in before if "moving" in path and not np.array_equal(before[path], after[path])}
    allowed = {variable.path for layer in batch_normalizations_of(layers[last]) for variable in layer.weights}
    assert moved
    assert moved <= allowed


@pytest.mark.parametrize("policy", ["frozen", "recalibrate"])
def test_frozen_statistics_stay_after_other_policies(parts: Parts, policy: str) -> None:
    network = join(*parts())
    set_trainable(network, TrainSettings(batch_norm="train"))
    set_trainable(network, TrainSettings(batch_norm=policy))  # type: ignore[arg-type]  # of the table above
    before = values(network)
    train_steps(network)
    after = values(network)
    for layer in batch_normalizations(network):
        for variable in layer.weights:
            np.testing.assert_array_equal(after[variable.path], before[variable.path])


def test_layers_before_a_named_one_stay(parts: Parts) -> None:
    network = join(*parts())
    name = next(layer.name for layer in network.layers if isinstance(layer, keras.layers.Conv2D))
    set_trainable(network, TrainSettings(train_from=name, batch_norm="train"))
    before = values(network)
    train_steps(network)
    after = values(network)
    early = {variable.path for variable in network.layers[1].weights}
    for path, value in before.items():
        if path in early:
            np.testing.assert_array_equal(after[path], value)
    assert any(
        "conv2d" in path and path not in early and not np.array_equal(after[path], before[path]) for path in before
    )
    with pytest.raises(TrainingError, match="`train_from`"):
        set_trainable(network, TrainSettings(train_from="block9"))


def test_the_refusal_names_the_stages_of_a_real_network() -> None:
    backbone = keras.applications.ResNet50(include_top=False, weights=None, input_shape=(32, 32, 3), pooling="avg")
    head = keras.Sequential([keras.Input((2048,)), keras.layers.Dense(4, activation="softmax")])
    network = join(backbone, head)
    with pytest.raises(TrainingError, match="conv2, conv3, conv4, conv5"):
        set_trainable(network, TrainSettings(train_from="stage5"))
    set_trainable(network, TrainSettings(train_from="conv5"))
    paths = {variable.path for variable in network.trainable_variables} - {v.path for v in head.trainable_variables}
    assert {path.split("_")[0] for path in paths} == {"conv5"}
