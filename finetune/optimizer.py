"""The optimizer: stochastic gradient descent whose steps may be smaller the deeper a layer lies."""

from __future__ import annotations

import math
from collections.abc import Mapping

import keras

from finetune.settings import TrainSettings

_SPARED = ("bias", "gamma", "beta")


class LayerwiseSGD(keras.optimizers.SGD):  # type: ignore[misc]  # Keras is published without types
    """`keras.optimizers.SGD` with a factor on the rate of each variable.

    Parameters
    ----------
    factors
        Path of a variable -> factor on the rate; one that is absent has 1.
    options
        As of `keras.optimizers.SGD`.
    """

    def __init__(self, factors: Mapping[str, float], **options: object) -> None:
        super().__init__(**options)
        # Keras would track a plain dict as if it held variables.
        self._factor_of = factors.get
        self._factors: list[float] = []

    def build(self, variables: list[keras.Variable]) -> None:
        """Make the optimizer's own variables for these."""
        super().build(variables)
        self._factors = [self._factor_of(variable.path, 1.0) for variable in variables]

    def update_step(
        self, gradient: keras.KerasTensor, variable: keras.Variable, learning_rate: keras.KerasTensor
    ) -> None:
        """Move one variable at its own rate."""
        # By its number: what TensorFlow passes is not Keras' variable, which alone knows its path.
        factor = self._factors[self._get_variable_index(variable)]
        super().update_step(gradient, variable, learning_rate * factor)


def make_optimizer(network: keras.Model, settings: TrainSettings, rate: float) -> keras.optimizers.Optimizer:
    """Make the optimizer of the settings for a network that `finetune.model.join` gave."""
    optimizer = LayerwiseSGD(
        rate_factors(network, settings.layer_decay),
        learning_rate=rate,
        momentum=float(settings.momentum),
        weight_decay=settings.weight_decay or None,
        global_clipnorm=settings.clip_norm,
        gradient_accumulation_steps=settings.accumulate if settings.accumulate > 1 else None,
    )
    if settings.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=list(_SPARED))
    return optimizer


def rate_factors(network: keras.Model, decay: float) -> dict[str, float]:
    """Factor on the rate of every variable of the backbone that is not 1.

    The stage of a layer is the number of times that the image has been halved when it leaves the layer. The topmost
    stage has the factor `decay`, each one below it `decay` times that of the one above.
    """
    if decay == 1.0:
        return {}
    side_px = network.input_shape[1]
    stages: dict[str, int] = {}
    stage = 0
    for layer in network.layers[:-1]:
        shape: tuple[int | None, ...] = getattr(layer.output, "shape", ())
        # Padded and unpadded layers of one stage differ by a few pixels, so the halvings are rounded.
        if len(shape) == 4 and shape[1]:
            stage = round(math.log2(side_px / shape[1]))
        stages |= {variable.path: stage for variable in layer.trainable_variables}
    top = max(stages.values(), default=0)
    return {path: decay ** (top + 1 - stage) for path, stage in stages.items()}
