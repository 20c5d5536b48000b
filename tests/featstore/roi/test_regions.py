"""Regions: boxes around known objects, honest fallbacks, and nothing that leaves the image."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from featstore.catalog import VIEWS
from featstore.errors import ImageError
from featstore.roi import RECIPES, Box, ViewRecipe, cut, find_box, trace
from featstore.roi.regions import TREATMENTS
from featstore.roi.starts import STARTS
from featstore.roi.view_recipe import Method, Start

ARTICLE, IBM, LAB = RECIPES["article"], RECIPES["ibm"], RECIPES["lab"]
FLOWER = ARTICLE.of("Flower")
ORGANS = ("Flower", "Fruit", "Leaf", "Stem")

Pixels = NDArray[np.uint8]
Scene = Callable[..., Pixels]
Overlap = Callable[[Box, Box], float]


def whole(image: Pixels) -> Box:
    return (0, 0, image.shape[0], image.shape[1])


# --- boxes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", ORGANS)
@pytest.mark.parametrize("colours", [(200, 60), (60, 200)], ids=["light on dark", "dark on light"])
@pytest.mark.parametrize("shape", [(600, 800), (800, 600), (240, 320), (120, 90)])
def test_an_object_at_a_known_place_is_boxed(
    scene: Scene, overlap: Overlap, view: str, colours: tuple[int, int], shape: tuple[int, int]
) -> None:
    height, width = shape
    truth = (int(0.28 * height), int(0.35 * width), int(0.67 * height), int(0.75 * width))
    image = scene(shape, truth, colours)
    found = find_box(image, ARTICLE.of(view))
    assert found.reason == ""
    assert overlap(found.box, truth) >= 0.9
    top, left, bottom, right = found.box
    assert np.array_equal(cut(image, found.box, ARTICLE.of(view)), image[top:bottom, left:right])


@pytest.mark.parametrize("view", ORGANS)
def test_ibm_finds_a_red_object_wherever_its_start_allows(scene: Scene, overlap: Overlap, view: str) -> None:
    truth = (100, 300, 500, 580)
    found = find_box(scene((600, 800), truth, ((210, 120, 60), (40, 70, 40))), IBM.of(view))
    assert found.reason == ""
    assert overlap(found.box, truth) >= 0.9


@pytest.mark.parametrize("view", ORGANS)
def test_lab_sees_what_is_as_bright_as_its_ground(scene: Scene, overlap: Overlap, view: str) -> None:
    # Both have a luma of 113: on grey there is nothing but noise.
    truth = (170, 280, 420, 560)
    image = scene((600, 800), truth, ((200, 78, 64), (70, 145, 62)))
    assert overlap(find_box(image, LAB.of(view)).box, truth) >= 0.9
    assert overlap(find_box(image, ARTICLE.of(view)).box, truth) < 0.6


def test_a_rectangle_grows_to_the_sides_where_the_object_does(scene: Scene, overlap: Overlap) -> None:
    truth = (10, 12, 780, 590)
    found = find_box(scene((800, 600), truth, (40, 220)), IBM.of("Leaf"))
    assert overlap(found.box, truth) >= 0.95


def test_several_flowers_share_a_box_and_a_speck_does_not(scene: Scene, overlap: Overlap) -> None:
    image = scene((400, 400), (100, 60, 180, 160), (220, 50))
    image[250:320, 220:300] = 220
    with_speck = image.copy()
    with_speck[380:392, 8:20] = 220
    assert overlap(find_box(image, FLOWER).box, (100, 60, 320, 300)) >= 0.9
    assert overlap(find_box(with_speck, FLOWER).box, (100, 60, 320, 300)) >= 0.9


@pytest.mark.parametrize(
    ("recipe", "down", "across"),
    [(ARTICLE.of("Leaf"), 0.1, 0.1), (ARTICLE.of("Stem"), 0.2, 0.2), (IBM.of("Stem"), 0.0, 0.25)],
    ids=["leaf", "stem", "ibm stem"],
)
def test_the_inset_is_never_part_of_the_box(scene: Scene, recipe: ViewRecipe, down: float, across: float) -> None:
    # A trunk from top to bottom, and in the cut-off margin something brighter that must not count.
    image = scene((500, 400), (0, 0, 1, 1), (60, 60))
    image[:, 150:250] = 180
    image[:, :30] = 250
    top, left, bottom, right = find_box(image, recipe).box
    assert (top, bottom) == (int(down * 500), 500 - int(down * 500))
    assert abs(left - 150) <= 4
    assert abs(right - 250) <= 4
    assert trace(image, recipe).area == (top, int(across * 400), bottom, 400 - int(across * 400))


@pytest.mark.parametrize("view", ["Flower", "Leaf"])
def test_the_object_is_the_class_that_holds_less_of_the_rim(scene: Scene, view: str) -> None:
    # The object covers more than half of the picture and touches its lower rim: neither area nor contact decides.
    found = find_box(scene((400, 400), (45, 45, 420, 355), (210, 40)), ARTICLE.of(view))
    assert found.reason == ""
    assert found.box[0] <= 60
    assert 30 <= found.box[1] <= 60


@settings(max_examples=80)
@given(
    shape=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    view=st.sampled_from(VIEWS),
    name=st.sampled_from(sorted(RECIPES)),
    grain=st.integers(1, 12),
    seed=st.integers(0, 2**16),
)
def test_a_box_is_never_empty_and_never_leaves_the_image(
    shape: tuple[int, int], view: str, name: str, grain: int, seed: int
) -> None:
    blotches = np.random.default_rng(seed).integers(0, 256, (shape[0] // grain + 1, shape[1] // grain + 1, 3))
    image = np.kron(blotches, np.ones((grain, grain, 1))).astype(np.uint8)[: shape[0], : shape[1]]
    before, recipe = image.copy(), RECIPES[name].of(view)
    found = find_box(image, recipe)
    top, left, bottom, right = found.box
    assert 0 <= top < bottom <= shape[0]
    assert 0 <= left < right <= shape[1]
    if found.reason:
        assert found.box == whole(image)
    region = cut(image, found.box, recipe)
    assert region.shape == (bottom - top, right - left, 3)
    assert region.flags.writeable
    assert not np.shares_memory(region, image)
    traced = trace(image, recipe)
    assert traced.found == found
    assert np.array_equal(image, before)


@settings(max_examples=40)
@given(
    corner=st.tuples(st.floats(0.1, 0.45), st.floats(0.1, 0.45)),
    extent=st.tuples(st.floats(0.25, 0.45), st.floats(0.25, 0.45)),
    enlarged=st.integers(2, 4),
)
def test_the_box_scales_with_the_image(
    scene: Scene, corner: tuple[float, float], extent: tuple[float, float], enlarged: int
) -> None:
    top, left = int(200 * corner[0]), int(160 * corner[1])
    image = scene((200, 160), (top, left, top + int(200 * extent[0]), left + int(160 * extent[1])), (200, 50))
    large = np.asarray(Image.fromarray(image).resize((160 * enlarged, 200 * enlarged), Image.Resampling.NEAREST))
    # The copy of the enlarged image is the image itself, so its box is the same, scaled.
    assert find_box(large, FLOWER).box == tuple(enlarged * side for side in find_box(image, FLOWER).box)


def test_the_trace_shows_the_mask_that_the_box_surrounds(scene: Scene) -> None:
    traced = trace(scene((600, 800), (150, 200, 450, 500), (220, 40)), FLOWER)
    assert traced.mask is not None
    assert traced.mask.shape == (150, 200)
    rows, columns = np.flatnonzero(traced.mask.any(axis=1)), np.flatnonzero(traced.mask.any(axis=0))
    assert traced.found.box == (4 * rows[0], 4 * columns[0], 4 * rows[-1] + 4, 4 * columns[-1] + 4)


# --- fallbacks ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (5, 4), (300, 3), (64, 48)])
@pytest.mark.parametrize("value", [0, 37, 255])
@pytest.mark.parametrize("name", ["article", "ibm", "lab"])
def test_images_without_contrast_are_kept_whole(view: str, shape: tuple[int, int], value: int, name: str) -> None:
    image, recipe = np.full((*shape, 3), value, np.uint8), RECIPES[name].of(view)
    found = find_box(image, recipe)
    assert found.box == whole(image)
    assert bool(found.reason) == (recipe.method != "keep")
    assert np.array_equal(cut(image, found.box, recipe), image)
    assert trace(image, recipe).found == found


def test_a_grey_photograph_has_no_shades_from_green_to_red(scene: Scene) -> None:
    grey = scene((300, 400), (100, 100, 200, 300), (220, 40))[:, :, :1].repeat(3, axis=2)
    assert find_box(grey, LAB.of("Flower")).reason == "one shade from green to red, no contour"
    assert find_box(grey, FLOWER).reason == ""


def test_a_start_of_nothing_is_said(scene: Scene) -> None:
    green = scene((300, 400), (100, 100, 200, 300), ((60, 200, 60), (20, 90, 20)))
    assert find_box(green, IBM.of("Flower")).reason == "nothing for the contour to start from"


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", ["article", "none"])
def test_views_that_are_kept_are_left_alone(scene: Scene, view: str, name: str) -> None:
    recipe, image = RECIPES[name].of(view), scene((300, 400), (100, 100, 200, 300), (220, 40))
    found = find_box(image, recipe)
    kept = name == "none" or view in {"Branch", "Entire", "Unknown"}
    assert kept == (recipe.method == "keep")
    if kept:
        assert (found.box, found.reason) == (whole(image), "")
        assert np.array_equal(cut(image, found.box, recipe), image)
        assert trace(image, recipe).mask is None


def test_a_small_box_is_not_believed(scene: Scene) -> None:
    found = find_box(scene((600, 600), (300, 300, 360, 360), (250, 20)), FLOWER)
    assert found.box == (0, 0, 600, 600)
    assert found.reason == "the contour's box is under 2% of the image"


def test_a_contour_that_touches_everything_is_not_believed() -> None:
    image = np.full((200, 200, 3), 40, np.uint8)
    image[95:105], image[:, 95:105] = 220, 220
    for view in ("Flower", "Leaf", "Stem"):
        found = find_box(image, ARTICLE.of(view))
        assert (found.box, found.reason) == ((0, 0, 200, 200), "the contour touches all four sides")


def test_a_contour_that_dissolves_is_not_believed() -> None:
    image = np.full((200, 200, 3), 40, np.uint8)
    image[20::40, 20::40] = 60
    traced = trace(image, replace(FLOWER, sigma_px=0.0))
    assert (traced.found.box, traced.found.reason) == ((0, 0, 200, 200), "the contour vanished")
    assert traced.mask is not None
    assert not traced.mask.any()


# --- threads and refusals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_iterations", [9, 10])
def test_threads_do_not_disturb_each_other(scene: Scene, n_iterations: int) -> None:
    images = [scene((200, 160), (40 + i, 30, 120 + i, 110), (130, 110), seed=i) for i in range(24)]
    recipe = replace(FLOWER, n_iterations=n_iterations)
    alone = [find_box(image, recipe) for image in images]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda image: find_box(image, recipe), images)) == alone


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)],
    ids=["grey", "four channels", "float", "empty"],
)
def test_what_is_no_photograph_is_refused(image: Pixels) -> None:
    for wrong in (
        lambda: find_box(image, FLOWER),
        lambda: trace(image, FLOWER),
        lambda: cut(image, (0, 0, 1, 1), FLOWER),
    ):
        with pytest.raises(ImageError, match="an RGB image"):
            wrong()


@pytest.mark.parametrize("box", [(0, 0, 0, 5), (2, 2, 2, 4), (-1, 0, 4, 4), (0, 0, 11, 4), (0, 5, 4, 4)])
def test_a_box_outside_the_image_is_refused(box: Box) -> None:
    with pytest.raises(ImageError, match="inside 10 x 10 px"):
        cut(np.zeros((10, 10, 3), np.uint8), box, ViewRecipe())


def test_every_name_has_its_part() -> None:
    assert set(TREATMENTS) == set(get_args(Method))
    assert set(STARTS) == set(get_args(Start))
