"""The method `contour`: the box around an active contour, found on a small copy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from featstore.roi.channels import CHANNELS
from featstore.roi.contours import chan_vese, large_parts, tight_box
from featstore.roi.region import Box, Found, Trace, whole
from featstore.roi.starts import STARTS
from featstore.roi.view_recipe import MIN_CONTOUR_PX, ViewRecipe


def find_by_contour(image: NDArray[np.uint8], recipe: ViewRecipe) -> Found:
    """The box around the contour, or the whole image with a reason."""
    return trace_contour(image, recipe).found


def trace_contour(image: NDArray[np.uint8], recipe: ViewRecipe) -> Trace:
    """The contour and the box around it, or the whole image with a reason."""
    height, width = image.shape[:2]
    top, left = int(recipe.inset_height * height), int(recipe.inset_width * width)
    area = (top, left, height - top, width - left)
    inner = image[top : height - top, left : width - left]
    mask, reason = _contour(inner, recipe)
    tight = None if mask is None else tight_box(mask)
    if mask is None or tight is None:
        return Trace(Found(whole(image), reason), area, mask)
    box = _scaled(tight, mask.shape, inner.shape[:2])
    if box == whole(inner):
        return Trace(Found(whole(image), "the contour touches all four sides"), area, mask)
    if (box[2] - box[0]) * (box[3] - box[1]) < recipe.min_box * height * width:
        reason = f"the contour's box is under {recipe.min_box:.0%} of the image"
        return Trace(Found(whole(image), reason), area, mask)
    return Trace(Found((box[0] + top, box[1] + left, box[2] + top, box[3] + left), ""), area, mask)


def _contour(image: NDArray[np.uint8], recipe: ViewRecipe) -> tuple[NDArray[np.bool_] | None, str]:
    """The inside of the contour on a small copy; None or empty where there is none, for the reason given."""
    copy = _small_copy(image, recipe.side_px)
    if min(copy.shape[:2]) < MIN_CONTOUR_PX:
        return None, f"under {MIN_CONTOUR_PX} px, no room for a contour"
    values = CHANNELS[recipe.channel](copy)
    # One grey level, or one unit of a*: less than a difference that can be seen, and above what rounding makes.
    flat = values.max() - values.min() < 1
    values = ndimage.gaussian_filter(values, recipe.sigma_px)
    if flat or values.min() == values.max():
        return None, f"one {_SHADES[recipe.channel]}, no contour"
    start = STARTS[recipe.start](copy, values, recipe)
    if not start.any():
        return start, "nothing for the contour to start from"
    inside = chan_vese(values, start, recipe.n_iterations, recipe.smoothing)
    return large_parts(inside, recipe.min_part), "the contour vanished"


_SHADES = {"grey": "grey value", "a_star": "shade from green to red"}


def _small_copy(image: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    """The image with its longest side at most `side_px`, each pixel the mean of those it stands for."""
    scale = min(1.0, side_px / max(image.shape[:2]))
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BOX))


def _scaled(box: Box, old: tuple[int, ...], new: tuple[int, ...]) -> Box:
    """A box on an image of shape `old`, on the same image of shape `new`, rounded outwards."""
    top, left, bottom, right = box
    return top * new[0] // old[0], left * new[1] // old[1], -(-bottom * new[0] // old[0]), -(-right * new[1] // old[1])
