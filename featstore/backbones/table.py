"""The table of backbones: networks of `keras.applications`, told without importing Keras."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from featstore.errors import SettingsError

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


def check_options(name: str, pooling: str, side_px: int | None) -> None:
    """Refuse an unknown backbone or pooling, or too small a side, with a `SettingsError`; loads nothing."""
    backbone = backbone_named(name)
    if side_px is not None and side_px < backbone.min_side_px:
        least = f"--side of at least {backbone.min_side_px} px for {name}"
        raise SettingsError(least, str(side_px), "Choose a larger side.")
    if pooling not in {"avg", "max"}:
        raise SettingsError("--pooling avg or max", repr(pooling), "Choose one of these.")
