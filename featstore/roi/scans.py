"""The method `whiten`: the ground of a scan becomes white, the leaf stays as it is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from featstore.roi.region import Found, Trace, whole
from featstore.roi.shades import ground_levels, rim
from featstore.roi.view_recipe import ViewRecipe


def find_ground(image: NDArray[np.uint8], _: ViewRecipe) -> Found:
    """The whole image, with a reason if it cannot be whitened."""
    low, high = Image.fromarray(image).convert("L").getextrema()
    return Found(whole(image), "one grey value, nothing to whiten" if low == high else "")


def trace_ground(image: NDArray[np.uint8], recipe: ViewRecipe) -> Trace:
    """The whole image and, as its mask, what is not ground."""
    return Trace(find_ground(image, recipe), whole(image), np.asarray(_ground(image, recipe)) == 0)


def whiten(region: NDArray[np.uint8], recipe: ViewRecipe) -> NDArray[np.uint8]:
    """The region with its ground painted white, in place."""
    ground = np.asarray(_ground(region, recipe))
    # One channel after another: NumPy is slow where the last axis has three values.
    for part in range(3):
        region[:, :, part] |= ground
    return region


def _ground(image: NDArray[np.uint8], recipe: ViewRecipe) -> Image.Image:
    """255 where a scan shows its ground, 0 elsewhere; nothing is ground where all is one grey value."""
    grey = Image.fromarray(image).convert("L")
    counts = np.array(grey.histogram())
    if np.count_nonzero(counts) < 2:
        return Image.new("L", grey.size)
    rim_counts = np.bincount(rim(np.asarray(grey)), minlength=256)
    levels = ground_levels(counts, rim_counts, recipe.min_gap)
    return grey.point((levels * 255).tolist())
