"""The outcome of a run: what its network predicts, after training or anew with the weights of a finished run."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import keras

from evaluation.predictions import SUFFIX, Predictions
from evaluation.runs import RunCard, predictions_path, split_and_variant, write_run_card
from featstore.backbones import preprocess
from featstore.errors import TrainingError, listed
from featstore.provenance import Json
from finetune.crops import Crops, cut_photographs
from finetune.predict import Viewing, predict, with_log_sum_exp
from finetune.saved import load_network
from finetune.settings import TrainSettings
from finetune.start import SPLITS, Start


def write_predictions(network: keras.Model, start: Start, crops: Crops, settings: TrainSettings, work: Path) -> None:
    """Write the predictions of every split that has photographs, plain and with variants, in place of any others."""
    _remove(work)
    _write_missing(network, start, crops, settings, work)


def predict_anew(start: Start, settings: TrainSettings, card: RunCard, work: Path) -> RunCard:
    """Bring a finished run to other settings of predicting; its weights and plain predictions stay.

    Parameters
    ----------
    start, settings
        What the run began from, and its settings, other ones of predicting alone (`TrainSettings.predicting`).
    card
        Of the run as it is.
    work
        A copy of the run folder; predictions and cards become what they had been if the run had been made so.

    Returns
    -------
    RunCard
        Of the run as it is now.

    Raises
    ------
    TrainingError
        If photographs that the run has predicted cannot be read any more.
    """
    plain = [Predictions.read(path) for split in SPLITS if (path := predictions_path(work, split)).is_file()]
    removed = _remove(work)
    for predictions in plain:
        made = replace(predictions, provenance=_provenance(start, settings))
        made.write(predictions_path(work, predictions.split))
    if settings.tta:
        predicted = start.table.papers["image_id"].isin([key for part in plain for key in part.image_id.tolist()])
        mask = predicted.to_numpy()
        start = replace(start, table=start.table.select(mask), split=start.split[mask])
        cache = work / ".photographs"
        crops = _cut_all(start, settings.side_px or start.identity.side_px, cache)
        _write_missing(load_network(work), start, crops, settings, work)
        shutil.rmtree(cache)
    files = card.details["files"]
    kept = {str(name) for name in files} - removed if isinstance(files, list) else set()
    found: list[Json] = [*sorted(kept | {path.name for path in work.glob(f"*{SUFFIX}")})]
    card = replace(card, details={**card.details, "settings": settings.as_json(), "files": found})
    write_run_card(work, card)
    return card


def _cut_all(start: Start, side_px: int, cache: Path) -> Crops:
    """Cut photographs of which none may be lacking."""
    crops = cut_photographs(start.table.papers, start.root, side_px, start.recipe, cache)
    if crops.failures:
        reasons = listed(list(crops.failures.values()), 3)
        raise TrainingError(
            "every photograph that the finished run has predicted",
            f"{len(crops.failures)} that cannot be used ({reasons})",
            "Restore them, say where they are now (--photos ROOT), or train without them into another --out.",
        )
    return crops


def _remove(work: Path) -> set[str]:
    """Remove the predictions of every split and variant; give the names of their files."""
    paths = [path for path in work.glob(f"*{SUFFIX}") if any(split_and_variant(path))]
    for path in paths:
        path.unlink()
    return {path.name for path in paths}


def _write_missing(network: keras.Model, start: Start, crops: Crops, settings: TrainSettings, work: Path) -> None:
    """Write the predictions that are not there yet."""
    scale = partial(preprocess, start.identity.backbone)
    whole = with_log_sum_exp(network)
    for split in SPLITS:
        rows = crops.rows_of(start.split == split)
        for variant, n_variants in settings.variants.items():
            path = predictions_path(work, split, variant)
            if path.is_file() or not rows.size:
                continue
            viewing = Viewing(scale, settings.batch_size, n_variants, settings.seed)
            label = f"predicting {split}{' ' if variant else ''}{variant}"
            seen, images_per_second = predict(whole, crops, rows, viewing, label)
            papers = crops.papers.iloc[rows]
            predictions = Predictions.from_papers(
                papers,
                model=network.name,
                split=split,
                classes=start.classes,
                probability=seen[:, :-1],
                log_sum_exp=seen[:, -1],
                images_per_second=images_per_second,
                provenance=_provenance(start, settings),
            )
            if split == "valid" and start.aside:
                predictions = replace(predictions, unseen=start.is_aside(papers))
            predictions.write(path)


def _provenance(start: Start, settings: TrainSettings) -> dict[str, Json]:
    return {"settings": settings.as_json(), "made_from": start.made_from}
