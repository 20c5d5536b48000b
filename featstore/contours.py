"""Two shades: which pixels of a grey picture are the object and which are its ground."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import filters, segmentation

_CONTOUR_LOCK = threading.Lock()


def otsu(values: NDArray[np.uint8] | NDArray[np.float32]) -> float:
    """Otsu's threshold; `values` must not be constant. The upper class is what lies above it."""
    return float(filters.threshold_otsu(values))  # type: ignore[no-untyped-call]  # scikit-image has no types


def object_mask(values: NDArray[np.float32], n_iterations: int, smoothing: int) -> NDArray[np.bool_]:
    """Object of a two-phase active contour that starts from Otsu's classes.

    The object is the class that holds less of the picture's rim, the darker one if they share it equally.

    Parameters
    ----------
    values : (h, w) float32
        Grey picture, not constant, both sides >= 2.
    n_iterations, smoothing
        Steps of the contour and smoothings per step; their product must be even.

    Returns
    -------
    (h, w) bool
        May be empty: smoothing can dissolve a small object.

    References
    ----------
    P. Marquez-Neila, L. Baumela, L. Alvarez: A Morphological Approach to Curvature-based Evolution of Curves and
    Surfaces, PAMI 36(1), 2014.
    """
    light = values > otsu(values)
    start = light if _rim(light).mean() < 0.5 else ~light
    # scikit-image alternates two smoothing operators by a counter that the whole process shares. An even number
    # of smoothings brings it back to its start; a second thread in between would disturb both contours.
    with _CONTOUR_LOCK:
        inside = segmentation.morphological_chan_vese(  # type: ignore[no-untyped-call]  # scikit-image has no types
            values, n_iterations, init_level_set=start, smoothing=smoothing
        )
    return np.asarray(inside, dtype=np.bool_)


def ground_mask(values: NDArray[np.uint8], min_gap: float) -> NDArray[np.bool_]:
    """Ground of a scan: the Otsu class that holds most of the picture's rim.

    A black ruler beside a light leaf draws Otsu's threshold between ruler and leaf, and the leaf would fall to the
    ground. So a ground that plainly consists of two shades is divided once more.

    Parameters
    ----------
    values : (h, w) uint8
        Grey picture, not constant.
    min_gap
        The ground is divided if the means of its two shades differ by at least this many times the sum of their
        standard deviations. A normal distribution cut at its middle has 1.3, a uniform one 1.7.

    Returns
    -------
    (h, w) bool
    """
    ground = _rim_class(values, np.ones(values.shape, dtype=np.bool_))
    shades = values[ground]
    if shades.min() == shades.max():
        return ground
    threshold = otsu(shades)
    lighter, darker = shades[shades > threshold], shades[shades <= threshold]
    if lighter.mean() - darker.mean() < min_gap * (lighter.std() + darker.std()):
        return ground
    return _rim_class(values, ground)


def _rim_class(values: NDArray[np.uint8], among: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The Otsu class of the pixels in `among` that holds most of their share of the rim, the lighter if equal."""
    light = among & (values > otsu(values[among]))
    return light if 2 * _rim(light).sum() >= _rim(among).sum() else among & ~light


def _rim(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The outermost pixels of an (h, w) array, each once."""
    return np.concatenate([mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]])


def large_parts(mask: NDArray[np.bool_], min_part: float) -> NDArray[np.bool_]:
    """Keep the parts connected by edges whose area is at least `min_part` of the largest part's."""
    parts, _ = ndimage.label(mask)
    areas = np.bincount(parts.ravel())
    areas[0] = 0
    kept: NDArray[np.bool_] = (areas > 0) & (areas >= min_part * areas.max())
    return kept[parts]


def tight_box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int] | None:
    """Smallest box around a mask (top, left, bottom, right, half open), None if the mask is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return None
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
