"""The whole network: a backbone and its fitted head as one, and which of its layers learn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from featstore.errors import TrainingError, listed
from finetune.settings import TrainSettings
from heads.mlp import set_statistics
from heads.standardise import Standardisation

TOLERANCE = 1e-3
"""Largest difference in probability between the whole network and the head on stored features before training.

Random weights amplify every rounding: 2.4e-4 was seen on photographs and weights that were the same.
"""


def join(backbone: keras.Model, head: keras.Model, name: str = "whole_network") -> keras.Model:
    """Put a head on its backbone.

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
        (b, s, s, 3) to (b, k); it shares its weights with both parts. Its last layer is the head. What of it is
        trained, `set_trainable` says.

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
    set_trainable(network, TrainSettings())
    return network


def set_trainable(network: keras.Model, settings: TrainSettings, *, head_only: bool = False) -> None:
    """Decide which layers learn; takes effect when the network is compiled.

    A BatchNormalization layer has two modes: with ``trainable = False`` it normalises by its stored statistics and
    leaves them alone, also while the rest is trained; otherwise it normalises by each batch and moves its statistics.
    Calling the backbone with ``training=False`` is not enough: Keras updates the statistics all the same.

    Parameters
    ----------
    network
        As `join` gives it.
    settings
        `TrainSettings.batch_norm` and `TrainSettings.train_from` decide.
    head_only
        Whether the backbone stays as it is, for the head's warm-up.

    Raises
    ------
    TrainingError
        If no layer of the backbone has a name that begins with ``train_from``.
    """
    network.trainable = True
    for layer in _layers(network):
        # Each by itself: a layer that was frozen alone does not follow the whole.
        layer.trainable = True
    backbone = network.layers[:-1]
    first = _first_layer(backbone, settings.train_from)
    for layer in _with_inner(backbone[:first] if not head_only else backbone):
        layer.trainable = False
    if settings.batch_norm != "train":
        for layer in batch_normalizations(network):
            layer.trainable = False


def _first_layer(layers: Sequence[keras.layers.Layer], beginning: str) -> int:
    """Number of the first layer whose name begins so."""
    for number, layer in enumerate(layers):
        if layer.name.startswith(beginning):
            return number
    beginnings = dict.fromkeys(layer.name.split("_")[0] for layer in layers)
    raise TrainingError(
        "`train_from` to begin the name of a layer of the backbone",
        repr(beginning),
        f"They begin with {listed(list(beginnings), 24)}.",
    )


def recalibrate(
    network: keras.Model, batches: Callable[[], Iterable[NDArray[np.float32]]], train_from: str = ""
) -> None:
    """Estimate stored statistics anew: of BatchNormalization, and of the head's Normalization behind it.

    Parameters
    ----------
    network
        As `join` gives it; what is trained is to be decided afterwards (`set_trainable`).
    batches
        Gives (b, s, s, 3) preprocessed images, the same at every call, all batches of one size; they are gone
        through twice.
    train_from
        Beginning of the name of the first layer that may change, as `TrainSettings.train_from`; "" for all.
    """
    backbone, head = keras.Model(network.input, network.layers[-2].output), network.layers[-1]
    kept = {id(layer) for layer in _with_inner(backbone.layers[: _first_layer(backbone.layers, train_from)])}
    layers = [layer for layer in batch_normalizations(backbone) if id(layer) not in kept]
    momenta = [layer.momentum for layer in layers]
    mean = [np.zeros(layer.moving_mean.shape) for layer in layers]
    square = [np.zeros(layer.moving_mean.shape) for layer in layers]
    n_batches = 0
    for layer in layers:
        # What a layer then stores is the mean and variance of the very last batch.
        layer.trainable, layer.momentum = True, 0.0
    for images in batches() if layers else ():
        backbone(images, training=True)
        n_batches += 1
        for number, layer in enumerate(layers):
            centre = ops.convert_to_numpy(layer.moving_mean).astype(np.float64)
            mean[number] += centre
            square[number] += ops.convert_to_numpy(layer.moving_variance) + centre**2
    for layer, momentum, total, squares in zip(layers, momenta, mean, square, strict=True):
        layer.momentum = momentum
        layer.moving_mean.assign(total / n_batches)
        layer.moving_variance.assign(squares / n_batches - (total / n_batches) ** 2)
    features = np.concatenate([ops.convert_to_numpy(backbone(images, training=False)) for images in batches()])
    for layer in _layers(head):
        # A head that does not standardise holds a mean of 0.
        if isinstance(layer, keras.layers.Normalization) and np.any(ops.convert_to_numpy(layer.mean)):
            set_statistics(layer, Standardisation.fit(features))


def use_stored_statistics(network: keras.Model) -> None:
    """Make Normalization layers, which compute with copies of their statistics, take them from their variables.

    What has been compiled keeps the old copies: compile again afterwards, or make its functions anew.
    """
    for layer in _layers(network):
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()


def batch_normalizations(network: keras.Model) -> list[keras.layers.BatchNormalization]:
    """Every BatchNormalization layer of a network, also those inside nested models."""
    return [layer for layer in _layers(network) if isinstance(layer, keras.layers.BatchNormalization)]


def random_states(network: keras.Model) -> list[keras.Variable]:
    """States of the random streams of all layers that draw (dropout)."""
    generators = [getattr(layer, "seed_generator", None) for layer in _layers(network)]
    return [generator.state for generator in generators if generator is not None]


def seed_dropout(network: keras.Model, seed: int) -> None:
    """Start the random streams of all layers that draw (dropout) anew, each its own."""
    for number, state in enumerate(random_states(network)):
        entropy = np.random.SeedSequence((seed, number)).generate_state(2)
        # Half the range of uint32: torch keeps seeds as signed numbers.
        state.assign((entropy // 2).astype("uint32"))


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
    # Called directly: for one batch, a function need not be compiled.
    whole = ops.convert_to_numpy(network(images, training=False))
    stored = ops.convert_to_numpy(head(features, training=False))
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
    return _with_inner(network.layers)


def _with_inner(layers: Sequence[keras.layers.Layer]) -> list[keras.layers.Layer]:
    """Layers, and those inside nested models behind the one that holds them."""
    found: list[keras.layers.Layer] = []
    for layer in layers:
        found += [layer, *_layers(layer)] if isinstance(layer, keras.Model) else [layer]
    return found
