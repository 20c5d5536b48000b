"""The contour against scikit-image's: the same masks from any start, the same boxes on real photographs."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage
from skimage.segmentation import morphological_chan_vese, morphsnakes

from featstore.roi import RECIPES, Box, find_box
from featstore.roi.contours import chan_vese, large_parts, tight_box

Fixture = Callable[..., object]


def by_scikit_image(values: np.ndarray, start: np.ndarray, n_iterations: int, smoothing: int) -> np.ndarray:
    """Its contour, its two smoothings taking turns from the first."""
    turns = iter([morphsnakes.sup_inf, morphsnakes.inf_sup] * (n_iterations * smoothing))
    plain = morphsnakes._curvop

    def smooth(inside: np.ndarray) -> np.ndarray:
        outer, inner = next(turns), next(turns)
        if smooth.n % 2:
            outer, inner = inner, outer
        smooth.n += 1
        return outer(inner(inside))

    smooth.n = 0
    morphsnakes._curvop = smooth
    try:
        return morphological_chan_vese(values, n_iterations, init_level_set=start, smoothing=smoothing) > 0
    finally:
        morphsnakes._curvop = plain


@settings(max_examples=120)
@given(
    shape=st.tuples(st.integers(2, 40), st.integers(2, 40)),
    sigma=st.sampled_from([0.0, 0.7, 2.0]),
    n_iterations=st.integers(0, 13),
    smoothing=st.integers(0, 3),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**16),
)
def test_masks_are_those_of_scikit_image(
    shape: tuple[int, int], sigma: float, n_iterations: int, smoothing: int, share: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    values = ndimage.gaussian_filter(rng.random(shape, dtype=np.float32) * 255, sigma)
    start = rng.random(shape) < share
    ours = chan_vese(values, start, n_iterations, smoothing)
    assert np.array_equal(ours, by_scikit_image(values, start, n_iterations, smoothing))


def test_a_picture_of_three_shades_keeps_what_lies_in_the_middle() -> None:
    # The grey band is exactly between the means: neither side takes it.
    values = np.zeros((30, 30), np.float32)
    values[:, 10:20], values[:, 20:] = 50, 100
    for first in (10, 20):
        start = np.zeros((30, 30), bool)
        start[:, first:] = True
        assert np.array_equal(chan_vese(values, start, 12, 0), by_scikit_image(values, start, 12, 0))


def test_neither_argument_is_changed() -> None:
    values = np.random.default_rng(0).random((20, 30), dtype=np.float32)
    start = values > 0.5
    before = values.copy(), start.copy()
    chan_vese(values, start, 6, 1)
    assert np.array_equal(values, before[0])
    assert np.array_equal(start, before[1])


@pytest.mark.parametrize("view", ["Flower", "Leaf", "Stem"])
@pytest.mark.parametrize("name", ["article", "lab"])
def test_boxes_are_those_of_scikit_image_on_drawn_pictures(
    scene: Fixture, reference: Fixture, overlap: Fixture, view: str, name: str
) -> None:
    rng = np.random.default_rng(0)
    recipe = RECIPES[name].of(view)
    for seed in range(8):
        corner = rng.integers(60, 200, 2)
        truth = (*corner, *(corner + rng.integers(100, 250, 2)))
        colours = tuple(tuple(int(part) for part in rng.integers(0, 256, 3)) for _ in range(2))
        image = scene((480, 600), truth, colours, seed)
        assert overlap(find_box(image, recipe).box, reference(image, recipe)) >= 0.98


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["article", "ibm", "lab"])
def test_boxes_are_those_of_scikit_image_on_real_photographs(
    shared: Path, reference: Fixture, overlap: Fixture, name: str, every_photograph: bool
) -> None:
    folders = ["train", "test"] if every_photograph else ["train"]
    papers = [paper for folder in folders for paper in sorted((shared / "data/plants39" / folder).glob("*.xml"))]
    agreement = []
    for paper in papers if every_photograph else papers[::15]:
        view = ET.parse(paper).getroot().findtext("Content", "")
        if view in {"Flower", "Leaf"}:
            image = np.asarray(Image.open(paper.with_suffix(".jpg")).convert("RGB"))
            recipe = RECIPES[name].of(view)
            agreement.append(overlap(find_box(image, recipe).box, reference(image, recipe)))
    told = f"{name}: {np.mean(np.array(agreement) == 1):.2%} of {len(agreement)} boxes equal, lowest {min(agreement)}\n"
    sys.stdout.write(told)
    assert len(agreement) >= (1600 if every_photograph else 60)
    assert min(agreement) >= 0.98


def test_parts_below_the_share_are_dropped() -> None:
    mask = np.zeros((20, 20), bool)
    mask[:10, :10], mask[15, 15], mask[12:14, 0:5] = True, True, True
    assert large_parts(mask, 0.0).sum() == 111
    assert large_parts(mask, 0.1).sum() == 110
    assert large_parts(mask, 1.0).sum() == 100
    assert not large_parts(np.zeros((3, 3), bool), 0.5).any()


@settings(max_examples=50)
@given(cells=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 6)), max_size=5))
def test_the_tight_box_holds_every_pixel(cells: list[tuple[int, int]]) -> None:
    mask = np.zeros((9, 7), bool)
    for cell in cells:
        mask[cell] = True
    expected: Box | None = None
    if cells:
        rows, columns = zip(*cells, strict=True)
        expected = (min(rows), min(columns), max(rows) + 1, max(columns) + 1)
    assert tight_box(mask) == expected
