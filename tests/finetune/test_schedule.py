"""The schedule: what Keras' own callbacks would decide, read off the log."""

from __future__ import annotations

import dataclasses
import math

import keras
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from finetune.schedule import best_epoch, is_over, rate_of
from finetune.settings import TrainSettings


def by_keras(losses: list[float], settings: TrainSettings) -> tuple[list[float], int, int]:
    """Rate of every epoch, how many were trained, and the best, with epoch 0 shown to the callbacks first."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.SGD(settings.rate))
    plateau = keras.callbacks.ReduceLROnPlateau(
        factor=settings.plateau_factor, patience=settings.plateau_patience, min_delta=0, min_lr=settings.min_rate
    )
    stop = keras.callbacks.EarlyStopping(patience=settings.patience)
    rates = []
    for callback in (plateau, stop):
        callback.set_model(model)
        callback.on_train_begin()
    for epoch, loss in enumerate(losses):
        if epoch:
            rates.append(float(model.optimizer.learning_rate.value))
        for callback in (plateau, stop):
            callback.on_epoch_end(epoch, {"val_loss": loss})
        if model.stop_training or epoch == settings.epochs:
            break
    return rates, len(rates), stop.best_epoch


@given(
    losses=st.lists(st.integers(0, 9), min_size=12, max_size=12),
    patience=st.integers(1, 5),
    plateau=st.integers(1, 3),
    factor=st.sampled_from([0.5, 0.1]),
    min_rate=st.sampled_from([0.0, 1e-3, 0.03]),
)
@hypothesis_settings(max_examples=60)
def test_it_decides_as_keras_callbacks_do(
    losses: list[int], patience: int, plateau: int, factor: float, min_rate: float
) -> None:
    settings = TrainSettings(
        epochs=10, rate=0.1, patience=patience, plateau_patience=plateau, plateau_factor=factor, min_rate=min_rate
    )
    log, rates = [{"val_loss": float(losses[0])}], []
    while not is_over(log, settings):
        rates.append(rate_of(len(log), log, settings))
        log.append({"val_loss": float(losses[len(log)])})
    expected, n_epochs, best = by_keras([float(loss) for loss in losses], settings)
    assert rates == pytest.approx(expected, rel=1e-5)
    assert len(log) - 1 == n_epochs
    assert best_epoch(log) == best


def test_warm_up_has_its_own_rate_and_does_not_count() -> None:
    settings = TrainSettings(
        epochs=9, head_warmup=3, head_warmup_rate=0.01, rate=1e-3, plateau_patience=1, patience=2, min_rate=0
    )
    log = [{"val_loss": loss} for loss in (1.0, 3.0, 3.0, 3.0)]
    assert [rate_of(epoch, log, settings) for epoch in (1, 2, 3, 4)] == [0.01, 0.01, 0.01, 1e-3]
    assert not is_over(log, settings)
    assert rate_of(5, [*log, {"val_loss": 2.0}], settings) == 5e-4, "epoch 0 is still to be beaten"
    assert is_over([*log, {"val_loss": 2.0}, {"val_loss": 1.5}], settings)


def test_a_cosine_begins_at_the_rate_and_ends_at_the_least() -> None:
    settings = TrainSettings(epochs=7, head_warmup=2, rate=0.1, min_rate=0.01, schedule="cosine")
    rates = [rate_of(epoch, [], settings) for epoch in range(3, 8)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[2] == pytest.approx(0.055)
    assert rates[-1] == pytest.approx(0.01)
    assert rates == sorted(rates, reverse=True)
    one = dataclasses.replace(settings, epochs=3)
    assert rate_of(3, [], one) == pytest.approx(0.1)


def test_a_constant_rate_stays() -> None:
    settings = TrainSettings(epochs=30, rate=0.1, schedule="constant", patience=30)
    log = [{"val_loss": 1.0}] * 20
    assert rate_of(20, log, settings) == 0.1


def test_no_number_is_never_the_best() -> None:
    assert best_epoch([{"val_loss": math.nan}, {"val_loss": 2.0}, {"val_loss": math.nan}]) == 1
    assert best_epoch([{"val_loss": math.nan}]) == 0
