"""The card of a run, read with care: what a hand or an accident has changed in it is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from evaluation.runs import RunCard
from featstore.backbones import Pooling
from featstore.backbones.table import check_options
from featstore.errors import PredictionsError, SettingsError, listed
from featstore.provenance import Json
from featstore.roi import Recipe

_REMEDY = "The file is damaged: restore it, or train the run again with `finetune run`."


@dataclass(frozen=True)
class NetworkRecipe:
    """What it takes, besides the head, to build the network of a run and show it photographs.

    Attributes
    ----------
    backbone, side_px, pooling
        As `featstore.backbones.build_backbone` takes them.
    roi
        How photographs are cut.
    """

    backbone: str
    side_px: int
    pooling: Pooling
    roi: Recipe

    @classmethod
    def of(cls, card: RunCard) -> NetworkRecipe:
        """Read it from a run card.

        Raises
        ------
        PredictionsError
            If the card has none, or one that no network can be built from.
        """
        made = card.details.get("recipe")
        content = made if isinstance(made, dict) else {}
        lacking = [name for name in ("backbone", "side_px", "pooling", "roi") if name not in content]
        if lacking:
            raise PredictionsError("a recipe of the network in run.json", f"one without {listed(lacking)}", _REMEDY)
        backbone, pooling, roi = str(content["backbone"]), str(content["pooling"]), content["roi"]
        side_px = whole_number(content, "side_px")
        try:
            check_options(backbone, pooling, side_px)
            recipe = Recipe.from_json(roi if isinstance(roi, dict) else {})
        except SettingsError as error:
            raise PredictionsError(
                f"a recipe of the network in run.json with {error.expected}", error.got, _REMEDY
            ) from error
        return cls(backbone, side_px, cast("Pooling", pooling), recipe)


def whole_number(content: Mapping[str, Json], name: str) -> int:
    """A number, 0 or more, of a run card.

    Raises
    ------
    PredictionsError
        If it is absent or anything else.
    """
    value = content.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise PredictionsError(f"`{name}` in run.json to be a whole number, 0 or more", repr(value), _REMEDY)
    return value


def seed_of(card: RunCard) -> int:
    """Seed of a run, on which its variants at test time depend."""
    settings = card.details.get("settings")
    return whole_number({"seed": 0, **settings}, "seed") if isinstance(settings, dict) else 0
