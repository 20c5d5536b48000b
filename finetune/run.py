"""The whole run: from a feature store and fitted heads to run folders that are whole or absent."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from evaluation.runs import RunCard, write_run_card
from evaluation.scores import write_scores
from featstore import shell
from featstore.backbones import preprocess, random_seed
from featstore.errors import PhytobenchError, TrainingError, counted, listed
from featstore.provenance import Json
from featstore.store.lease import LockedError, only_writer
from finetune.assemble import assemble, prove, use_all_devices
from finetune.batches import TrainingBatches
from finetune.crops import Crops, cut_photographs
from finetune.earlier import content_of, finished_card
from finetune.folder import (
    CONTENT,
    IMAGES,
    begin_with_the_same,
    cache_of,
    copy_in_place_of,
    in_place_of,
    keep_from,
    mend,
    removed_in_the_end,
)
from finetune.model import set_trainable
from finetune.model_card import write_model_card
from finetune.outcome import predict_anew, write_predictions
from finetune.predict import Viewing
from finetune.report import Judged, Kept, Report, comparable, results_of, starting_rows
from finetune.saved import HEAD, recipe_of
from finetune.settings import TrainSettings
from finetune.start import ENDING, SPLITS, Request, Start, open_start
from finetune.train import CHECKPOINT, WEIGHTS, Training, Validation, train
from heads.learnt import write_learnt


def finetune_all(request: Request, backbones: Sequence[str]) -> tuple[list[Report], dict[str, PhytobenchError]]:
    """Fine-tune several networks one after another, each into a run folder of its own.

    One that fails does not keep the others from their turn. Photographs that two networks see at the same size are
    decoded once.

    Parameters
    ----------
    request
        What is asked for; its backbone is not looked at.
    backbones
        Names; none for the best network of the comparison.

    Returns
    -------
    reports : list[Report]
        Of the networks that were trained or had been.
    failed : dict[str, PhytobenchError]
        Why the others were not.
    """
    reports: list[Report] = []
    failed: dict[str, PhytobenchError] = {}
    names: list[str | None] = [*dict.fromkeys(backbones)] or [None]
    # One cache for all, called after the first: the same command finds it again.
    cache = None if names[0] is None else cache_of((request.out or request.runs) / f"{names[0]}{ENDING}")
    for name in names:
        try:
            reports.append(finetune(replace(request, backbone=name), cache, keep_cache=name != names[-1]))
        except PhytobenchError as error:
            if error.exit_code == shell.EXIT_INTERRUPTED or len(names) == 1:
                raise
            shell.warn(f"{name} was not fine-tuned: {error}")
            failed[str(name)] = error
    cache = cache or cache_of(reports[0].folder)
    if cache.exists():
        # A network failed, or a run was killed at its very end. Another process that still cuts into it keeps it.
        with suppress(LockedError), only_writer(cache.parent, cache.name):
            shutil.rmtree(cache, ignore_errors=True)
    return reports, failed


def finetune(request: Request, cache: Path | None = None, *, keep_cache: bool = False) -> Report:
    """Fine-tune one network and write its run folder ``<out>/<name of its features>-finetuned``.

    A finished run of the same settings, store, split and starting head is reported again, not computed; where only
    settings of predicting are others, its weights are kept and predict anew. One that was interrupted goes on. Any
    other is refused unless `request.restart` gives it up: then it is replaced once the new one is complete, and stays
    if the loss of the new one became no number.

    Parameters
    ----------
    request
        What is asked for.
    cache
        Folder for the cut photographs, used as it is if it holds the same ones; None for one of the run's own.
    keep_cache
        Leave the cut photographs for another run.

    Raises
    ------
    TrainingError
        If an earlier run of other settings would be lost unasked, or for one whose loss became no number.
    PhytobenchError
        If something is missing, damaged or does not belong together (see `open_start`), or photographs and
        weights no longer give the stored features.
    """
    start = open_start(request)
    settings, folder = request.settings, (request.out or request.runs) / f"{start.name}{ENDING}"
    # Before training: the whole network shares its weights with the head.
    rows = starting_rows(start)
    mend(folder)
    card = finished_card(folder, start, settings, restart=request.restart)
    kept: Kept = "nothing"
    if card is None:
        if settings.epochs and settings.head_warmup >= settings.epochs:
            shell.warn(
                f"`head_warmup` takes all {settings.epochs} epochs: the head alone learns, the backbone stays as it is."
            )
        cache = cache or cache_of(folder)
        with (
            only_writer(folder.parent, folder.name),
            only_writer(cache.parent, cache.name),
            removed_in_the_end(cache, folder, keep=keep_cache),
            in_place_of(folder, content_of(start, settings), restart=request.restart) as work,
        ):
            card = _compute(start, settings, cache, work, folder)
            rows = _judged(rows, card, settings, work)
    elif not settings.predicts_as(card.details["settings"]):
        kept = "weights"
        shell.say(f"{folder} is trained; its predictions are made anew, for other settings of predicting")
        with only_writer(folder.parent, folder.name), copy_in_place_of(folder) as work:
            card = predict_anew(start, settings, card, work)
            rows = _judged(rows, card, settings, work)
    else:
        kept = "everything"
        rows = comparable(rows + results_of(folder, settings))
    rows.sort(key=lambda row: SPLITS.index(row.split))
    random_weights = random_seed(start.identity.weights) is not None
    return Report.of(folder, rows, card.details, kept=kept, random_weights=random_weights)


def _judged(rows: list[Judged], card: RunCard, settings: TrainSettings, work: Path) -> list[Judged]:
    """The rows of the start and those of what a run folder predicts; scores and model card are written into it."""
    every = comparable(rows + results_of(work, settings))
    write_scores([score for row in every for score in row.scores], work)
    write_model_card(work, card, every)
    return every


def _compute(start: Start, settings: TrainSettings, cache: Path, work: Path, folder: Path) -> RunCard:
    """Train, predict and write everything into `work`, which is to take the place of `folder`, the card last."""
    identity = start.identity
    name, side_px = f"{start.name}{ENDING}", settings.side_px or identity.side_px
    use_all_devices(min(settings.batch_size, int(start.parts(settings)["train"].sum())))
    before = start.learnt()
    shell.say(f"loading {identity.backbone} ({start.weights})")
    network = assemble(start, name, identity.side_px)
    # Now, not when everything is decoded: the settings may name a layer that is not there.
    set_trainable(network, settings)
    crops = cut_photographs(start.table.papers, start.root, side_px, start.recipe, cache)
    if crops.failures:
        shell.warn(counted(len(crops.failures), "photograph is", "photographs are") + " left out; the end tells which")
    begin_with_the_same(work, crops.papers["image_id"].tolist())
    difference = prove(network, start, crops)
    usual = settings.precision == "float32" and side_px == identity.side_px
    trained = network if usual else assemble(start, name, side_px, settings.precision)
    training, counts = _train(trained, start, crops, settings, work)
    keep_from(training.trouble, folder, work, settings.against_nan)
    if training.trouble:
        shell.warn(f"{training.trouble}; the weights of epoch {training.best_epoch} are kept.")
    if settings.precision != "float32":
        # What is predicted is what anyone gets who opens the run.
        network = assemble(start, name, side_px)
        network.load_weights(work / WEIGHTS)
    else:
        network = trained
    write_predictions(network, start, crops, settings, work)
    split = start.split[crops.place]
    looked_at = np.isin(split, ("train", "valid")) & ~start.is_aside(crops.papers)
    write_learnt(work, crops.papers, np.where(looked_at, split, ""), before)
    start.head.network = network.layers[-1]
    start.head.save(work / HEAD)
    files: list[Json] = [path.name for path in sorted(work.iterdir()) if path.name not in {CHECKPOINT, CONTENT, IMAGES}]
    card = RunCard(
        model=name,
        kind="finetuned",
        backbones=(start.name,),
        head=start.card.head,
        classes=start.card.classes,
        details={
            "recipe": recipe_of(start, side_px),
            "settings": settings.as_json(),
            "made_from": start.made_from,
            "weights": identity.weights,
            "features": {start.name: start.table.features.shape[1]},
            "starting_head": start.card.model,
            "difference_before_training": difference,
            "photographs": dict(counts),
            "epochs_run": training.epochs_run,
            "best_epoch": training.best_epoch,
            "resumed_at": training.resumed_at,
            "trouble": training.trouble,
            "failures": dict(crops.failures),
            "files": files,
        },
    )
    write_run_card(work, card)
    return card


def _train(
    network: keras.Model, start: Start, crops: Crops, settings: TrainSettings, work: Path
) -> tuple[Training, dict[str, int]]:
    """Train on the crops that are left and count them."""
    scale = partial(preprocess, start.identity.backbone)
    rows = {part: crops.rows_of(mask) for part, mask in start.parts(settings).items()}
    for part in ("train", "valid"):
        if not rows[part].size:
            raise TrainingError(f"{part} photographs that can be read", "none", "Restore them, see the warnings above.")
    number = {part: _numbers(crops, rows[part], start.classes) for part in ("train", "valid")}
    empty = sorted({*start.classes.tolist()} - {*start.classes[number["train"]].tolist()})
    if empty:
        told = counted(len(empty), "class has", "classes have")
        shell.warn(f"{told} no training photographs left and will be forgotten: {listed(empty)}")
    target = np.eye(len(start.classes), dtype=np.float32)[number["train"]]
    batches = TrainingBatches(crops, rows["train"], target, scale, settings)
    valid = Validation(crops, rows["valid"], number["valid"], Viewing(scale, settings.batch_size))
    counts = {part: len(chosen) for part, chosen in rows.items()}
    told = ", ".join(f"{part} {count}" for part, count in counts.items() if count)
    shell.say(f"fine-tuning {start.name} on {len(start.classes)} classes; photographs: {told}")
    training = train(network, batches, valid, settings, work)
    if training.epochs_run < settings.epochs and not training.trouble:
        waited = counted(settings.patience, "epoch")
        shell.say(f"stopped early: {waited} in a row without a lower validation loss (patience {settings.patience})")
    return training, counts


def _numbers(crops: Crops, rows: NDArray[np.intp], classes: NDArray[np.str_]) -> NDArray[np.intp]:
    """Column of each photograph's class."""
    return np.searchsorted(classes, crops.papers["class_id"].to_numpy(str)[rows])
