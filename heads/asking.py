"""Asking: a run that was compared answers for any photographs of a store, and tells about itself."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evaluation.alignment import align
from evaluation.answers import N_ANSWERS, write_observations
from evaluation.fused import FusedPlaces, fuse_places
from evaluation.fusion import Recipe
from evaluation.predictions import Predictions
from evaluation.runs import CARD, SPLIT_FILE, RunCard, predictions_path, read_run_card
from evaluation.scores import Score, score_predictions
from featstore import shell
from featstore.errors import PredictionsError, StoreError, listed
from featstore.provenance import Json, provenance
from featstore.splits import read_split
from featstore.store import Store
from featstore.store.identity import other_choices
from featstore.table import load_table
from heads.calibrating import read_calibrated
from heads.head import Head
from heads.learnt import LEARNT, is_learnt
from heads.recipe import RECIPE
from heads.registry import load_head
from heads.trial import FITTED, REFITTED

SPLIT = "test"
"""What predictions of photographs outside of a comparison are filed under."""


@dataclass(frozen=True)
class Asked:
    """What a run says to some photographs.

    Attributes
    ----------
    predictions
        Of every photograph.
    fused
        Of every observation, its photographs averaged.
    scores
        Empty where no class is known.
    files
        Predictions and answers.
    """

    card: RunCard
    predictions: Predictions
    fused: FusedPlaces
    scores: tuple[Score, ...]
    files: tuple[Path, ...]


def ask(run: Path, store: Store, out: Path, *, unseen: bool = False, image_ids: Collection[str] | None = None) -> Asked:
    """Let the head of a run answer for photographs of a store.

    The head that answers for test does so: refitted on train and valid, if it was, and at the temperatures of the run,
    if its own predictions have them.

    Parameters
    ----------
    run
        Folder of a run that `heads compare` wrote.
    out
        Folder for the predictions and the answers.
    unseen
        Leave out the photographs that the run has learnt or chosen from, under whatever names they come.
    image_ids
        Only these; None for all.

    Raises
    ------
    PredictionsError
        If the folder holds no such run.
    StoreError
        If the store lacks the run's features, or has them made differently, or one of `image_ids` is not in it or has
        none.
    """
    card = read_run_card(run)
    require_no_run(out)
    require_kind(card, run, "head")
    require_same_features(card, store)
    if image_ids is not None:
        _require_known(store, image_ids)
    table = load_table(store, card.backbones, image_ids=image_ids)
    if image_ids is not None:
        _require_features(store, card.backbones, set(image_ids) - set(table.papers["image_id"]))
    known = _known(run, table.papers, require=unseen)
    if unseen:
        table = table.select(~known)
    elif known.any():
        told = f"{card.model} has learnt or chosen from {known.sum()} of {len(known)} photographs"
        shell.warn(f"{told}: figures over them flatter it. --unseen leaves them out.")
    if not len(table):
        raise StoreError("photographs that the run has not seen", "none", "Leave out --unseen.")
    head = answering_head(run)
    started = time.perf_counter()
    probability = head.predict_proba(table.features, table.papers["view"].to_numpy(np.str_))
    speed = len(table) / max(time.perf_counter() - started, 1e-9)
    predictions = Predictions.from_papers(
        table.papers, model=card.model, split=SPLIT, classes=head.classes_, probability=probability,
        images_per_second=speed, provenance=provenance(run=str(run.resolve()), store=store.location),
        log_sum_exp=head.log_sum_exp(table.features),
    )  # fmt: skip
    calibrated = read_calibrated(run)
    if calibrated is not None and calibrated.applied:
        predictions = calibrated.calibration.apply(predictions)
    return answered(card, predictions, out)


def _require_known(store: Store, image_ids: Collection[str]) -> None:
    unknown = sorted(set(image_ids) - set(store.catalog["image_id"]))
    if unknown:
        remedy = f"Correct --image: `featstore explain {store.location} FILE` tells a photograph's."
        raise StoreError(f"image_ids of {store.location}", listed([repr(name) for name in unknown]), remedy)


def _require_features(store: Store, names: Collection[str], lacking: Collection[str]) -> None:
    without = sorted(lacking)
    if without:
        remedy = f"`featstore explain {store.location} {without[0]}` tells why; leave them out."
        expected = f"photographs with features of {', '.join(names)}"
        raise StoreError(expected, f"{listed(without)} without", remedy)


def _known(run: Path, papers: pd.DataFrame, *, require: bool) -> NDArray[np.bool_]:
    """Which photographs a run has learnt or chosen from, by what they are; an older run knows their names alone."""
    if (run / LEARNT).is_file():
        return is_learnt(run, papers["sha256"])
    if not require and not (run.parent / SPLIT_FILE).is_file():
        return np.zeros(len(papers), dtype=np.bool_)
    split = read_split(run.parent / SPLIT_FILE).frame
    return papers["image_id"].isin(split.loc[split["split"] != "test", "image_id"]).to_numpy(bool)


def answered(card: RunCard, predictions: Predictions, out: Path) -> Asked:
    """Fuse the photographs of each plant by their mean, score them where classes are known, and write both."""
    (fused,) = fuse_places(align([predictions]), [Recipe("mean")], N_ANSWERS)
    files = predictions_path(out, SPLIT), out / "observations.csv"
    predictions.write(files[0])
    write_observations(fused, card.classes, files[1])
    known = bool((predictions.true_class != "").any())
    return Asked(card, predictions, fused, tuple(score_predictions(predictions)) if known else (), files)


def require_kind(card: RunCard, run: Path, kind: Literal["head", "finetuned"]) -> None:
    """Refuse a run of another kind, saying what asks it."""
    if card.kind == kind:
        return
    expected = {"head": "a run of `heads compare`", "finetuned": "a run of `finetune run`"}[kind]
    remedy = {
        "head": "`heads predict` asks it.",
        "finetuned": "`finetune predict` asks it.",
        "fusion": "Let each of its members answer into a folder of its own (`heads predict`, `finetune predict`) and "
        "`evaluate fuse` these folders; for one plant alone, `evaluate identify` asks the fusion.",
    }.get(card.kind, "`evaluate identify` asks any run.")
    raise PredictionsError(expected, f"{card.kind} in {run}", remedy)


def require_no_run(out: Path) -> None:
    """Refuse to write answers into the folder of a run, whose own predictions they would replace."""
    if (out / CARD).is_file():
        raise PredictionsError("a folder for answers", f"the run folder {out}", "Choose another --out.")


def answering_head(run: Path) -> Head:
    """The head of a run that answers for test."""
    refitted = run / REFITTED
    return load_head(refitted if (refitted / RECIPE).is_file() else run / FITTED)


def scores_of(run: Path) -> list[Score]:
    """Figures of a run's own predictions, valid and test.

    Raises
    ------
    PredictionsError
        If there are none, or they are damaged.
    """
    paths = [path for split in ("valid", "test") if (path := predictions_path(run, split)).is_file()]
    if not paths:
        raise PredictionsError(f"predictions in {run}", "none", "Fit the run again: heads compare.")
    return [score for path in paths for score in score_predictions(Predictions.read(path))]


def require_same_features(card: RunCard, store: Store) -> None:
    """Refuse a store whose features are not those that a run learnt from, with a `StoreError` that says how."""
    fingerprint = cast("dict[str, Json]", card.details.get("fingerprint") or {})
    made = cast("dict[str, dict[str, Json]]", fingerprint.get("identities") or {})
    for backbone in card.backbones:
        differing = other_choices(made.get(backbone, {}), store.essence(backbone))
        if differing:
            told = ", ".join(f"{name} {str(then)[:20]}" for name, (then, _) in differing.items())
            got = ", ".join(f"{name} {str(now)[:20]}" for name, (_, now) in differing.items())
            raise StoreError(
                f"features of {backbone} as the run learnt from ({told})",
                f"{got} in {store.location}",
                "Build them with the same options, under the same name.",
            )
