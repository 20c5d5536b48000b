"""A finished run opened again: its network is built in code from its recipe and given its weights."""

from __future__ import annotations

from pathlib import Path

import keras

from evaluation.runs import RunCard, read_run_card
from featstore.backbones import build_backbone
from featstore.errors import PredictionsError, TrainingError, WeightsError
from featstore.provenance import Json
from finetune.card import NetworkRecipe, whole_number
from finetune.model import join
from finetune.report import Judged, results_of
from finetune.settings import TrainSettings
from finetune.start import Start
from finetune.train import WEIGHTS
from heads.mlp import MlpHead
from heads.registry import load_head

HEAD = "head"
"""Folder of a run that holds the head alone, as heads save themselves."""


def recipe_of(start: Start, side_px: int) -> dict[str, Json]:
    """What it takes, besides the head, to build the network and show it photographs."""
    return {
        "backbone": start.identity.backbone,
        "side_px": side_px,
        "pooling": start.identity.pooling,
        "roi": start.recipe.to_json(),
    }


def open_run(folder: Path) -> tuple[RunCard, list[Judged]]:
    """Read the card of a run and judge its predictions.

    Raises
    ------
    PredictionsError
        If the folder holds no run of `finetune run`, or a damaged one.
    """
    card = read_run_card(folder)
    settings = card.details.get("settings")
    if card.kind != "finetuned" or not isinstance(settings, dict):
        raise PredictionsError("a run of `finetune run`", f"{card.kind} in {folder}", "Name another folder.")
    return card, results_of(folder, TrainSettings(tta=whole_number({"tta": 0, **settings}, "tta")))


def load_network(folder: Path) -> keras.Model:
    """Open the network of a run folder; nothing in the folder is executed.

    Returns
    -------
    keras.Model
        (b, s, s, 3) preprocessed images to (b, k) probabilities, columns in the order of the sorted class ids.

    Raises
    ------
    PredictionsError, HeadError
        If the run card or the head is absent or damaged.
    TrainingError
        If the run is no fine-tuned network.
    WeightsError
        If the weights do not fit the recipe.
    """
    card = read_run_card(folder)
    head = load_head(folder / HEAD)
    if card.kind != "finetuned" or not isinstance(head, MlpHead):
        raise TrainingError("a run of `finetune run`", f"one of kind {card.kind}: {folder}", "Name another folder.")
    recipe = NetworkRecipe.of(card)
    backbone = build_backbone(recipe.backbone, "random", recipe.side_px, recipe.pooling)
    network = join(backbone, head.network, card.model)
    try:
        network.load_weights(folder / WEIGHTS)
    except (ValueError, OSError, KeyError) as error:
        raise WeightsError(
            f"weights of {card.model} in {folder / WEIGHTS}",
            f"a file that does not fit: {str(error).splitlines()[0][:200]}",
            "Write the run again with `finetune run`.",
        ) from error
    return network
