"""Transforms: what one realistic change does to the pixels of a batch, on the device of the network.

Images are float32 of shape (b, s, s, 3) in 0..255, before a network's own preprocessing. A strength of 0 changes
nothing, so transforms of one family (three of geometry, four of tone) are carried out in one pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

GROUND_LEVEL = 250
"""A pixel whose three channels reach this value counts as white ground."""

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601
# Keeps grey fixed and spans the plane of colour, so that an angle in it is a change of hue (the YIQ axes).
_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]], dtype=np.float32)


@dataclass(frozen=True)
class Transform:
    """One realistic change.

    Parameters
    ----------
    group
        The group it belongs to; at most one transform of a group is applied to an image.
    low, high
        Its strength is drawn evenly between them; the unit is the transform's own.
    """

    group: str
    low: float
    high: float


TRANSFORMS: Mapping[str, Transform] = MappingProxyType(
    {
        "flip": Transform("geometry", 1.0, 1.0),  # left becomes right
        "rotation": Transform("geometry", -20.0, 20.0),  # degrees
        "zoom": Transform("geometry", -0.15, 0.25),  # 0.25: a quarter larger
        "shift": Transform("geometry", -0.1, 0.1),  # of the side, along both axes
        "brightness": Transform("light", -0.15, 0.15),  # of the full range
        "contrast": Transform("light", -0.25, 0.25),  # around mid-grey
        "saturation": Transform("colour", -0.35, 0.35),
        "hue": Transform("colour", -5.0, 5.0),  # degrees; more would make another species of many flowers
        "noise": Transform("noise", 2.0, 10.0),  # standard deviation in grey values
    }
)
"""Every transform by name. Another one needs its line here and its family below."""

NAMES = tuple(TRANSFORMS)
GROUPS = tuple(dict.fromkeys(transform.group for transform in TRANSFORMS.values()))


@dataclass(frozen=True)
class Draws:
    """What happens to each image of a batch.

    Attributes
    ----------
    strength
        (b, number of transforms, 2) float32 in the order of `NAMES`, 0 where a transform is not applied; only
        ``shift`` uses the second value (x and y).
    key
        (b, k) int64: the seed sequence of each image's noise.
    white
        (b,) whether the image lies on white ground, which no transform may tint.
    """

    strength: NDArray[np.float32]
    key: NDArray[np.int64]
    white: NDArray[np.bool_]

    def of(self, name: str) -> NDArray[np.float32]:
        """(b, 2) strengths of one transform."""
        return self.strength[:, NAMES.index(name)]

    def rows(self, rows: NDArray[np.intp]) -> Draws:
        """Take the draws of some images."""
        return Draws(self.strength[rows], self.key[rows], self.white[rows])

    @property
    def applied(self) -> NDArray[np.bool_]:
        """(b, number of transforms) which transforms each image gets."""
        return np.asarray((self.strength != 0).any(axis=2))


Pixels = Callable[[keras.KerasTensor, Draws], keras.KerasTensor]


def apply(images: keras.KerasTensor, draws: Draws) -> keras.KerasTensor:
    """Carry out the draws; images without any come back bit for bit.

    Parameters
    ----------
    images
        (b, s, s, 3) in 0..255, any number type.
    draws
        One row per image.

    Returns
    -------
    Tensor
        (b, s, s, 3) float32 in 0..255.
    """
    images = ops.cast(ops.convert_to_tensor(images), "float32")
    if not draws.applied.any():
        return images
    # Apart and together again: several times quicker than writing into a batch, and the same on every backend.
    single = ops.unstack(images)
    for names, pixels in FAMILIES.items():
        columns = [NAMES.index(name) for name in names]
        rows = np.flatnonzero(draws.applied[:, columns].any(axis=1))
        if rows.size:
            changed = pixels(ops.stack([single[row] for row in rows]), draws.rows(rows))
            for row, image in zip(rows, ops.unstack(changed), strict=True):
                single[row] = image
    return ops.clip(ops.stack(single), 0.0, 255.0)


def white_ground(images: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Tell which images (b, s, s, 3) lie on white ground: at least half of their border pixels are white."""
    edges = [images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]]
    white = np.concatenate(edges, axis=1).min(axis=2) >= GROUND_LEVEL
    return np.asarray(white.mean(axis=1) >= 0.5)


def _mirror(images: keras.KerasTensor, draws: Draws) -> keras.KerasTensor:
    del draws  # a mirror image has no strength
    return ops.flip(images, axis=2)


def _move(images: keras.KerasTensor, draws: Draws) -> keras.KerasTensor:
    """Rotate, zoom and shift; what comes in from outside is white on white ground, else the mirrored border."""
    matrix = _inverse_affine(draws, side_px=images.shape[1])
    moved = {
        white: ops.image.affine_transform(
            ops.take(images, rows, axis=0), ops.convert_to_tensor(matrix[rows]), fill_mode=mode, fill_value=255.0
        )
        for white, mode in ((True, "constant"), (False, "reflect"))
        if (rows := np.flatnonzero(draws.white == white)).size
    }
    # The white ones come first; stable sorting tells where each image went.
    order = np.argsort(np.argsort(~draws.white, kind="stable"), kind="stable")
    return ops.take(ops.concatenate(list(moved.values()), axis=0), order, axis=0)


def _inverse_affine(draws: Draws, side_px: int) -> NDArray[np.float32]:
    """(b, 8) maps from a pixel (x, y) of the result to the pixel of the image that it shows, around the centre."""
    angle = np.deg2rad(draws.of("rotation")[:, 0])
    scale = 1.0 / (1.0 + draws.of("zoom")[:, 0])
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    centre = (side_px - 1) / 2
    x, y = (centre + draws.of("shift") * side_px).T
    zero = np.zeros_like(cos)
    rows = (cos, sin, centre - cos * x - sin * y, -sin, cos, centre + sin * x - cos * y, zero, zero)
    return np.stack(rows, axis=1).astype(np.float32)


def _tone(images: keras.KerasTensor, draws: Draws) -> keras.KerasTensor:
    """Brightness, contrast, saturation and hue: one 3 x 3 matrix and one offset per image."""
    mix = _hue_matrix(draws.of("hue")[:, 0])
    vivid = 1.0 + draws.of("saturation")[:, :1, None]
    mix = (np.eye(3, dtype=np.float32) * vivid + (1.0 - vivid) * _LUMA) @ mix
    gain = 1.0 + draws.of("contrast")[:, :1]
    offset = 127.5 * (1.0 - gain) + 255.0 * draws.of("brightness")[:, :1]
    flat = ops.reshape(images, (images.shape[0], -1, 3))
    mixed = ops.matmul(flat, ops.convert_to_tensor((gain[:, :, None] * mix).transpose(0, 2, 1)))
    mixed = mixed + ops.convert_to_tensor(offset[:, :, None])
    return _keep_ground(images, ops.reshape(mixed, images.shape), draws)


def _hue_matrix(degrees: NDArray[np.float32]) -> NDArray[np.float32]:
    """(b, 3, 3) changes of RGB that turn the colour by an angle and leave grey alone."""
    angle = np.deg2rad(degrees)
    turn = np.zeros((len(angle), 3, 3), dtype=np.float32)
    turn[:, 0, 0] = 1.0
    turn[:, 1, 1] = turn[:, 2, 2] = np.cos(angle)
    turn[:, 1, 2], turn[:, 2, 1] = -np.sin(angle), np.sin(angle)
    return np.asarray(np.linalg.inv(_TO_YIQ) @ turn @ _TO_YIQ, dtype=np.float32)


def _grain(images: keras.KerasTensor, draws: Draws) -> keras.KerasTensor:
    """Add Gaussian noise; drawn with NumPy, so that it is the same on every backend and device."""
    grain = np.empty(images.shape, dtype=np.float32)
    for row, (sigma, key) in enumerate(zip(draws.of("noise")[:, 0], draws.key, strict=True)):
        np.random.default_rng(key).standard_normal(dtype=np.float32, out=grain[row])
        grain[row] *= sigma
    return _keep_ground(images, images + ops.convert_to_tensor(grain), draws)


def _keep_ground(before: keras.KerasTensor, after: keras.KerasTensor, draws: Draws) -> keras.KerasTensor:
    """Leave white ground as it was: it was painted after the photograph was taken, no light ever fell on it."""
    if not draws.white.any():
        return after
    ground = ops.all(before >= GROUND_LEVEL, axis=-1, keepdims=True)
    ground = ops.logical_and(ground, ops.convert_to_tensor(draws.white[:, None, None, None]))
    return ops.where(ground, before, after)


FAMILIES: Mapping[tuple[str, ...], Pixels] = MappingProxyType(
    {
        ("flip",): _mirror,
        ("rotation", "zoom", "shift"): _move,
        ("brightness", "contrast", "saturation", "hue"): _tone,
        ("noise",): _grain,
    }
)
"""The transforms that one pass over the pixels carries out, in the order in which a camera meets them."""
