"""Transforms: each one alone against its definition, and white ground that stays white."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
from keras import ops
from numpy.typing import NDArray
from scipy import ndimage

from finetune.transforms import NAMES, Draws, apply, white_ground

SIDE_PX = 33


def photograph(seed: int = 0, low: int = 60, high: int = 200) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).uniform(low, high, (SIDE_PX, SIDE_PX, 3))
    return ndimage.gaussian_filter(noise, (2, 2, 0)).astype(np.float32)


def changed(
    images: NDArray[np.float32], strengths: dict[str, tuple[float, float]], *, white: bool = False, key: int = 0
) -> NDArray[np.float32]:
    strength = np.zeros((len(images), len(NAMES), 2), dtype=np.float32)
    for name, values in strengths.items():
        strength[:, NAMES.index(name)] = values
    keys = np.arange(len(images), dtype=np.int64)[:, None] + key
    draws = Draws(strength, keys, np.full(len(images), white))
    return np.asarray(ops.convert_to_numpy(apply(images, draws)))


def leaf_on_white() -> NDArray[np.float32]:
    image = np.full((SIDE_PX, SIDE_PX, 3), 255.0, dtype=np.float32)
    image[8:25, 10:22] = (40, 120, 30)
    return image


def test_flip_is_the_exact_mirror_image() -> None:
    images = np.stack([photograph(0), photograph(1)])
    np.testing.assert_array_equal(changed(images, {"flip": (1, 1)}), images[:, :, ::-1])


@pytest.mark.parametrize(
    "strengths",
    [
        {"rotation": (15.0, 0)},
        {"zoom": (0.25, 0)},
        {"zoom": (-0.15, 0)},
        {"shift": (0.1, -0.05)},
        {"rotation": (-20.0, 0), "zoom": (0.1, 0), "shift": (0.05, 0.1)},
    ],
)
def test_geometry_equals_scipy_around_the_centre(strengths: dict[str, tuple[float, float]]) -> None:
    image = photograph()
    angle = np.deg2rad(strengths.get("rotation", (0.0, 0.0))[0])
    scale = 1 / (1 + strengths.get("zoom", (0.0, 0.0))[0])
    dx, dy = np.array(strengths.get("shift", (0.0, 0.0))) * SIDE_PX
    # scipy maps (row, column) of the result to (row, column) of the input.
    to_input = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = np.full(2, (SIDE_PX - 1) / 2)
    offset = centre - to_input @ (centre + np.array([dy, dx]))
    expected = np.stack(
        [
            ndimage.affine_transform(image[..., c].astype(np.float64), to_input, offset, order=1, mode="reflect")
            for c in range(3)
        ],
        axis=-1,
    )
    inner = slice(8, -8)  # at the border the libraries differ in what lies between the last pixel and its mirror

    result = changed(image[None], strengths)[0]

    np.testing.assert_allclose(result[inner, inner], expected[inner, inner], atol=0.05)


def test_rotation_turns_and_zoom_enlarges() -> None:
    dot = np.zeros((1, SIDE_PX, SIDE_PX, 3), dtype=np.float32)
    dot[0, 16, 26] = 255  # right of the centre
    turned = changed(dot, {"rotation": (90.0, 0)})[0, ..., 0]
    assert np.unravel_index(turned.argmax(), turned.shape) == (26, 16)
    larger = changed(dot, {"zoom": (0.2, 0)})[0, ..., 0]
    assert np.unravel_index(larger.argmax(), larger.shape) == (16, 28)
    moved = changed(dot, {"shift": (-3 / SIDE_PX, 2 / SIDE_PX)})[0, ..., 0]
    assert np.unravel_index(moved.argmax(), moved.shape) == (18, 23)


def test_brightness_and_contrast() -> None:
    images = photograph()[None]
    np.testing.assert_allclose(changed(images, {"brightness": (0.1, 0)}), images + 25.5, atol=1e-3)
    np.testing.assert_allclose(changed(images, {"contrast": (0.2, 0)}), 127.5 + 1.2 * (images - 127.5), atol=1e-3)
    assert changed(images, {"brightness": (1.0, 0)}).max() == 255


def test_saturation_minus_1_is_grey_and_keeps_the_luma() -> None:
    images = photograph()[None]
    luma = images @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    grey = changed(images, {"saturation": (-1.0, 0)})
    np.testing.assert_allclose(grey, np.repeat(luma[..., None], 3, axis=-1), atol=1e-2)
    np.testing.assert_allclose(
        changed(images, {"saturation": (0.5, 0)}), luma[..., None] * -0.5 + 1.5 * images, atol=1e-2
    )


def test_hue_turns_colours_by_its_angle_and_leaves_grey_alone() -> None:
    leaf = np.array([70.0, 140.0, 60.0], dtype=np.float32)
    images = np.stack([np.broadcast_to(leaf, (4, 4, 3)), np.full((4, 4, 3), 90.0, dtype=np.float32)])
    turned = changed(images, {"hue": (8.0, 0)})
    np.testing.assert_allclose(turned[1], 90.0, atol=0.05)
    before, after = colorsys.rgb_to_hsv(*leaf / 255)[0] * 360, colorsys.rgb_to_hsv(*turned[0, 0, 0] / 255)[0] * 360
    # YIQ and HSV measure hue a little differently.
    assert 3 < abs(after - before) < 16


def test_noise_is_gaussian_of_its_strength_and_repeats() -> None:
    images = np.full((2, 64, 64, 3), 128, dtype=np.float32)
    noisy = changed(images, {"noise": (6.0, 6.0)})
    difference = noisy - images
    assert abs(difference.mean()) < 0.2
    assert difference.std() == pytest.approx(6.0, rel=0.03)
    assert not np.array_equal(noisy[0], noisy[1])
    np.testing.assert_array_equal(changed(images, {"noise": (6.0, 6.0)}), noisy)
    assert not np.array_equal(changed(images, {"noise": (6.0, 6.0)}, key=7), noisy)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("rotation", (20.0, 0)),
        ("zoom", (-0.15, 0)),
        ("shift", (0.1, 0.1)),
        ("brightness", (-0.15, 0)),
        ("contrast", (-0.25, 0)),
        ("hue", (8.0, 0)),
        ("noise", (10.0, 10.0)),
    ],
)
def test_white_ground_stays_white(name: str, values: tuple[float, float]) -> None:
    leaf = leaf_on_white()
    result = changed(leaf[None], {name: values}, white=True)[0]
    border = np.concatenate([result[0], result[-1], result[:, 0], result[:, -1]])
    assert (border == 255).all()
    assert not np.array_equal(result, leaf)


def test_a_leaf_that_touches_the_border_does_not_smear_over_white_ground() -> None:
    image = leaf_on_white()
    image[20:, 15:18] = (40, 120, 30)  # its stalk leaves the scan below
    result = changed(image[None], {"shift": (0.0, -0.2)}, white=True)[0]
    assert (result[-5:] == 255).all()


def test_other_photographs_are_continued_not_whitened() -> None:
    image = np.full((1, SIDE_PX, SIDE_PX, 3), 50, dtype=np.float32)
    np.testing.assert_allclose(changed(image, {"rotation": (20.0, 0), "zoom": (-0.15, 0)}), 50, atol=1e-3)


def test_both_kinds_of_ground_in_one_batch_keep_their_places() -> None:
    images = np.stack([photograph(0), leaf_on_white(), photograph(1), leaf_on_white()])
    strength = np.zeros((4, len(NAMES), 2), dtype=np.float32)
    strength[:, NAMES.index("rotation")] = 12
    white = np.array([False, True, False, True])
    together = ops.convert_to_numpy(apply(images, Draws(strength, np.zeros((4, 1), dtype=np.int64), white)))
    for row in range(4):
        alone = changed(images[row : row + 1], {"rotation": (12.0, 12.0)}, white=bool(white[row]))
        np.testing.assert_array_equal(together[row], alone[0])


def test_white_ground_is_told_by_the_border() -> None:
    leaf = leaf_on_white()
    touching = leaf.copy()
    touching[:, 10:20] = 30
    half = leaf.copy()
    half[:20] = 30
    images = np.stack([leaf, touching, half, photograph()]).astype(np.uint8)
    np.testing.assert_array_equal(white_ground(images), [True, True, False, False])
