"""A network at work: batches of one shape, computed by an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from featstore.backbones.engines import ENGINES
from featstore.errors import WeightsError

if TYPE_CHECKING:
    import keras

_REMEDY = "Its weights are damaged; replace them."


class Network:
    """A backbone that takes batches of one fixed shape.

    Short batches are padded: one compiled program serves all, and a row's bits do not depend on how many
    photographs were left to do.

    Parameters
    ----------
    name
        A key of `featstore.backbones.BACKBONES`.
    engine
        A key of `featstore.backbones.ENGINES`.

    Raises
    ------
    WeightsError
        If a weight is not finite: fused activations can turn NaN into 0, and features would not show it.
    SettingsError
        If the engine is not installed.
    """

    def __init__(self, name: str, model: keras.Model, batch_size: int, engine: str = "keras") -> None:
        if not all(np.isfinite(weight).all() for weight in model.get_weights()):
            raise WeightsError(f"finite weights of {name}", "NaN or infinity", _REMEDY)
        self.name = name
        self.side_px = int(model.input_shape[1])
        self.dimension = int(model.output_shape[-1])
        self.batch_size = batch_size
        self._compute = ENGINES[engine](name, model, batch_size)

    def features(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Turn (b, side, side, 3) RGB uint8 into (b, d) float32, b at most the batch size.

        Raises
        ------
        WeightsError
            If a feature is not finite, which no sound network yields.
        """
        padding = self.batch_size - len(images)
        padded = np.concatenate([images, np.zeros((padding, *images.shape[1:]), dtype=np.uint8)])
        features = self._compute(padded)[: len(images)]
        if not np.isfinite(features).all():
            raise WeightsError(f"finite features of {self.name}", "NaN or infinity", _REMEDY)
        return features
