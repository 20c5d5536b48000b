"""The table of backbones: networks of `keras.applications` and two of our own, told without importing Keras."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from featstore.errors import SettingsError

Pooling = Literal["avg", "max"]


@dataclass(frozen=True)
class Backbone:
    """One network of `keras.applications`, or of our own.

    Attributes
    ----------
    name
        What `--backbone` calls it.
    application
        Its constructor.
    module
        Its module in `keras.applications`, which holds its `preprocess_input`; one with dots is named in full, and
        holds the constructor, too.
    side_px
        Side of the square input its ImageNet weights were trained on.
    min_side_px
        Smallest side the network accepts.
    dimension
        Number of pooled features.
    download
        File that Keras downloads its ImageNet weights to; ``{side}`` stands for the side they were trained at.
    download_sides
        Sides there are such weights for, if several; the network's own stands in for any other.
    baseline
        Whether it has no weights and has learnt nothing: what networks have to beat.
    shipped
        File of its weights in this package, beside its module, if they come with it.
    """

    name: str
    application: str
    module: str
    side_px: int
    min_side_px: int
    dimension: int
    download: str
    download_sides: tuple[int, ...] = ()
    baseline: bool = False
    shipped: str = ""

    @property
    def in_keras(self) -> bool:
        """Whether it is one of `keras.applications`."""
        return "." not in self.module

    def download_name(self, side: int | None = None) -> str:
        """Name of the file that Keras downloads for an input of `side` px (None: the network's own)."""
        return self.download.format(side=side if side in self.download_sides else self.side_px)


_KERNELS = "_weights_tf_dim_ordering_tf_kernels"
_NO_TOP = f"{_KERNELS}_notop.h5"
_SHORT = "_notop.h5"
_MOBILENET = "mobilenet_1_0_{side}_tf_no_top.h5"
_MOBILENET_V2 = f"mobilenet_v2{_KERNELS}_1.0_{{side}}_no_top.h5"
_MOBILENET_V3 = "weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5"
_SIDES = (128, 160, 192, 224)
_SEEDLING = "seedling.weights.h5"
_INCEPTION_RESNET = f"inception_resnet_v2{_NO_TOP}"

# EfficientNet (the first version) is left out: its graph differs with weights="imagenet", so that files loaded
# otherwise would silently be computed differently. NASNet takes ImageNet weights at one side only.
BACKBONES: dict[str, Backbone] = {
    backbone.name: backbone
    for backbone in (
        Backbone("vgg16", "VGG16", "vgg16", 224, 32, 512, f"vgg16{_NO_TOP}"),
        Backbone("vgg19", "VGG19", "vgg19", 224, 32, 512, f"vgg19{_NO_TOP}"),
        Backbone("resnet50", "ResNet50", "resnet50", 224, 32, 2048, f"resnet50{_NO_TOP}"),
        Backbone("inception_v3", "InceptionV3", "inception_v3", 299, 75, 2048, f"inception_v3{_NO_TOP}"),
        Backbone("mobilenet", "MobileNet", "mobilenet", 224, 32, 1024, _MOBILENET, _SIDES),
        Backbone("mobilenet_v2", "MobileNetV2", "mobilenet_v2", 224, 32, 1280, _MOBILENET_V2, (96, *_SIDES)),
        Backbone("mobilenet_v3_large", "MobileNetV3Large", "mobilenet_v3", 224, 32, 960, _MOBILENET_V3),
        Backbone("resnet101", "ResNet101", "resnet", 224, 32, 2048, f"resnet101{_NO_TOP}"),
        Backbone("resnet50_v2", "ResNet50V2", "resnet_v2", 224, 32, 2048, f"resnet50v2{_NO_TOP}"),
        Backbone("densenet121", "DenseNet121", "densenet", 224, 32, 1024, f"densenet121{_NO_TOP}"),
        Backbone("xception", "Xception", "xception", 299, 71, 2048, f"xception{_NO_TOP}"),
        Backbone("inception_resnet_v2", "InceptionResNetV2", "inception_resnet_v2", 299, 75, 1536, _INCEPTION_RESNET),
        Backbone(
            "efficientnet_v2_b0", "EfficientNetV2B0", "efficientnet_v2", 224, 32, 1280, f"efficientnetv2-b0{_SHORT}"
        ),
        Backbone("efficientnet_v2_s", "EfficientNetV2S", "efficientnet_v2", 384, 32, 1280, f"efficientnetv2-s{_SHORT}"),
        Backbone("colour", "ColourHistogram", "featstore.backbones.colour", 96, 8, 125, "", baseline=True),
        Backbone("convnext_tiny", "ConvNeXtTiny", "convnext", 224, 32, 768, f"convnext_tiny{_SHORT}"),
        Backbone("seedling", "Seedling", "featstore.backbones.seedling", 96, 32, 256, "", shipped=_SEEDLING),
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
