"""Regions of interest: boxes around known objects, leaves that survive whitening, and honest fallbacks."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path
from typing import cast, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from featstore import contours, recipes
from featstore.errors import ImageError, SettingsError
from featstore.recipes import RECIPES, Channel, Method, Recipe, ViewRecipe
from featstore.roi import CHANNELS, TREATMENTS, Box, cut, find_box, recipe_identity

VIEWS = ("Branch", "Entire", "Flower", "Fruit", "Leaf", "LeafScan", "Stem", "Unknown")
PLANTS39 = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "plants39"

Pixels = NDArray[np.uint8]


def scene(shape: tuple[int, int], ellipse: Box, colours: tuple[int, int], seed: int = 0) -> Pixels:
    """An ellipse that fills the box `ellipse`, in (object, ground) greys, with noise of 8 grey values."""
    image = Image.new("L", (shape[1], shape[0]), colours[1])
    top, left, bottom, right = ellipse
    ImageDraw.Draw(image).ellipse((left, top, right - 1, bottom - 1), fill=colours[0])
    noise = np.random.default_rng(seed).normal(0, 8, (*shape, 3))
    return np.clip(np.asarray(image)[:, :, None] + noise, 0, 255).astype(np.uint8)


def overlap(one: Box, other: Box) -> float:
    """Intersection over union."""

    def area(box: tuple[int, int, int, int]) -> int:
        return max(0, box[2] - box[0]) * max(0, box[3] - box[1])

    both = area((max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3])))
    return both / (area(one) + area(other) - both)


def whole(image: Pixels) -> Box:
    return (0, 0, image.shape[0], image.shape[1])


# --- boxes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", ["Flower", "Fruit", "Leaf", "Stem"])
@pytest.mark.parametrize("colours", [(200, 60), (60, 200)], ids=["light on dark", "dark on light"])
@pytest.mark.parametrize("shape", [(600, 800), (800, 600), (240, 320), (120, 90)])
def test_an_object_at_a_known_place_is_boxed(view: str, colours: tuple[int, int], shape: tuple[int, int]) -> None:
    height, width = shape
    truth = (int(0.28 * height), int(0.35 * width), int(0.67 * height), int(0.75 * width))
    image = scene(shape, truth, colours)
    found = find_box(image, view)
    assert found.reason == ""
    assert overlap(found.box, truth) >= 0.9
    assert np.array_equal(cut(image, view, found.box), image[found.box[0] : found.box[2], found.box[1] : found.box[3]])


def test_several_flowers_share_a_box_and_a_speck_does_not() -> None:
    image = scene((400, 400), (100, 60, 180, 160), (220, 50))
    image[250:320, 220:300] = 220
    with_speck = image.copy()
    with_speck[380:392, 8:20] = 220
    assert overlap(find_box(image, "Flower").box, (100, 60, 320, 300)) >= 0.9
    assert overlap(find_box(with_speck, "Flower").box, (100, 60, 320, 300)) >= 0.9


@pytest.mark.parametrize(("view", "inset"), [("Leaf", 0.1), ("Stem", 0.2)])
def test_the_inset_is_never_part_of_the_box(view: str, inset: float) -> None:
    # A trunk from top to bottom, and in the cut-off margin something brighter that must not count.
    image = scene((500, 400), (0, 0, 1, 1), (60, 60))
    image[:, 150:250] = 180
    image[:, :30] = 250
    top, left, bottom, right = find_box(image, view).box
    assert (top, bottom) == (int(inset * 500), 500 - int(inset * 500))
    assert abs(left - 150) <= 4
    assert abs(right - 250) <= 4


@pytest.mark.parametrize("view", ["Flower", "Leaf"])
def test_the_object_is_the_class_that_holds_less_of_the_rim(view: str) -> None:
    # The object covers more than half of the picture and touches its lower rim: neither area nor contact decides.
    image = scene((400, 400), (45, 45, 420, 355), (210, 40))
    found = find_box(image, view)
    assert found.reason == ""
    assert found.box[0] <= 60
    assert 30 <= found.box[1] <= 60


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    view=st.sampled_from(VIEWS),
    recipe=st.sampled_from(sorted(RECIPES)),
    grain=st.integers(1, 12),
    seed=st.integers(0, 2**16),
)
def test_a_box_is_never_empty_and_never_leaves_the_image(
    shape: tuple[int, int], view: str, recipe: str, grain: int, seed: int
) -> None:
    blotches = np.random.default_rng(seed).integers(0, 256, (shape[0] // grain + 1, shape[1] // grain + 1, 3))
    image = np.kron(blotches, np.ones((grain, grain, 1))).astype(np.uint8)[: shape[0], : shape[1]]
    before = image.copy()
    found = find_box(image, view, recipe)
    top, left, bottom, right = found.box
    assert 0 <= top < bottom <= shape[0]
    assert 0 <= left < right <= shape[1]
    if found.reason:
        assert found.box == whole(image)
    region = cut(image, view, found.box, recipe)
    assert region.shape == (bottom - top, right - left, 3)
    assert not np.shares_memory(region, image)
    assert np.array_equal(image, before)


@settings(max_examples=40, deadline=None)
@given(
    corner=st.tuples(st.floats(0.1, 0.45), st.floats(0.1, 0.45)),
    extent=st.tuples(st.floats(0.25, 0.45), st.floats(0.25, 0.45)),
    enlarged=st.integers(2, 4),
)
def test_the_box_scales_with_the_image(corner: tuple[float, float], extent: tuple[float, float], enlarged: int) -> None:
    top, left = int(200 * corner[0]), int(160 * corner[1])
    image = scene((200, 160), (top, left, top + int(200 * extent[0]), left + int(160 * extent[1])), (200, 50))
    large = np.asarray(Image.fromarray(image).resize((160 * enlarged, 200 * enlarged), Image.Resampling.NEAREST))
    # The copy of the enlarged image is the image itself, so its box is the same, scaled.
    assert find_box(large, "Flower").box == tuple(enlarged * side for side in find_box(image, "Flower").box)


# --- whitening ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("colours", [(70, 215), (215, 70)], ids=["dark leaf", "light leaf"])
def test_whitening_keeps_the_leaf_and_clears_the_ground(colours: tuple[int, int]) -> None:
    box = (60, 80, 240, 320)
    image = scene((300, 400), box, colours)
    before = image.copy()
    found = find_box(image, "LeafScan")
    assert found.box == whole(image)
    assert found.reason == ""
    whitened = cut(image, "LeafScan", found.box)
    leaf = scene((300, 400), box, (255, 0))[:, :, 0] > 128
    inside, outside = ndimage.binary_erosion(leaf, iterations=2), ~ndimage.binary_dilation(leaf, iterations=2)
    assert np.array_equal(whitened[inside], image[inside])
    assert (whitened[outside] == 255).all()
    assert np.array_equal(image, before)


def test_a_black_ruler_does_not_erase_a_light_leaf() -> None:
    image = scene((300, 400), (80, 60, 160, 240), (175, 235))
    image[280:, 20:] = 10
    image[40:, 350:] = 10
    whitened = cut(image, "LeafScan", whole(image))
    # One Otsu threshold lies between ruler and leaf; that is the trap.
    assert contours.otsu(CHANNELS["grey"](image)) < 150
    assert np.array_equal(whitened[100:140, 120:180], image[100:140, 120:180])
    assert (whitened[:30, :300] == 255).all()


def test_an_unevenly_lit_ground_is_not_taken_for_two() -> None:
    ramp = np.linspace(190, 250, 400).astype(np.uint8)
    image = np.repeat(np.tile(ramp, (300, 1))[:, :, None], 3, axis=2)
    image[100:200, 150:250] = 60
    whitened = cut(image, "LeafScan", whole(image))
    ground = np.ones((300, 400), bool)
    ground[100:200, 150:250] = False
    assert (whitened[ground] == 255).all()
    assert (whitened[~ground] == 60).all()


@pytest.mark.shared_data
def test_whitening_keeps_real_leaves() -> None:
    if not PLANTS39.exists():
        pytest.skip("needs the photographs of plants39")
    scans = [p for p in sorted((PLANTS39 / "test_truth").glob("2*.xml")) if content_of(p) == "LeafScan"][::4]
    assert len(scans) >= 40
    kept, cleared, rims = [], [], []
    for scan in scans:
        image = np.asarray(Image.open(PLANTS39 / "test" / f"{scan.stem}.jpg").convert("RGB"))
        white = (cut(image, "LeafScan", whole(image)) == 255).all(axis=2)
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


# --- fallbacks ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (5, 4), (300, 3), (64, 48)])
@pytest.mark.parametrize("value", [0, 37, 255])
def test_images_without_contrast_are_kept_whole(view: str, shape: tuple[int, int], value: int) -> None:
    image = np.full((*shape, 3), value, np.uint8)
    found = find_box(image, view)
    assert found.box == whole(image)
    assert bool(found.reason) == (view in {"Flower", "Fruit", "Leaf", "LeafScan", "Stem"})
    assert np.array_equal(cut(image, view, found.box), image)


@pytest.mark.parametrize("view", ["Branch", "Entire", "Unknown"])
def test_the_article_leaves_these_views_alone(view: str) -> None:
    image = scene((300, 400), (100, 100, 200, 300), (220, 40))
    found = find_box(image, view)
    assert (found.box, found.reason) == (whole(image), "")
    assert np.array_equal(cut(image, view, found.box), image)


@pytest.mark.parametrize("view", VIEWS)
def test_the_recipe_none_leaves_every_view_alone(view: str) -> None:
    image = scene((300, 400), (100, 100, 200, 300), (220, 40))
    found = find_box(image, view, "none")
    assert (found.box, found.reason) == (whole(image), "")
    assert np.array_equal(cut(image, view, found.box, "none"), image)


def test_a_small_box_is_not_believed() -> None:
    found = find_box(scene((600, 600), (300, 300, 360, 360), (250, 20)), "Flower")
    assert found.box == (0, 0, 600, 600)
    assert found.reason == "the contour's box is under 2% of the image"


def test_a_contour_that_touches_everything_is_not_believed() -> None:
    image = np.full((200, 200, 3), 40, np.uint8)
    image[95:105], image[:, 95:105] = 220, 220
    for view in ("Flower", "Leaf", "Stem"):
        found = find_box(image, view)
        assert (found.box, found.reason) == ((0, 0, 200, 200), "the contour touches all four sides")


def test_a_contour_that_dissolves_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    flower = replace(RECIPES["article"].views["Flower"], sigma_px=0.0)
    monkeypatch.setitem(cast("dict[str, Recipe]", RECIPES), "sharp", Recipe("sharp", 1, {"Flower": flower}))
    image = np.full((200, 200, 3), 40, np.uint8)
    image[20::40, 20::40] = 60
    found = find_box(image, "Flower", "sharp")
    assert (found.box, found.reason) == ((0, 0, 200, 200), "the contour vanished")


# --- threads, refusals, identity ---------------------------------------------------------------------------------


def test_threads_do_not_disturb_each_other() -> None:
    images = [scene((200, 160), (40 + i, 30, 120 + i, 110), (130, 110), seed=i) for i in range(24)]
    alone = [find_box(image, "Flower") for image in images]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda image: find_box(image, "Flower"), images)) == alone


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)],
    ids=["grey", "four channels", "float", "empty"],
)
def test_what_is_no_photograph_is_refused(image: Pixels) -> None:
    with pytest.raises(ImageError, match="an RGB image"):
        find_box(image, "Flower")
    with pytest.raises(ImageError, match="an RGB image"):
        cut(image, "Flower", (0, 0, 1, 1))


@pytest.mark.parametrize("box", [(0, 0, 0, 5), (2, 2, 2, 4), (-1, 0, 4, 4), (0, 0, 11, 4), (0, 5, 4, 4)])
def test_a_box_outside_the_image_is_refused(box: Box) -> None:
    with pytest.raises(ImageError, match="inside 10 x 10 px"):
        cut(np.zeros((10, 10, 3), np.uint8), "Entire", box)


def test_unknown_names_are_refused() -> None:
    image = np.zeros((10, 10, 3), np.uint8)
    with pytest.raises(SettingsError, match="article, none"):
        find_box(image, "Flower", "magic")
    with pytest.raises(SettingsError, match="article, none"):
        recipe_identity("magic")
    with pytest.raises(SettingsError, match="Branch, Entire"):
        find_box(image, "Root")


def test_every_name_has_its_part() -> None:
    assert set(TREATMENTS) == set(get_args(Method))
    assert set(CHANNELS) == set(get_args(Channel))
    for name, recipe in RECIPES.items():
        assert recipe.name == name
        assert tuple(recipe.views) == VIEWS


def test_the_identity_changes_with_every_parameter() -> None:
    article = RECIPES["article"]
    assert recipe_identity("article").startswith("article/1-")
    assert recipe_identity("article") != recipe_identity("none")
    others: dict[str, object] = {
        "method": "keep", "channel": "red", "inset": 0.3, "sigma_px": 9.0, "side_px": 100, "n_iterations": 12,
        "smoothing": 3, "min_part": 0.5, "min_box": 0.5, "min_gap": 9.0,
    }  # fmt: skip
    assert set(others) == {field.name for field in fields(ViewRecipe)}
    identities = {article.identity, replace(article, version=2).identity}
    for name, value in others.items():
        changed = replace(article.views["Leaf"])
        object.__setattr__(changed, name, value)
        identities.add(Recipe("article", 1, {**article.views, "Leaf": changed}).identity)
    assert len(identities) == 2 + len(others)


def test_the_house_recipe_is_the_articles() -> None:
    views = RECIPES["article"].views
    assert {view for view, recipe in views.items() if recipe.method == "keep"} == {"Branch", "Entire", "Unknown"}
    assert (views["Flower"].sigma_px, views["Fruit"].sigma_px, views["Leaf"].sigma_px) == (2.5, 2.5, 2.0)
    assert (views["Flower"].inset, views["Leaf"].inset, views["Stem"].inset) == (0.0, 0.1, 0.2)
    assert views["LeafScan"].method == "whiten"


@pytest.mark.parametrize(
    "change",
    [{"inset": 0.5}, {"inset": -0.1}, {"sigma_px": -1.0}, {"side_px": 4}, {"n_iterations": 3}, {"smoothing": -2},
     {"min_part": 1.5}, {"min_box": 1.0}, {"min_gap": -1.0}, {"method": "guess"}, {"channel": "x"}],
    ids=str,
)  # fmt: skip
def test_impossible_recipes_cannot_exist(change: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match=next(iter(change))):
        replace(recipes.RECIPES["article"].views["Flower"], **change)
