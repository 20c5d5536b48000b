"""Photographs: embedded once, as large as there is room for, and a reason where one is missing."""

from __future__ import annotations

import base64
import io
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation.members import load_members
from evaluation.report.album import BUDGET_BYTES, LARGEST_PX, SMALLEST_PX, Album, make_print, side_for
from evaluation.report.herbarium import Herbarium, Specimen


@pytest.fixture
def in_copy(scene, tmp_path: Path):
    """A function that gives a specimen whose file lies in this test's folder."""
    images = load_members(scene.runs, "test").fused[0].predictions
    known = Herbarium.open(str(scene.store), images, ["net"])

    def find(image_id: str) -> Specimen:
        one = known.specimen(image_id)
        copy = tmp_path / one.path.name
        shutil.copy(one.path, copy)
        return Specimen(copy, one.sha256, one.box)

    return find


def test_each_photograph_is_embedded_once(scene) -> None:
    images = load_members(scene.runs, "test").fused[0].predictions
    herbarium = Herbarium.open(str(scene.store), images, ["net"])
    album = Album.of(herbarium, ["i000", "i001", "i000", "nobody"])
    shown = album.show("i000", "a plant") + album.show("i000", "again") + album.show("i001", "another")
    sheets = album.sheets()
    assert sorted(re.findall(r'href="#(p\d)"', shown)) == ["p0", "p0", "p1"]
    assert re.findall(r'id="(p\d)"', sheets) == ["p0", "p1"]
    # What is embedded are the pixels of the photograph.
    data = base64.b64decode(re.findall(r"base64,([^\"]+)", sheets)[0])
    original = np.asarray(Image.open(scene.photos / "0-0.jpg").convert("RGB"), dtype=float)
    assert np.abs(np.asarray(Image.open(io.BytesIO(data)), dtype=float) - original).mean() < 6
    assert album.missing == {"nobody": "a photograph that the store does not know"}
    assert "the store does not know" in album.show("nobody", "a plant")


def test_a_box_is_drawn_where_it_lies(in_copy) -> None:
    one = in_copy("i000")
    whole = make_print(one, 0, 256)
    # Top, left, bottom, right of the store become x, y, width, height.
    assert (whole.width, whole.height, whole.box) == (64, 48, (10, 8, 40, 32))
    assert make_print(one, 0, 32).box == (5, 4, 20, 16)
    everything = Specimen(one.path, one.sha256, (0, 0, 48, 64))
    assert make_print(everything, 0, 256).box is None


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda path: path.unlink(), "No such file"),
        (lambda path: path.write_bytes(b""), "has changed since"),
        (lambda path: Image.new("RGB", (64, 48)).save(path), "has changed since"),
    ],
)
def test_a_photograph_that_is_gone_or_another_one_is_told(in_copy, harm, reason: str) -> None:
    one = in_copy("i000")
    harm(one.path)

    class Only:
        def specimen(self, image_id: str) -> Specimen:
            return one

    album = Album.of(Only(), ["i000"])
    assert reason in album.missing["i000"]
    assert reason in album.show("i000", "a plant")


def test_more_photographs_are_smaller() -> None:
    sides = [side_for(n) for n in (0, 1, 100, 1_000, 5_000, 20_000)]
    assert sides == sorted(sides, reverse=True)
    assert sides[0] == LARGEST_PX
    assert sides[-1] == SMALLEST_PX


def test_the_worst_photographs_keep_the_budget(tmp_path: Path) -> None:
    """Noise is the hardest to compress: foliage keeps well below it."""
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    leaves = Image.fromarray(noise).resize((1200, 900), Image.Resampling.BICUBIC)
    leaves.save(tmp_path / "a.jpg", quality=95)
    n_photographs = 1_500
    copy = make_print(Specimen(tmp_path / "a.jpg", "", None), 0, side_for(n_photographs))
    assert len(copy.jpeg) * n_photographs < 1.7 * BUDGET_BYTES
