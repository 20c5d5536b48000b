"""A column: what stands under one name of features, kept in the store's attributes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from featstore.provenance import Json
from featstore.roi import Recipe


@dataclass(frozen=True)
class Column:
    """What stands under one name of features.

    Attributes
    ----------
    recipe
        How photographs were cut, whole, so that others can cut the same.
    dimension
        Number of features.
    current, accepted
        By view: number of the identity that makes new rows, and of all whose rows count.
    """

    recipe: Recipe
    dimension: int
    current: Mapping[str, int]
    accepted: Mapping[str, tuple[int, ...]]

    def to_json(self) -> dict[str, Json]:
        """As attrs keep it."""
        return {
            "recipe": self.recipe.to_json(),
            "dimension": self.dimension,
            "current": dict(self.current),
            "accepted": {view: list(numbers) for view, numbers in self.accepted.items()},
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Json]) -> Column:
        """Read what `to_json` wrote."""
        accepted = cast("dict[str, list[int]]", content["accepted"])
        return cls(
            Recipe.from_json(cast("dict[str, Json]", content["recipe"])),
            cast("int", content["dimension"]),
            cast("dict[str, int]", content["current"]),
            {view: tuple(numbers) for view, numbers in accepted.items()},
        )
