"""The recipes that come with the suite; a TOML file changes them view by view (`featstore.roi.loading`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from featstore.catalog import VIEWS
from featstore.roi.recipe import Recipe
from featstore.roi.view_recipe import ViewRecipe

_AS_IT_IS = ViewRecipe()
_CONTOUR = ViewRecipe("contour", side_px=200, n_iterations=10, smoothing=1, min_part=0.01, min_box=0.02)
_ORGAN = replace(_CONTOUR, sigma_px=2.5)
_SCAN = ViewRecipe("whiten", min_gap=2.5)

NONE = Recipe("none", dict.fromkeys(VIEWS, _AS_IT_IS))
"""Every photograph whole."""

ARTICLE = Recipe(
    "article",
    {
        **NONE.views,
        "Flower": _ORGAN,
        "Fruit": _ORGAN,
        "Leaf": replace(_CONTOUR, inset_height=1 / 10, inset_width=1 / 10, sigma_px=2.0),
        "LeafScan": _SCAN,
        "Stem": replace(_CONTOUR, inset_height=1 / 5, inset_width=1 / 5, sigma_px=2.0),
    },
)
"""The article's table."""

# A contour moves by one pixel per iteration: from IBM's rectangle it must be able to reach the sides of its copy, 27 px
# away. On 160 px that takes half the time that it would take on the article's 200.
_FAR = replace(_CONTOUR, side_px=160, n_iterations=30)
_RED = replace(_FAR, sigma_px=2.5, start="red_over_green")

IBM = Recipe(
    "ibm",
    {
        **NONE.views,
        "Flower": _RED,
        "Fruit": _RED,
        "Leaf": replace(_FAR, sigma_px=3.0, start="rectangle", start_margin=1 / 6),
        "LeafScan": _SCAN,
        "Stem": replace(_CONTOUR, inset_width=1 / 4, sigma_px=2.0),
    },
)
"""What IBM Research Australia, winner of 2014, did. Blur and start are the article's where IBM names none."""

LAB = Recipe(
    "lab",
    {
        view: replace(recipe, channel="a_star") if recipe.method == "contour" else recipe
        for view, recipe in ARTICLE.views.items()
    },
)
"""The article's, but contours on a* of CIE Lab: not on how bright an organ is, but on how red or green."""

RECIPES: Mapping[str, Recipe] = {recipe.name: recipe for recipe in (ARTICLE, IBM, LAB, NONE)}
