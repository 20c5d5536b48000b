"""The whole run: from a feature store and a fitted head to a run folder that is whole or absent."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import cast

import keras
import numpy as np
from numpy.typing import NDArray

from evaluation.predictions import Predictions
from evaluation.runs import RunCard, predictions_path, write_run_card
from evaluation.scores import write_scores
from featstore import shell
from featstore.backbones import Pooling, build_backbone, preprocess, random_seed, weights_sha256
from featstore.errors import TrainingError, WeightsError, listed
from featstore.provenance import Json
from featstore.store.lease import only_writer
from finetune.batches import Crops, PlainBatches, TrainingBatches, cut_photographs
from finetune.folder import CACHE, finished_card, in_place_of
from finetune.model import join, require_same_start
from finetune.predict import Viewing, predict
from finetune.report import Report, judge, starting_rows
from finetune.saved import HEAD, recipe_of
from finetune.settings import TrainSettings
from finetune.start import SPLITS, Request, Start, open_start
from finetune.train import Training, train

N_PROVED = 16
"""Photographs on which the whole network must equal the head on stored features before training."""


def finetune(request: Request) -> Report:
    """Fine-tune one network and write its run folder ``<out>/<backbone>-finetuned``.

    A finished run of the same settings, store, split and starting head is reported again, not computed. Any other
    is replaced once the new one is complete.

    Raises
    ------
    PhytobenchError
        If something is missing, damaged or does not belong together (see `open_start`), or photographs and
        weights no longer give the stored features.
    """
    start = open_start(request)
    folder = (request.out or request.runs) / f"{start.identity.backbone}-finetuned"
    # Before training: the whole network shares its weights with the head.
    rows = starting_rows(start)
    card = finished_card(folder, start, request.settings)
    reused = card is not None
    if card is None:
        if folder.exists():
            shell.warn(f"{folder} holds a run of other settings; this one takes its place. Pass --out to keep both.")
        with only_writer(folder.parent, folder.name), in_place_of(folder) as work:
            card = _compute(start, request.settings, folder.name, work)
            rows += [judge(predictions, name) for name, predictions in _results(work, request.settings)]
            write_scores([score for row in rows for score in row.scores], work)
    else:
        rows += [judge(predictions, name) for name, predictions in _results(folder, request.settings)]
    rows.sort(key=lambda row: SPLITS.index(row.split))
    random_weights = random_seed(start.identity.weights) is not None
    return Report.of(folder, rows, card.details, reused=reused, random_weights=random_weights)


def _compute(start: Start, settings: TrainSettings, name: str, work: Path) -> RunCard:
    """Train, predict and write everything into `work`, the card last."""
    identity = start.identity
    shell.say(f"loading {identity.backbone} ({start.weights})")
    backbone = _backbone(start)
    crops = cut_photographs(start.table.papers, start.root, identity.side_px, start.recipe, work / CACHE)
    for image_id, reason in crops.failures.items():
        shell.warn(f"{image_id} is left out: {reason}")
    network = join(backbone, start.head.network, name)
    difference = _prove(network, start, crops)
    training, counts = _train(network, start, crops, settings, work)
    if training.trouble:
        shell.warn(f"{training.trouble}; the weights of epoch {training.best_epoch} are kept.")
    _predict(network, start, crops, settings, work)
    (work / CACHE).unlink()
    start.head.save(work / HEAD)
    files: list[Json] = [path.name for path in sorted(work.iterdir())]
    card = RunCard(
        model=name,
        kind="finetuned",
        backbones=(identity.backbone,),
        head=start.card.head,
        classes=start.card.classes,
        details={
            "recipe": recipe_of(identity),
            "settings": settings.as_json(),
            "made_from": start.made_from,
            "starting_head": start.card.model,
            "difference_before_training": difference,
            "photographs": dict(counts),
            "epochs_run": training.epochs_run,
            "best_epoch": training.best_epoch,
            "trouble": training.trouble,
            "failures": dict(crops.failures),
            "files": files,
        },
    )
    write_run_card(work, card)
    return card


def _backbone(start: Start) -> keras.Model:
    """Build the network with the weights that made the features, and no others."""
    identity = start.identity
    network = build_backbone(identity.backbone, start.weights, identity.side_px, cast("Pooling", identity.pooling))
    digest = weights_sha256(network)
    if digest != identity.weights_sha256:
        raise WeightsError(
            f"the weights of {identity.backbone} that the store was built with ({identity.weights_sha256[:12]})",
            f"others ({digest[:12]}) from {start.weights}",
            "Say where they are: --weights PATH; or build the store anew: featstore build --replace.",
        )
    return network


def _prove(network: keras.Model, start: Start, crops: Crops) -> float:
    """Largest difference between the whole network and the head on stored features, over a few photographs."""
    n_crops = len(crops.papers)
    rows = np.unique(np.linspace(0, n_crops - 1, min(N_PROVED, n_crops)).astype(np.intp))
    images = preprocess(start.identity.backbone, crops.read(rows))
    return require_same_start(network, start.head.network, images, start.table.features[crops.place[rows]])


def _train(
    network: keras.Model, start: Start, crops: Crops, settings: TrainSettings, work: Path
) -> tuple[Training, dict[str, int]]:
    """Train on the crops that are left and count them."""
    scale = partial(preprocess, start.identity.backbone)
    rows = {part: crops.rows_of(mask) for part, mask in start.parts(settings).items()}
    for part in ("train", "valid"):
        if not rows[part].size:
            raise TrainingError(f"{part} photographs that can be read", "none", "Restore them, see the warnings above.")
    target = {part: _one_hot(crops, rows[part], start.classes) for part in ("train", "valid")}
    empty = [str(key) for key, n in zip(start.classes, target["train"].sum(axis=0), strict=True) if not n]
    if empty:
        shell.warn(f"{len(empty)} classes have no training photographs left and will be forgotten: {listed(empty)}")
    batches = TrainingBatches(crops, rows["train"], target["train"], scale, settings)
    valid = PlainBatches(crops, rows["valid"], target["valid"], scale, settings.batch_size)
    counts = {part: len(chosen) for part, chosen in rows.items()}
    told = ", ".join(f"{part} {count}" for part, count in counts.items())
    shell.say(f"fine-tuning {start.identity.backbone} on {len(start.classes)} classes; photographs: {told}")
    return train(network, batches, valid, settings, work), counts


def _predict(network: keras.Model, start: Start, crops: Crops, settings: TrainSettings, work: Path) -> None:
    """Write the predictions of every split that has photographs, plain and with variants."""
    scale = partial(preprocess, start.identity.backbone)
    for split in SPLITS:
        rows = crops.rows_of(start.split == split)
        if not rows.size:
            continue
        for variant, n_variants in _variants(settings).items():
            viewing = Viewing(scale, settings.batch_size, n_variants, settings.seed)
            label = f"predicting {split}{' ' if variant else ''}{variant}"
            probability, images_per_second = predict(network, crops, rows, viewing, label)
            Predictions.from_papers(
                crops.papers.iloc[rows],
                model=network.name,
                split=split,
                classes=start.classes,
                probability=probability,
                images_per_second=images_per_second,
                provenance={"settings": settings.as_json(), "made_from": start.made_from},
            ).write(predictions_path(work, split, variant))


def _variants(settings: TrainSettings) -> dict[str, int]:
    """Number of variants at test time by the name that their file bears."""
    return {"": 0, f"tta{settings.tta}": settings.tta} if settings.tta else {"": 0}


def _results(folder: Path, settings: TrainSettings) -> Iterator[tuple[str, Predictions]]:
    """Predictions in a run folder, under the names that tables give them."""
    for split in SPLITS:
        for variant in _variants(settings):
            path = predictions_path(folder, split, variant)
            if path.is_file():
                predictions = Predictions.read(path)
                yield f"{predictions.model}{' + ' if variant else ''}{variant.upper()}", predictions


def _one_hot(crops: Crops, rows: NDArray[np.intp], classes: NDArray[np.str_]) -> NDArray[np.float32]:
    number = np.searchsorted(classes, crops.papers["class_id"].to_numpy(str)[rows])
    return np.eye(len(classes), dtype=np.float32)[number]
