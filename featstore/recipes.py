"""Recipes: what is done with the photographs of each view before a network sees them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Literal, TypeAlias, get_args

from featstore.errors import SettingsError

Method: TypeAlias = Literal["keep", "contour", "whiten"]
Channel: TypeAlias = Literal["grey"]

MIN_CONTOUR_PX = 8
"""A picture with a shorter side than this has no room for a contour."""


@dataclass(frozen=True)
class ViewRecipe:
    """What is done with one view; the defaults leave it as it was photographed.

    Parameters
    ----------
    method
        ``keep`` the whole image, take the box around an active ``contour``, or ``whiten`` the ground of a scan.
    channel
        The one number per pixel that thresholds and contours see.
    inset
        Share of the height and of the width cut from each side before the contour, in [0, 0.5).
    sigma_px
        Standard deviation of the Gaussian blur, in px of the contour's copy.
    side_px
        Longest side of the copy on which the contour runs; smaller images are not enlarged.
    n_iterations, smoothing
        Of the contour, see `featstore.contours.object_mask`; the product is even.
    min_part
        Parts of the contour smaller than this share of its largest part are ignored.
    min_box
        A box below this share of the image's area is not believed.
    min_gap
        Of the whitening, see `featstore.contours.ground_mask`.

    Raises
    ------
    SettingsError
        If a value is unknown or out of range.
    """

    method: Method = "keep"
    channel: Channel = "grey"
    inset: float = 0.0
    sigma_px: float = 0.0
    side_px: int = 0
    n_iterations: int = 0
    smoothing: int = 0
    min_part: float = 0.0
    min_box: float = 0.0
    min_gap: float = 0.0

    def __post_init__(self) -> None:
        right = {
            f"method in {get_args(Method)}": self.method in get_args(Method),
            f"channel in {get_args(Channel)}": self.channel in get_args(Channel),
            "0 <= inset < 0.5": 0 <= self.inset < 0.5,
            "sigma_px >= 0": self.sigma_px >= 0,
            f"side_px >= {MIN_CONTOUR_PX} for a contour": self.method != "contour" or self.side_px >= MIN_CONTOUR_PX,
            "n_iterations >= 0 and smoothing >= 0": min(self.n_iterations, self.smoothing) >= 0,
            "n_iterations * smoothing even": self.n_iterations * self.smoothing % 2 == 0,
            "0 <= min_part <= 1": 0 <= self.min_part <= 1,
            "0 <= min_box < 1": 0 <= self.min_box < 1,
            "min_gap >= 0": self.min_gap >= 0,
        }
        broken = [rule for rule, kept in right.items() if not kept]
        if broken:
            raise SettingsError(f"a recipe with {' and '.join(broken)}", str(self), "Correct the recipe.")


@dataclass(frozen=True)
class Recipe:
    """One treatment per view, under a name; `version` is raised when the code behind it gives other pixels."""

    name: str
    version: int
    views: Mapping[str, ViewRecipe]

    @property
    def identity(self) -> str:
        """Name, version and a digest of every value: ``"article/1-0a1b2c3d"``.

        Values at their default, which does nothing, are left out: a field added later keeps older identities.
        """
        active = {
            view: {f.name: getattr(recipe, f.name) for f in fields(recipe) if getattr(recipe, f.name) != f.default}
            for view, recipe in self.views.items()
        }
        digest = hashlib.sha256(json.dumps(active, sort_keys=True).encode()).hexdigest()
        return f"{self.name}/{self.version}-{digest[:8]}"

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


_AS_IT_IS = ViewRecipe()
_CONTOUR = ViewRecipe("contour", side_px=200, n_iterations=10, smoothing=1, min_part=0.01, min_box=0.02)

RECIPES: Mapping[str, Recipe] = {
    "article": Recipe(
        name="article",
        version=1,
        views={
            "Branch": _AS_IT_IS,
            "Entire": _AS_IT_IS,
            "Flower": replace(_CONTOUR, sigma_px=2.5),
            "Fruit": replace(_CONTOUR, sigma_px=2.5),
            "Leaf": replace(_CONTOUR, inset=1 / 10, sigma_px=2.0),
            "LeafScan": ViewRecipe("whiten", min_gap=2.5),
            "Stem": replace(_CONTOUR, inset=1 / 5, sigma_px=2.0),
            "Unknown": _AS_IT_IS,
        },
    ),
    "none": Recipe(
        name="none",
        version=1,
        views=dict.fromkeys(("Branch", "Entire", "Flower", "Fruit", "Leaf", "LeafScan", "Stem", "Unknown"), _AS_IT_IS),
    ),
}


def recipe_named(name: str) -> Recipe:
    """Look up a recipe.

    Raises
    ------
    SettingsError
        If there is no recipe of this name.
    """
    if name not in RECIPES:
        raise SettingsError(f"a recipe, one of {', '.join(RECIPES)}", repr(name), "Choose one of them.")
    return RECIPES[name]
