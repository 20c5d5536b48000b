"""The whole network: a backbone and its fitted head as one, trainable but for BatchNormalization."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from featstore.errors import TrainingError

TOLERANCE = 1e-4
"""Largest difference in probability between the whole network and the head on stored features before training."""


def join(backbone: keras.Model, head: keras.Model, name: str = "whole_network") -> keras.Model:
    """Put a head on its backbone.

    Every layer becomes trainable except BatchNormalization. Such a layer has two modes: with ``trainable = False``
    it normalises by its stored statistics and leaves them alone, also while the rest is trained; otherwise small
    batches would overwrite statistics that came from a million images. Calling the backbone with
    ``training=False`` is not enough: Keras updates the statistics all the same.

    Parameters
    ----------
    backbone
        (b, s, s, 3) preprocessed images to (b, d) features.
    head
        (b, d) features to (b, k) probabilities; its dropout is active in training, its Normalization layer
        holds statistics that no gradient reaches.
    name
        Of the network, as it stands in pictures and predictions.

    Returns
    -------
    keras.Model
        (b, s, s, 3) to (b, k); it shares its weights with both parts.

    Raises
    ------
    TrainingError
        If the head expects another number of features than the backbone gives.
    """
    given, wanted = int(backbone.output_shape[-1]), int(head.input_shape[-1])
    if given != wanted:
        raise TrainingError(
            f"a head for the {given} features of {backbone.name}",
            f"one for {wanted}",
            "Give the run of the backbone's own mlp head (--from, --backbone).",
        )
    network = keras.Model(backbone.input, head(backbone.output), name=name)
    network.trainable = True
    for layer in batch_normalizations(network):
        layer.trainable = False
    return network


def batch_normalizations(network: keras.Model) -> list[keras.layers.BatchNormalization]:
    """Every BatchNormalization layer of a network, also those inside nested models."""
    return [layer for layer in _layers(network) if isinstance(layer, keras.layers.BatchNormalization)]


def seed_dropout(network: keras.Model, seed: int) -> None:
    """Start the random streams of all layers that draw (dropout) anew, each its own."""
    for number, layer in enumerate(_layers(network)):
        generator = getattr(layer, "seed_generator", None)
        if generator is not None:
            entropy = np.random.SeedSequence((seed, number)).generate_state(2)
            # Half the range of uint32: torch keeps seeds as signed numbers.
            generator.state.assign((entropy // 2).astype("uint32"))


def require_same_start(
    network: keras.Model, head: keras.Model, images: NDArray[np.float32], features: NDArray[np.float32]
) -> float:
    """Prove that the whole network begins where the head on stored features stands.

    Parameters
    ----------
    network, head
        As given to and by `join`.
    images
        (m, s, s, 3) preprocessed photographs.
    features
        (m, d) what the feature store holds for them.

    Returns
    -------
    float
        Largest difference of a probability.

    Raises
    ------
    TrainingError
        If it exceeds `TOLERANCE`.
    """
    whole = ops.convert_to_numpy(network.predict_on_batch(images))
    stored = ops.convert_to_numpy(head.predict_on_batch(features))
    difference = float(np.abs(whole - stored).max())
    # Written so that NaN does not pass.
    if not difference <= TOLERANCE:
        raise TrainingError(
            f"photographs and weights that give the stored features (probabilities within {TOLERANCE:g})",
            f"a difference of {difference:.2g} on {len(images)} photographs",
            "The store was built from other photographs, weights or versions: run `featstore build --replace` and "
            "`heads compare` again, or correct --photos or --weights.",
        )
    return difference


def _layers(network: keras.Model) -> list[keras.layers.Layer]:
    found: list[keras.layers.Layer] = []
    for layer in network.layers:
        found += [layer, *_layers(layer)] if isinstance(layer, keras.Model) else [layer]
    return found
