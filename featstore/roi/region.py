"""A region of a photograph, and how it was found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Box: TypeAlias = tuple[int, int, int, int]
"""Top, left, bottom, right in px of the given image, half open."""


@dataclass(frozen=True)
class Found:
    """A region and, where the recipe wanted one but the whole image was kept, the reason."""

    box: Box
    reason: str


@dataclass(frozen=True)
class Trace:
    """How a region was found.

    Attributes
    ----------
    found
        What `find_box` says.
    area
        The part of the image that was looked at: all of it but the recipe's inset.
    mask : (h, w) bool or None
        What was taken for the object in `area`, on a copy of it of any size; None where nothing was looked for.
    """

    found: Found
    area: Box
    mask: NDArray[np.bool_] | None = None


def whole(image: NDArray[np.uint8]) -> Box:
    """The box around all of an image."""
    return 0, 0, image.shape[0], image.shape[1]
