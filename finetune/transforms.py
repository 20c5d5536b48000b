"""Transforms: what one realistic change does to the pixels of a photograph, on the processor of the host.

Every photograph is changed by itself, 8 bits in and 8 bits out, by NumPy, SciPy and Pillow: the result is the same bit
for bit on every backend and whatever else is in its batch. A network could do it on its own device, but there it costs
more (docs/finetune.md has the measurement), and it would have to wait for its own input.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage, special

GROUND_LEVEL = 250
"""A pixel whose three channels reach this value counts as white ground."""

Pixels: TypeAlias = NDArray[np.uint8]
Strength: TypeAlias = NDArray[np.float32]

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
# Keeps grey fixed and spans the plane of colour, so that an angle in it is a change of hue (the YIQ axes).
_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
_FROM_YIQ = np.linalg.inv(_TO_YIQ)
_NATIVE_SIDE_PX = 224  # the side that strengths in pixels are meant for
_LEAST_SIGMA_PX = 0.4  # less would not reach the neighbouring pixel


@dataclass(frozen=True)
class Picture:
    """A photograph that is to be changed.

    Attributes
    ----------
    pixels
        (s, s, 3) uint8 RGB.
    white
        Whether it lies on white ground, which no transform may tint.
    key
        Seed sequence of its noise.
    """

    pixels: Pixels
    white: bool
    key: tuple[int, ...] = (0,)

    @property
    def side_px(self) -> int:
        """Height and width."""
        return len(self.pixels)


Change: TypeAlias = Callable[[Picture, Strength], Pixels]
"""A picture and (3,) strengths to (s, s, 3) uint8."""


def _on_plant(change: Change) -> Change:
    """Leave white ground as it was: it was painted after the photograph was taken, no light ever fell on it."""

    @functools.wraps(change)
    def kept(picture: Picture, strength: Strength) -> Pixels:
        changed = change(picture, strength)
        if not picture.white:
            return changed
        red, green, blue = (picture.pixels[..., channel] >= GROUND_LEVEL for channel in range(3))
        ground = Image.fromarray((red & green & blue).view(np.uint8) * 255)
        return np.asarray(Image.composite(Image.fromarray(picture.pixels), Image.fromarray(changed), ground))

    return kept


def _flip(picture: Picture, strength: Strength) -> Pixels:
    del strength  # a mirror image has none
    return np.asarray(Image.fromarray(picture.pixels).transpose(Image.Transpose.FLIP_LEFT_RIGHT))


def _rotate(picture: Picture, strength: Strength) -> Pixels:
    side, angle = picture.side_px, math.radians(strength[0])
    cos, sin = math.cos(angle), math.sin(angle)
    border = math.ceil(side / 2 * (abs(cos) + abs(sin) - 1)) + 1
    start, centre = side / 2, side / 2 + border
    # From a pixel of the result to the pixel that it shows, around the centre.
    inverse = (cos, sin, centre - start * (cos + sin), -sin, cos, centre - start * (cos - sin))
    turned = Image.fromarray(_bordered(picture, border)).transform(
        (side, side), Image.Transform.AFFINE, inverse, Image.Resampling.BILINEAR
    )
    return np.asarray(turned)


def _zoom(picture: Picture, strength: Strength) -> Pixels:
    side = picture.side_px
    seen = side / (1 + float(strength[0]))
    return _window(picture, (side - seen) / 2, (side - seen) / 2, seen)


def _crop(picture: Picture, strength: Strength) -> Pixels:
    side = picture.side_px
    share, x, y = (float(value) for value in strength)
    return _window(picture, (1 - share) * side * x, (1 - share) * side * y, share * side)


def _shift(picture: Picture, strength: Strength) -> Pixels:
    """Shift by whole pixels, so that nothing is blurred, and by one at least."""
    side = picture.side_px
    right, down = (int(math.copysign(math.ceil(abs(part) * side), part)) for part in strength[:2])
    border = max(abs(right), abs(down))
    top, left = border - down, border - right
    return _bordered(picture, border)[top : top + side, left : left + side]


def _window(picture: Picture, left: float, top: float, seen: float) -> Pixels:
    """Bring the square of `seen` px at (left, top) to full size; it may reach beyond the photograph."""
    side = picture.side_px
    border = math.ceil(max(0.0, -left, -top, left + seen - side, top + seen - side))
    left, top, end = left + border, top + border, side + 2 * border
    box = (left, top, min(left + seen, end), min(top + seen, end))
    image = Image.fromarray(_bordered(picture, border))
    return np.asarray(image.resize((side, side), Image.Resampling.BILINEAR, box))


def _bordered(picture: Picture, border_px: int) -> Pixels:
    """What lies around the photograph is white on white ground, else its mirror image."""
    if not border_px:
        return picture.pixels
    width = ((border_px, border_px), (border_px, border_px), (0, 0))
    if picture.white:
        return np.pad(picture.pixels, width, constant_values=255)
    return np.pad(picture.pixels, width, mode="symmetric")


@_on_plant
def _brightness(picture: Picture, strength: Strength) -> Pixels:
    return np.take(_to_8_bit(np.arange(256) + 255.0 * float(strength[0])), picture.pixels)


@_on_plant
def _contrast(picture: Picture, strength: Strength) -> Pixels:
    return np.take(_to_8_bit(127.5 + (1.0 + float(strength[0])) * (np.arange(256) - 127.5)), picture.pixels)


@_on_plant
def _saturation(picture: Picture, strength: Strength) -> Pixels:
    vivid = 1.0 + float(strength[0])
    return _mixed(picture.pixels, np.eye(3) * vivid + (1.0 - vivid) * _LUMA)


@_on_plant
def _hue(picture: Picture, strength: Strength) -> Pixels:
    angle = math.radians(strength[0])
    cos, sin = math.cos(angle), math.sin(angle)
    return _mixed(picture.pixels, _FROM_YIQ @ np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]]) @ _TO_YIQ)


def _mixed(pixels: Pixels, matrix: NDArray[np.float64]) -> Pixels:
    """Multiply the colour of every pixel by a (3, 3) matrix."""
    rows = tuple(float(value) for value in np.pad(matrix, ((0, 0), (0, 1))).ravel())
    return np.asarray(Image.fromarray(pixels).convert("RGB", rows))


@_on_plant
def _blur(picture: Picture, strength: Strength) -> Pixels:
    sigma = max(_LEAST_SIGMA_PX, float(strength[0]) * picture.side_px / _NATIVE_SIDE_PX)
    return _to_8_bit(ndimage.gaussian_filter(picture.pixels, (sigma, sigma, 0), output=np.float32, truncate=3.0))


@_on_plant
def _noise(picture: Picture, strength: Strength) -> Pixels:
    """Add Gaussian noise: 16 random bits choose its quantile, a third of the time that normal numbers take."""
    shape = picture.pixels.shape
    bits = np.random.default_rng(picture.key).bytes(2 * picture.pixels.size)
    grain = np.rint(_quantiles() * strength[0]).astype(np.int16)
    noisy = np.take(grain, np.frombuffer(bits, dtype="<u2").reshape(shape))
    noisy += picture.pixels
    return noisy.clip(0, 255, out=noisy).astype(np.uint8)


@functools.cache
def _quantiles() -> NDArray[np.float32]:
    """Middle quantiles (65536,) of the standard normal distribution."""
    return np.asarray(special.ndtri((np.arange(65536) + 0.5) / 65536), dtype=np.float32)


def _to_8_bit(values: NDArray[np.float64] | NDArray[np.float32]) -> Pixels:
    return np.asarray(np.rint(values).clip(0, 255), dtype=np.uint8)


@dataclass(frozen=True)
class Transform:
    """One realistic change.

    Parameters
    ----------
    group
        The group it belongs to; at most one transform of a group is applied to an image.
    change
        What it does.
    ranges
        Lowest and highest value of each of its strengths, three at most, drawn evenly; the unit is its own.
    least
        A first strength that may be of either sign is drawn at least so far from 0: what is drawn can be seen.
    """

    group: str
    change: Change
    ranges: tuple[tuple[float, float], ...]
    least: float = 0.0

    def strength(self, rng: np.random.Generator) -> Strength:
        """Draw (3,) strengths; those it does not have are 0."""
        low, high = np.array([*self.ranges, *[(0.0, 0.0)] * (3 - len(self.ranges))]).T
        low[0], high[0] = low[0] + self.least, high[0] - self.least
        drawn = rng.uniform(low, high)
        drawn[0] += math.copysign(self.least, drawn[0])
        return np.asarray(drawn, dtype=np.float32)


TRANSFORMS: Mapping[str, Transform] = MappingProxyType(
    {
        "flip": Transform("geometry", _flip, ((1.0, 1.0),)),  # left becomes right
        "rotation": Transform("geometry", _rotate, ((-20.0, 20.0),), least=1.0),  # degrees, clockwise
        "zoom": Transform("geometry", _zoom, ((-0.15, 0.25),), least=0.02),  # 0.25: a quarter larger
        "shift": Transform("geometry", _shift, ((-0.1, 0.1), (-0.1, 0.1))),  # of the side; right and down
        "crop": Transform("geometry", _crop, ((0.65, 0.9), (0.0, 1.0), (0.0, 1.0))),  # of the side; from left, top
        "brightness": Transform("light", _brightness, ((-0.15, 0.15),), least=0.02),  # of the full range
        "contrast": Transform("light", _contrast, ((-0.25, 0.25),), least=0.04),  # around mid-grey
        "saturation": Transform("colour", _saturation, ((-0.35, 0.35),), least=0.05),
        # Degrees; more would make another species of many flowers.
        "hue": Transform("colour", _hue, ((-5.0, 5.0),), least=1.0),
        "blur": Transform("sharpness", _blur, ((0.5, 1.5),)),  # standard deviation in px of a side of 224
        "noise": Transform("noise", _noise, ((2.0, 10.0),)),  # standard deviation in grey values
    }
)
"""Every transform by name, in the order in which a camera meets them and in which they are carried out."""

NAMES = tuple(TRANSFORMS)
GROUPS = tuple(dict.fromkeys(transform.group for transform in TRANSFORMS.values()))


@dataclass(frozen=True)
class Draws:
    """What happens to each image of a batch.

    Attributes
    ----------
    strength
        (b, number of transforms, 3) float32 in the order of `NAMES`; all 0 where a transform is not applied.
    key
        (b, k) int64, 0 or more: the seed sequence of each image's noise.
    white
        (b,) whether the image lies on white ground.
    """

    strength: NDArray[np.float32]
    key: NDArray[np.int64]
    white: NDArray[np.bool_]

    @property
    def applied(self) -> NDArray[np.bool_]:
        """(b, number of transforms) which transforms each image gets."""
        return np.asarray((self.strength != 0).any(axis=2))


def apply(images: Pixels, draws: Draws) -> Pixels:
    """Carry out the draws; images without any come back bit for bit.

    Parameters
    ----------
    images
        (b, s, s, 3) uint8; left as they are.
    draws
        One row per image.

    Returns
    -------
    ndarray
        (b, s, s, 3) uint8, new.
    """
    varied = images.copy()
    for row, transform in np.argwhere(draws.applied):
        picture = Picture(varied[row], bool(draws.white[row]), tuple(draws.key[row].tolist()))
        varied[row] = TRANSFORMS[NAMES[transform]].change(picture, draws.strength[row, transform])
    return varied


def white_ground(images: Pixels) -> NDArray[np.bool_]:
    """Tell which images (b, s, s, 3) lie on white ground: at least half of their border pixels are white."""
    edges = [images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]]
    white = np.concatenate(edges, axis=1).min(axis=2) >= GROUND_LEVEL
    return np.asarray(white.mean(axis=1) >= 0.5)
