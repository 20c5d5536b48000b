"""The optimizer: stochastic gradient descent whose steps may be smaller the deeper a layer lies."""

from __future__ import annotations

import math
from collections.abc import Mapping

import keras
from keras import ops

from finetune.settings import TrainSettings

_POOLING = (keras.layers.GlobalAveragePooling2D, keras.layers.GlobalMaxPooling2D)


class LayerwiseSGD(keras.optimizers.SGD):  # type: ignore[misc]  # Keras is published without types
    """`keras.optimizers.SGD` with a factor on the rate of each variable, of its decay as of its step.

    Decoupled decay is a part of the step, so a layer that learns slowly is also kept where it is: what Keras' own
    `weight_decay`, which knows one rate alone, would take from the deepest layers no gradient would give back.

    Parameters
    ----------
    factors
        Path of a variable -> factor on the rate; one that is absent has 1.
    decay
        Share of a weight matrix, times its rate, that a step takes away [1]_; vectors - biases, the parameters of
        normalisation, layer scales - are spared.
    options
        As of `keras.optimizers.SGD`, without its `weight_decay`.

    References
    ----------
    .. [1] I. Loshchilov, F. Hutter, "Decoupled Weight Decay Regularization", ICLR 2019; with a rate per layer as in
       H. Bao et al., "BEiT: BERT Pre-Training of Image Transformers", ICLR 2022.
    """

    def __init__(self, factors: Mapping[str, float], decay: float = 0.0, **options: object) -> None:
        super().__init__(**options)
        # Keras would track a plain dict as if it held variables.
        self._factor_of = factors.get
        self._decay = decay
        self._factors: list[float] = []
        self._decays: list[float] = []

    def build(self, variables: list[keras.Variable]) -> None:
        """Make the optimizer's own variables for these."""
        super().build(variables)
        self._factors = [self._factor_of(variable.path, 1.0) for variable in variables]
        self._decays = [self._decay if len(variable.shape) > 1 else 0.0 for variable in variables]

    def update_step(
        self, gradient: keras.KerasTensor, variable: keras.Variable, learning_rate: keras.KerasTensor
    ) -> None:
        """Move one variable at its own rate."""
        # By its number: what TensorFlow passes is not Keras' variable, which alone knows its path.
        number = self._get_variable_index(variable)
        rate = learning_rate * self._factors[number]
        if not self._decays[number]:
            super().update_step(gradient, variable, rate)
            return
        rate, step = ops.cast(rate, variable.dtype), ops.cast(gradient, variable.dtype)
        step = ops.multiply(rate, step)
        if self.momentum:
            velocity = self.momentums[number]
            step = ops.subtract(step, ops.multiply(velocity, ops.cast(self.momentum, variable.dtype)))
            self.assign(velocity, ops.negative(step))
        # One subtraction: by itself, 3e-5 times 1e-4 of a weight is less than its last bit and would be rounded away.
        decay = ops.multiply(variable, ops.multiply(rate, ops.cast(self._decays[number], variable.dtype)))
        self.assign_sub(variable, ops.add(step, decay))


def make_optimizer(network: keras.Model, settings: TrainSettings, rate: float) -> keras.optimizers.Optimizer:
    """Make the optimizer of the settings for a network that `finetune.model.join` gave.

    In ``mixed_float16`` it scales the loss up and the gradients down again, so that small ones are not rounded to 0.
    """
    optimizer = LayerwiseSGD(
        rate_factors(network, settings.layer_decay),
        settings.weight_decay,
        learning_rate=rate,
        momentum=settings.momentum,
        global_clipnorm=settings.clip_norm,
        gradient_accumulation_steps=settings.accumulate if settings.accumulate > 1 else None,
    )
    # Keras does so by itself only for a network that is float16 as a whole; ours begins and ends in float32.
    return keras.optimizers.LossScaleOptimizer(optimizer) if settings.precision == "mixed_float16" else optimizer


def rate_factors(network: keras.Model, decay: float) -> dict[str, float]:
    """Factor on the rate of every variable of the backbone that is not 1.

    The stage of a layer is the number of times that the image has been halved when it leaves the layer. The topmost
    stage has the factor `decay`, each one below it `decay` times that of the one above. Gates (squeeze and excite),
    whose layers see means of the whole image, belong to the stage that they gate.
    """
    if decay == 1.0:
        return {}
    side_px = network.input_shape[1]
    stages: dict[str, int] = {}
    stage, pooled = 0, False
    for layer in network.layers[:-1]:
        shape: tuple[int | None, ...] = getattr(layer.output, "shape", ())
        pooled = pooled or isinstance(layer, _POOLING)
        # Padded and unpadded layers of one stage differ by a few pixels, so the halvings are rounded.
        if len(shape) == 4 and shape[1]:
            pooled = pooled and shape[1] == 1
            stage = stage if pooled else round(math.log2(side_px / shape[1]))
        stages |= {variable.path: stage for variable in layer.trainable_variables}
    top = max(stages.values(), default=0)
    return {path: decay ** (top + 1 - stage) for path, stage in stages.items()}
