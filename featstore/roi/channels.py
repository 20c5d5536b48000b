"""Channels: the one number per pixel that a contour sees."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from featstore.roi.view_recipe import Channel


def grey(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Luma of ITU-R 601 of an RGB image, whole numbers in 0..255, (h, w)."""
    return np.asarray(Image.fromarray(image).convert("L")).astype(np.float32)


def a_star(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """a* of CIE Lab of an sRGB image, D65, 2 degrees: about -86 (green) to 98 (magenta), (h, w).

    References
    ----------
    IEC 61966-2-1 (sRGB); CIE 15:2004, section 8.2.1.
    """
    red, green, blue = (_LINEAR[image[:, :, part]] for part in range(3))
    # No matrix product: its threads would take other cores.
    x, y = (red * share[0] + green * share[1] + blue * share[2] for share in _TO_XY)
    return np.float32(500) * (_lab_curve(x) - _lab_curve(y))


def _linear_light() -> NDArray[np.float32]:
    """Linear light in 0..1 of the 256 values of sRGB."""
    value = np.arange(256) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)


_LINEAR = _linear_light()
# X and Y, each as a share of white's (0.95047 and 1), from linear R, G and B.
_TO_XY = np.array(
    [[0.412453 / 0.95047, 0.357580 / 0.95047, 0.180423 / 0.95047], [0.212671, 0.715160, 0.072169]], dtype=np.float32
)


def _lab_curve(share: NDArray[np.float32]) -> NDArray[np.float32]:
    straight = np.float32(7.787) * share + np.float32(16 / 116)
    return np.where(share > 0.008856, np.cbrt(share), straight)


CHANNELS: Mapping[Channel, Callable[[NDArray[np.uint8]], NDArray[np.float32]]] = {"grey": grey, "a_star": a_star}
