"""Regions of interest: which part of a photograph shows the organ that its view names.

A `Recipe` says for every view what is done, a `ViewRecipe` for one of them; `find_box` and `cut` do it. The recipe
`article` follows the article that this suite implements; ``docs/roi.md`` tells where it departs from the letter.
"""

from featstore.roi.builtin import RECIPES
from featstore.roi.loading import load_recipe
from featstore.roi.recipe import Recipe
from featstore.roi.region import Box, Found, Trace
from featstore.roi.regions import cut, find_box, trace
from featstore.roi.view_recipe import ViewRecipe


def recipe_identity(text: str) -> str:
    """Identity of the recipe that `load_recipe` finds under a name or path, ``"article/2-0a1b2c3d"``.

    Raises
    ------
    SettingsError
        If there is no such recipe.
    """
    return load_recipe(text).identity


__all__ = [
    "RECIPES",
    "Box",
    "Found",
    "Recipe",
    "Trace",
    "ViewRecipe",
    "cut",
    "find_box",
    "load_recipe",
    "recipe_identity",
    "trace",
]
