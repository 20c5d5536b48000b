"""Scans: leaves survive whitening, their ground does not, on drawn and on real scans."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage import filters

from featstore.roi import RECIPES, Box, cut, find_box, trace
from featstore.roi.channels import grey
from featstore.roi.shades import otsu, otsu_bin

SCAN = RECIPES["article"].of("LeafScan")
Pixels = NDArray[np.uint8]
Scene = Callable[..., Pixels]


def whole(image: Pixels) -> Box:
    return (0, 0, image.shape[0], image.shape[1])


@pytest.mark.parametrize("colours", [(70, 215), (215, 70)], ids=["dark leaf", "light leaf"])
def test_whitening_keeps_the_leaf_and_clears_the_ground(scene: Scene, colours: tuple[int, int]) -> None:
    box = (60, 80, 240, 320)
    image = scene((300, 400), box, colours)
    before = image.copy()
    found = find_box(image, SCAN)
    assert found.box == whole(image)
    assert found.reason == ""
    whitened = cut(image, found.box, SCAN)
    leaf = scene((300, 400), box, (255, 0))[:, :, 0] > 128
    inside, outside = ndimage.binary_erosion(leaf, iterations=2), ~ndimage.binary_dilation(leaf, iterations=2)
    assert np.array_equal(whitened[inside], image[inside])
    assert (whitened[outside] == 255).all()
    assert np.array_equal(image, before)


def test_the_trace_of_a_scan_is_what_is_not_painted(scene: Scene) -> None:
    image = scene((300, 400), (60, 80, 240, 320), (70, 215))
    traced = trace(image, SCAN)
    painted = (cut(image, whole(image), SCAN) == 255).all(axis=2)
    assert traced.mask is not None
    assert np.array_equal(traced.mask, ~painted)


def test_a_black_ruler_does_not_erase_a_light_leaf(scene: Scene) -> None:
    image = scene((300, 400), (80, 60, 160, 240), (175, 235))
    image[280:, 20:] = 10
    image[40:, 350:] = 10
    whitened = cut(image, whole(image), SCAN)
    # One Otsu threshold lies between ruler and leaf; that is the trap.
    assert otsu(grey(image)) < 150
    assert np.array_equal(whitened[100:140, 120:180], image[100:140, 120:180])
    assert (whitened[:30, :300] == 255).all()


def test_an_unevenly_lit_ground_is_not_taken_for_two() -> None:
    ramp = np.linspace(190, 250, 400).astype(np.uint8)
    image = np.repeat(np.tile(ramp, (300, 1))[:, :, None], 3, axis=2)
    image[100:200, 150:250] = 60
    whitened = cut(image, whole(image), SCAN)
    ground = np.ones((300, 400), bool)
    ground[100:200, 150:250] = False
    assert (whitened[ground] == 255).all()
    assert (whitened[~ground] == 60).all()


@settings(max_examples=100)
@given(counts=st.lists(st.integers(1, 50), min_size=2, max_size=12), last=st.integers(1, 50))
def test_otsu_parts_a_histogram_where_the_variance_between_is_greatest(counts: list[int], last: int) -> None:
    levels, histogram = np.arange(len(counts) + 1), np.array([*counts, last])

    def between(division: int) -> float:
        low, high = histogram[: division + 1], histogram[division + 1 :]
        means = np.average(levels[: division + 1], weights=low), np.average(levels[division + 1 :], weights=high)
        return float(low.sum() * high.sum() * (means[0] - means[1]) ** 2)

    variances = [between(division) for division in levels[:-1]]
    assert variances[otsu_bin(histogram)] == pytest.approx(max(variances))


@settings(max_examples=60)
@given(seed=st.integers(0, 2**16), sigma=st.floats(0, 4), scale=st.floats(0.5, 250))
def test_otsu_is_that_of_scikit_image(seed: int, sigma: float, scale: float) -> None:
    values = np.random.default_rng(seed).random((40, 50), dtype=np.float32) * np.float32(scale)
    values = ndimage.gaussian_filter(values, sigma)

    def between(threshold: float) -> float:
        high, low = values[values > threshold].astype(float), values[values <= threshold].astype(float)
        return high.size * low.size * (high.mean() - low.mean()) ** 2

    # Not the same number: two bins may part the values equally well.
    assert between(otsu(values)) >= 0.999 * between(filters.threshold_otsu(values))


@pytest.mark.shared_data
def test_whitening_keeps_real_leaves(shared: Path) -> None:
    folder = shared / "data/plants39"
    scans = [p for p in sorted((folder / "test_truth").glob("2*.xml")) if content_of(p) == "LeafScan"][::4]
    assert len(scans) >= 40
    kept, cleared, rims = [], [], []
    for scan in scans:
        image = np.asarray(Image.open(folder / "test" / f"{scan.stem}.jpg").convert("RGB"))
        white = (cut(image, whole(image), SCAN) == 255).all(axis=2)
        leaf, ground = leaf_and_ground(image)
        kept.append(1 - white[leaf].mean())
        cleared.append(white[ground].mean())
        # Ruler and colour chart lie along the lower and the right side; the other two show the ground alone.
        rims.append((white[0, : white.shape[1] // 2].mean() + white[: white.shape[0] // 2, 0].mean()) / 2)
    assert min(kept) > 0.85
    assert np.mean(kept) > 0.99
    assert np.mean(cleared) > 0.97
    assert np.mean(rims) > 0.97


def content_of(xml: Path) -> str:
    return ET.parse(xml).getroot().findtext("Content", "")


def leaf_and_ground(image: Pixels) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Masks found by saturation, not by grey: the inside of the leaf, and the ground around it (chart left out)."""
    height, width = image.shape[:2]
    coloured, n_parts = ndimage.label(np.asarray(Image.fromarray(image).convert("HSV"))[:, :, 1] > 60)
    centres = ndimage.center_of_mass(coloured > 0, coloured, range(1, n_parts + 1))
    beside_chart = [i for i, (y, x) in enumerate(centres, 1) if y < 0.78 * height and x < 0.72 * width]
    leaf = coloured == max(beside_chart, key=lambda part: int((coloured == part).sum()))
    ground = ~ndimage.binary_dilation(coloured > 0, iterations=6)
    ground[int(0.7 * height) :] = False
    ground[:, int(0.7 * width) :] = False
    return ndimage.binary_erosion(leaf), ground
