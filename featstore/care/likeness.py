"""Likeness: how much two pictures look like copies of one another, saved anew, mirrored or slightly cropped."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_SIDE_PX = 32
_CROPS = (0.0, 0.03, 0.06)
"""Shares cut off every side of either picture, one of which should undo a slight crop."""


def likeness(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Highest correlation of small grey thumbnails, over mirroring and slight crops.

    Parameters
    ----------
    one, other
        (h, w, 3) RGB uint8.

    Returns
    -------
    -1..1; brightness and contrast do not matter. 0 if a picture is flat.
    """
    firsts = [_thumbnail(one, crop) for crop in _CROPS]
    seconds = [_thumbnail(other, crop) for crop in _CROPS]
    seconds += [_thumbnail(other[:, ::-1], crop) for crop in _CROPS]
    # One of the two was cropped, not both.
    pairs = [(firsts[0], second) for second in seconds]
    pairs += [(first, second) for first in firsts[1:] for second in (seconds[0], seconds[len(_CROPS)])]
    return max(float(first @ second) for first, second in pairs)


def _thumbnail(image: NDArray[np.uint8], crop: float) -> NDArray[np.float64]:
    """Small grey copy as a vector of mean 0 and length 1, all 0 if it is flat."""
    height, width = image.shape[:2]
    top, left = int(crop * height), int(crop * width)
    inner = np.ascontiguousarray(image[top : height - top, left : width - left])
    small = Image.fromarray(inner).convert("L").resize((_SIDE_PX, _SIDE_PX), Image.Resampling.BOX)
    values = np.asarray(small, dtype=np.float64).ravel()
    values -= values.mean()
    length = float(np.linalg.norm(values))
    return values / length if length > 1 else np.zeros_like(values)
