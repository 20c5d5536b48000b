"""Backbones: dimensions, seeded and real weights, preprocessing, and what is said when weights are missing."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from featstore.backbones import (
    ARTICLE_BACKBONES,
    BACKBONES,
    build_backbone,
    preprocess,
    random_seed,
    weights_sha256,
    weights_source,
)
from featstore.errors import SettingsError, WeightsError

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 75, 75, 3), dtype=np.uint8)


NETWORKS = [name for name, backbone in BACKBONES.items() if backbone.in_keras]
LARGE = {"resnet101", "densenet121", "inception_resnet_v2", "efficientnet_v2_s", "efficientnet_v2_b0"}
"""What every run leaves out; the article's networks, small ones and any that is new are always there."""
ALL = [pytest.param(name, marks=pytest.mark.exhaustive) if name in LARGE else name for name in BACKBONES]


@pytest.mark.parametrize("name", ALL)
def test_features_have_the_stated_dimension(name: str) -> None:
    network = build_backbone(name, "random", side_px=75)
    features = np.asarray(network.predict_on_batch(preprocess(name, IMAGES)))
    assert features.shape == (2, BACKBONES[name].dimension)
    assert np.isfinite(features).all()
    # Wild scales are part of random networks; a signal that dies on its way (1e-18) would be a wrong start.
    assert 1e-3 < np.abs(features).mean() < 1e8
    assert features.std(axis=0).max() > 1e-3


@pytest.mark.parametrize("name", NETWORKS)
def test_keras_draws_the_line_at_the_same_side(name: str) -> None:
    backbone = BACKBONES[name]
    constructor = getattr(keras.applications, backbone.application)
    with pytest.raises(ValueError, match=f"at least {backbone.min_side_px}x{backbone.min_side_px}"):
        constructor(include_top=False, weights=None, input_shape=(backbone.min_side_px - 1,) * 2 + (3,))
    with pytest.raises(SettingsError, match=f"at least {backbone.min_side_px} px"):
        build_backbone(name, "random", backbone.min_side_px - 1)


def test_the_colour_histogram_has_no_weights_and_counts_colours() -> None:
    network = build_backbone("colour", "imagenet", side_px=8)
    assert not network.weights
    images = np.zeros((3, 8, 8, 3), dtype=np.uint8)
    images[1] = 255, 0, 0
    images[2, :4] = 255, 255, 255
    features = np.asarray(network.predict_on_batch(preprocess("colour", images))).reshape(3, 5, 5, 5)
    np.testing.assert_allclose(features.sum(axis=(1, 2, 3)), 1, atol=1e-6)
    black, red, white = (features[:, 0, 0, 0], features[:, 4, 0, 0], features[:, 4, 4, 4])
    np.testing.assert_allclose([black, red, white], [[1, 0, 0.5], [0, 1, 0], [0, 0, 0.5]], atol=1e-6)
    assert weights_source("colour", "random:3") == weights_source("colour", "imagenet") == "none"


@pytest.mark.parametrize("name", ["convnext_tiny", "xception"])
def test_every_random_weight_counts(name: str) -> None:
    """Layer scales and separable kernels have starts of their own; a wrong one leaves a network without effect."""
    network = build_backbone(name, "random", side_px=75)
    scales = [v for layer in network.layers if type(layer).__name__ == "LayerScale" for v in layer.get_weights()]
    assert all((scale == 1).all() for scale in scales)
    assert bool(scales) == (name == "convnext_tiny")
    inputs = preprocess(name, IMAGES)
    images = [np.asarray(network.predict_on_batch(inputs[:, ::step])) for step in (1, -1)]
    assert np.abs(images[0] - images[1]).max() > 1e-3 * np.abs(images[0]).max()


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
        ("densenet121", [(0 - 0.485) / 0.229, (128 / 255 - 0.456) / 0.224, (1 - 0.406) / 0.225]),
        # These networks do it themselves.
        ("efficientnet_v2_b0", [0, 128, 255]),
        ("convnext_tiny", [0, 128, 255]),
        ("mobilenet_v3_large", [0, 128, 255]),
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


class DownloadError(Exception):
    """Stands for a download, and names its file."""


@pytest.mark.parametrize(
    ("name", "side"),
    [
        *((name, None) for name in sorted(set(NETWORKS) - LARGE)),
        *(pytest.param(name, None, marks=pytest.mark.exhaustive) for name in sorted(LARGE)),
        ("mobilenet", 128),
        ("mobilenet", 96),
        ("mobilenet_v2", 96),
    ],
)
@pytest.mark.filterwarnings("ignore:`input_shape` is undefined")
def test_the_download_has_the_name_that_keras_gives_it(
    name: str, side: int | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def no_download(fname: str, *_: object, **__: object) -> None:
        raise DownloadError(f"no download of {fname}")

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", no_download)
    with pytest.raises(WeightsError, match="no download of") as refusal:
        build_backbone(name, "imagenet", side)
    assert refusal.value.got == f"no download of {BACKBONES[name].download_name(side)}"


def test_sources_of_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert weights_source("mobilenet", "random:7") != weights_source("mobilenet", "random:8")
    assert weights_source("mobilenet", "imagenet") is None
    (tmp_path / "models").mkdir()
    for side in (160, 224):
        (tmp_path / f"models/mobilenet_1_0_{side}_tf_no_top.h5").write_bytes(b"%d" % side)
    by_side = [weights_source("mobilenet", "imagenet", side) for side in (None, 224, 225, 160, 128)]
    assert by_side[0] == by_side[1] == by_side[2] == f"file:{hashlib.sha256(b'224').hexdigest()}"
    assert by_side[3] == f"file:{hashlib.sha256(b'160').hexdigest()}"
    assert by_side[4] is None
    # A folder, a file in it, and Keras' own copy of the same bytes are one source.
    for path in (tmp_path / "models/mobilenet_1_0_160_tf_no_top.h5", tmp_path / "models"):
        assert weights_source("mobilenet", str(path)) == by_side[3]
    with pytest.raises(WeightsError, match="does not exist"):
        weights_source("mobilenet", str(tmp_path / "typo"))


def test_what_a_build_asks_first_needs_no_keras(tmp_path: Path) -> None:
    program = (
        "import sys; from featstore.backbones import *; weights_source('vgg16', 'random'); engine_identity('keras'); "
        "check_options('vgg16', 'avg', 64); sys.exit(any(m in sys.modules for m in ('keras', 'jax', 'openvino')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_article_names_four_networks_of_the_table() -> None:
    assert set(ARTICLE_BACKBONES) <= set(BACKBONES)


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["mobilenet", "mobilenet_v2"])
def test_real_weights_load(shared: Path, name: str) -> None:
    network = build_backbone(name, str(shared / "weights"))
    assert network.output_shape == (None, BACKBONES[name].dimension)
