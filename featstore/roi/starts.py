"""Starts: what a contour takes for the object before it moves."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from featstore.roi.shades import otsu, rim
from featstore.roi.view_recipe import Start, ViewRecipe


def _otsu_class(_: NDArray[np.uint8], values: NDArray[np.float32], __: ViewRecipe) -> NDArray[np.bool_]:
    """The class that holds less of the picture's rim, the darker one if they share it equally."""
    light = values > otsu(values)
    return light if rim(light).mean() < 0.5 else ~light


def _rectangle(_: NDArray[np.uint8], values: NDArray[np.float32], recipe: ViewRecipe) -> NDArray[np.bool_]:
    height, width = values.shape
    top, left = round(recipe.start_margin * height), round(recipe.start_margin * width)
    inside = np.zeros((height, width), dtype=np.bool_)
    inside[top : height - top, left : width - left] = True
    return inside


def _red_over_green(image: NDArray[np.uint8], _: NDArray[np.float32], __: ViewRecipe) -> NDArray[np.bool_]:
    return np.asarray(image[:, :, 0] > image[:, :, 1])


STARTS: Mapping[Start, Callable[[NDArray[np.uint8], NDArray[np.float32], ViewRecipe], NDArray[np.bool_]]] = {
    "otsu": _otsu_class,
    "rectangle": _rectangle,
    "red_over_green": _red_over_green,
}
"""Each takes the (h, w, 3) copy, its blurred channel (h, w), not constant, and the recipe; it gives (h, w) bool."""
