"""Backbones: image networks without their classifier, each with its own weights and preprocessing."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import sys
import warnings
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
from numpy.typing import NDArray

from featstore.errors import SettingsError, WeightsError

if TYPE_CHECKING:
    import keras

Pooling = Literal["avg", "max"]


@dataclass(frozen=True)
class Backbone:
    """One network of `keras.applications`.

    Attributes
    ----------
    name
        What `--backbone` calls it.
    application
        Its constructor in `keras.applications`.
    module
        Its module there, which holds its `preprocess_input`.
    side_px
        Side of the square input its ImageNet weights were trained on.
    min_side_px
        Smallest side the network accepts.
    dimension
        Number of pooled features.
    """

    name: str
    application: str
    module: str
    side_px: int
    min_side_px: int
    dimension: int


BACKBONES: dict[str, Backbone] = {
    backbone.name: backbone
    for backbone in (
        Backbone("vgg16", "VGG16", "vgg16", 224, 32, 512),
        Backbone("vgg19", "VGG19", "vgg19", 224, 32, 512),
        Backbone("resnet50", "ResNet50", "resnet50", 224, 32, 2048),
        Backbone("inception_v3", "InceptionV3", "inception_v3", 299, 75, 2048),
        Backbone("mobilenet", "MobileNet", "mobilenet", 224, 32, 1024),
        Backbone("mobilenet_v2", "MobileNetV2", "mobilenet_v2", 224, 32, 1280),
    )
}

ARTICLE_BACKBONES = ("vgg16", "vgg19", "resnet50", "inception_v3")


def backbone_named(name: str) -> Backbone:
    """Look a backbone up; an unknown name is a `SettingsError` that lists the known ones."""
    if name not in BACKBONES:
        near = get_close_matches(name, BACKBONES, n=1)
        remedy = f"Did you mean {near[0]}?" if near else "Choose one of these."
        raise SettingsError(f"a backbone among {', '.join(BACKBONES)}", repr(name), remedy)
    return BACKBONES[name]


def build_backbone(
    name: str, weights: str = "imagenet", side_px: int | None = None, pooling: Pooling = "avg"
) -> keras.Model:
    """Build a network that turns (b, side, side, 3) preprocessed images into (b, dimension) features.

    Parameters
    ----------
    weights
        ``"imagenet"`` (downloaded once into Keras' cache), ``"random"`` or ``"random:SEED"``, or the path of a
        weight file, or of a folder that holds ``<name>.weights.h5``, ``<name>.h5`` or Keras' own ImageNet file.
    side_px
        Side of the input; None takes the network's own.
    pooling
        Global pooling of the last feature maps.

    Raises
    ------
    SettingsError
        If the name or pooling is unknown or the side too small.
    WeightsError
        If the weights are missing, unreachable or those of another network.
    """
    check_options(name, pooling, side_px)
    backbone = BACKBONES[name]
    side = backbone.side_px if side_px is None else side_px
    if weights == "imagenet":
        return _construct(backbone, side, pooling, "imagenet")
    network = _construct(backbone, side, pooling, None)
    seed = random_seed(weights)
    if seed is None:
        _load_file(network, _weight_file(backbone, Path(weights).expanduser()), name)
    else:
        randomise(network, seed)
    return network


def check_options(name: str, pooling: str, side_px: int | None) -> None:
    """Refuse an unknown backbone or pooling, or too small a side, with a `SettingsError`; loads nothing."""
    backbone = backbone_named(name)
    if side_px is not None and side_px < backbone.min_side_px:
        least = f"--side of at least {backbone.min_side_px} px for {name}"
        raise SettingsError(least, str(side_px), "Choose a larger side.")
    if pooling not in {"avg", "max"}:
        raise SettingsError("--pooling avg or max", repr(pooling), "Choose one of these.")


def preprocess(name: str, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Scale RGB images 0..255 (b, s, s, 3) to the network's own input range; `images` stays as it is."""
    module = importlib.import_module(f"keras.applications.{backbone_named(name).module}")
    # preprocess_input works in place on floats, so it gets a copy of its own.
    return cast("NDArray[np.float32]", module.preprocess_input(images.astype(np.float32), data_format="channels_last"))


def weights_sha256(network: keras.Model) -> str:
    """Digest of a network's weights: names, shapes and float bytes, whatever file they came from."""
    digest = hashlib.sha256()
    for variable in network.weights:
        # Layer names that Keras numbers per process (conv2d_17) are no part of what the weights are.
        digest.update(f"{variable.name}{tuple(variable.shape)}".encode())
        digest.update(np.ascontiguousarray(_numpy(variable)).tobytes())
    return digest.hexdigest()


def random_seed(weights: str) -> int | None:
    """Seed that ``random[:SEED]`` means; None for other weights.

    >>> random_seed("random"), random_seed("random:7"), random_seed("imagenet")
    (0, 7, None)
    """
    word, _, seed = weights.partition(":")
    if word != "random" or Path(weights).exists():
        return None
    if seed and not seed.isdigit():
        raise SettingsError("--weights random:SEED with a whole number", repr(weights), "Write for example random:1.")
    return int(seed or 0)


def randomise(network: keras.Model, seed: int) -> None:
    """Fill a network with seeded random weights, the same on every Keras backend.

    Kernels are He-uniform over their fan-in, so that the signal survives every network (a Glorot start let that
    of MobileNet sink to 1e-6); biases and BatchNormalization keep their neutral start.
    """
    import keras

    rng = np.random.default_rng(seed)
    for layer in network.layers:
        # Each channel of a depthwise kernel sees one input channel alone.
        depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        for variable in layer.weights:
            if len(variable.shape) < 2:
                continue
            shape = tuple(int(length) for length in variable.shape)
            fan_in = int(np.prod(shape[:2] if depthwise else shape[:-1]))
            limit = np.sqrt(6.0 / fan_in)
            variable.assign(rng.uniform(-limit, limit, shape).astype(np.float32))


def _construct(backbone: Backbone, side: int, pooling: str, weights: str | None) -> keras.Model:
    import keras

    constructor = getattr(keras.applications, backbone.application)
    try:
        # Keras announces downloads on standard output, which belongs to results.
        with contextlib.redirect_stdout(sys.stderr):
            return constructor(include_top=False, weights=weights, input_shape=(side, side, 3), pooling=pooling)
    except Exception as error:
        # get_file raises a bare Exception when the download fails, ValueError when the file is broken.
        if weights is None:
            raise
        cache = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "models"
        raise WeightsError(
            f"the ImageNet weights of {backbone.name}, from Keras' download or in {cache}",
            f"{type(error).__name__}: {str(error).splitlines()[0]}",
            f'Offline: on a connected machine run `python -c "import keras; keras.applications.{backbone.application}'
            f'(include_top=False)"`, copy its {cache.name} folder to {cache}, or give --weights FOLDER; '
            "--weights random only shows that everything runs.",
        ) from error


def _weight_file(backbone: Backbone, path: Path) -> Path:
    if path.is_file():
        return path
    patterns = (f"{backbone.name}.weights.h5", f"{backbone.name}.h5", f"{backbone.name}_*notop*.h5")
    if path.is_dir():
        # inception_v3's file has no underscore before its version elsewhere; MobileNet's names its width and side.
        found = [file for pattern in patterns for file in sorted(path.glob(pattern))]
        if found:
            return found[0]
        raise WeightsError(f"{' or '.join(patterns)} in {path}", "none of these", "Add the file or name it directly.")
    raise WeightsError(
        "imagenet, random[:SEED] or the path of weights", f"{path}, which does not exist", "Correct --weights."
    )


def _load_file(network: keras.Model, path: Path, name: str) -> None:
    # Keras only warns of layers that a file lacks and leaves them as they were: NaN shows which those are.
    network.set_weights([np.full(weight.shape, np.nan, dtype=weight.dtype) for weight in network.get_weights()])
    fault = ""
    try:
        with warnings.catch_warnings(action="ignore", category=UserWarning):
            network.load_weights(path)
    except (ValueError, OSError, KeyError) as error:
        fault = str(error).splitlines()[0][:200]
    else:
        missing = [variable.path for variable in network.weights if np.isnan(_numpy(variable)).any()]
        fault = f"{len(missing)} of its {len(network.weights)} arrays are missing or NaN" if missing else ""
    if fault:
        raise WeightsError(
            f"weights of {name} without its classifier in {path.name}",
            f"a file that does not fit: {fault}",
            "Give the file of this network (Keras' *notop* weights).",
        )


def _numpy(variable: keras.Variable) -> NDArray[np.float32]:
    import keras

    return np.asarray(keras.ops.convert_to_numpy(variable), dtype=np.float32)
