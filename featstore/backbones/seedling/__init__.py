"""The seedling: a small network of our own, whose weights come with the package; see MODEL_CARD.md beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

STEM = 24
BLOCKS = ((48, 1), (96, 2), (96, 1), (160, 2), (160, 1), (256, 2), (256, 1))
"""Width and stride of each depthwise-separable block behind the first convolution, which halves the image."""


def preprocess_input(images: object, data_format: str | None = None) -> object:
    """Scale 0..255 to -1..1."""
    del data_format
    return images / 127.5 - 1  # type: ignore[operator]  # an array or a tensor


def Seedling(  # noqa: N802  # named as the constructors of keras.applications are
    *, include_top: bool, weights: str | None, input_shape: tuple[int, int, int], pooling: str
) -> keras.Model:
    """Build the network with its own random start: (b, s, s, 3) in -1..1 to (b, 256).

    The blocks are those of MobileNet [1]_: a depthwise and a pointwise convolution, each normalised.

    References
    ----------
    .. [1] A. G. Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications",
       arXiv:1704.04861, 2017.
    """
    from keras import Input, Model, layers

    del include_top, weights
    images = Input(input_shape)
    x = layers.Conv2D(STEM, 3, strides=2, padding="same", use_bias=False, name="conv")(images)
    x = layers.ReLU(name="conv_relu")(layers.BatchNormalization(name="conv_bn")(x))
    for number, (width, stride) in enumerate(BLOCKS, start=1):
        name = f"block_{number}"
        x = layers.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False, name=f"{name}_depthwise")(x)
        x = layers.ReLU(name=f"{name}_depthwise_relu")(layers.BatchNormalization(name=f"{name}_depthwise_bn")(x))
        x = layers.Conv2D(width, 1, use_bias=False, name=f"{name}_pointwise")(x)
        x = layers.ReLU(name=f"{name}_relu")(layers.BatchNormalization(name=f"{name}_bn")(x))
    pool = layers.GlobalAveragePooling2D if pooling == "avg" else layers.GlobalMaxPooling2D
    return Model(images, pool(name="pool")(x), name="seedling")
