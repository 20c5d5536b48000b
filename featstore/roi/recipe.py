"""A recipe: one treatment per view, under a name, and its way to JSON and back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches

from featstore.catalog import VIEWS
from featstore.errors import SettingsError
from featstore.provenance import Json
from featstore.roi.view_recipe import ViewRecipe

RECIPE_VERSION = 2
"""Version of the identity's form; `METHOD_VERSIONS` counts the code behind it."""


@dataclass(frozen=True)
class Recipe:
    """One treatment for each of the catalogue's views, under a name.

    Raises
    ------
    SettingsError
        If the name is empty or holds a slash, or `views` are not exactly the catalogue's.
    """

    name: str
    views: Mapping[str, ViewRecipe]

    def __post_init__(self) -> None:
        if not self.name.strip() or "/" in self.name:
            raise SettingsError("a recipe's name without a slash", repr(self.name), 'Set name = "mine" in its file.')
        if set(self.views) != set(VIEWS):
            got = ", ".join(self.views) or "none"
            raise SettingsError(f"a treatment for each of {', '.join(VIEWS)}", got, "Name every view once.")

    @property
    def identity(self) -> str:
        """Name, version and a digest of every view's identity: ``"article/2-0a1b2c3d"``."""
        views = {view: self.views[view].identity for view in VIEWS}
        digest = hashlib.sha256(json.dumps(views).encode()).hexdigest()
        return f"{self.name}/{RECIPE_VERSION}-{digest[:8]}"

    def of(self, view: str) -> ViewRecipe:
        """Treatment of a view.

        Raises
        ------
        SettingsError
            If the recipe does not know the view.
        """
        if view not in self.views:
            raise SettingsError(f"a view, one of {', '.join(self.views)}", repr(view), "Name any other view Unknown.")
        return self.views[view]

    def to_json(self) -> dict[str, Json]:
        """Give every value, so that `from_json` makes the same recipe of it."""
        views: dict[str, Json] = {view: asdict(recipe) for view, recipe in self.views.items()}
        return {"name": self.name, "views": views}

    @classmethod
    def from_json(cls, content: Mapping[str, Json]) -> Recipe:
        """Read what `to_json` gave; a field that is absent has its default.

        Raises
        ------
        SettingsError
            If a key is unknown, or a value is absent, of the wrong type or out of range.
        """
        check_keys(content, ("name", "views"), "the recipe")
        name, views = content.get("name"), content.get("views")
        if not isinstance(name, str) or not isinstance(views, dict):
            raise SettingsError("a recipe with name and views", str(sorted(content)), "Write it by Recipe.to_json.")
        made = {}
        for view, values in views.items():
            if not isinstance(values, dict):
                raise SettingsError(f"a table of settings for {view}", repr(values), "Write it by Recipe.to_json.")
            made[view] = ViewRecipe(**checked_fields(values, f"view {view} of recipe {name}"))  # type: ignore[arg-type]  # checked by name and type
        return cls(name, made)


def checked_fields(content: Mapping[str, object], where: str) -> dict[str, str | int | float]:
    """Values for fields of `ViewRecipe`, each of its field's type, whole numbers made floats where floats belong.

    Raises
    ------
    SettingsError
        If a key is no field, or a value is of another type.
    """
    defaults = {field.name: field.default for field in fields(ViewRecipe)}
    check_keys(content, tuple(defaults), where)
    return {name: _of_type(value, type(defaults[name]), f"`{name}` in {where}") for name, value in content.items()}


def _of_type(value: object, kind: type, what: str) -> str | int | float:
    # True would pass for the whole number 1.
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        if isinstance(value, int) and kind is float:
            return float(value)
        if isinstance(value, kind):
            return value
    noun = {str: "a text", int: "a whole number", float: "a number"}[kind]
    raise SettingsError(f"{noun} for {what}", repr(value), "Correct the value.")


def check_keys(content: Mapping[str, object], known: tuple[str, ...], where: str) -> None:
    """Refuse the first key that is not known, naming the nearest.

    Raises
    ------
    SettingsError
        If a key is unknown.
    """
    for key in content:
        if key not in known:
            near = get_close_matches(key, known, n=1, cutoff=0.0)[0]
            raise SettingsError(f"keys among {', '.join(known)} in {where}", repr(key), f"Did you mean {near!r}?")
