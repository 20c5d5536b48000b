"""Regions of interest: which part of a photograph shows the organ that its view names.

A recipe (`featstore.recipes`) says for every view what is done. The recipe `article` follows the article that this
suite implements; ``docs/roi.md`` tells where it departs from the letter, and why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from featstore import contours
from featstore.errors import ImageError
from featstore.recipes import MIN_CONTOUR_PX, Channel, Method, ViewRecipe, recipe_named

Box: TypeAlias = tuple[int, int, int, int]
"""Top, left, bottom, right in px of the given image, half open."""


@dataclass(frozen=True)
class Found:
    """A region and, where the recipe wanted one but the whole image was kept, the reason."""

    box: Box
    reason: str


def find_box(image: NDArray[np.uint8], view: str, recipe: str = "article") -> Found:
    """Find the region of interest of a photograph.

    Parameters
    ----------
    image : (h, w, 3) uint8
        Upright photograph, RGB.
    view : str
        One of the seven views or ``"Unknown"``.
    recipe : str
        A key of `featstore.recipes.RECIPES`.

    Returns
    -------
    Found
        A box inside the image that is never empty. It is the whole image with ``reason == ""`` where the recipe leaves
        the view alone or changes only its pixels, and the whole image with a reason where it found nothing believable.

    Raises
    ------
    ImageError
        If `image` is not a non-empty (h, w, 3) uint8 array.
    SettingsError
        If the recipe or the view is unknown.
    """
    _check_image(image)
    chosen = recipe_named(recipe).of(view)
    return TREATMENTS[chosen.method].find(image, chosen)


def cut(image: NDArray[np.uint8], view: str, box: Box, recipe: str = "article") -> NDArray[np.uint8]:
    """Cut out a region as the networks are to see it.

    Parameters
    ----------
    image : (h, w, 3) uint8
        The photograph that `box` refers to; it is not changed.
    view, recipe : str
        As for `find_box`. Where the recipe whitens (`article`: LeafScan), the ground of the region becomes 255 and
        the pixels of the leaf stay as they are.
    box : Box
        As found by `find_box`, or any other inside the image.

    Returns
    -------
    (bottom - top, right - left, 3) uint8
        An array of its own.

    Raises
    ------
    ImageError
        If `image` is not (h, w, 3) uint8, or the box is empty or leaves the image.
    SettingsError
        If the recipe or the view is unknown.
    """
    _check_image(image)
    height, width = image.shape[:2]
    top, left, bottom, right = box
    if not (0 <= top < bottom <= height and 0 <= left < right <= width):
        expected = f"a box (top, left, bottom, right) inside {height} x {width} px"
        raise ImageError(expected, str(box), "Take it from find_box on the same image.")
    chosen = recipe_named(recipe).of(view)
    return TREATMENTS[chosen.method].finish(image[top:bottom, left:right].copy(), chosen)


def recipe_identity(recipe: str) -> str:
    """Identity of a recipe for the store, ``"article/1-0a1b2c3d"``: another one with every other parameter.

    Raises
    ------
    SettingsError
        If the recipe is unknown.
    """
    return recipe_named(recipe).identity


def _check_image(image: NDArray[np.uint8]) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        got = f"{image.shape} of {image.dtype}"
        raise ImageError("an RGB image, (h, w, 3) of uint8", got, "Read it by load_photograph.")


def _whole(image: NDArray[np.uint8], reason: str = "") -> Found:
    return Found((0, 0, image.shape[0], image.shape[1]), reason)


def _find_nothing(image: NDArray[np.uint8], _: ViewRecipe) -> Found:
    return _whole(image)


def _find_ground(image: NDArray[np.uint8], recipe: ViewRecipe) -> Found:
    """The whole image, with a reason if it cannot be whitened."""
    values = CHANNELS[recipe.channel](image)
    return _whole(image, "one grey value, nothing to whiten" if values.min() == values.max() else "")


def _find_contour(image: NDArray[np.uint8], recipe: ViewRecipe) -> Found:
    """The box around the active contour, or the whole image with a reason."""
    height, width = image.shape[:2]
    top, left = int(recipe.inset * height), int(recipe.inset * width)
    inner = image[top : height - top, left : width - left]
    copy = _small_copy(inner, recipe.side_px)
    if min(copy.shape[:2]) < MIN_CONTOUR_PX:
        return _whole(image, f"under {MIN_CONTOUR_PX} px, no room for a contour")
    values = CHANNELS[recipe.channel](copy)
    if values.min() == values.max():
        return _whole(image, "one grey value, no contour")
    blurred = ndimage.gaussian_filter(values.astype(np.float32), recipe.sigma_px)
    mask = contours.object_mask(blurred, recipe.n_iterations, recipe.smoothing)
    tight = contours.tight_box(contours.large_parts(mask, recipe.min_part))
    if tight is None:
        return _whole(image, "the contour vanished")
    box = _scaled(tight, copy.shape[:2], inner.shape[:2])
    if box == (0, 0, *inner.shape[:2]):
        return _whole(image, "the contour touches all four sides")
    if (box[2] - box[0]) * (box[3] - box[1]) < recipe.min_box * height * width:
        return _whole(image, f"the contour's box is under {recipe.min_box:.0%} of the image")
    return Found((box[0] + top, box[1] + left, box[2] + top, box[3] + left), "")


def _as_cut(region: NDArray[np.uint8], _: ViewRecipe) -> NDArray[np.uint8]:
    return region


def _whiten(region: NDArray[np.uint8], recipe: ViewRecipe) -> NDArray[np.uint8]:
    values = CHANNELS[recipe.channel](region)
    if values.min() < values.max():
        region[contours.ground_mask(values, recipe.min_gap)] = 255
    return region


class Treatment(NamedTuple):
    """The two halves of a method: find the box, and finish the region that was cut out (in place is allowed)."""

    find: Callable[[NDArray[np.uint8], ViewRecipe], Found]
    finish: Callable[[NDArray[np.uint8], ViewRecipe], NDArray[np.uint8]]


TREATMENTS: Mapping[Method, Treatment] = {
    "keep": Treatment(_find_nothing, _as_cut),
    "contour": Treatment(_find_contour, _as_cut),
    "whiten": Treatment(_find_ground, _whiten),
}


def _grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Luma of ITU-R 601, (h, w)."""
    return np.asarray(Image.fromarray(image).convert("L"))


CHANNELS: Mapping[Channel, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {"grey": _grey}


def _small_copy(image: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    """The image with its longest side at most `side_px`, each pixel the mean of those it stands for."""
    scale = min(1.0, side_px / max(image.shape[:2]))
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BOX))


def _scaled(box: Box, old: tuple[int, ...], new: tuple[int, ...]) -> Box:
    """A box on an image of shape `old`, on the same image of shape `new`, rounded outwards."""
    top, left, bottom, right = box
    return top * new[0] // old[0], left * new[1] // old[1], -(-bottom * new[0] // old[0]), -(-right * new[1] // old[1])
