"""The article's dense head: three selu layers with dropout behind a normalisation of the features."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, MappingProxyType
from typing import ClassVar

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from featstore.errors import SettingsError
from featstore.provenance import replacing, require_room
from heads.effort import Size, Work
from heads.examples import Examples, Features, HeadError
from heads.head import Head, Tell, require_setting
from heads.standardise import Standardisation

FILE = "head.weights.h5"
MIN_STEPS = 10
"""Steps that an epoch has at least, by smaller batches where photographs are few."""

_MIN_BATCH = 16
_PREDICT_BATCH = 1024


@dataclass(eq=False, kw_only=True)
class MlpHead(Head):
    """Normalization, three times (Dense 512 selu, dropout 0.5), softmax; cross-entropy and Adam.

    The article's head (November 2017), with the start that selu asks for, LeCun-normal [1]_. Dropout is the plain
    one, as the article says, not the AlphaDropout of [1]_. The Normalization layer, fitted on train, is what lets
    features of any scale be learnt from: those of randomly initialised networks differ by factors of 10,000.

    With validation photographs, the weights of the epoch with the lowest validation loss are kept. The rate was
    chosen by validation loss on real photographs (docs/heads.md); the best epoch then falls near 35, of the 40 to 80
    that the article names.

    Attributes
    ----------
    epochs
        Epochs to train; with validation photographs the most that are tried.
    patience
        Training ends after so many epochs without a lower validation loss.
    n_layers, units, dropout
        Hidden layers, their width, and the share of their outputs that is dropped in training.
    activation
        Of the hidden layers, a name of `keras.activations`; selu and relu start as they ask for.
    learning_rate
        Adam's.
    batch_size
        Images per step at most; fewer where an epoch would have less than `MIN_STEPS` steps.
    network
        The fitted keras.Model, (b, d) raw features to (b, k) probabilities, Normalization first.

    References
    ----------
    .. [1] G. Klambauer, T. Unterthiner, A. Mayr, S. Hochreiter, "Self-Normalizing Neural Networks", NIPS 2017.
    """

    name: ClassVar[str] = "mlp"
    grid = MappingProxyType({"learning_rate": (3e-4, 1e-4, 1e-3), "dropout": (0.5, 0.3), "units": (512, 1024)})

    epochs: int = 60
    patience: int = 10
    n_layers: int = 3
    units: int = 512
    dropout: float = 0.5
    activation: str = "selu"
    learning_rate: float = 3e-4
    batch_size: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("epochs", "patience", "n_layers", "units", "batch_size"):
            require_setting(name, getattr(self, name), low=1)
        require_setting("dropout", self.dropout, low=0, high=0.99)
        if not isinstance(getattr(keras.activations, self.activation, None), FunctionType):
            raise SettingsError(
                "`activation` of keras.activations", repr(self.activation), "Say selu or relu, for example."
            )
        require_setting("learning_rate", self.learning_rate, low=1e-9, high=1)

    def _fit(self, train: Examples, valid: Examples | None, tell: Tell) -> None:
        self.network = self._build()
        set_statistics(self.network.layers[0], self._statistics_of(train))
        self.network.compile(
            optimizer=keras.optimizers.Adam(self.learning_rate),
            # The categorical cross-entropy of the article, on class numbers instead of one-hot rows.
            loss=keras.losses.SparseCategoricalCrossentropy(),
            metrics=["accuracy"],
        )
        rng = np.random.default_rng(self.seed)
        best = Best(self.network)
        for epoch in range(1, self.epochs + 1):
            row = {"epoch": float(epoch)} | self._train_epoch(train, rng)
            if valid is not None:
                row |= self._validate(valid)
                best.see(epoch, row["val_loss"])
            self.log_.append(row)
            _require_finite(row)
            tell(f"epoch {epoch}/{self.epochs}" + (f", validation loss {row['val_loss']:.3f}" if valid else ""))
            if valid is not None and epoch - best.epoch >= self.patience:
                break
        if valid is not None:
            best.restore()
            self.chosen_ = {"epochs": best.epoch}
            if best.epoch == self.epochs:
                self.remarks_ = (f"mlp was still improving after {self.epochs} epochs",)

    def _train_epoch(self, train: Examples, rng: np.random.Generator) -> dict[str, float]:
        """Take one step per batch, in an order drawn for this epoch; give the mean loss and accuracy.

        What does not fill a batch is left out of the epoch - other photographs each time - because another shape
        would make the network compile again. `Model.fit` is not used: its reading ahead in threads makes the order
        of batches, and with it the fit, differ from run to run.
        """
        n_images, number = len(train.labels), self._numbers(train)
        size = min(max(min(self.batch_size, n_images // MIN_STEPS), _MIN_BATCH), n_images)
        order = rng.permutation(n_images)[: n_images // size * size]
        figures = [
            self.network.train_on_batch(
                train.features[rows],
                number[rows],
                sample_weight=None if train.weight is None else train.weight[rows].astype(np.float32),
                return_dict=True,
            )
            for rows in order.reshape(-1, size)
        ]
        return {name: float(np.mean([step[name] for step in figures])) for name in figures[0]}

    def _validate(self, valid: Examples) -> dict[str, float]:
        probability, number = self._probability(valid.features), self._numbers(valid)
        own = probability[np.arange(len(number)), number].astype(np.float64)
        return {
            "val_loss": float(-np.log(np.maximum(own, keras.config.epsilon())).mean()),
            "val_accuracy": float(np.mean(probability.argmax(axis=1) == number)),
        }

    def _build(self) -> keras.Model:
        """Build the network with its random start; the statistics of the features are not in it yet."""
        n_seeds = 2 * self.n_layers + 1
        # PyTorch keeps seeds as signed numbers.
        limit = 2**31 if keras.backend.backend() == "torch" else 2**32
        seeds = [int(seed) % limit for seed in np.random.SeedSequence(self.seed).generate_state(n_seeds)]
        layers = [keras.Input((self.n_inputs_,), name="features"), keras.layers.Normalization()]
        for start, drop in zip(seeds[0:-1:2], seeds[1::2], strict=True):
            # A ReLU passes on half of what it sees: its start is twice as wide.
            normal = keras.initializers.HeNormal if self.activation == "relu" else keras.initializers.LecunNormal
            layers.append(keras.layers.Dense(self.units, activation=self.activation, kernel_initializer=normal(start)))
            layers.append(keras.layers.Dropout(self.dropout, seed=drop))
        kernel = keras.initializers.LecunNormal(seeds[-1])
        # Probabilities are float32 also where fine-tuning computes all else in 16 bits.
        n_classes = len(self.classes_)
        layers.append(keras.layers.Dense(n_classes, activation="softmax", kernel_initializer=kernel, dtype="float32"))
        return keras.Sequential(layers, name=self.name)

    def _numbers(self, examples: Examples) -> NDArray[np.int32]:
        return np.searchsorted(self.classes_, examples.labels).astype(np.int32)

    def _work(self, size: Size) -> Work:
        weights = size.n_features * self.units + (self.n_layers - 1) * self.units**2 + self.units * size.n_classes
        per_image = 6.0 * weights + 2.0 * weights * size.n_valid / max(size.n_images, 1)
        # Small batches leave a part of the machine idle, and every step moves all weights.
        steps = size.n_images / max(_MIN_BATCH, min(self.batch_size, size.n_images // MIN_STEPS))
        epochs = min(self.epochs, 40)
        return Work(epochs * (2.0 * per_image * size.n_images + 1000.0 * steps * weights), 16.0 * weights + 5e8)

    def _probability(self, features: Features) -> NDArray[np.float32]:
        # Called directly: `Model.predict` compiles a function per model, which costs more than it gains here.
        blocks = (features[start : start + _PREDICT_BATCH] for start in range(0, len(features), _PREDICT_BATCH))
        return np.concatenate([ops.convert_to_numpy(self.network(block, training=False)) for block in blocks])

    def _logits(self, features: Features) -> NDArray[np.floating]:
        logits = logits_of(self.network)
        blocks = (features[start : start + _PREDICT_BATCH] for start in range(0, len(features), _PREDICT_BATCH))
        return np.concatenate([ops.convert_to_numpy(logits(block, training=False)) for block in blocks])

    def _save(self, folder: Path) -> None:
        save_weights(self.network, folder / FILE)

    def _load(self, folder: Path) -> None:
        self.network = self._build()
        self.network.load_weights(folder / FILE)


def logits_of(network: keras.Model) -> keras.Model:
    """Give the network as far as its logits; it shares all weights but those of the last layer, which are copied."""
    last = network.layers[-1]
    linear = keras.layers.Dense(last.units, dtype="float32")
    logits = keras.Model(network.inputs[0], linear(network.layers[-2].output))
    linear.set_weights(last.get_weights())
    return logits


def save_weights(network: keras.Model, path: Path) -> None:
    """Write the weights of a network as HDF5, whole or not at all; `OSError` if the disk has no room."""
    require_room(path.parent, int(1.1 * sum(4 * math.prod(variable.shape) for variable in network.weights)))
    with replacing(path) as temporary:
        network.save_weights(temporary)


def set_statistics(layer: keras.layers.Normalization, statistics: Standardisation) -> None:
    """Give a Normalization layer its mean and variance; a constant column gets variance 1 and says nothing."""
    variance = np.square(statistics.scale)
    layer.set_weights([statistics.mean.astype(np.float32), variance.astype(np.float32), np.zeros((), np.int32)])
    layer.finalize_state()


def _require_finite(row: Mapping[str, float]) -> None:
    """Refuse to go on when a loss is no number: nothing better can follow."""
    for name in ("loss", "val_loss"):
        if not math.isfinite(row.get(name, 0.0)):
            got = f"{name} {row[name]} in epoch {row['epoch']:.0f}"
            raise HeadError("finite losses", got, "Lower `learning_rate`.")


class Best:
    """The weights of the epoch with the lowest validation loss, the first of equals.

    Attributes
    ----------
    epoch
        Its number, 0 before the first.
    """

    def __init__(self, network: keras.Model) -> None:
        self.epoch = 0
        self._network = network
        self._loss = math.inf
        self._weights: list[NDArray[np.floating]] = network.get_weights()

    def see(self, epoch: int, loss: float) -> None:
        """Remember the network as it is now if it is better than ever."""
        if loss < self._loss:
            self.epoch, self._loss, self._weights = epoch, loss, self._network.get_weights()

    def restore(self) -> None:
        """Give the network its best weights back."""
        self._network.set_weights(self._weights)
