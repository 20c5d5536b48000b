from __future__ import annotations

import math

import keras
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from featstore.errors import SettingsError
from heads.examples import Examples, HeadError
from heads.mlp import MlpHead

D, K = 10, 3


def data(seed: int, n: int, noise: float = 1.5) -> Examples:
    centres = np.random.default_rng(50).normal(size=(K, D))
    rng = np.random.default_rng(seed)
    number = np.arange(n) % K
    features = (10 * (centres[number] + rng.normal(0, noise, (n, D))) + 4).astype(np.float32)
    return Examples(features, np.array(["b", "a", "c"])[number])


TRAIN, VALID = data(0, 90), data(1, 60)


@pytest.fixture(scope="module")
def fitted() -> MlpHead:
    """On noisy classes, so that it learns by heart soon and has to stop."""
    return MlpHead(patience=4, learning_rate=1e-3).fit(TRAIN.features, TRAIN.labels, valid=VALID)


def test_the_network_is_the_articles() -> None:
    head = MlpHead(epochs=1).fit(TRAIN.features, TRAIN.labels)
    first, *inner, last = head.network.layers
    assert isinstance(first, keras.layers.Normalization)
    assert [type(layer).__name__ for layer in inner] == ["Dense", "Dropout"] * 3
    for dense, dropout in zip(inner[::2], inner[1::2], strict=True):
        assert (dense.units, dense.activation.__name__, dropout.rate) == (512, "selu", 0.5)
        assert isinstance(dense.kernel_initializer, keras.initializers.LecunNormal)
    assert (last.units, last.activation.__name__) == (K, "softmax")
    assert (head.network.input_shape, head.network.output_shape) == ((None, D), (None, K))


def test_normalization_holds_the_statistics_of_train_alone(fitted: MlpHead) -> None:
    scaler = StandardScaler().fit(TRAIN.features)
    mean, variance, _ = fitted.network.layers[0].get_weights()
    np.testing.assert_allclose(mean, scaler.mean_, rtol=1e-5)
    np.testing.assert_allclose(variance, scaler.var_, rtol=1e-5)


def test_the_network_alone_answers_as_the_head(fitted: MlpHead) -> None:
    """As fine-tuning uses it: a model on raw features whose columns stand in the order of `classes_`."""
    alone = keras.ops.convert_to_numpy(fitted.network(VALID.features, training=False))
    np.testing.assert_allclose(alone, fitted.predict_proba(VALID.features), atol=1e-6)


def test_the_epoch_with_the_lowest_validation_loss_is_kept(fitted: MlpHead) -> None:
    losses = [row["val_loss"] for row in fitted.log_]
    best = int(np.argmin(losses))
    assert fitted.chosen_ == {"epochs": best + 1}
    assert len(losses) == best + 1 + 4, "training ends `patience` epochs after the best"
    assert log_loss(VALID.labels, fitted.predict_proba(VALID.features)) == pytest.approx(losses[best], rel=1e-4)
    right = fitted.classes_[fitted.predict_proba(VALID.features).argmax(axis=1)] == VALID.labels
    assert fitted.log_[best]["val_accuracy"] == pytest.approx(right.mean())


def test_the_log_has_a_row_per_epoch(fitted: MlpHead) -> None:
    assert [row["epoch"] for row in fitted.log_] == [1 + epoch for epoch in range(len(fitted.log_))]
    assert set(fitted.log_[0]) == {"epoch", "loss", "accuracy", "val_loss", "val_accuracy"}
    assert fitted.log_[-1]["loss"] < fitted.log_[0]["loss"]


def test_the_seed_draws_start_dropout_and_order() -> None:
    def probability(seed: int) -> NDArray[np.float32]:
        return MlpHead(epochs=2, seed=seed).fit(TRAIN.features, TRAIN.labels).predict_proba(VALID.features)

    assert np.abs(probability(0) - probability(1)).max() > 0.01


def test_global_randomness_is_neither_used_nor_moved() -> None:
    keras.utils.set_random_seed(1)
    first = MlpHead(epochs=1).fit(TRAIN.features, TRAIN.labels).predict_proba(VALID.features)
    after = np.random.random(3)  # noqa: NPY002  # the global state is what is looked at
    keras.utils.set_random_seed(1)
    np.testing.assert_array_equal(np.random.random(3), after)  # noqa: NPY002
    keras.utils.set_random_seed(2)
    second = MlpHead(epochs=1).fit(TRAIN.features, TRAIN.labels).predict_proba(VALID.features)
    np.testing.assert_array_equal(first, second)


def test_few_photographs_still_make_several_steps_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    step = keras.Model.train_on_batch

    def counted(self: keras.Model, x: NDArray[np.float32], y: NDArray[np.int32], **options: bool) -> object:
        sizes.append(len(x))
        return step(self, x, y, **options)

    monkeypatch.setattr(keras.Model, "train_on_batch", counted)
    MlpHead(epochs=1, units=4).fit(TRAIN.features, TRAIN.labels)
    assert sizes == [16] * 5
    sizes.clear()
    MlpHead(epochs=1, units=4).fit(TRAIN.features[:7], TRAIN.labels[:7])
    assert sizes == [7]
    sizes.clear()
    many = data(3, 600)
    MlpHead(epochs=1, units=4, batch_size=32).fit(many.features, many.labels)
    assert sizes == [32] * 18


def test_a_fit_still_improving_at_the_end_says_so() -> None:
    head = MlpHead(epochs=1).fit(TRAIN.features, TRAIN.labels, valid=VALID)
    assert head.remarks_ == ("mlp was still improving after 1 epochs",)


def test_a_loss_that_is_no_number_ends_the_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = iter([0.5, math.nan])
    monkeypatch.setattr(MlpHead, "_validate", lambda self, valid: {"val_loss": next(figures)})
    with pytest.raises(HeadError, match="finite losses, got val_loss nan in epoch 2"):
        MlpHead(units=4).fit(TRAIN.features, TRAIN.labels, valid=VALID)


def test_features_at_the_end_of_their_range_are_survived(fitted: MlpHead) -> None:
    extreme = np.where(VALID.features > 4, np.float32(3e38), np.float32(-3e38))
    assert np.isfinite(fitted.predict_proba(extreme)).all()


@pytest.mark.parametrize("setting", [{"epochs": 0}, {"dropout": 1.0}, {"learning_rate": 0.0}, {"units": 0}])
def test_settings_out_of_range_are_refused(setting: dict[str, int]) -> None:
    with pytest.raises(SettingsError, match=next(iter(setting))):
        MlpHead(**setting)


def test_log_sum_exp_is_what_the_softmax_takes_away(fitted: MlpHead) -> None:
    hidden = keras.Model(fitted.network.inputs[0], fitted.network.layers[-2].output)(VALID.features)
    kernel, bias = fitted.network.layers[-1].get_weights()
    logits = keras.ops.convert_to_numpy(hidden) @ kernel + bias
    found = fitted.log_sum_exp(VALID.features)
    np.testing.assert_allclose(found, np.log(np.exp(logits).sum(axis=1)), rtol=1e-4)
    np.testing.assert_allclose(np.exp(logits - found[:, np.newaxis]), fitted.predict_proba(VALID.features), atol=1e-4)
