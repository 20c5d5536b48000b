"""Crops: the store's own pixels, failures told, nothing cut twice."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from featstore.errors import TrainingError
from featstore.images import load_crop, load_photograph, resize
from featstore.roi import RECIPES, cut, find_box
from finetune import crops as crops_module
from finetune.crops import BOX, CONTENT, DONE, PIXELS, cut_photographs


def write_photographs(folder: Path, n: int = 6) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = []
    for number in range(n):
        path = folder / f"{number}.jpg"
        pixels = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
        if number == 1:
            pixels[:] = 250  # a leaf on light ground, whitened by the recipe
            pixels[20:40, 30:50] = (30, 90, 30)
        Image.fromarray(pixels).save(path, quality=95)
        rows.append(
            {
                "image_id": f"i{number}",
                "path": path.name,
                "view": "LeafScan" if number == 1 else "Flower",
                "class_id": str(number % 2),
                "vote": np.nan,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                "box_top": 5,
                "box_left": 10,
                "box_bottom": 55,
                "box_right": 70,
            }
        )
    return pd.DataFrame(rows)


def test_crops_are_the_very_pixels_of_the_store(tmp_path: Path) -> None:
    papers = write_photographs(tmp_path)
    crops = cut_photographs(papers, tmp_path, 32, RECIPES["article"], tmp_path / "cache")

    assert crops.failures == {}
    assert crops.pixels.shape == (6, 32, 32, 3)
    assert isinstance(crops.pixels, np.memmap)
    for row, paper in papers.iterrows():
        expected = load_crop(tmp_path / paper["path"], (5, 10, 55, 70), 32, RECIPES["article"].of(paper["view"]))
        np.testing.assert_array_equal(crops.read(np.array([row]))[0], expected)
    np.testing.assert_array_equal(crops.white, [False, True, False, False, False, False])


def test_a_lost_damaged_or_changed_photograph_is_left_out_and_told(tmp_path: Path) -> None:
    papers = write_photographs(tmp_path)
    (tmp_path / "0.jpg").unlink()
    (tmp_path / "2.jpg").write_bytes((tmp_path / "2.jpg").read_bytes()[:300])
    damaged = (tmp_path / "3.jpg").read_bytes()[:200]
    (tmp_path / "3.jpg").write_bytes(damaged)
    papers.loc[3, "sha256"] = hashlib.sha256(damaged).hexdigest()

    crops = cut_photographs(papers, tmp_path, 32, RECIPES["none"], tmp_path / "cache")

    assert list(crops.papers["image_id"]) == ["i1", "i4", "i5"]
    assert list(crops.failures) == ["i0", "i2", "i3"]
    assert crops.failures["i0"] == "No such file or directory"
    assert "has changed" in crops.failures["i2"]
    assert "damaged" in crops.failures["i3"]
    expected = load_crop(tmp_path / "4.jpg", (5, 10, 55, 70), 32, RECIPES["none"].of("Flower"))
    np.testing.assert_array_equal(crops.read(np.array([1]))[0], expected)


def test_a_wrong_root_says_which_option_helps(tmp_path: Path) -> None:
    papers = write_photographs(tmp_path)
    with pytest.raises(TrainingError, match=r"none of 6 \(0.jpg: No such file .* and 5 more\).*--photos ROOT"):
        cut_photographs(papers, tmp_path / "elsewhere", 32, RECIPES["none"], tmp_path / "cache")
    # Photographs that no store knows have no other place to say.
    new = papers[["image_id", "path", "view"]]
    with pytest.raises(TrainingError, match=r"none of 6 .* Mend them, or correct their paths"):
        cut_photographs(new, tmp_path / "elsewhere", 32, RECIPES["none"], tmp_path / "other")


def test_what_is_cut_is_not_cut_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    papers = write_photographs(tmp_path)
    lost = (tmp_path / "4.jpg").read_bytes()
    (tmp_path / "4.jpg").unlink()
    first = cut_photographs(papers, tmp_path, 32, RECIPES["article"], tmp_path / "cache")
    assert list(first.failures) == ["i4"]
    decoded: list[str] = []

    def counted(path: Path, *args: object) -> object:
        decoded.append(path.name)
        return load_crop(path, *args)  # type: ignore[arg-type]  # passed on

    monkeypatch.setattr(crops_module, "load_crop", counted)
    again = cut_photographs(papers, tmp_path, 32, RECIPES["article"], tmp_path / "cache")
    assert (decoded, list(again.failures)) == ([], ["i4"])
    np.testing.assert_array_equal(again.pixels, first.pixels)
    # There again: it alone is cut.
    (tmp_path / "4.jpg").write_bytes(lost)
    whole = cut_photographs(papers, tmp_path, 32, RECIPES["article"], tmp_path / "cache")
    assert (decoded, whole.failures) == (["4.jpg"], {})


@pytest.mark.parametrize("change", ["side", "recipe", "box", "photograph", "damage", "short", "content"])
def test_a_cache_of_something_else_is_written_anew(tmp_path: Path, change: str) -> None:
    papers = write_photographs(tmp_path)
    cache = tmp_path / "cache"
    cut_photographs(papers, tmp_path, 32, RECIPES["none"], cache)
    side_px, recipe = 32, RECIPES["none"]
    if change == "side":
        side_px = 48
    if change == "recipe":
        recipe = RECIPES["article"]
    if change == "box":
        papers.loc[0, "box_top"] = 20
    if change == "photograph":
        Image.new("RGB", (80, 60), (200, 30, 30)).save(tmp_path / "0.jpg")
        papers.loc[0, "sha256"] = hashlib.sha256((tmp_path / "0.jpg").read_bytes()).hexdigest()
    if change == "damage":
        (cache / PIXELS).write_bytes(b"nothing")
    if change == "short":
        (cache / DONE).write_bytes((cache / DONE).read_bytes()[:-2])
    if change == "content":
        (cache / CONTENT).unlink()
    found = cut_photographs(papers, tmp_path, side_px, recipe, cache)
    fresh = cut_photographs(papers, tmp_path, side_px, recipe, tmp_path / "fresh")
    np.testing.assert_array_equal(found.pixels, fresh.pixels)


def test_without_boxes_regions_are_found_as_a_build_finds_them(tmp_path: Path) -> None:
    papers = write_photographs(tmp_path).drop(columns=["sha256", *BOX])
    crops = cut_photographs(papers, tmp_path, 32, RECIPES["article"], tmp_path / "cache")
    for row, paper in papers.iterrows():
        recipe = RECIPES["article"].of(paper["view"])
        image = load_photograph(tmp_path / paper["path"]).pixels
        expected = resize(cut(image, find_box(image, recipe).box, recipe), 32)
        np.testing.assert_array_equal(crops.read(np.array([row]))[0], expected)
