"""The whole run on a drawn package: figures, files, what is refused, what is repeated and what is left out."""

from __future__ import annotations

import csv
import json
import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from keras import ops

from evaluation.predictions import Predictions
from evaluation.runs import predictions_path, read_run_card
from evaluation.scores import score_predictions
from featstore.backbones import BACKBONES, preprocess
from featstore.build import specs
from featstore.build.build import build_store
from featstore.build.settings import BuildSettings
from featstore.errors import PhytobenchError, PredictionsError, SplitError, StoreError, TrainingError, WeightsError
from featstore.exclusions import Exclusion, write_exclusions
from featstore.images import load_crop
from featstore.roi import RECIPES
from featstore.splits import Split, read_split, write_split
from featstore.store import Store
from featstore.synth import SynthSettings, synthesise
from featstore.table import load_table
from finetune import crops as crops_module
from finetune import run as run_module
from finetune import train as train_module
from finetune.answer_forecast import foresee_answers
from finetune.asking import ask, crops_of
from finetune.augment import VARIANTS
from finetune.card import seed_of
from finetune.cli import main
from finetune.earlier import finished_card
from finetune.folder import InterruptedTrainingError
from finetune.forecast import foresee
from finetune.model_card import write_model_card
from finetune.report import Report, base_of, fused_rows
from finetune.run import finetune, finetune_all
from finetune.saved import load_network
from finetune.settings import TrainSettings
from finetune.start import Request, open_start, require_trainable
from finetune.starting import starting_run
from finetune.train import CHECKPOINT, LOG, WEIGHTS, Training
from finetune.variant_study import study
from heads.compare import CompareSettings, compare_heads
from heads.learnt import read_learnt
from heads.protocol import Protocol

BACKBONE = "small"
MLP = "mlp:epochs=10,n_layers=1"
QUICK = TrainSettings(epochs=1, batch_size=8, rate=1e-4, tta=2)


@dataclass(frozen=True)
class House:
    """A store, a folder of runs, and the photographs behind them."""

    photos: Path
    store: Path
    runs: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> House:
    """Photographs, features and a compared head, made once; copied before anything changes them."""
    folder = tmp_path_factory.mktemp("house")
    photos, path, runs = folder / "photos", folder / "features.zarr", folder / "runs"
    synthesise(photos, SynthSettings(n_species=3, n_observations=4, side_px=96, n_corrupt=1))
    build_store(photos, path, BuildSettings((BACKBONE,), "random", side_px=32, n_workers=0))
    compare_heads(Store.open(path), CompareSettings(heads=(MLP,)), runs)
    return House(photos, path, runs)


@pytest.fixture
def house(built: House, tmp_path: Path) -> House:
    """The house with runs of its own."""
    shutil.copytree(built.runs, tmp_path / "runs")
    return replace(built, runs=tmp_path / "runs")


@pytest.fixture(scope="module")
def finished(built: House, tmp_path_factory: pytest.TempPathFactory) -> House:
    """The house after one fine-tuning."""
    runs = tmp_path_factory.mktemp("finished") / "runs"
    shutil.copytree(built.runs, runs)
    finetune(Request(built.store, runs, QUICK))
    return replace(built, runs=runs)


def test_a_run_folder_is_whole(finished: House) -> None:
    folder = finished.runs / f"{BACKBONE}-finetuned"
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md", "curve.png", "head", "learnt.csv", "log.csv", "model.weights.h5", "run.json", "scores.csv",
        "scores.json", "test.predictions.h5", "test.tta2.predictions.h5", "valid.predictions.h5",
        "valid.tta2.predictions.h5",
    ]  # fmt: skip
    assert not list(finished.runs.glob(".*.partial"))
    assert not list(finished.runs.glob(".*.old"))
    assert not list(finished.runs.glob(".*.photographs"))
    card = read_run_card(folder)
    assert (card.kind, card.backbones, card.head) == ("finetuned", (BACKBONE,), "mlp")
    assert all(card.classes.values()), "species names travel along"
    assert card.details["settings"] == QUICK.as_json()
    assert card.details["difference_before_training"] < 1e-4
    with (folder / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1"]
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"} < set(rows[0])


def test_plants_that_the_comparison_set_aside_choose_nothing(built: House, tmp_path: Path) -> None:
    """They are predicted and flagged, so that a fusion may learn on them, and do not count in the validation loss."""
    runs = tmp_path / "runs"
    protocol = Protocol(calibrate="all", calibration_share=0.4)
    compare_heads(Store.open(built.store), CompareSettings(heads=(MLP,), protocol=protocol), runs)
    start = Predictions.read(predictions_path(runs / f"{BACKBONE}-mlp", "valid"))
    assert start.unseen is not None
    assert 0 < start.unseen.sum() < len(start.unseen)
    report = finetune(Request(built.store, runs, QUICK))
    valid = Predictions.read(predictions_path(report.folder, "valid"))
    assert valid.unseen is not None
    assert set(valid.image_id[valid.unseen]) == set(start.image_id[start.unseen])
    judged = valid.select(~valid.unseen)
    own = judged.probability[np.arange(len(judged.image_id)), np.searchsorted(judged.classes, judged.true_class)]
    with (report.folder / "log.csv").open() as file:
        losses = [float(row["val_loss"]) for row in csv.DictReader(file)]
    assert min(losses) == pytest.approx(float(-np.log(own).mean()), rel=1e-3)
    counts = read_run_card(report.folder).details["photographs"]
    assert isinstance(counts, dict)
    assert (counts["valid"], counts["set aside"]) == (len(judged.image_id), int(valid.unseen.sum()))
    # Nor do the variants, and `--unseen` lets them be asked about.
    plain, *_ = study(report.folder, str(built.store))
    assert plain.alone_loss == pytest.approx(min(losses), rel=1e-3)
    learnt = set(read_learnt(report.folder)["image_id"])
    assert not learnt & set(valid.image_id[valid.unseen])
    assert learnt >= set(judged.image_id)


def test_predictions_are_those_of_the_split_with_their_truth(finished: House) -> None:
    folder = finished.runs / f"{BACKBONE}-finetuned"
    table = load_table(Store.open(finished.store), [BACKBONE])
    split = read_split(finished.runs / "split.csv").of(table.papers)
    for part in ("valid", "test"):
        papers = table.papers[split == part]
        for variant in ("", "tta2"):
            predictions = Predictions.read(predictions_path(folder, part, variant))
            assert predictions.split == part
            np.testing.assert_array_equal(predictions.image_id, papers["image_id"])
            np.testing.assert_array_equal(predictions.true_class, papers["class_id"])
            assert predictions.images_per_second > 0
            assert predictions.log_sum_exp is not None
            assert set(predictions.true_class) <= set(predictions.classes)


def test_a_saved_network_opens_again_and_says_the_same(finished: House) -> None:
    folder = finished.runs / f"{BACKBONE}-finetuned"
    predictions = Predictions.read(predictions_path(folder, "test"))
    papers = Store.open(finished.store).papers.set_index("image_id").loc[predictions.image_id]
    crops = np.stack(
        [
            load_crop(
                finished.photos / paper["path"],
                tuple(int(paper[f"box_{side}"]) for side in ("top", "left", "bottom", "right")),
                32,
                RECIPES["article"].of(paper["view"]),
            )
            for _, paper in papers.iterrows()
        ]
    )
    probability = ops.convert_to_numpy(load_network(folder).predict_on_batch(preprocess(BACKBONE, crops)))
    np.testing.assert_allclose(probability, predictions.probability, atol=1e-5)


def test_a_forecast_counts_what_is_to_be_done_and_writes_nothing(finished: House, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    done = foresee(Request(finished.store, finished.runs, QUICK), [BACKBONE]).networks[0]
    assert (done.is_done, done.epochs, done.seconds) == (True, 0, 0.0)
    # Trained, and to be predicted anew with more variants; without any there is nothing to compute.
    more, none = (
        foresee(Request(finished.store, finished.runs, replace(QUICK, tta=tta)), [BACKBONE]).networks[0]
        for tta in (4, 0)
    )
    answered = [
        Predictions.read(predictions_path(finished.runs / f"{BACKBONE}-finetuned", s)) for s in ("valid", "test")
    ]
    n_answered = sum(len(predictions.image_id) for predictions in answered)
    assert (more.is_done, more.epochs, more.n_predicted) == (False, 0, 5 * n_answered)
    assert more.seconds > more.n_predicted * more.predict_s > 0
    assert (none.epochs, none.n_predicted, none.n_photographs, none.seconds) == (0, 0, 0, 0.0)
    request = Request(finished.store, finished.runs, replace(QUICK, epochs=3), out=tmp_path / "other")
    ahead = foresee(request, [BACKBONE])
    start = open_start(replace(request, backbone=BACKBONE))
    one = ahead.networks[0]
    assert one.n_train == int(start.parts(request.settings)["train"].sum())
    assert one.n_steps == one.n_train // min(request.settings.batch_size, one.n_train)
    assert one.epochs == 3
    assert one.seconds > 3 * one.n_steps * one.step_s > 0
    # A network that is only to be judged as it starts is not done: it predicts.
    judged = foresee(replace(request, settings=replace(QUICK, epochs=0)), [BACKBONE])
    assert judged.cells()[0][3] == "0"
    assert judged.networks[0].seconds > judged.networks[0].n_predicted * judged.networks[0].predict_s > 0
    assert sorted(tmp_path.rglob("*")) == before


def test_the_report_scores_start_network_and_augmentation_on_valid_then_test(finished: House) -> None:
    report = finetune(Request(finished.store, finished.runs, QUICK))
    assert report.kept == "everything"
    names = [f"{BACKBONE}-mlp (start)", f"{BACKBONE}-finetuned", f"{BACKBONE}-finetuned + TTA2"]
    refitted = f"{BACKBONE}-mlp (refitted)"
    expected = [("valid", name) for name in names] + [("test", name) for name in (names[0], refitted, *names[1:])]
    assert [(row.split, row.line.run) for row in report.rows] == expected
    for row in (row for row in report.rows if row.line.run == names[1]):
        own = Predictions.read(predictions_path(report.folder, row.split))
        # As text, because an interval that was not computed is NaN, which equals nothing.
        assert str(row.scores) == str(tuple(score_predictions(own)))
    document = report.to_json()
    assert json.loads(json.dumps(document, allow_nan=False))["schema"] == "scores/1"
    assert {(score["split"], score["run"]) for score in document["scores"]} == set(expected)


def test_a_finished_run_is_kept_and_other_settings_replace_it_only_when_asked(
    finished: House, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(finished.runs, runs)
    card = runs / f"{BACKBONE}-finetuned" / "run.json"
    before = card.read_bytes()
    assert finetune(Request(finished.store, runs, QUICK)).kept == "everything"
    assert card.read_bytes() == before

    others = Request(finished.store, runs, replace(QUICK, epochs=0, tta=0))
    with pytest.raises(TrainingError, match=f"epochs 0 instead of {QUICK.epochs}.*--restart to put this one"):
        finetune(others)
    assert card.read_bytes() == before
    report = finetune(replace(others, restart=True))

    assert report.kept == "nothing"
    assert "holds a run of other settings; this one takes its place" in capsys.readouterr().err
    assert (report.epochs_run, report.best_epoch) == (0, 0)
    assert not list(report.folder.glob("*tta*"))
    # No epoch was trained, so the whole network must say what the head says.
    for split in ("valid", "test"):
        figures = {row.line.run: row.line.figures for row in report.rows if row.split == split}
        assert figures[f"{BACKBONE}-finetuned"] == pytest.approx(figures[f"{BACKBONE}-mlp (start)"])


def not_again(*args: object, **options: object) -> None:
    raise AssertionError("trained again")


def test_other_variants_keep_the_weights_and_predict_as_a_new_run_would(
    finished: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(finished.runs, runs)
    folder = runs / f"{BACKBONE}-finetuned"
    weights, plain = (folder / "model.weights.h5").read_bytes(), Predictions.read(predictions_path(folder, "test"))
    monkeypatch.setattr(run_module, "train", not_again)

    report = finetune(Request(finished.store, runs, replace(QUICK, tta=1)))

    assert (report.kept, report.epochs_run) == ("weights", 1)
    assert "predictions are made anew" in capsys.readouterr().err
    assert (folder / "model.weights.h5").read_bytes() == weights
    assert sorted(path.name for path in folder.glob("*.predictions.h5")) == [
        "test.predictions.h5", "test.tta1.predictions.h5", "valid.predictions.h5", "valid.tta1.predictions.h5",
    ]  # fmt: skip
    again = Predictions.read(predictions_path(folder, "test"))
    np.testing.assert_array_equal(again.probability, plain.probability)
    assert again.provenance["settings"] == settings_of(folder) == replace(QUICK, tta=1).as_json()
    # The first of two variants is the same, so what is new can be told from what was there.
    varied, _ = ask(folder, str(finished.store), tmp_path / "asked", tta=1, unseen=True)
    own = Predictions.read(predictions_path(folder, "test", "tta1"))
    np.testing.assert_array_equal(varied.predictions.image_id, own.image_id)
    np.testing.assert_allclose(own.probability, varied.predictions.probability, atol=1e-5)
    assert "TTA1" in (folder / "scores.csv").read_text()
    assert "TTA2" not in (folder / "scores.csv").read_text() + (folder / "README.md").read_text()
    assert finetune(Request(finished.store, runs, replace(QUICK, tta=1))).kept == "everything"
    assert finetune(Request(finished.store, runs, replace(QUICK, tta=0))).kept == "weights"
    assert not list(folder.glob("*tta*"))
    assert not [path for path in runs.iterdir() if path.name.startswith(".") and path.is_dir()]


def settings_of(folder: Path) -> object:
    return read_run_card(folder).details["settings"]


def test_a_finished_run_that_lost_a_photograph_is_not_predicted_anew_and_stays(
    finished: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, photos = tmp_path / "runs", tmp_path / "moved"
    shutil.copytree(finished.runs, runs)
    shutil.copytree(finished.photos, photos)
    folder = runs / f"{BACKBONE}-finetuned"
    test = Predictions.read(predictions_path(folder, "test")).image_id[0]
    (photos / Store.open(finished.store).papers.set_index("image_id").loc[test, "path"]).unlink()
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    monkeypatch.setattr(run_module, "train", not_again)
    with pytest.raises(TrainingError, match="has predicted"):
        finetune(Request(finished.store, runs, replace(QUICK, tta=1), photos=photos))
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert not [path for path in runs.iterdir() if path.name.startswith(".") and path.is_dir()]


def test_a_lost_photograph_is_left_out_and_told(house: House, tmp_path: Path) -> None:
    photos = tmp_path / "moved"
    shutil.copytree(house.photos, photos)
    predicted = read_split(house.runs / "split.csv").frame
    papers = Store.open(house.store).papers.set_index("image_id")
    lost = next(
        key for key in predicted.loc[predicted["split"] == "test", "image_id"] if papers.loc[key, "status"] == "done"
    )
    (photos / papers.loc[lost, "path"]).unlink()
    settings = replace(QUICK, epochs=0, tta=0)

    report = finetune(Request(house.store, house.runs, settings, photos=photos, out=tmp_path / "out"))

    assert list(report.failures) == [lost]
    assert report.folder == tmp_path / "out" / f"{BACKBONE}-finetuned"
    assert lost not in Predictions.read(predictions_path(report.folder, "test")).image_id
    # Still lost: the run stands. There again: it is made anew, with every photograph.
    again = Request(house.store, house.runs, settings, photos=photos, out=tmp_path / "out")
    assert finetune(again).failures == report.failures
    assert finetune(replace(again, photos=None)).failures == {}
    assert lost in Predictions.read(predictions_path(report.folder, "test")).image_id


def test_an_interrupt_keeps_the_best_so_far_and_the_earlier_run(
    finished: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(finished.runs, runs)
    before = {path.name: path.stat().st_mtime_ns for path in (runs / f"{BACKBONE}-finetuned").iterdir()}

    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    settings = replace(QUICK, epochs=0)
    with monkeypatch.context() as patched:
        patched.setattr(run_module, "write_predictions", interrupted)
        with pytest.raises(InterruptedTrainingError, match="the same command goes on") as caught:
            finetune(Request(finished.store, runs, settings, restart=True))
    assert caught.value.exit_code == 130
    assert {path.name: path.stat().st_mtime_ns for path in (runs / f"{BACKBONE}-finetuned").iterdir()} == before
    work = runs / f".{BACKBONE}-finetuned.partial"
    assert (work / "model.weights.h5").is_file()
    (work / ".0123.partial.checkpoint.npz").write_bytes(b"of a killed process")
    (work / "test.tta2.predictions.h5").write_bytes(b"of variants that nobody asks for any more")
    # Other settings do not throw its epochs away unasked; the same ones, whatever happens at test time, go on.
    with pytest.raises(TrainingError, match="--restart to throw its epochs away"):
        finetune(Request(finished.store, runs, replace(settings, rate=0.5)))
    assert finetune(Request(finished.store, runs, replace(settings, tta=1))).epochs_run == 0
    assert "goes on after epoch 0" in capsys.readouterr().err
    assert not list((runs / f"{BACKBONE}-finetuned").glob(".*"))
    assert not list((runs / f"{BACKBONE}-finetuned").glob("*.tta2.*"))
    assert not [path for path in runs.iterdir() if path.name.startswith(f".{BACKBONE}-finetuned") and path.is_dir()]


def test_a_run_that_a_kill_kept_from_its_place_takes_it(
    finished: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(finished.runs, runs)
    folder = runs / f"{BACKBONE}-finetuned"
    # As a kill leaves it between the two renames at the end.
    shutil.copytree(folder, runs / f".{folder.name}.old")
    folder.rename(runs / f".{folder.name}.partial")
    (runs / f".{folder.name}.photographs").mkdir()
    monkeypatch.setattr(run_module, "train", not_again)
    reports, _ = finetune_all(Request(finished.store, runs, QUICK), [])
    assert [report.kept for report in reports] == ["everything"]
    assert not [path for path in runs.iterdir() if path.name.startswith(".") and path.is_dir()]


def test_a_loss_that_is_no_number_does_not_cost_the_earlier_run(
    finished: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(finished.runs, runs)
    folder = runs / f"{BACKBONE}-finetuned"
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}

    def diverging(*args: object) -> Training:
        work = args[-1]
        assert isinstance(work, Path)
        for name in (CHECKPOINT, WEIGHTS, LOG):
            (work / name).write_bytes(b"of the epochs before")
        return Training(({}, {}), 0, "the training loss became nan in step 1 of epoch 1")

    monkeypatch.setattr(run_module, "train", diverging)
    with pytest.raises(
        TrainingError, match=r"nan in step 1 .* The earlier run stays; .* Train with a lower --rate"
    ) as told:
        finetune(Request(finished.store, runs, replace(QUICK, rate=0.5), restart=True))
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert not (runs / f".{folder.name}.partial").exists(), "another rate may begin"
    kept = runs / f"{folder.name}.stopped.{WEIGHTS}"
    assert kept.read_bytes() == b"of the epochs before"
    assert str(kept) in str(told.value)


def test_other_weights_than_the_stores_are_refused_before_anything_is_decoded(house: House) -> None:
    with pytest.raises(WeightsError, match="--weights PATH"):
        finetune(Request(house.store, house.runs, QUICK, weights="random:1"))
    assert not [path for path in house.runs.iterdir() if "finetuned" in path.name and path.suffix != ".lock"]


def interrupted(*args: object) -> None:
    raise KeyboardInterrupt


def test_a_run_whose_photographs_are_gone_goes_on_with_what_was_cut(
    finished: House, built: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(built.photos, photos)
    request = Request(built.store, built.runs, QUICK, photos=photos, out=tmp_path / "out")
    with monkeypatch.context() as patched:
        # Everything is written, the card too.
        patched.setattr(run_module, "_judged", interrupted)
        with pytest.raises(InterruptedTrainingError):
            finetune(request)
    shutil.rmtree(photos)
    report = finetune(request)
    assert report.epochs_run == 1
    once = finished.runs / f"{BACKBONE}-finetuned"
    assert read_run_card(report.folder).details["files"] == read_run_card(once).details["files"]
    for split in ("valid", "test"):
        one, other = (Predictions.read(predictions_path(folder, split)) for folder in (report.folder, once))
        np.testing.assert_array_equal(one.probability, other.probability)


def test_a_start_at_another_side_is_proved_on_the_photographs_that_are_still_there(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, moved = tmp_path / "photos", tmp_path / "moved"
    shutil.copytree(house.photos, photos)
    request = Request(house.store, house.runs, replace(QUICK, epochs=0, tta=0, side_px=48), photos=photos)
    with monkeypatch.context() as patched:
        patched.setattr(run_module, "write_predictions", interrupted)
        with pytest.raises(InterruptedTrainingError):
            finetune(request)
    photos.rename(moved)
    with pytest.raises(TrainingError, match="--photos ROOT"):
        finetune(request)
    there = sorted(moved.rglob("*.jpg"))
    for path in there[2:-1]:
        path.unlink()
    for path in (there[1], there[-1]):
        path.write_bytes(b"no photograph")
    report = finetune(replace(request, photos=moved))
    assert (report.epochs_run, read_run_card(report.folder).details["resumed_at"]) == (0, 0)


def test_a_restart_that_was_killed_goes_on_without_being_asked_again(
    finished: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(finished.runs, runs)
    others = Request(finished.store, runs, replace(QUICK, rate=0.5, epochs=3))
    calls = []

    def killed(start: object, settings: object, cache: object, work: Path, folder: object) -> None:
        calls.append(work)
        log = json.dumps([{"epoch": 0.0}, {"epoch": 1.0}])
        with (work / CHECKPOINT).open("wb") as file:
            np.savez(file, log=np.frombuffer(log.encode(), dtype=np.uint8))
        raise RuntimeError

    def epochs_ahead(request: Request) -> int:
        return foresee(request, [BACKBONE]).networks[0].epochs

    monkeypatch.setattr(run_module, "_compute", killed)
    restart, third = replace(others, restart=True), replace(others, settings=replace(QUICK, rate=0.7))
    for request, begins in ((others, False), (restart, True), (others, True), (third, False)):
        with pytest.raises(RuntimeError if begins else TrainingError) as told:
            finetune(request)
        if not begins:
            # The forecast asks the same, whether it comes before or after.
            with pytest.raises(TrainingError) as foretold:
                foresee(request, [BACKBONE])
            assert str(foretold.value) == str(told.value)
    assert len(calls) == 2
    assert epochs_ahead(others) == 2, "after the one that is done"
    assert epochs_ahead(restart) == 3
    shutil.rmtree(runs / f".{BACKBONE}-finetuned.partial")
    assert epochs_ahead(restart) == 3
    with pytest.raises(TrainingError, match="--restart to put this one"):
        epochs_ahead(others)


def test_training_that_ends_before_its_last_epoch_says_why(
    finished: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(train_module, "is_over", lambda log, settings: len(log) > 1)
    settings = replace(QUICK, epochs=4, patience=3, tta=0)
    report = finetune(Request(finished.store, finished.runs, settings, out=tmp_path / "runs"))
    assert report.epochs_run == 1
    told = capsys.readouterr().err
    assert "stopped early: 3 epochs in a row without a lower validation loss (patience 3)" in told
    assert "left out by vote" not in told, "none was"


def test_a_finished_run_that_lacks_something_is_told_apart_from_one_of_other_settings(
    finished: House, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / f"{BACKBONE}-finetuned"
    shutil.copytree(finished.runs / folder.name, folder)
    start = open_start(Request(finished.store, finished.runs, QUICK))
    assert finished_card(folder, start, QUICK) is not None
    with pytest.raises(TrainingError, match="rate 0\\.5 instead of"):
        finished_card(folder, start, replace(QUICK, rate=0.5))
    elsewhere = replace(start, made_from={**start.made_from, "split": "another"})
    with pytest.raises(TrainingError, match="got another split\\. Pass another --out"):
        finished_card(folder, elsewhere, QUICK)
    assert finished_card(folder, start, replace(QUICK, rate=0.5), restart=True) is None
    assert "a run of other settings; this one takes its place" in capsys.readouterr().err
    (folder / "curve.png").unlink()
    assert finished_card(folder, start, QUICK) is None
    told = capsys.readouterr().err
    assert "a run that lacks curve.png; this one takes its place" in told
    assert "other settings" not in told


def test_a_run_that_fails_before_its_first_epoch_leaves_nothing_and_a_useless_warm_up_is_told(
    house: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*args: object) -> float:
        assert list(house.runs.glob(".*.photographs")), "they are cut by now"
        raise ValueError

    monkeypatch.setattr(run_module, "prove", fails)
    with pytest.raises(ValueError, match=r"^$"):
        finetune(Request(house.store, house.runs, replace(QUICK, epochs=2, head_warmup=2)))
    assert "`head_warmup` takes all 2 epochs" in capsys.readouterr().err
    assert not [path for path in house.runs.iterdir() if path.name.startswith(".") and path.is_dir()]


def test_two_features_of_one_network_are_two_runs(built: House, tmp_path: Path) -> None:
    store, runs = tmp_path / "two.zarr", tmp_path / "runs"
    for name, side_px in ((BACKBONE, 32), (f"{BACKBONE}-40", 40)):
        build_store(built.photos, store, BuildSettings((BACKBONE,), "random", side_px=side_px, name=name, n_workers=0))
    compare_heads(Store.open(store), CompareSettings(heads=(MLP,), concat=False), runs)
    names = [BACKBONE, f"{BACKBONE}-40"]
    request = Request(store, runs, replace(QUICK, epochs=0, tta=0))
    reports, _ = finetune_all(request, names)
    assert [report.folder.name for report in reports] == [f"{name}-finetuned" for name in names]
    assert [read_run_card(report.folder).details["recipe"]["side_px"] for report in reports] == [32, 40]
    rows = [row for report in reports for row in report.rows]
    for name in names:
        for row in (row for row in rows if row.line.run == f"{name}-finetuned"):
            assert base_of(rows, row).line.run == f"{name}-mlp (start)"
    assert [report.kept for report in finetune_all(request, names)[0]] == ["everything"] * 2
    # Its photographs are scaled as the backbone wants it, whatever its features are called.
    asked, _ = ask(reports[1].folder, str(store), tmp_path / "answers", unseen=True)
    own = Predictions.read(predictions_path(reports[1].folder, "test"))
    np.testing.assert_allclose(asked.predictions.probability, own.probability, atol=1e-5)


def test_a_folder_of_another_kind_is_never_replaced(house: House) -> None:
    folder = house.runs / f"{BACKBONE}-finetuned"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(TrainingError, match="--out"):
        finetune(Request(house.store, house.runs, QUICK))
    assert (folder / "thesis.txt").is_file()


def change_split(house: House, **splits: str) -> None:
    """Give every image of some splits another one."""
    frame = read_split(house.runs / "split.csv").frame
    frame["split"] = frame["split"].replace(splits)
    write_split(Split(frame), house.runs / "split.csv")


@pytest.mark.parametrize(
    ("error", "told", "spoil"),
    [
        (PredictionsError, "heads compare", lambda house: (house.runs / "best.json").unlink()),
        (PredictionsError, "best/1", lambda house: (house.runs / "best.json").write_text('{"schema": "best/9"}')),
        (PredictionsError, "heads compare", lambda house: (house.runs / "best.json").write_text("[]")),
        (
            TrainingError,
            "--head mlp",
            lambda house: (house.runs / "best.json").write_text('{"schema": "best/1", "finetune": null}'),
        ),
        (SplitError, "heads compare", lambda house: (house.runs / "split.csv").unlink()),
        (TrainingError, "validate", lambda house: change_split(house, valid="train")),
        (TrainingError, "training photographs", lambda house: change_split(house, train="valid")),
        (PhytobenchError, "heads compare", lambda house: shutil.rmtree(house.runs / f"{BACKBONE}-mlp" / "fitted")),
    ],
)
def test_a_start_that_lacks_something_is_refused(
    house: House, error: type[PhytobenchError], told: str, spoil: object
) -> None:
    spoil(house)  # type: ignore[operator]  # a lambda of the table above
    with pytest.raises(error) as caught:
        open_start(Request(house.store, house.runs, QUICK))
    assert told in str(caught.value)


def test_a_store_that_was_cut_otherwise_is_no_start_of_the_head(house: House, tmp_path: Path) -> None:
    """Its features have the right network and weights, and the head has not learnt from them."""
    cut = tmp_path / "whole.zarr"
    build_store(house.photos, cut, BuildSettings((BACKBONE,), "random", side_px=32, n_workers=0, roi="none"))
    with pytest.raises(StoreError, match=r"as the run learnt from \(.*roi of Flower"):
        open_start(Request(cut, house.runs, QUICK))


def test_another_backbone_must_have_a_head(house: House) -> None:
    with pytest.raises(TrainingError, match=f"those of {BACKBONE}"):
        open_start(Request(house.store, house.runs, QUICK, backbone="vgg16"))


def test_a_vote_that_nobody_has_leaves_the_unknown_ones(house: House) -> None:
    settings = replace(QUICK, min_vote=99)
    start = open_start(Request(house.store, house.runs, settings))
    assert start.table.papers.loc[start.parts(settings)["train"], "vote"].isna().all()
    known = replace(start.table, papers=start.table.papers.assign(vote=1.0))
    with pytest.raises(TrainingError, match="--min-vote"):
        require_trainable(replace(start, table=known), settings)


def test_no_store_is_refused(house: House, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="featstore build"):
        open_start(Request(tmp_path / "none.zarr", house.runs, QUICK))


def test_low_votes_are_left_out_of_training_alone(house: House) -> None:
    start = open_start(Request(house.store, house.runs, QUICK))
    vote = start.table.papers["vote"]
    every, some = start.parts(QUICK), start.parts(replace(QUICK, min_vote=3))
    low = (vote < 3).to_numpy() & (start.split == "train")
    assert low.any()
    np.testing.assert_array_equal(some["train"], every["train"] & ~low)
    np.testing.assert_array_equal(some["valid"], every["valid"])
    np.testing.assert_array_equal(some["left out by vote"], low)


def test_too_few_batches_for_a_step_are_refused_before_anything_is_decoded(house: House) -> None:
    with pytest.raises(TrainingError, match="`accumulate`"):
        open_start(Request(house.store, house.runs, replace(QUICK, accumulate=1000)))


def test_lists_leave_photographs_out(house: House, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = open_start(Request(house.store, house.runs, QUICK))
    chosen = str(start.table.papers["image_id"].iloc[0])
    write_exclusions([Exclusion(chosen, "blurred"), Exclusion("nobody", "never seen")], tmp_path / "list.csv")
    request = Request(house.store, house.runs, QUICK, exclude=(tmp_path / "list.csv",))
    fewer = open_start(request)
    assert len(fewer.table) == len(start.table) - 1
    assert chosen not in set(fewer.table.papers["image_id"])
    assert "nobody" in capsys.readouterr().err
    assert fewer.made_from != start.made_from
    # The head that it starts from has learnt from it all the same.
    learnt = read_learnt(start.run).set_index("image_id")["split"]
    report = finetune(replace(request, settings=replace(QUICK, epochs=0)))
    assert read_learnt(report.folder).set_index("image_id")["split"].to_dict() == learnt.to_dict()


@pytest.mark.parametrize("change", [{"side_px": 48}, {"precision": "mixed_bfloat16"}])
def test_another_size_or_number_format_opens_again_and_says_the_same(
    house: House, tmp_path: Path, change: dict[str, object]
) -> None:
    settings = replace(QUICK, tta=0, **change)  # type: ignore[arg-type]  # fields of TrainSettings
    report = finetune(Request(house.store, house.runs, settings))
    assert report.epochs_run == 1
    own = Predictions.read(predictions_path(report.folder, "test"))
    asked, failures = ask(report.folder, str(house.store), tmp_path / "answers", unseen=True)
    assert failures == {}
    np.testing.assert_array_equal(asked.predictions.image_id, own.image_id)
    np.testing.assert_allclose(asked.predictions.probability, own.probability, atol=1e-5)


def test_a_run_answers_for_photographs_of_a_folder_as_for_those_of_a_store(finished: House, tmp_path: Path) -> None:
    run = finished.runs / f"{BACKBONE}-finetuned"
    stored, _ = ask(run, str(finished.store), tmp_path / "stored", tta=2)
    free, failures = ask(run, str(finished.photos), tmp_path / "free", tta=2)
    assert len(failures) == 1, "the corrupt one"
    np.testing.assert_array_equal(np.sort(stored.predictions.image_id), np.sort(free.predictions.image_id))
    order = [list(free.predictions.image_id).index(key) for key in stored.predictions.image_id]
    np.testing.assert_array_equal(free.predictions.true_class[order], stored.predictions.true_class)
    np.testing.assert_allclose(free.predictions.probability[order], stored.predictions.probability, atol=1e-5)
    # Neither do variants depend on who else is asked about, and they are those of the run.
    unseen, _ = ask(run, str(finished.store), tmp_path / "unseen", tta=2, unseen=True)
    own = Predictions.read(predictions_path(run, "test", "tta2"))
    np.testing.assert_array_equal(unseen.predictions.image_id, own.image_id)
    np.testing.assert_allclose(unseen.predictions.probability, own.probability, atol=1e-5)
    assert not list((tmp_path / "free").glob(".*"))
    with pytest.raises(PredictionsError, match="--out"):
        ask(run, str(finished.store), run)
    with pytest.raises(PredictionsError, match="finetune run"):
        ask(finished.runs / f"{BACKBONE}-mlp", str(finished.store), tmp_path / "head")


def test_answers_are_foreseen_and_nothing_is_written(
    finished: House, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = finished.runs / f"{BACKBONE}-finetuned", tmp_path / "answers"
    for source, unseen in ((finished.store, True), (finished.photos, False)):
        ahead = foresee_answers(run, str(source), out, tta=2, unseen=unseen)
        assert not out.exists()
        asked, failures = ask(run, str(source), tmp_path / "asked", tta=2, unseen=unseen)
        assert ahead.n_images == len(asked.predictions.image_id) + len(failures)
        assert ahead.n_variants == 2
        assert ahead.seconds == ahead.start_s + ahead.n_images * (ahead.decode_s + ahead.predict_s)
        assert min(ahead.start_s, ahead.decode_s, ahead.predict_s) > 0
        assert ahead.n_bytes == ahead.n_images * (3 * 32 * 32 + 4 * 3)
    plants = Store.open(finished.store).papers["observation_id"].nunique()
    assert ahead.n_observations == plants
    with pytest.raises(PredictionsError, match="--out"):
        foresee_answers(run, str(finished.store), run)
    words = ["predict", str(run), str(finished.store), "--out", str(out), "--dry-run"]
    with pytest.raises(SystemExit, match="0"):
        main(words)
    assert re.search(r"About .* on this machine", capsys.readouterr().out)
    with pytest.raises(SystemExit, match="0"):
        main([*words, "--json"])
    assert json.loads(capsys.readouterr().out)["schema"] == "answers-forecast/1"
    assert not out.exists()


def test_photographs_that_nobody_has_named_get_answers(
    finished: House, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = finished.runs / f"{BACKBONE}-finetuned"
    (tmp_path / "new" / "unknown").mkdir(parents=True)
    for number, path in enumerate(sorted((finished.photos / "train").glob("*.jpg"))[:3]):
        shutil.copy(path, tmp_path / "new" / f"{number}.jpg")
        shutil.copy(path, tmp_path / "new" / "unknown" / f"{number}.jpg")
    single, _ = ask(run, str(tmp_path / "new" / "1.jpg"), tmp_path / "single")
    assert list(single.predictions.image_id) == ["1.jpg"]
    named, _ = ask(run, str(tmp_path / "new"), tmp_path / "named")
    assert named.scores == (), "a class that the network does not know is no truth"
    assert "does not know: unknown" in capsys.readouterr().err
    shutil.rmtree(tmp_path / "new" / "unknown")
    flat, _ = ask(run, str(tmp_path / "new"), tmp_path / "flat")
    assert (flat.scores, len(flat.fused.observation_id)) == ((), 3)
    assert set(flat.predictions.true_class) == {""}
    # A table may tell what belongs together; it needs no classes either.
    (tmp_path / "list.csv").write_text("path,observation_id\nnew/0.jpg,a\nnew/1.jpg,a\nnew/2.jpg,b\n")
    listed, _ = ask(run, str(tmp_path / "list.csv"), tmp_path / "listed")
    assert (listed.scores, list(listed.fused.observation_id)) == ((), ["a", "b"])
    np.testing.assert_array_equal(listed.predictions.probability, flat.predictions.probability)
    # So does one in the folder, but not any file that is no table of photographs.
    (tmp_path / "new" / "notes.csv").write_text("day,weather\nMonday,rain\n")
    (tmp_path / "new" / "settings.xml").write_text("<settings/>")
    noted, _ = ask(run, str(tmp_path / "new"), tmp_path / "noted")
    assert list(noted.fused.observation_id) == list(flat.fused.observation_id)
    (tmp_path / "new" / "settings.xml").unlink()
    (tmp_path / "new" / "catalog.csv").write_text("path,observation_id,view\n0.jpg,a,Leaf\n1.jpg,a,Fruit\n2.jpg,b,\n")
    within, _ = ask(run, str(tmp_path / "new"), tmp_path / "within")
    assert list(within.fused.observation_id) == ["a", "b"]
    assert list(within.predictions.view) == ["Leaf", "Fruit", "Unknown"]
    (tmp_path / "new" / "catalog.csv").unlink()
    # Another photograph of the same name gets an answer of its own.
    shutil.copy(tmp_path / "new" / "2.jpg", tmp_path / "new" / "0.jpg")
    again, _ = ask(run, str(tmp_path / "new"), tmp_path / "flat")
    np.testing.assert_array_equal(again.predictions.probability[0], flat.predictions.probability[2])


def test_photographs_that_the_run_has_learnt_are_known_by_what_they_are(
    finished: House, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, new = tmp_path / "run", tmp_path / "new"
    shutil.copytree(finished.runs / f"{BACKBONE}-finetuned", run)
    new.mkdir()
    papers = Store.open(finished.store).papers.set_index("image_id")
    learnt = pd.read_csv(run / "learnt.csv", dtype=str)
    shutil.copy(finished.photos / papers.loc[learnt["image_id"].iloc[0], "path"], new / "renamed.jpg")
    test = Predictions.read(predictions_path(run, "test")).image_id[0]
    shutil.copy(finished.photos / papers.loc[test, "path"], new / "fresh.jpg")
    # A photograph of this name was learnt, but not this one.
    learnt.assign(image_id=["fresh.jpg", *learnt["image_id"][1:]]).to_csv(run / "learnt.csv", index=False)
    asked, _ = ask(run, str(new), tmp_path / "answers", unseen=True)
    assert list(asked.predictions.image_id) == ["fresh.jpg"]
    assert "1 of 2 photographs are left out" in capsys.readouterr().err


def test_photographs_of_a_view_that_the_run_never_learnt_are_cut_as_it_has_seen_them(
    finished: House, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, table = tmp_path / "run", tmp_path / "flowers.csv"
    shutil.copytree(finished.runs / f"{BACKBONE}-finetuned", run)
    papers = Store.open(finished.store).papers
    flowers = papers[(papers["view"] == "Flower") & (papers["status"] == "done")].head(3)
    paths = [finished.photos / path for path in flowers["path"]]
    answers = {}
    for learnt in ("Flower", "Unknown"):
        pd.read_csv(run / "learnt.csv", dtype=str).assign(view=learnt).to_csv(run / "learnt.csv", index=False)
        for view in ("Flower", "Unknown"):
            pd.DataFrame({"path": paths, "class_id": flowers["class_id"], "view": view}).to_csv(table, index=False)
            asked, _ = ask(run, str(table), tmp_path / f"{learnt}-{view}")
            answers[learnt, view] = asked.predictions.probability
            told = "treated as without a view, not as Flower" in capsys.readouterr().err
            assert told == ((learnt, view) == ("Unknown", "Flower"))
    np.testing.assert_array_equal(answers["Unknown", "Flower"], answers["Unknown", "Unknown"])
    # To a run that learnt flowers they are cut, and so look different.
    assert not np.array_equal(answers["Flower", "Flower"], answers["Flower", "Unknown"])


def test_photographs_that_come_back_into_an_interrupted_run_begin_it_anew(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(house.photos, photos)
    start = open_start(Request(house.store, house.runs, QUICK))
    path = photos / str(start.table.papers.loc[start.parts(QUICK)["train"], "path"].iloc[0])
    held = path.read_bytes()
    path.unlink()

    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    request = Request(house.store, house.runs, replace(QUICK, tta=0), photos=photos)
    with monkeypatch.context() as patched:
        patched.setattr(run_module, "write_predictions", interrupted)
        with pytest.raises(InterruptedTrainingError):
            finetune(request)
    path.write_bytes(held)
    report = finetune(request)
    assert "other photographs can be read than when this run was interrupted" in capsys.readouterr().err
    undisturbed = finetune(replace(request, out=tmp_path / "out"))
    logs = [
        [line.split(",")[:6] for line in (r.folder / "log.csv").read_text().splitlines()] for r in (report, undisturbed)
    ]
    assert logs[0] == logs[1]


def test_all_rows_are_judged_on_the_photographs_that_all_have_seen(
    house: House, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = tmp_path / "moved"
    shutil.copytree(house.photos, photos)
    split = read_split(house.runs / "split.csv").frame
    papers = Store.open(house.store).papers.set_index("image_id")
    test = [key for key in split.loc[split["split"] == "test", "image_id"] if papers.loc[key, "status"] == "done"]
    (photos / papers.loc[test[0], "path"]).unlink()
    report = finetune(Request(house.store, house.runs, replace(QUICK, epochs=0, tta=0), photos=photos))
    rows = [row for row in report.rows if row.split == "test"]
    assert {row.line.n_images for row in rows} == {len(test) - 1}
    assert all(np.isfinite(row.less(rows[0]).value) for row in rows)
    assert "photographs that all have seen" in capsys.readouterr().err


def test_variants_of_other_photographs_are_refused(finished: House, tmp_path: Path) -> None:
    other = tmp_path / "other"
    synthesise(other, SynthSettings(n_species=3, n_observations=4, side_px=96, n_corrupt=1, seed=5))
    build_store(other, tmp_path / "other.zarr", BuildSettings((BACKBONE,), "random", side_px=32, n_workers=0))
    with pytest.raises(PredictionsError, match="store that the run was trained on"):
        study(finished.runs / f"{BACKBONE}-finetuned", str(tmp_path / "other.zarr"))


def test_several_networks_share_their_photographs_and_are_fused(
    built: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, runs = tmp_path / "two.zarr", tmp_path / "runs"
    # A second small one; networks stay loaded by name.
    monkeypatch.setitem(BACKBONES, "mobilenet", replace(BACKBONES[BACKBONE], name="mobilenet"))
    specs._loaded.cache_clear()
    build_store(built.photos, store, BuildSettings((BACKBONE, "mobilenet"), "random", side_px=32, n_workers=0))
    specs._loaded.cache_clear()
    compare_heads(Store.open(store), CompareSettings(heads=(MLP,), concat=False), runs)
    decoded: list[str] = []

    def counted(path: Path, *args: object) -> object:
        decoded.append(path.name)
        return load_crop(path, *args)  # type: ignore[arg-type]  # passed on

    monkeypatch.setattr(crops_module, "load_crop", counted)
    request = Request(store, runs, replace(QUICK, tta=1))
    reports, failed = finetune_all(request, ["mobilenet", "vgg16", BACKBONE])
    assert len(decoded) == len(set(decoded)), "each photograph is decoded once"
    assert [report.folder.name for report in reports] == ["mobilenet-finetuned", f"{BACKBONE}-finetuned"]
    assert list(failed) == ["vgg16"]
    assert not list(runs.glob(".*.photographs"))
    rows = fused_rows(reports)
    assert [(row.split, row.line.run) for row in rows] == [
        (split, f"2 {name}, fused")
        for split in ("valid", "test")
        for name in ("starting heads", "fine-tuned", "fine-tuned + TTA")
    ]
    rows = [row for report in reports for row in report.rows] + rows
    for row in rows:
        base = base_of(rows, row)
        assert base.split == row.split
        expected = "2 starting heads, fused" if "fused" in row.line.run else f"{row.line.run.split('-')[0]}-mlp (start)"
        assert base.line.run == expected
    members = [Predictions.read(predictions_path(report.folder, "test")) for report in reports]
    fused = next(row for row in rows if (row.split, row.line.run) == ("test", "2 fine-tuned, fused"))
    np.testing.assert_array_equal(members[0].image_id, members[1].image_id)
    np.testing.assert_allclose(
        fused.predictions.probability, (members[0].probability + members[1].probability) / 2, atol=1e-6
    )


def test_a_backbone_that_is_not_built_or_not_compared_is_told_what_comes_first(finished: House, tmp_path: Path) -> None:
    store = Store.open(finished.store)
    with pytest.raises(TrainingError) as caught:
        starting_run(store, finished.runs, "resnet50")
    assert caught.value.remedy.startswith(
        f"Run `featstore build PHOTOS --store {store.location} --backbone resnet50` and then "
        f"`heads compare {store.location} --backbone resnet50 --head mlp --out {finished.runs}` first"
    )
    with pytest.raises(TrainingError, match=rf"got none\. Run `heads compare .* --backbone {BACKBONE} --head mlp"):
        starting_run(store, tmp_path, BACKBONE)


def test_the_model_card_says_what_a_stranger_needs(finished: House) -> None:
    text = (finished.runs / f"{BACKBONE}-finetuned" / "README.md").read_text()
    assert f"# {BACKBONE}-finetuned" in text
    assert "weights were random" in text
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")]
    assert (rows[0][1], rows[0][-1]) == ("run", "S less its start")
    start, tuned = (row for row in rows[1:3])
    assert (start[:2], start[-1]) == (["valid", f"{BACKBONE}-mlp (start)"], "")
    assert tuned[:2] == ["valid", f"{BACKBONE}-finetuned"]
    assert float(tuned[-1].split()[0]) == pytest.approx(float(tuned[2]) - float(start[2]), abs=2e-4)
    assert "`rate=0.0001`" in text
    assert "keras 3." in text
    assert str(finished.photos.parent) not in text, "no path of this machine"


def test_the_model_card_names_a_class_once(finished: House, tmp_path: Path) -> None:
    card = read_run_card(finished.runs / f"{BACKBONE}-finetuned")
    names = {"7": "Rosa canina", "8": "", "Meloe": "Meloe"}
    write_model_card(tmp_path, replace(card, classes=names), [])
    assert "of 3 classes: 7 Rosa canina, 8, Meloe. It" in (tmp_path / "README.md").read_text()


def test_a_damaged_card_is_refused(finished: House, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished.runs / f"{BACKBONE}-finetuned", run)
    content = json.loads((run / "run.json").read_text())
    recipe = content["details"]["recipe"]
    for spoilt, told in (
        ({key: value for key, value in recipe.items() if key != "pooling"}, "without pooling"),
        ({**recipe, "side_px": "x"}, "`side_px` in run.json"),
        ({**recipe, "side_px": 1}, "at least 8 px"),
        ({**recipe, "backbone": "nothing"}, "nothing"),
        ({**recipe, "roi": 3}, "a recipe with name and views"),
        (None, "without backbone"),
    ):
        details = {**content["details"], "recipe": spoilt}
        (run / "run.json").write_text(json.dumps({**content, "details": details}))
        with pytest.raises(PredictionsError, match=told):
            load_network(run)
        with pytest.raises(PredictionsError, match=told):
            crops_of(read_run_card(run), str(finished.photos), tmp_path / "cut", None)


@pytest.mark.parametrize(("name", "value"), [("epochs_run", "x"), ("best_epoch", None), ("best_epoch", -1)])
def test_damaged_figures_of_a_finished_run_are_refused(finished: House, name: str, value: object) -> None:
    details = {**read_run_card(finished.runs / f"{BACKBONE}-finetuned").details, name: value}
    with pytest.raises(PredictionsError, match=f"`{name}` in run"):
        Report.of(finished.runs, [], details, kept="everything", random_weights=True)  # type: ignore[arg-type]  # damaged on purpose


def test_a_damaged_seed_is_refused(finished: House) -> None:
    card = read_run_card(finished.runs / f"{BACKBONE}-finetuned")
    assert seed_of(card) == QUICK.seed
    with pytest.raises(PredictionsError, match="`seed` in run"):
        seed_of(replace(card, details={"settings": {"seed": "x"}}))


def test_every_variant_is_judged_on_valid(painted: None, finished: House) -> None:
    run = finished.runs / f"{BACKBONE}-finetuned"
    found = study(run, str(finished.store))
    assert [row.name for row in found] == ["plain", *VARIANTS]
    valid = {v: Predictions.read(predictions_path(run, "valid", v)) for v in ("", "tta2")}
    scores = {name: score_predictions(one)[0].value for name, one in valid.items()}
    assert found[0].alone == pytest.approx(scores[""])
    assert found[2].together == pytest.approx(scores["tta2"])
    assert (run / "variants.png").read_bytes().startswith(b"\x89PNG")
    with (run / "variants.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(found)
    for name in ("variants.png", "variants.csv"):
        (run / name).unlink()
