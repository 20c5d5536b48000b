"""Folding: each BatchNormalization that follows a convolution becomes part of its kernel and bias.

At inference it is one scale and one offset per channel, ``scale * (W x + b - mean) + offset``, so the same function is
computed by the kernel ``scale * W`` and the bias ``scale * (b - mean) + offset``, up to rounding: features agree to
1e-5 relative. It saves two passes over every feature map, and the backend can fuse what is left with its activation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from featstore.errors import WeightsError

if TYPE_CHECKING:
    import keras


def folded(model: keras.Model) -> keras.Model:
    """Return a network without the BatchNormalization layers that can be folded; `model` stays as it is.

    Folded are those behind a convolution (plain, depthwise or separable) or a dense layer without activation that
    nothing else reads. A normalisation before its convolution (DenseNet, ResNet50V2) stays where it is.

    Parameters
    ----------
    model
        A functional network that shares no layer, such as those of `keras.applications`.

    Raises
    ------
    WeightsError
        If a variance is negative.
    """
    import keras

    pairs = _pairs(model)
    if not pairs:
        return model
    gone = {normalisation.name for normalisation in pairs.values()}

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        bias = {"use_bias": True} if layer.name in pairs else {}
        return type(layer).from_config({**layer.get_config(), **bias})

    def call(layer: keras.layers.Layer, *args: object, **options: object) -> object:
        return args[0] if layer.name in gone else layer(*args, **options)

    shorter = keras.models.clone_model(model, clone_function=clone, call_function=call)
    for layer in model.layers:
        if layer.name in pairs:
            shorter.get_layer(layer.name).set_weights(_folded_weights(layer, pairs[layer.name]))
        elif layer.weights and layer.name not in gone:
            shorter.get_layer(layer.name).set_weights(layer.get_weights())
    return shorter


def _pairs(model: keras.Model) -> Mapping[str, keras.layers.BatchNormalization]:
    """Normalisations that can be folded, by the name of the layer they follow."""
    import keras

    kinds = keras.layers
    linear = (kinds.Conv2D, kinds.DepthwiseConv2D, kinds.SeparableConv2D, kinds.Dense)
    makers = {}
    readers = Counter(id(tensor) for tensor in model.outputs)
    for operation in model.operations:
        makers.update({id(tensor): operation for tensor in keras.tree.flatten(operation.output)})
        if not isinstance(operation, kinds.InputLayer):
            readers.update(id(tensor) for tensor in keras.tree.flatten(operation.input))
    pairs = {}
    for layer in model.layers:
        if not isinstance(layer, kinds.BatchNormalization) or readers[id(layer.input)] != 1:
            continue
        maker = makers[id(layer.input)]
        last_axis = layer.axis in {-1, len(layer.input.shape) - 1}
        if last_axis and isinstance(maker, linear) and maker.activation is keras.activations.linear:
            pairs[maker.name] = layer
    return pairs


def _folded_weights(
    layer: keras.layers.Layer, normalisation: keras.layers.BatchNormalization
) -> list[NDArray[np.float32]]:
    """Weights of `layer` with a bias, after which `normalisation` has nothing left to do."""
    import keras

    scale, offset = _scale_and_offset(normalisation)
    *first, kernel = layer.get_weights()[:-1] if layer.use_bias else layer.get_weights()
    bias = layer.get_weights()[-1] * scale if layer.use_bias else 0.0
    # A depthwise kernel ends in (channels, multiplier), which together are its output channels.
    depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    factor = scale.reshape(kernel.shape[2:]) if depthwise else scale
    return [*first, (kernel * factor).astype(np.float32), (bias + offset).astype(np.float32)]


def _scale_and_offset(
    normalisation: keras.layers.BatchNormalization,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    values = iter([weight.astype(np.float64) for weight in normalisation.get_weights()])
    gamma = next(values) if normalisation.scale else 1.0
    beta = next(values) if normalisation.center else 0.0
    mean, variance = values
    if variance.min() < 0:
        raise WeightsError(
            f"variances of at least 0 in {normalisation.name}",
            f"{variance.min():.3g}",
            "The weights are damaged; replace them.",
        )
    scale = gamma / np.sqrt(variance + normalisation.epsilon)
    return scale, beta - mean * scale
