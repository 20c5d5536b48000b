"""Channels against Pillow's luma and scikit-image's Lab."""

from __future__ import annotations

from typing import get_args

import numpy as np
from PIL import Image
from skimage.color import rgb2lab

from featstore.roi.channels import CHANNELS, a_star, grey
from featstore.roi.view_recipe import Channel


def test_grey_is_luma() -> None:
    image = np.random.default_rng(0).integers(0, 256, (50, 40, 3), dtype=np.uint8)
    assert np.abs(grey(image) - image @ np.array([0.299, 0.587, 0.114])).max() <= 1
    assert np.array_equal(grey(image), np.asarray(Image.fromarray(image).convert("L")))


def test_a_star_is_that_of_lab() -> None:
    steps = np.arange(0, 256, 5, dtype=np.uint8)
    image = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(52, -1, 3)
    assert np.abs(a_star(image) - rgb2lab(image)[:, :, 1]).max() < 0.02
    dark = np.random.default_rng(0).integers(0, 16, (40, 40, 3), dtype=np.uint8)
    assert np.abs(a_star(dark) - rgb2lab(dark)[:, :, 1]).max() < 0.02


def test_green_is_negative_red_positive_and_grey_nought() -> None:
    colours = np.array([[[0, 200, 0], [200, 0, 0], [0, 0, 0], [128, 128, 128], [255, 255, 255]]], dtype=np.uint8)
    green, red, *greys = a_star(colours)[0]
    assert green < -50
    assert red > 50
    assert np.abs(greys).max() < 0.02


def test_every_channel_has_its_part() -> None:
    assert set(CHANNELS) == set(get_args(Channel))
    for channel in CHANNELS.values():
        values = channel(np.zeros((3, 5, 3), np.uint8))
        assert (values.shape, values.dtype) == ((3, 5), np.float32)
