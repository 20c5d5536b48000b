"""Regions of interest: find the box that a view's recipe wants, cut it out, and show how it was found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from featstore.errors import ImageError
from featstore.roi.organs import find_by_contour, trace_contour
from featstore.roi.region import Box, Found, Trace, whole
from featstore.roi.scans import find_ground, trace_ground, whiten
from featstore.roi.view_recipe import Method, ViewRecipe


def find_box(image: NDArray[np.uint8], recipe: ViewRecipe) -> Found:
    """Find the region of interest of a photograph.

    Parameters
    ----------
    image : (h, w, 3) uint8
        Upright photograph, RGB.
    recipe
        What is done with photographs of its view.

    Returns
    -------
    Found
        A box inside the image that is never empty. It is the whole image with ``reason == ""`` where the recipe leaves
        the view alone or changes only its pixels, and the whole image with a reason where it found nothing believable.

    Raises
    ------
    ImageError
        If `image` is not a non-empty (h, w, 3) uint8 array.
    """
    _check_image(image)
    return TREATMENTS[recipe.method].find(image, recipe)


def trace(image: NDArray[np.uint8], recipe: ViewRecipe) -> Trace:
    """Find the region as `find_box` does, and tell how.

    Raises
    ------
    ImageError
        If `image` is not a non-empty (h, w, 3) uint8 array.
    """
    _check_image(image)
    return TREATMENTS[recipe.method].trace(image, recipe)


def cut(image: NDArray[np.uint8], box: Box, recipe: ViewRecipe) -> NDArray[np.uint8]:
    """Cut out a region as the networks are to see it.

    Parameters
    ----------
    image : (h, w, 3) uint8
        The photograph that `box` refers to; it is not changed.
    box
        As found by `find_box`, or any other inside the image.
    recipe
        As for `find_box`. Where it whitens, the ground of the region becomes 255 and the pixels of the leaf stay as
        they are.

    Returns
    -------
    (bottom - top, right - left, 3) uint8
        An array of its own.

    Raises
    ------
    ImageError
        If `image` is not (h, w, 3) uint8, or the box is empty or leaves the image.
    """
    _check_image(image)
    height, width = image.shape[:2]
    top, left, bottom, right = box
    if not (0 <= top < bottom <= height and 0 <= left < right <= width):
        expected = f"a box (top, left, bottom, right) inside {height} x {width} px"
        raise ImageError(expected, str(box), "Take it from find_box on the same image.")
    return TREATMENTS[recipe.method].finish(image[top:bottom, left:right].copy(), recipe)


def _check_image(image: NDArray[np.uint8]) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        got = f"{image.shape} of {image.dtype}"
        raise ImageError("an RGB image, (h, w, 3) of uint8", got, "Read it by load_photograph.")


def _find_nothing(image: NDArray[np.uint8], _: ViewRecipe) -> Found:
    return Found(whole(image), "")


def _trace_nothing(image: NDArray[np.uint8], recipe: ViewRecipe) -> Trace:
    return Trace(_find_nothing(image, recipe), whole(image))


def _as_cut(region: NDArray[np.uint8], _: ViewRecipe) -> NDArray[np.uint8]:
    return region


class Treatment(NamedTuple):
    """A method: find the box, tell how, and finish the region that was cut out (in place is allowed)."""

    find: Callable[[NDArray[np.uint8], ViewRecipe], Found]
    trace: Callable[[NDArray[np.uint8], ViewRecipe], Trace]
    finish: Callable[[NDArray[np.uint8], ViewRecipe], NDArray[np.uint8]]


TREATMENTS: Mapping[Method, Treatment] = {
    "keep": Treatment(_find_nothing, _trace_nothing, _as_cut),
    "contour": Treatment(find_by_contour, trace_contour, _as_cut),
    "whiten": Treatment(find_ground, trace_ground, whiten),
}
