"""Engines: the same features from each, folded normalisation, padded batches, and what is told without loading any."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from featstore.backbones import (
    BACKBONES,
    ENGINES,
    Network,
    backend_name,
    build_backbone,
    check_engine,
    engine_identity,
    preprocess,
)
from featstore.backbones.folding import folded
from featstore.backbones.networks import from_pixels
from featstore.errors import SettingsError, WeightsError

LARGE = {"resnet101", "densenet121", "inception_resnet_v2", "efficientnet_v2_s", "convnext_tiny"}
LARGE |= {"xception", "resnet50_v2", "efficientnet_v2_b0", "mobilenet_v3_large"}
"""What every run leaves out; the article's networks, small ones and any that is new are always there."""
ALL = [pytest.param(name, marks=pytest.mark.exhaustive) if name in LARGE else name for name in BACKBONES]
TOLERANCE = 1e-4


def images(n: int, side: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (n, side, side, 3), dtype=np.uint8)


def unsettle(model: keras.Model) -> keras.Model:
    """Give every BatchNormalization statistics as if it had been trained."""
    rng = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights(
                [
                    rng.uniform(0.5, 1.5, v.shape)
                    if v.name in {"gamma", "moving_variance"}
                    else rng.normal(0, 0.1, v.shape)
                    for v in layer.weights
                ]
            )
    return model


def relative_error(got: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Largest difference, relative to the largest feature."""
    return float(np.abs(got - expected).max() / np.abs(expected).max())


def normalisations(model: keras.Model) -> int:
    return sum(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers)


@pytest.mark.parametrize("name", ALL)
def test_the_keras_engine_computes_the_network(name: str) -> None:
    model = unsettle(build_backbone(name, "random:2", 75))
    batch = images(2, 75)
    expected = np.asarray(model.predict_on_batch(preprocess(name, batch)))
    before = [weight.copy() for weight in model.get_weights()]
    assert relative_error(Network(name, model, 2).features(batch), expected) < TOLERANCE
    assert all(np.array_equal(old, new) for old, new in zip(before, model.get_weights(), strict=True))


def require_openvino() -> None:
    pytest.importorskip("openvino")
    if sys.version_info >= (3, 13):
        pytest.skip("OpenVINO cannot take networks over on Python 3.13; what we say of it is tested everywhere")


def test_an_openvino_that_fails_on_this_python_is_refused_with_what_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    """As OpenVINO fails on 3.13, where a name that `exec` has made is kept nowhere."""
    pytest.importorskip("openvino")

    def export(*_: object, **__: object) -> None:
        raise NameError("name 'tensorflow' is not defined")

    monkeypatch.setattr(keras.Model, "export", export)
    with pytest.raises(SettingsError, match=r"ends with: name 'tensorflow' .* Use Python 3\.11 or 3\.12"):
        Network("mobilenet", build_backbone("mobilenet", "random:2", 32), 4, "openvino")


@pytest.mark.parametrize("name", ["mobilenet", pytest.param("resnet50", marks=pytest.mark.slow)])
def test_openvino_computes_the_same(name: str) -> None:
    require_openvino()
    model = unsettle(build_backbone(name, "random:2", 64))
    batch = images(3, 64)
    network = Network(name, model, 4, "openvino")
    expected = np.asarray(model.predict_on_batch(preprocess(name, batch)))
    features = network.features(batch)
    # bfloat16, which it chooses by itself on some processors, is off by 3e-3 and more.
    assert relative_error(features, expected) < TOLERANCE
    assert np.array_equal(network.features(batch[:1]), features[:1])


@pytest.mark.shared_data
@pytest.mark.parametrize("engine", ENGINES)
def test_trained_weights(engine: str, shared: Path) -> None:
    if engine == "openvino":
        require_openvino()
    model = build_backbone("mobilenet_v2", str(shared / "weights"), 96)
    batch = images(4, 96)
    expected = np.asarray(model.predict_on_batch(preprocess("mobilenet_v2", batch)))
    assert relative_error(Network("mobilenet_v2", model, 4, engine).features(batch), expected) < TOLERANCE


@pytest.mark.parametrize("name", BACKBONES)
def test_preprocessing_within_the_network_is_that_of_keras(name: str) -> None:
    pixels = keras.Input((16, 16, 3))
    nothing = keras.Model(pixels, keras.layers.Identity()(pixels))
    batch = images(2, 16)
    within = np.asarray(from_pixels(name, nothing, 2).predict_on_batch(batch))
    np.testing.assert_allclose(within, preprocess(name, batch), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [("vgg16", 0, 0), ("resnet50", 53, 0), ("inception_v3", 94, 0), ("mobilenet_v2", 52, 0), ("resnet50_v2", 49, 17)],
)
def test_what_is_folded(name: str, before: int, after: int) -> None:
    model = build_backbone(name, "random", 75)
    assert (normalisations(model), normalisations(folded(model))) == (before, after)


LAYERS = {
    "plain": (keras.layers.Conv2D(5, 3, padding="same"), 0),
    "without bias": (keras.layers.Conv2D(5, 3, strides=2, use_bias=False), 0),
    "grouped": (keras.layers.Conv2D(8, 3, groups=4), 0),
    "depthwise": (keras.layers.DepthwiseConv2D(3, depth_multiplier=2), 0),
    "separable": (keras.layers.SeparableConv2D(5, 3, depth_multiplier=2), 0),
    "dense": (keras.layers.Dense(5), 0),
    "an activation between": (keras.layers.Conv2D(5, 3, activation="relu"), 1),
    "no weights": (keras.layers.MaxPooling2D(), 1),
    "transposed": (keras.layers.Conv2DTranspose(5, 3), 1),
}


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize(
    "options", [{}, {"scale": False}, {"center": False}, {"scale": False, "center": False}], ids=str
)
def test_folding_each_kind_of_layer(kind: str, options: dict[str, bool]) -> None:
    prototype, left = LAYERS[kind]
    layer = type(prototype).from_config(
        {**prototype.get_config(), "bias_initializer": "random_normal"}
        if hasattr(prototype, "bias_initializer")
        else prototype.get_config()
    )
    inputs = keras.Input((9, 9, 4))
    outputs = keras.layers.ReLU()(keras.layers.BatchNormalization(epsilon=0.01, **options)(layer(inputs)))
    model = unsettle(keras.Model(inputs, outputs))
    if getattr(layer, "use_bias", False):
        layer.bias.assign(np.linspace(-1, 1, layer.bias.shape[0]))
    shorter = folded(model)
    assert normalisations(shorter) == left
    batch = np.random.default_rng(3).normal(size=(2, 9, 9, 4)).astype(np.float32)
    np.testing.assert_allclose(shorter.predict_on_batch(batch), model.predict_on_batch(batch), rtol=1e-5, atol=1e-5)


def test_a_convolution_that_others_read_is_not_folded() -> None:
    inputs = keras.Input((9, 9, 4))
    convolved = keras.layers.Conv2D(4, 3)(inputs)
    normalised = keras.layers.BatchNormalization()(convolved)
    added = keras.Model(inputs, keras.layers.Add()([convolved, normalised]))
    by_operation = keras.Model(inputs, normalised * convolved)
    result = keras.Model(inputs, [normalised, convolved])
    batch = np.random.default_rng(3).normal(size=(2, 9, 9, 4)).astype(np.float32)
    for model in (added, by_operation):
        shorter = folded(unsettle(model))
        assert normalisations(shorter) == 1
        np.testing.assert_allclose(shorter.predict_on_batch(batch), model.predict_on_batch(batch), rtol=1e-5, atol=1e-5)
    assert normalisations(folded(result)) == 1


def test_short_batches_are_padded() -> None:
    network = Network("mobilenet", build_backbone("mobilenet", "random", 64), 5)
    batch = images(5, 64)
    features = network.features(batch)
    assert (network.side_px, network.dimension, network.batch_size) == (64, 1024, 5)
    assert (features.dtype, features.shape) == (np.dtype(np.float32), (5, 1024))
    for n in (1, 3):
        assert np.array_equal(network.features(batch[:n]), features[:n])


def damaged(name: str, value: float, layer_index: int) -> keras.Model:
    model = build_backbone(name, "random", 32)
    layer = model.layers[layer_index]
    layer.set_weights([np.full(weight.shape, value) for weight in layer.get_weights()])
    return model


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(engine: str, value: float) -> None:
    # The first convolution: a fused ReLU turns its NaN into 0, and the features look sound.
    with pytest.raises(WeightsError, match="finite weights of mobilenet, got NaN or infinity"):
        Network("mobilenet", damaged("mobilenet", value, 1), 1, engine)


def test_features_that_overflow_are_refused() -> None:
    model = damaged("vgg16", 1e36, -3)
    with pytest.raises(WeightsError, match="finite features of vgg16, got NaN or infinity"):
        Network("vgg16", model, 1).features(images(1, 32))


def test_a_negative_variance_is_refused() -> None:
    model = damaged("mobilenet", -1.0, 2)
    with pytest.raises(WeightsError, match=r"variances of at least 0 in conv1_bn, got -1\."):
        Network("mobilenet", model, 1)


def test_an_engine_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    check_engine("keras")
    for ask in (check_engine, engine_identity):
        with pytest.raises(SettingsError, match=r"no such package here\. Install it with .*phytobench\[openvino\]"):
            ask("openvino")
    with pytest.raises(SettingsError, match="--engine among keras, openvino, got 'onnx'"):
        check_engine("onnx")


def test_the_backend_is_the_one_keras_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert backend_name() == keras.backend.backend()
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    assert backend_name() == "tensorflow"
    for content, expected in ((json.dumps({"backend": "jax"}), "jax"), ("{}", "tensorflow"), ("no json", "tensorflow")):
        (tmp_path / "keras.json").write_text(content)
        assert backend_name() == expected
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert backend_name() == "torch"


def test_what_computes_is_told_with_its_versions() -> None:
    engine, versions = engine_identity("keras")
    assert engine == f"keras-{keras.backend.backend()}"
    assert versions["keras"] == keras.__version__
    assert keras.backend.backend() in versions
    if importlib.util.find_spec("openvino"):
        engine, versions = engine_identity("openvino")
        assert (engine, set(versions)) == ("openvino", {"keras", "openvino"})
