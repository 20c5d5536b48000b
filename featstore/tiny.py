"""Photographs so small that a network sees little but blur: accepted, and told."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TINY_PX = 32
"""Regions that are shorter than this on both sides are tiny; networks take 224 px and more."""


def is_tiny(boxes: NDArray[np.int32] | NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which regions are tiny.

    Parameters
    ----------
    boxes : (n, 4)
        Top, left, bottom, right in px of the full photograph, all 0 where unknown, which is not tiny.

    Returns
    -------
    (n,) bool
    """
    longest = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    tiny: NDArray[np.bool_] = (longest > 0) & (longest < TINY_PX)
    return tiny


def tiny_warning(n_tiny: int, n_photographs: int) -> str:
    """Say how many photographs are tiny, what that means and what to do."""
    return (
        f"{n_tiny:,} of {n_photographs:,} photographs give the networks less than {TINY_PX} x {TINY_PX} px to look at: "
        "enlarged to their input they are mostly blur. If these are previews, build from the originals."
    )
