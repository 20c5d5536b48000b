"""Asking: a fine-tuned network answers for photographs that are stored, or that nobody has seen before."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import numpy as np

from evaluation.predictions import Predictions
from evaluation.runs import RunCard, read_run_card
from featstore import shell
from featstore.backbones import preprocess
from featstore.errors import PredictionsError, StoreError, TrainingError
from featstore.provenance import provenance
from featstore.readers import read_dataset
from featstore.roi import Recipe
from featstore.splits import read_split
from featstore.store import Store
from featstore.table import load_table
from finetune.crops import Crops, cut_photographs
from finetune.predict import Viewing, predict
from finetune.saved import load_network
from heads.asking import SPLIT, Asked, answered, require_no_run

_CACHE = ".photographs"


def ask(
    run: Path,
    source: str,
    out: Path,
    *,
    tta: int = 0,
    unseen: bool = False,
    photos: Path | None = None,
    batch_size: int = 32,
) -> tuple[Asked, dict[str, str]]:
    """Let the network of a run answer for photographs.

    Parameters
    ----------
    run
        Folder of a run that `finetune run` wrote.
    source
        A feature store (its boxes are used), or photographs in any form that `featstore build` takes: then regions
        are found by the recipe that the network was trained with.
    out
        Folder for the predictions and the answers.
    tta
        Variants averaged with each photograph; 0 for none.
    unseen
        Leave out the photographs of the split beside the run that it has learnt or chosen from.
    photos
        Where the photographs of a store are now; None for where it was built from.
    batch_size
        Photographs per call.

    Returns
    -------
    asked : Asked
        Predictions and answers.
    failures : dict[str, str]
        image_id and reason of every photograph that could not be used.

    Raises
    ------
    PhytobenchError
        If the run is no fine-tuned network or damaged, or the source cannot be read.
    """
    card = read_run_card(run)
    require_no_run(out)
    if card.kind != "finetuned":
        raise PredictionsError("a run of `finetune run`", f"{card.kind} in {run}", "Ask it by its own command.")
    network = load_network(run)
    out.mkdir(parents=True, exist_ok=True)
    seen = _seen(run) if unseen else frozenset()
    crops = crops_of(card, source, out / _CACHE, photos, without=seen)
    rows = np.arange(len(crops.papers))
    viewing = Viewing(partial(preprocess, card.backbones[0]), batch_size, tta)
    probability, speed = predict(network, crops, rows, viewing, "predicting")
    shutil.rmtree(out / _CACHE, ignore_errors=True)
    predictions = Predictions.from_papers(
        crops.papers, model=card.model, split=SPLIT, classes=np.array(sorted(card.classes)), probability=probability,
        images_per_second=speed, provenance=provenance(run=str(run.resolve()), source=source, tta=tta),
    )  # fmt: skip
    return answered(card, predictions, out), dict(crops.failures)


def crops_of(
    card: RunCard, source: str, cache: Path, photos: Path | None, *, without: frozenset[str] = frozenset()
) -> Crops:
    """Cut the photographs of a source as the network of a run is to see them.

    Raises
    ------
    StoreError
        If a store does not cut as the run's photographs were cut, or no photograph is left.
    """
    made = card.details.get("recipe")
    if not isinstance(made, dict) or not isinstance(made.get("roi"), dict):
        raise PredictionsError("a run that says how to cut", f"none in {card.model}", "Train it again: finetune run.")
    recipe, side_px = Recipe.from_json(made["roi"]), int(str(made["side_px"]))  # type: ignore[arg-type]  # looked at
    if "://" in source or (Path(source) / "zarr.json").is_file():
        store = Store.open(source)
        names = [name for name in store.backbones if store.column(name).recipe.identity == recipe.identity]
        if not names:
            raise StoreError(
                f"a store whose photographs were cut by {recipe.identity}",
                f"none of {', '.join(store.backbones)} in {store.location}",
                "Give the folder of photographs instead.",
            )
        papers, root = load_table(store, names[:1]).papers, photos or store.root
    else:
        catalog = read_dataset(Path(source))
        for text in catalog.warnings:
            shell.warn(text)
        papers, root = catalog.frame, catalog.root
    papers = papers[~papers["image_id"].isin(without)].reset_index(drop=True)
    if papers.empty:
        raise TrainingError("photographs that the run has not seen", "none", "Leave out --unseen.")
    return cut_photographs(papers, root, side_px, recipe, cache)


def _seen(run: Path) -> frozenset[str]:
    split = read_split(run.parent / "split.csv").frame
    return frozenset(split.loc[split["split"] != "test", "image_id"])
