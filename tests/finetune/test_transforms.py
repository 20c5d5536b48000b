"""Transforms: each one alone against its definition, and white ground that stays white."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from finetune.transforms import NAMES, TRANSFORMS, Draws, apply, white_ground

SIDE_PX = 33
LUMA = np.array([0.299, 0.587, 0.114])
HALF = 0.5 + 1e-3  # rounding to 8 bits


def photograph(seed: int = 0, low: int = 60, high: int = 200, side_px: int = SIDE_PX) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).uniform(low - 200, high + 200, (side_px, side_px, 3))
    return ndimage.gaussian_filter(noise, (2, 2, 0)).clip(low, high).astype(np.uint8)


def changed(
    images: NDArray[np.uint8], strengths: dict[str, tuple[float, ...]], *, white: bool = False, key: int = 0
) -> NDArray[np.uint8]:
    strength = np.zeros((len(images), len(NAMES), 3), dtype=np.float32)
    for name, values in strengths.items():
        strength[:, NAMES.index(name), : len(values)] = values
    keys = np.arange(len(images), dtype=np.int64)[:, None] + key
    return apply(images, Draws(strength, keys, np.full(len(images), white)))


def leaf_on_white(side_px: int = SIDE_PX) -> NDArray[np.uint8]:
    image = np.full((side_px, side_px, 3), 255, dtype=np.uint8)
    image[side_px // 4 : -side_px // 4, side_px // 3 : -side_px // 3] = (40, 120, 30)
    return image


def sampled(image: NDArray[np.uint8], angle: float, scale: float, top: float, left: float) -> NDArray[np.float64]:
    """By scipy: the square that is `scale` times the side, turned, with its centre (top, left) off the middle."""
    turn = np.deg2rad(angle)
    # scipy maps (row, column) of the result to (row, column) of the input.
    to_input = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    centre = np.full(2, (len(image) - 1) / 2)
    offset = centre + np.array([top, left]) - to_input @ centre
    channels = [
        ndimage.affine_transform(image[..., c].astype(np.float64), to_input, offset, order=1, mode="reflect")
        for c in range(3)
    ]
    return np.stack(channels, axis=-1)


def test_flip_is_the_exact_mirror_image() -> None:
    images = np.stack([photograph(0), photograph(1)])
    np.testing.assert_array_equal(changed(images, {"flip": (1,)}), images[:, :, ::-1])


@pytest.mark.parametrize("degrees", [15.0, -20.0, 45.0])
def test_rotation_equals_scipy_around_the_centre(degrees: float) -> None:
    image = photograph()
    result = changed(image[None], {"rotation": (degrees,)})[0]
    np.testing.assert_allclose(result, sampled(image, degrees, 1.0, 0.0, 0.0), atol=1.5)


def test_zoom_equals_scipy_around_the_centre() -> None:
    image = photograph()
    larger = changed(image[None], {"zoom": (0.25,)})[0]
    np.testing.assert_allclose(larger, sampled(image, 0.0, 1 / 1.25, 0.0, 0.0), atol=1.5)
    smaller = changed(image[None], {"zoom": (-0.15,)})[0]
    # Where it shrinks, it also smooths against aliasing.
    assert np.abs(smaller - sampled(image, 0.0, 1 / 0.85, 0.0, 0.0)).mean() < 6


@pytest.mark.parametrize(("share", "x", "y"), [(0.65, 0.0, 0.0), (0.8, 1.0, 0.5), (0.9, 0.3, 1.0), (0.71, 1.0, 1.0)])
def test_crop_equals_scipy_at_its_place(share: float, x: float, y: float) -> None:
    image = photograph()
    room = (1 - share) * SIDE_PX
    result = changed(image[None], {"crop": (share, x, y)})[0]
    expected = sampled(image, 0.0, share, room * (y - 0.5), room * (x - 0.5))
    np.testing.assert_allclose(result, expected, atol=1.5)


def test_crop_shows_what_lies_in_its_window_and_nothing_else() -> None:
    """Every pixel says where it is, so the result says what was seen."""
    side = 128
    place = np.arange(side, dtype=np.uint8)
    image = np.stack([*np.meshgrid(place, place), np.full((side, side), 9, dtype=np.uint8)], axis=-1)
    rng = np.random.default_rng(0)
    for white in (False, True):
        for _ in range(300):
            share, x, y = TRANSFORMS["crop"].strength(rng)
            seen = changed(image[None], {"crop": (share, x, y)}, white=white)[0].astype(int)
            left, top, size = (1 - share) * side * x, (1 - share) * side * y, share * side
            assert (seen[..., 2] == 9).all()
            for channel, start in ((0, left), (1, top)):
                axis = seen[..., channel]
                assert axis.min() >= 0
                assert axis.max() <= side - 1
                assert abs(axis.min() - start) <= 1.5
                assert abs(axis.max() - (start + size - 1)) <= 1.5
            assert (np.diff(seen[..., 0], axis=1) >= 0).all()
            assert (np.diff(seen[..., 1], axis=0) >= 0).all()


def test_rotation_turns_zoom_enlarges_and_shift_moves() -> None:
    dot = np.zeros((1, SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    dot[0, 16, 26] = 255  # right of the centre
    turned = changed(dot, {"rotation": (90.0,)})[0, ..., 0]
    assert np.unravel_index(turned.argmax(), turned.shape) == (26, 16)
    larger = changed(dot, {"zoom": (0.2,)})[0, ..., 0]
    assert np.unravel_index(larger.argmax(), larger.shape) == (16, 28)
    moved = changed(dot, {"shift": (-3 / SIDE_PX, 2 / SIDE_PX)})[0, ..., 0]
    assert np.unravel_index(moved.argmax(), moved.shape) == (18, 23)


def test_shift_is_by_whole_pixels_and_continues_the_mirrored_border() -> None:
    image = photograph()
    moved = changed(image[None], {"shift": (4 / SIDE_PX - 0.01, -0.001)})[0]
    np.testing.assert_array_equal(moved[:-1, 4:], image[1:, :-4])
    np.testing.assert_array_equal(moved[:-1, :4], image[1:, 3::-1])
    np.testing.assert_array_equal(moved[-1, 4:], image[-1, :-4])


def test_brightness_and_contrast() -> None:
    images = photograph()[None]
    np.testing.assert_allclose(changed(images, {"brightness": (0.1,)}), images + 25.5, atol=HALF)
    np.testing.assert_allclose(changed(images, {"contrast": (0.2,)}), 127.5 + 1.2 * (images - 127.5), atol=HALF)
    assert changed(images, {"brightness": (1.0,)}).min() == 255
    assert changed(images, {"brightness": (-1.0,)}).max() == 0


def test_saturation_minus_1_is_grey_and_keeps_the_luma() -> None:
    images = photograph()[None]
    luma = (images @ LUMA)[..., None]
    grey = changed(images, {"saturation": (-1.0,)})
    np.testing.assert_allclose(grey, np.repeat(luma, 3, axis=-1), atol=HALF)
    np.testing.assert_allclose(
        changed(images, {"saturation": (0.5,)}), (luma * -0.5 + 1.5 * images).clip(0, 255), atol=HALF
    )


def test_hue_turns_colours_by_its_angle_and_leaves_grey_alone() -> None:
    leaf = np.array([70, 140, 60], dtype=np.uint8)
    images = np.stack([np.broadcast_to(leaf, (4, 4, 3)), np.full((4, 4, 3), 90, dtype=np.uint8)])
    turned = changed(images, {"hue": (8.0,)})
    np.testing.assert_array_equal(turned[1], 90)
    before, after = colorsys.rgb_to_hsv(*leaf / 255)[0] * 360, colorsys.rgb_to_hsv(*turned[0, 0, 0] / 255)[0] * 360
    # YIQ and HSV measure hue a little differently.
    assert 3 < abs(after - before) < 16


@pytest.mark.parametrize("sigma", [0.5, 1.0, 1.5])
def test_blur_keeps_the_mean_and_takes_the_variance_of_a_gaussian(sigma: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    blurred = changed(noise, {"blur": (sigma,)}).astype(float)
    expected = ndimage.gaussian_filter(noise.astype(float), (0, sigma, sigma, 0), mode="reflect", truncate=8)
    np.testing.assert_allclose(blurred, expected, atol=1.5)
    np.testing.assert_allclose(blurred.mean(axis=(1, 2)), noise.mean(axis=(1, 2)), atol=0.05)
    assert (blurred.var(axis=(1, 2)) < 0.65 * noise.var(axis=(1, 2))).all()
    flat = np.full((1, 224, 224, 3), 77, dtype=np.uint8)
    np.testing.assert_array_equal(changed(flat, {"blur": (sigma,)}), flat)


def test_blur_scales_with_the_side_and_reaches_a_neighbour_at_any() -> None:
    for side in (32, 112, 448):
        line = np.zeros((1, side, side, 3), dtype=np.uint8)
        line[0, :, side // 2] = 255
        row = changed(line, {"blur": (1.0,)})[0, side // 2, :, 0].astype(float)
        assert (row > 0).sum() >= 3
        if side >= 224:
            place = np.arange(side) - side // 2
            assert np.sqrt((row * place**2).sum() / row.sum()) == pytest.approx(side / 224, rel=0.05)


def test_noise_is_gaussian_of_its_strength_and_repeats() -> None:
    images = np.full((2, 128, 128, 3), 128, dtype=np.uint8)
    noisy = changed(images, {"noise": (6.0,)})
    difference = noisy.astype(float) - 128
    assert abs(difference.mean()) < 0.1
    assert difference.std() == pytest.approx(6.0, rel=0.02)
    for n_sigma, share in ((1, 0.3173), (2, 0.0455), (3, 0.0027)):
        # Values are whole: half a grey level more or less decides.
        beyond = (np.abs(difference) > n_sigma * 6.0 + 0.5).mean()
        assert beyond < share < (np.abs(difference) > n_sigma * 6.0 - 0.5).mean()
    assert abs(np.corrcoef(difference[0, :, 1:].ravel(), difference[0, :, :-1].ravel())[0, 1]) < 0.02
    assert not np.array_equal(noisy[0], noisy[1])
    np.testing.assert_array_equal(changed(images, {"noise": (6.0,)}), noisy)
    assert not np.array_equal(changed(images, {"noise": (6.0,)}, key=7), noisy)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "flip"])
@pytest.mark.parametrize("seed", range(4))
def test_white_ground_stays_white(name: str, seed: int) -> None:
    leaf = leaf_on_white(96)
    strength = tuple(TRANSFORMS[name].strength(np.random.default_rng(seed)))
    result = changed(leaf[None], {name: strength}, white=True)[0]
    assert not np.array_equal(result, leaf)
    if TRANSFORMS[name].group != "geometry":
        ground = (leaf == 255).all(axis=-1)
        assert (result[ground] == 255).all()
    if name != "crop":  # which may go through the leaf
        border = np.concatenate([result[0], result[-1], result[:, 0], result[:, -1]])
        assert (border == 255).all()


def test_a_leaf_that_touches_the_border_does_not_smear_over_white_ground() -> None:
    image = leaf_on_white()
    image[20:, 15:18] = (40, 120, 30)  # its stalk leaves the scan below
    result = changed(image[None], {"shift": (0.0, -0.2)}, white=True)[0]
    assert (result[-5:] == 255).all()
    # Without white ground the stalk would be mirrored.
    assert (changed(image[None], {"shift": (0.0, -0.2)})[0, -5:] != 255).any()


@pytest.mark.parametrize("strengths", [{"rotation": (20.0,)}, {"zoom": (-0.15,)}, {"shift": (0.1, -0.1)}])
def test_other_photographs_are_continued_not_whitened(strengths: dict[str, tuple[float, ...]]) -> None:
    image = np.full((1, SIDE_PX, SIDE_PX, 3), 50, dtype=np.uint8)
    np.testing.assert_array_equal(changed(image, strengths), 50)


def test_both_kinds_of_ground_in_one_batch_keep_their_places() -> None:
    images = np.stack([photograph(0), leaf_on_white(), photograph(1), leaf_on_white()])
    strength = np.zeros((4, len(NAMES), 3), dtype=np.float32)
    strength[:, NAMES.index("rotation"), 0] = 12
    white = np.array([False, True, False, True])
    together = apply(images, Draws(strength, np.zeros((4, 1), dtype=np.int64), white))
    for row in range(4):
        alone = changed(images[row : row + 1], {"rotation": (12.0,)}, white=bool(white[row]))
        np.testing.assert_array_equal(together[row], alone[0])


def test_transforms_of_several_groups_follow_each_other_as_in_a_camera() -> None:
    image = photograph()[None]
    both = changed(image, {"brightness": (0.1,), "rotation": (10.0,), "blur": (1.0,)})
    step = changed(changed(image, {"rotation": (10.0,)}), {"brightness": (0.1,)})
    np.testing.assert_array_equal(both, changed(step, {"blur": (1.0,)}))


def test_white_ground_is_told_by_the_border() -> None:
    leaf = leaf_on_white()
    touching = leaf.copy()
    touching[:, 10:20] = 30
    half = leaf.copy()
    half[:20] = 30
    images = np.stack([leaf, touching, half, photograph()])
    np.testing.assert_array_equal(white_ground(images), [True, True, False, False])
