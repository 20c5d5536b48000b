"""The recipe of a saved head: ``head.json``, what it takes to build the head again before its numbers are read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from featstore.provenance import Json, provenance, write_json
from heads.examples import HeadError

SCHEMA = "head/1"
RECIPE = "head.json"
REFIT = "Fit the head again: heads compare."


@dataclass(frozen=True)
class Recipe:
    """What a saved head says about itself.

    Attributes
    ----------
    name
        Name in `heads.registry.HEADS`.
    settings, chosen
        See `Head.settings` and `Head.chosen_`.
    classes
        Raw class ids, sorted.
    n_features
        Number of features.
    """

    name: str
    settings: Mapping[str, Json]
    chosen: Mapping[str, Json]
    classes: Sequence[str]
    n_features: int

    def write(self, folder: Path) -> None:
        """Write ``head.json``, whole or not at all."""
        content: dict[str, Json] = {
            "schema": SCHEMA,
            "name": self.name,
            "settings": dict(self.settings),
            "chosen": dict(self.chosen),
            "classes": list(self.classes),
            "n_features": self.n_features,
            "provenance": provenance(),
        }
        write_json(folder / RECIPE, content)


def read_recipe(folder: Path) -> Recipe:
    """Read ``head.json`` of a saved head.

    Raises
    ------
    HeadError
        If it is absent, damaged or of another schema.
    """
    path = folder / RECIPE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            raise HeadError(f"schema {SCHEMA}", f"{content['schema']!r} in {path}", REFIT)
        return Recipe(
            name=str(content["name"]),
            settings=dict(content["settings"]),
            chosen=dict(content["chosen"]),
            classes=[str(class_id) for class_id in content["classes"]],
            n_features=int(content["n_features"]),
        )
    except FileNotFoundError as error:
        raise HeadError(f"a saved head with {RECIPE}", f"{folder} without one", REFIT) from error
    except (ValueError, KeyError, TypeError) as error:
        raise HeadError("the recipe of a head", f"{path}: {type(error).__name__} {error}", REFIT) from error
