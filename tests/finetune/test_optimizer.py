"""The optimizer: Keras' own, with a rate per stage."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from featstore.backbones import build_backbone
from finetune.model import join, set_trainable
from finetune.optimizer import LayerwiseSGD, make_optimizer, rate_factors
from finetune.settings import TrainSettings
from finetune.train import make_ready


def small() -> keras.Model:
    start = [keras.initializers.GlorotUniform(seed) for seed in range(3)]
    layers = [
        keras.Input((4,)),
        keras.layers.Dense(5, kernel_initializer=start[0]),
        keras.layers.Dense(3, kernel_initializer=start[1]),
    ]
    return keras.Sequential(layers)


def stepped(optimizer: keras.optimizers.Optimizer, n_steps: int = 4) -> list[np.ndarray]:
    network = small()
    if isinstance(optimizer, LayerwiseSGD):
        optimizer._factor_of = {v.path: 0.25 for v in network.layers[0].weights}.get
    network.compile(optimizer=optimizer, loss="mse")
    rng = np.random.default_rng(0)
    for _ in range(n_steps):
        network.train_on_batch(rng.normal(size=(6, 4)).astype("f4"), rng.normal(size=(6, 3)).astype("f4"))
    return [ops.convert_to_numpy(v).copy() for v in network.weights]


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9}, {"momentum": 0.9, "global_clipnorm": 0.1}])
def test_a_factor_scales_the_step_of_its_layer_alone(options: dict[str, float]) -> None:
    before = [ops.convert_to_numpy(v) for v in small().weights]
    plain = stepped(keras.optimizers.SGD(0.1, **options), 1)
    layered = stepped(LayerwiseSGD({}, learning_rate=0.1, **options), 1)
    for number, (start, one, other) in enumerate(zip(before, plain, layered, strict=True)):
        np.testing.assert_allclose(other - start, (one - start) * (0.25 if number < 2 else 1), rtol=1e-4, atol=1e-7)


def test_without_factors_it_is_keras_own() -> None:
    plain = stepped(keras.optimizers.SGD(0.1, momentum=0.9))
    optimizer = LayerwiseSGD({}, learning_rate=0.1, momentum=0.9)
    network = small()
    network.compile(optimizer=optimizer, loss="mse")
    rng = np.random.default_rng(0)
    for _ in range(4):
        network.train_on_batch(rng.normal(size=(6, 4)).astype("f4"), rng.normal(size=(6, 3)).astype("f4"))
    # PyTorch's own fuses what ours does one after the other.
    tolerance = 1e-7 if keras.backend.backend() == "torch" else 0
    for one, other in zip(plain, network.weights, strict=True):
        np.testing.assert_allclose(one, ops.convert_to_numpy(other), rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ("name", "side_px", "n_stages"),
    [
        ("ResNet50", 64, 5),
        ("VGG16", 64, 5),
        ("InceptionV3", 139, 5),
        ("MobileNet", 64, 5),
        # Their gates see means of the whole image; the stem of the last quarters the image.
        ("MobileNetV3Large", 32, 5),
        ("EfficientNetV2B0", 64, 5),
        ("ConvNeXtTiny", 64, 4),
    ],
)
def test_factors_fall_from_stage_to_stage(name: str, side_px: int, n_stages: int) -> None:
    build = getattr(keras.applications, name)
    backbone = build(include_top=False, weights=None, input_shape=(side_px, side_px, 3), pooling="avg")
    head = keras.Sequential([keras.Input(backbone.output_shape[1:]), keras.layers.Dense(4, activation="softmax")])
    network = join(backbone, head)
    factors = rate_factors(network, 0.5)
    found = sorted(set(factors.values()))
    assert len(found) == n_stages
    assert found[-1] == 0.5
    assert set(factors) == {v.path for layer in network.layers[:-1] for v in layer.trainable_variables}
    order = [factors[v.path] for layer in network.layers[:-1] for v in layer.trainable_variables]
    assert order[0] == found[0]
    assert order[-1] == 0.5
    if name != "InceptionV3":  # whose branches are interleaved
        assert order == sorted(order)
    assert rate_factors(network, 1.0) == {}


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="takes a step by hand, which JAX does not allow")
def test_decay_spares_every_vector_whatever_its_name() -> None:
    scale, kernel = keras.Variable(np.ones(3, "f4"), name="variable_17"), keras.Variable(np.ones((3, 3), "f4"))
    optimizer = LayerwiseSGD({}, 0.5, learning_rate=0.1)
    optimizer.build([scale, kernel])
    optimizer.apply([ops.zeros_like(scale), ops.zeros_like(kernel)], [scale, kernel])
    np.testing.assert_array_equal(ops.convert_to_numpy(scale), 1)
    np.testing.assert_allclose(ops.convert_to_numpy(kernel), 0.95)


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="takes a step by hand, which JAX does not allow")
@pytest.mark.parametrize("layer_decay", [1.0, 0.5])
def test_decay_takes_from_weights_alone_at_the_rate_of_their_layer(layer_decay: float) -> None:
    backbone = build_backbone("small", "random", 32)
    head = keras.Sequential([keras.Input((24,)), keras.layers.Dense(4, activation="softmax")])
    network = join(backbone, head)
    settings = TrainSettings(weight_decay=0.5, batch_norm="train", rate=0.1, layer_decay=layer_decay)
    optimizer = make_optimizer(network, settings, 0.1)
    set_trainable(network, settings)
    variables = network.trainable_variables
    optimizer.build(variables)
    before = [ops.convert_to_numpy(v) for v in variables]
    optimizer.apply([ops.zeros_like(v) for v in variables], variables)
    for variable, old in zip(variables, before, strict=True):
        spared = variable.path.rsplit("/", 1)[-1] in {"bias", "gamma", "beta"}
        taken = 0.0 if spared else 0.1 * 0.5 * rate_factors(network, layer_decay).get(variable.path, 1.0)
        np.testing.assert_allclose(ops.convert_to_numpy(variable), old * (1 - taken), rtol=1e-5)
    if layer_decay < 1:
        assert len(set(rate_factors(network, layer_decay).values())) == 2, "two stages, so that something was tested"


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="takes a step by hand, which JAX does not allow")
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_decay_below_the_last_bit_of_a_weight_still_counts_on_average(momentum: float) -> None:
    """Rate 3e-5 times decay 1e-4 is 3e-9 of a weight; its last bit is 6e-8 of it."""
    rng = np.random.default_rng(0)
    start = rng.normal(size=(1000, 1000)).astype("f4")
    gradients = [rng.normal(size=start.shape).astype("f4") * 0.1 for _ in range(5)]

    def ended(decay: float) -> np.ndarray:
        kernel = keras.Variable(start)
        optimizer = LayerwiseSGD({}, decay, learning_rate=3e-5, momentum=momentum)
        optimizer.build([kernel])
        for gradient in gradients:
            optimizer.apply([ops.convert_to_tensor(gradient)], [kernel])
        return ops.convert_to_numpy(kernel).astype("f8")

    taken = ((ended(0.0) - ended(1e-4)) * start).sum() / (start.astype("f8") ** 2).sum()
    assert taken == pytest.approx(5 * 3e-5 * 1e-4, rel=0.2)


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="takes a step by hand, which JAX does not allow")
def test_decay_leaves_the_step_of_the_gradient_as_it_is() -> None:
    """Against keras.optimizers.SGD, the decay taken off by hand."""
    rng = np.random.default_rng(1)
    start = rng.normal(size=(6, 5)).astype("f4")
    ours, theirs = keras.Variable(start), keras.Variable(start)
    optimizer = LayerwiseSGD({}, 0.3, learning_rate=0.1, momentum=0.9)
    plain = keras.optimizers.SGD(0.1, momentum=0.9)
    optimizer.build([ours])
    plain.build([theirs])
    for _ in range(4):
        gradient = rng.normal(size=start.shape).astype("f4")
        optimizer.apply([ops.convert_to_tensor(gradient)], [ours])
        before = ops.convert_to_numpy(theirs)
        plain.apply([ops.convert_to_tensor(gradient)], [theirs])
        theirs.assign(ops.convert_to_numpy(theirs) - 0.1 * 0.3 * before)
    np.testing.assert_allclose(ops.convert_to_numpy(ours), ops.convert_to_numpy(theirs), rtol=1e-5, atol=1e-6)


def half() -> keras.Model:
    """A layer in 16 bits between an input and an output in 32, as a network that is assembled in mixed_float16."""
    inputs = keras.Input((4,))
    dense = keras.layers.Dense(3, dtype="mixed_float16", kernel_initializer=keras.initializers.GlorotUniform(0))
    return keras.Model(inputs, keras.layers.Activation("linear", dtype="float32")(dense(inputs)))


@pytest.mark.parametrize(("precision", "moves"), [("float32", False), ("mixed_float16", True)])
def test_float16_scales_small_gradients_up(precision: str, *, moves: bool) -> None:
    network = half()
    settings = TrainSettings(precision=precision, momentum=0.0)  # type: ignore[arg-type]  # one of the three
    network.compile(optimizer=make_optimizer(network, settings, 1.0), loss="mse")
    before = ops.convert_to_numpy(network.weights[0])
    images = np.full((2, 4), 1e-4, "f4")
    answer = np.asarray(network.predict(images, verbose=0))
    # A gradient of about 1e-4 on its way in, 1e-8 behind the layer: less than float16 can hold.
    network.train_on_batch(images, answer + 1e-4)
    assert bool((ops.convert_to_numpy(network.weights[0]) != before).any()) is moves
    network.optimizer.learning_rate = 0.5
    assert float(network.optimizer.learning_rate) == 0.5


def test_a_rate_may_be_a_whole_number() -> None:
    settings = TrainSettings(rate=1)
    optimizer = make_optimizer(small(), settings, settings.rate)
    assert float(optimizer.learning_rate) == 1.0


def whole(**settings: float | None) -> keras.Model:
    """A network ready to train in which nothing is drawn, neither dropout nor the statistics of a batch."""
    images = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, activation="relu", kernel_initializer=keras.initializers.HeNormal(0))(images)
    answer = keras.layers.Dense(3, activation="softmax", kernel_initializer=keras.initializers.GlorotUniform(1))
    backbone = keras.Model(images, keras.layers.GlobalAveragePooling2D()(x))
    network = join(backbone, keras.Sequential([keras.Input((4,)), answer]))
    make_ready(network, TrainSettings(**settings), 1)  # type: ignore[arg-type]  # fields of TrainSettings
    return network


@pytest.fixture
def photographs() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(24, 8, 8, 3)).astype("f4"), np.eye(3, dtype="f4")[rng.integers(0, 3, 24)]


def weights_of(network: keras.Model) -> np.ndarray:
    return np.concatenate([ops.convert_to_numpy(weight).ravel() for weight in network.weights])


@pytest.mark.parametrize("clip_norm", [None, 0.05])
def test_accumulated_batches_are_one_large_batch(
    photographs: tuple[np.ndarray, np.ndarray], clip_norm: float | None
) -> None:
    images, target = photographs
    small_steps = whole(rate=0.1, clip_norm=clip_norm, accumulate=3)
    large_steps = whole(rate=0.1, clip_norm=clip_norm)
    before = weights_of(large_steps)
    for start in range(0, 24, 4):
        small_steps.train_on_batch(images[start : start + 4], target[start : start + 4])
        if start == 4:
            np.testing.assert_array_equal(weights_of(small_steps), before)
    for start in (0, 12):
        large_steps.train_on_batch(images[start : start + 12], target[start : start + 12])
    step = weights_of(large_steps) - before
    assert np.abs(step).max() > 1e-3
    np.testing.assert_allclose(weights_of(small_steps) - before, step, rtol=1e-4, atol=1e-6)


def test_smoothed_labels_are_what_is_learnt(photographs: tuple[np.ndarray, np.ndarray]) -> None:
    images, target = photographs
    network = whole(label_smoothing=0.3)
    answer = ops.convert_to_numpy(network(images, training=False))
    losses = [-(wanted * np.log(answer)).sum(axis=1).mean() for wanted in (target, 0.7 * target + 0.1)]
    assert abs(losses[1] - losses[0]) > 0.01
    found = network.train_on_batch(images, target, return_dict=True)
    assert float(found["loss"]) == pytest.approx(losses[1], rel=1e-5)


def test_no_step_is_longer_than_the_clipped_gradient(photographs: tuple[np.ndarray, np.ndarray]) -> None:
    lengths = []
    for clip_norm in (None, 1e-3):
        network = whole(rate=0.5, momentum=0.0, clip_norm=clip_norm)
        before = weights_of(network)
        network.train_on_batch(*photographs)
        lengths.append(float(np.linalg.norm(weights_of(network) - before)))
    assert lengths[0] > 5e-3
    assert lengths[1] == pytest.approx(0.5 * 1e-3, rel=1e-3)
