"""Training: the best epoch is kept, the start counts, runs repeat, and NaN ends them with what was best."""

from __future__ import annotations

import csv
import dataclasses
import errno
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops
from numpy.typing import NDArray

from featstore.errors import TrainingError
from finetune import train as train_module
from finetune.batches import Batch, TrainingBatches
from finetune.checkpoint import read_log as read_checkpoint_log
from finetune.crops import Crops
from finetune.model import batch_normalizations, join
from finetune.predict import Viewing
from finetune.settings import BatchNorm, TrainSettings
from finetune.train import CHECKPOINT, CURVE, LOG, WEIGHTS, Training, Validation, train

Parts = Callable[[], tuple[keras.Model, keras.Model]]
Scale = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
QUICK = TrainSettings(epochs=3, batch_size=8, rate=0.01)


def validation(crops: Crops, target: NDArray[np.float32], scale: Scale) -> Validation:
    return Validation(crops, np.arange(24, 36), target[24:].argmax(axis=1), Viewing(scale, 8))


@pytest.fixture(autouse=True)
def unpainted(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw no curves, which take more time than the training here, but where a test asks for `painted`."""
    if "painted" not in request.fixturenames:
        monkeypatch.setattr(train_module, "draw_curve", lambda *args: None)


@pytest.fixture
def start(
    parts: Parts, crops: Crops, target: NDArray[np.float32], scale: Scale, tmp_path: Path
) -> Callable[[TrainSettings, str], tuple[keras.Model, Training, Path, Validation]]:
    """Train anew with some settings, in a folder of some name."""

    def run(settings: TrainSettings, name: str) -> tuple[keras.Model, Training, Path, Validation]:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        network = join(*parts())
        valid = validation(crops, target, scale)
        batches = TrainingBatches(crops, np.arange(24), target[:24], scale, settings)
        return network, train(network, batches, valid, settings, folder), folder, valid

    return run


def read_log(folder: Path) -> list[dict[str, float]]:
    with (folder / LOG).open(encoding="utf-8") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def figures(folder: Path) -> list[list[str]]:
    """The log as text, without what a clock decides."""
    with (folder / LOG).open(encoding="utf-8") as file:
        return [row[:-2] for row in csv.reader(file)]


def test_training_learns_logs_and_keeps_the_best(painted: None, start: Callable[..., tuple]) -> None:
    network, training, folder, valid = start(dataclasses.replace(QUICK, epochs=6), "run")

    log = read_log(folder)
    assert [row["epoch"] for row in log] == list(range(training.epochs_run + 1))
    assert math.isnan(log[0]["loss"])
    assert all(row["learning_rate"] > 0 for row in log)
    losses = [row["val_loss"] for row in log]
    assert training.best_epoch == int(np.argmin(losses)) > 0
    assert min(losses) < 0.9 * losses[0]
    # The network in memory and the weights on disk are those of the best epoch.
    assert valid.judge(network)["val_loss"] == pytest.approx(min(losses), rel=1e-5)
    before = [ops.convert_to_numpy(variable) for variable in network.weights]
    keras.Model(network.input, network.output).load_weights(folder / WEIGHTS)
    for value, variable in zip(before, network.weights, strict=True):
        if "seed_generator" not in variable.path:
            np.testing.assert_array_equal(ops.convert_to_numpy(variable), value)
    assert (folder / CURVE).read_bytes().startswith(b"\x89PNG")
    assert training.trouble == ""


def test_training_figures_are_means_over_the_epoch(
    start: Callable[..., tuple], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, float]] = []
    original = train_module._step

    def watched(*args: object) -> dict[str, float]:
        seen.append(original(*args))  # type: ignore[arg-type]  # passed on
        return seen[-1]

    monkeypatch.setattr(train_module, "_step", watched)
    _, training, _, _ = start(dataclasses.replace(QUICK, epochs=2), "run")
    for epoch in (1, 2):
        for name in ("loss", "accuracy"):
            expected = np.mean([step[name] for step in seen[3 * (epoch - 1) : 3 * epoch]])
            assert training.log[epoch][name] == pytest.approx(expected)


def test_a_seed_repeats_the_run_and_another_does_not(start: Callable[..., tuple]) -> None:
    _, _, one, _ = start(QUICK, "one")
    _, _, again, _ = start(QUICK, "again")
    _, _, other, _ = start(dataclasses.replace(QUICK, seed=1), "other")
    assert figures(one) == figures(again)
    assert figures(one) != figures(other)


def test_a_run_is_never_worse_than_its_start(start: Callable[..., tuple]) -> None:
    # This rate throws the network far away at once.
    settings = dataclasses.replace(QUICK, rate=0.9, patience=2, epochs=8)
    network, training, folder, valid = start(settings, "run")
    losses = [row["val_loss"] for row in training.log]
    assert min(losses[1:], default=math.inf) > losses[0] or any(map(math.isnan, losses))
    assert training.best_epoch == 0
    assert valid.judge(network)["val_loss"] == pytest.approx(losses[0], rel=1e-5)
    assert training.epochs_run <= 2
    assert (folder / WEIGHTS).is_file()


def test_the_rate_falls_when_the_loss_stays_and_the_log_shows_it(start: Callable[..., tuple]) -> None:
    settings = dataclasses.replace(QUICK, rate=0.3, plateau_patience=1, plateau_factor=0.1, patience=3, epochs=5)
    _, _, folder, _ = start(settings, "run")
    log = read_log(folder)
    best = math.inf
    rate = settings.rate
    for row in log:
        assert row["learning_rate"] == pytest.approx(rate, rel=1e-5)
        if row["val_loss"] >= best:
            rate *= settings.plateau_factor
        best = min(best, row["val_loss"])
    assert rate < settings.rate, "the loss never rose, so nothing was tested"


def test_no_epochs_keep_the_starting_point(start: Callable[..., tuple]) -> None:
    _, training, folder, _ = start(dataclasses.replace(QUICK, epochs=0), "run")
    assert (training.epochs_run, training.best_epoch) == (0, 0)
    assert len(read_log(folder)) == 1


def test_nan_ends_training_and_keeps_the_best(
    parts: Parts, crops: Crops, target: NDArray[np.float32], scale: Scale, tmp_path: Path
) -> None:
    class Poisoned(TrainingBatches):
        def of(self, epoch: int) -> Iterator[Callable[[], Batch]]:
            for number, call in enumerate(super().of(epoch)):
                made = call()
                yield (
                    lambda made=made, bad=(epoch, number) == (2, 1): (
                        made._replace(images=made.images * np.nan) if bad else made
                    )
                )

    network = join(*parts())
    valid = validation(crops, target, scale)
    batches = Poisoned(crops, np.arange(24), target[:24], scale, QUICK)

    training = train(network, batches, valid, QUICK, tmp_path)

    assert "nan in step 2 of epoch 2" in training.trouble
    assert training.epochs_run == 2
    assert training.best_epoch in {0, 1}
    best = min(row["val_loss"] for row in training.log[:2])
    assert valid.judge(network)["val_loss"] == pytest.approx(best, rel=1e-5)


def test_a_network_that_is_no_number_before_training_is_refused(
    parts: Parts, crops: Crops, target: NDArray[np.float32], scale: Scale, tmp_path: Path
) -> None:
    network = join(*parts())
    layer = batch_normalizations(network)[0]
    layer.set_weights([np.full_like(value, np.nan) for value in layer.get_weights()])
    valid = validation(crops, target, scale)
    batches = TrainingBatches(crops, np.arange(24), target[:24], scale, QUICK)
    with pytest.raises(TrainingError, match="before training"):
        train(network, batches, valid, QUICK, tmp_path)


def test_batch_normalization_stays_through_a_whole_run(parts: Parts, start: Callable[..., tuple]) -> None:
    network, _, _, _ = start(QUICK, "run")
    fresh = join(*parts())
    for layer, expected in zip(batch_normalizations(network), batch_normalizations(fresh), strict=True):
        for value, same in zip(layer.get_weights(), expected.get_weights(), strict=True):
            np.testing.assert_array_equal(value, same)


def test_balanced_classes_train_too(start: Callable[..., tuple]) -> None:
    _, training, _, _ = start(dataclasses.replace(QUICK, class_weight="balanced", epochs=1), "run")
    assert math.isfinite(training.log[1]["val_loss"])


class Killed(BaseException):
    """What ends a run in the tests below."""


WITH_PLATEAU = dataclasses.replace(QUICK, epochs=4, rate=0.3, plateau_patience=1, patience=2)
WITH_WARM_UP = dataclasses.replace(
    QUICK, epochs=4, head_warmup=2, batch_norm="recalibrate", accumulate=2, layer_decay=0.5
)
WITH_ALL_TRAINED = dataclasses.replace(QUICK, batch_norm="train", sampling="balanced", weight_decay=0.01)


@pytest.mark.parametrize(
    ("settings", "moment"),
    [
        (QUICK, "step"),
        (QUICK, "validation"),
        (QUICK, "weights"),
        (QUICK, "checkpoint"),
        (QUICK, "log"),
        (WITH_PLATEAU, "validation"),
        (WITH_WARM_UP, "checkpoint"),
        (WITH_ALL_TRAINED, "step"),
    ],
)
def test_an_interrupted_run_goes_on_to_the_same_end(
    start: Callable[..., tuple], monkeypatch: pytest.MonkeyPatch, settings: TrainSettings, moment: str
) -> None:
    whole, training, undisturbed, _ = start(settings, "whole")
    # Whatever epoch it is in, the run ends at this moment, and again and again, until it is through.
    limit, n_calls = 0, 0
    target = {
        "step": (train_module, "_step"),
        "validation": (Validation, "judge"),
        "weights": (keras.Model, "save_weights"),
        "checkpoint": (train_module, "write_checkpoint"),
        "log": (train_module, "_write"),
    }[moment]
    original = getattr(*target)

    def fragile(*args: object, **options: object) -> object:
        nonlocal n_calls
        n_calls += 1
        if n_calls > limit:
            raise Killed
        return original(*args, **options)

    monkeypatch.setattr(*target, fragile)
    for _attempt in range(12):
        n_calls, limit = 0, limit + 4 if moment == "step" else 2
        try:
            network, resumed, folder, _ = start(settings, "disturbed")
            break
        except Killed:
            continue
    else:
        pytest.fail("the run never came through")
    assert figures(folder) == figures(undisturbed)
    assert resumed.best_epoch == training.best_epoch
    for one, other in zip(whole.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_picture_that_fails_costs_no_epoch(
    start: Callable[..., tuple], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn: list[int] = []

    def failing(log: Sequence[object], path: Path, _: str) -> None:
        rows = read_checkpoint_log(path.with_name(CHECKPOINT))
        assert rows is not None
        drawn.append(len(rows))
        raise ZeroDivisionError

    monkeypatch.setattr(train_module, "draw_curve", failing)
    _, training, folder, _ = start(dataclasses.replace(QUICK, epochs=1), "run")
    assert training.epochs_run == 1
    assert drawn == [1, 2], "the epoch is in the checkpoint before it is drawn"
    assert len(read_log(folder)) == 2
    assert "curve.png was not drawn (ZeroDivisionError" in capsys.readouterr().err


def test_more_steps_to_gather_than_an_epoch_has_are_refused(start: Callable[..., tuple]) -> None:
    with pytest.raises(TrainingError, match="the 3 batches of an epoch"):
        start(dataclasses.replace(QUICK, accumulate=4), "run")


def test_a_damaged_checkpoint_is_refused_with_a_way_out(start: Callable[..., tuple]) -> None:
    _, _, folder, _ = start(dataclasses.replace(QUICK, epochs=1), "run")
    whole = (folder / CHECKPOINT).read_bytes()
    for spoilt in (whole[:100], whole[: len(whole) // 2], b"no zip at all", b""):
        (folder / CHECKPOINT).write_bytes(spoilt)
        with pytest.raises(TrainingError, match="--restart"):
            start(dataclasses.replace(QUICK, epochs=2), "run")


def test_the_head_alone_learns_in_its_warm_up(parts: Parts, start: Callable[..., tuple]) -> None:
    settings = dataclasses.replace(QUICK, epochs=1, head_warmup=1, head_warmup_rate=0.1)
    network, training, _, _ = start(settings, "run")
    assert training.log[1]["learning_rate"] == 0.1
    assert training.best_epoch == 1
    fresh = join(*parts())
    moved = {
        variable.path.split("/")[-1]: not np.array_equal(ops.convert_to_numpy(variable), ops.convert_to_numpy(before))
        for variable, before in zip(network.weights, fresh.weights, strict=True)
        if variable.path.endswith("kernel")
    }
    backbone = [
        np.array_equal(ops.convert_to_numpy(one), ops.convert_to_numpy(other))
        for layer, before in zip(network.layers[:-1], fresh.layers[:-1], strict=True)
        for one, other in zip(layer.weights, before.weights, strict=True)
    ]
    assert all(backbone)
    assert any(moved.values())


def test_train_lets_the_statistics_move(parts: Parts, start: Callable[..., tuple]) -> None:
    network, training, _, _ = start(dataclasses.replace(QUICK, batch_norm="train", epochs=1, rate=1e-3), "run")
    assert training.best_epoch == 1
    for layer, before in zip(batch_normalizations(network), batch_normalizations(join(*parts())), strict=True):
        for one, other in zip(layer.get_weights(), before.get_weights(), strict=True):
            assert not np.array_equal(one, other)


def test_a_full_disk_leaves_the_best_weights_and_a_state_to_go_on_from(
    start: Callable[..., tuple], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = dataclasses.replace(QUICK, epochs=3)
    _, _, undisturbed, _ = start(settings, "whole")
    original, n_calls = train_module.write_checkpoint, 0

    def full(path: Path, *args: object) -> None:
        nonlocal n_calls
        n_calls += 1
        if n_calls == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(path, *args)  # type: ignore[arg-type]  # passed on

    monkeypatch.setattr(train_module, "write_checkpoint", full)
    with pytest.raises(OSError, match="No space left"):
        start(settings, "full")
    _, resumed, folder, _ = start(settings, "full")
    assert resumed.resumed_at == 1
    assert figures(folder) == figures(undisturbed)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="counts as TensorFlow traces")
@pytest.mark.parametrize("policy", ["frozen", "recalibrate"])
def test_functions_are_traced_once_per_run_not_per_epoch(
    parts: Parts, crops: Crops, target: NDArray[np.float32], scale: Scale, tmp_path: Path, policy: BatchNorm
) -> None:
    traced: list[bool | None] = []

    class Witness(keras.layers.Layer):
        def call(self, features: keras.KerasTensor, training: bool | None = None) -> keras.KerasTensor:
            traced.append(training)
            return features

    def traces(n_epochs: int) -> list[bool | None]:
        backbone, head = parts()
        network = join(keras.Model(backbone.input, Witness()(backbone.output)), head)
        settings = dataclasses.replace(QUICK, epochs=n_epochs, batch_norm=policy)
        batches = TrainingBatches(crops, np.arange(24), target[:24], scale, settings)
        folder = tmp_path / str(n_epochs)
        folder.mkdir()
        # 11 photographs: the last batch is not full.
        valid = Validation(crops, np.arange(24, 35), target[24:35].argmax(axis=1), Viewing(scale, 8))
        traced.clear()
        train(network, batches, valid, settings, folder)
        return list(traced)

    one, four = traces(1), traces(4)
    assert one == four
    if policy == "frozen":
        assert one == [False, True], "one function that predicts and one that trains"
