"""Shades: Otsu's threshold, and which grey levels of a scan are its ground. All of it from histograms."""

from __future__ import annotations

from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

Counts: TypeAlias = NDArray[np.int64]
_Pixel = TypeVar("_Pixel", bound=np.generic)


def otsu_bin(counts: Counts) -> int:
    """The bin after which Otsu's threshold divides a histogram, the first of equals.

    Parameters
    ----------
    counts : (n,) int64
        Not negative, the first and the last bin above 0, n >= 2.

    References
    ----------
    N. Otsu: A Threshold Selection Method from Gray-Level Histograms, IEEE Trans. SMC 9(1), 1979.
    """
    below = np.cumsum(counts)[:-1].astype(np.float64)
    moment = np.cumsum(counts * np.arange(counts.size))
    above = counts.sum() - below
    gap = moment[:-1] / below - (moment[-1] - moment[:-1]) / above
    return int(np.argmax(below * above * gap**2))


def otsu(values: NDArray[np.float32]) -> float:
    """Otsu's threshold on 256 bins between the least and the greatest value, which must differ.

    The upper class is what lies above it.
    """
    low, high = float(values.min()), float(values.max())
    scaled = (values.ravel() - np.float32(low)) * np.float32(256 / (high - low))
    counts = np.bincount(np.minimum(scaled, 255).astype(np.uint8), minlength=256)
    # The middle of the bin, as scikit-image has it.
    return low + (otsu_bin(counts) + 0.5) * (high - low) / 256


def ground_levels(counts: Counts, rim_counts: Counts, min_gap: float) -> NDArray[np.bool_]:
    """Which grey levels are the ground of a scan: the Otsu class that holds most of the picture's rim.

    A black ruler beside a light leaf draws Otsu's threshold between ruler and leaf, and the leaf would fall to the
    ground. So a ground that plainly consists of two shades is divided once more.

    Parameters
    ----------
    counts, rim_counts : (256,) int64
        Histograms of the picture, which must not be constant, and of its outermost pixels.
    min_gap
        The ground is divided if the means of its two shades differ by at least this many times the sum of their
        standard deviations. A normal distribution cut at its middle has 1.3, a uniform one 1.7.

    Returns
    -------
    (256,) bool
    """
    ground = _rim_class(counts, rim_counts, np.ones(256, dtype=np.bool_))
    levels = np.flatnonzero(counts * ground)
    if levels.size < 2:
        return ground
    shades = counts * ground
    light = np.arange(256) > _threshold(shades)
    (lighter, spread), (darker, other_spread) = _moments(shades * light), _moments(shades * ~light)
    if lighter - darker < min_gap * (spread + other_spread):
        return ground
    return _rim_class(counts, rim_counts, ground)


def _rim_class(counts: Counts, rim_counts: Counts, among: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The Otsu class of the levels in `among` that holds most of their share of the rim, the lighter if equal."""
    light = among & (np.arange(256) > _threshold(counts * among))
    return light if 2 * rim_counts[light].sum() >= rim_counts[among].sum() else among & ~light


def _threshold(counts: Counts) -> int:
    levels = np.flatnonzero(counts)
    first, last = int(levels[0]), int(levels[-1])
    return first + otsu_bin(counts[first : last + 1])


def _moments(counts: Counts) -> tuple[float, float]:
    """Mean and standard deviation of the levels of a histogram."""
    mean = float(np.average(np.arange(256), weights=counts))
    return mean, float(np.sqrt(np.average((np.arange(256) - mean) ** 2, weights=counts)))


def rim(pixels: NDArray[_Pixel]) -> NDArray[_Pixel]:
    """The outermost pixels of an (h, w) array, each once if both sides are at least 2."""
    return np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])
