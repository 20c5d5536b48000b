"""Drawn pictures with an object at a known place, and the same regions by scikit-image's contour."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage
from skimage import filters, segmentation

from featstore.roi import Box, ViewRecipe
from featstore.roi.channels import CHANNELS
from featstore.roi.starts import STARTS

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="session")
def scene() -> Callable[..., Pixels]:
    """An ellipse that fills the box `ellipse`, in (object, ground) greys or colours, with noise of 8 grey values."""

    def draw(shape: tuple[int, int], ellipse: Box, colours: tuple, seed: int = 0) -> Pixels:
        of, on = ((c, c, c) if isinstance(c, int) else c for c in colours)
        image = Image.new("RGB", (shape[1], shape[0]), on)
        top, left, bottom, right = ellipse
        ImageDraw.Draw(image).ellipse((left, top, right - 1, bottom - 1), fill=of)
        noise = np.random.default_rng(seed).normal(0, 8, (*shape, 3))
        return np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8)

    return draw


@pytest.fixture(scope="session")
def overlap() -> Callable[[Box, Box], float]:
    """Intersection over union of two boxes."""

    def area(box: Box) -> int:
        return max(0, box[2] - box[0]) * max(0, box[3] - box[1])

    def measure(one: Box, other: Box) -> float:
        both = area((max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3])))
        return both / (area(one) + area(other) - both)

    return measure


def by_scikit_image(image: Pixels, recipe: ViewRecipe) -> Box:
    """The box with scikit-image's threshold and contour, begun as the recipe begins; the whole image on fallback."""
    height, width = image.shape[:2]
    top, left = int(recipe.inset_height * height), int(recipe.inset_width * width)
    inner = image[top : height - top, left : width - left]
    scale = min(1.0, recipe.side_px / max(inner.shape[:2]))
    size = tuple(max(1, round(side * scale)) for side in inner.shape[1::-1])
    copy = np.asarray(Image.fromarray(inner).resize(size, Image.Resampling.BOX))
    values = ndimage.gaussian_filter(CHANNELS[recipe.channel](copy), recipe.sigma_px)
    if recipe.start == "otsu":
        light = values > filters.threshold_otsu(values)
        rim = np.concatenate([light[0], light[-1], light[1:-1, 0], light[1:-1, -1]])
        start = light if rim.mean() < 0.5 else ~light
    else:
        start = STARTS[recipe.start](copy, values, recipe)
    if not start.any():
        return 0, 0, height, width
    mask = segmentation.morphological_chan_vese(
        values, recipe.n_iterations, init_level_set=start, smoothing=recipe.smoothing
    )
    parts, _ = ndimage.label(mask)
    areas = np.bincount(parts.ravel(), minlength=2)[1:]
    mask = np.isin(parts, 1 + np.flatnonzero((areas > 0) & (areas >= recipe.min_part * areas.max())))
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0 or (np.ptp(rows) + 1, np.ptp(columns) + 1) == mask.shape:
        return 0, 0, height, width
    down, across = inner.shape[0] / mask.shape[0], inner.shape[1] / mask.shape[1]
    box = (
        top + int(np.floor(rows[0] * down)),
        left + int(np.floor(columns[0] * across)),
        top + int(np.ceil((rows[-1] + 1) * down - 1e-9)),
        left + int(np.ceil((columns[-1] + 1) * across - 1e-9)),
    )
    if (box[2] - box[0]) * (box[3] - box[1]) < recipe.min_box * height * width:
        return 0, 0, height, width
    return box


@pytest.fixture(scope="session")
def reference() -> Callable[[Pixels, ViewRecipe], Box]:
    """`by_scikit_image`."""
    return by_scikit_image
