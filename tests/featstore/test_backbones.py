"""Backbones: dimensions, seeded and real weights, preprocessing, and what is said when weights are missing."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from featstore.backbones import BACKBONES, build_backbone, preprocess, random_seed, weights_sha256
from featstore.errors import SettingsError, WeightsError

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 75, 75, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", BACKBONES)
def test_features_have_the_stated_dimension(name: str) -> None:
    network = build_backbone(name, "random", side_px=75)
    features = np.asarray(network.predict_on_batch(preprocess(name, IMAGES)))
    assert features.shape == (2, BACKBONES[name].dimension)
    assert np.isfinite(features).all()
    # Wild scales are part of random networks; a signal that dies on its way (1e-18) would be a wrong start.
    assert 1e-3 < np.abs(features).mean() < 1e5
    assert features.std(axis=0).max() > 1e-3


def test_random_weights_repeat_and_differ_by_seed() -> None:
    digests = [weights_sha256(build_backbone("mobilenet", w, 32)) for w in ("random", "random:0", "random:1")]
    assert digests[0] == digests[1] != digests[2]


def test_the_digest_does_not_depend_on_what_was_built_before() -> None:
    first = weights_sha256(build_backbone("inception_v3", "random:3", 75))
    assert weights_sha256(build_backbone("inception_v3", "random:3", 75)) == first


@pytest.mark.parametrize(
    ("weights", "seed"), [("random", 0), ("random:12", 12), ("imagenet", None), ("a/file.h5", None)]
)
def test_random_seed(weights: str, seed: int | None) -> None:
    assert random_seed(weights) == seed


def test_average_and_maximum_pooling() -> None:
    batch = preprocess("vgg16", IMAGES[:, :64, :64])
    average, maximum = (
        np.asarray(build_backbone("vgg16", "random", 64, kind).predict_on_batch(batch)) for kind in ("avg", "max")
    )
    network = build_backbone("vgg16", "random", 64)
    maps = keras.Model(network.input, network.layers[-2].output).predict_on_batch(batch)
    np.testing.assert_allclose(average, np.asarray(maps).mean(axis=(1, 2)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(maximum, np.asarray(maps).max(axis=(1, 2)), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mobilenet", [0 / 127.5 - 1, 128 / 127.5 - 1, 255 / 127.5 - 1]),
        ("inception_v3", [0 / 127.5 - 1, 128 / 127.5 - 1, 255 / 127.5 - 1]),
        # Caffe's order is blue, green, red, minus the ImageNet mean.
        ("vgg16", [255 - 103.939, 128 - 116.779, 0 - 123.68]),
        ("resnet50", [255 - 103.939, 128 - 116.779, 0 - 123.68]),
    ],
)
def test_each_network_has_its_own_scale(name: str, expected: list[float]) -> None:
    image = np.array([[[[0, 128, 255]]]], dtype=np.uint8)
    before = image.copy()
    np.testing.assert_allclose(preprocess(name, image)[0, 0, 0], expected, atol=1e-5)
    assert np.array_equal(image, before)


def test_weights_from_a_file_and_a_folder(tmp_path: Path) -> None:
    original = build_backbone("mobilenet", "random:5", 32)
    original.save_weights(tmp_path / "mobilenet.weights.h5")
    for weights in (tmp_path, tmp_path / "mobilenet.weights.h5"):
        assert weights_sha256(build_backbone("mobilenet", str(weights), 32)) == weights_sha256(original)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "vgg16.weights.h5"
    build_backbone("vgg16", "random", 32).save_weights(path)
    for other in ("vgg19", "mobilenet"):
        with pytest.raises(WeightsError, match=f"weights of {other} without its classifier in vgg16.weights.h5"):
            build_backbone(other, str(path), 32)


def test_a_file_that_lacks_layers_is_refused(tmp_path: Path) -> None:
    import h5py

    path = tmp_path / "mobilenet.weights.h5"
    build_backbone("mobilenet", "random", 32).save_weights(path)
    with h5py.File(path, "r+") as file:
        del file["layers/conv2d"]
    with pytest.raises(WeightsError, match="a file that does not fit"):
        build_backbone("mobilenet", str(path), 32)


@pytest.mark.parametrize("content", [b"", b"no hdf5"])
def test_damaged_weights_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mobilenet.weights.h5"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="a file that does not fit"):
        build_backbone("mobilenet", str(path), 32)


def test_missing_weights(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"mobilenet.weights.h5 or .*, got none of these"):
        build_backbone("mobilenet", str(tmp_path), 32)
    with pytest.raises(WeightsError, match="does not exist"):
        build_backbone("mobilenet", str(tmp_path / "typo.h5"), 32)


def test_imagenet_weights_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", unreachable)
    monkeypatch.setattr(keras.config, "is_interactive_logging_enabled", lambda: False)
    with pytest.raises(WeightsError, match=r"(?s)ImageNet weights of mobilenet.*Offline: .*copy its models folder"):
        build_backbone("mobilenet", "imagenet", 224)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet51", {}, "a backbone among vgg16"),
        ("inception_v3", {"side_px": 74}, "at least 75 px"),
        ("mobilenet", {"weights": "random:x"}, "random:SEED"),
        ("mobilenet", {"pooling": "median"}, "avg or max"),
    ],
)
def test_settings_are_checked(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        build_backbone(name, **{"weights": "random", **options})


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["mobilenet", "mobilenet_v2"])
def test_real_weights_load(shared: Path, name: str) -> None:
    network = build_backbone(name, str(shared / "weights"))
    assert network.output_shape == (None, BACKBONES[name].dimension)
