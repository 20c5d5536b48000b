"""The census: a picture for any data set, whatever is unknown of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from PIL import Image

from featstore.care.census import _figure, draw_census

pytestmark = pytest.mark.usefixtures("painted")


def papers(n_images: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "image_id": np.arange(n_images).astype(str),
            "class_id": rng.integers(0, 9, n_images).astype(str),
            "observation_id": rng.integers(0, max(1, n_images // 2), n_images).astype(str),
            "author": rng.integers(0, 5, n_images).astype(str),
            "view": rng.choice(["Leaf", "Flower", "Stem"], n_images),
            "vote": rng.integers(2, 11, n_images) / 2,
            "split": rng.choice(["train", "test"], n_images),
            "status": "done",
        }
    )


@pytest.mark.parametrize("n_images", [1, 3, 500])
def test_a_picture_for_any_number_of_photographs(tmp_path: Path, n_images: int) -> None:
    (path,) = draw_census(papers(n_images), tmp_path)
    with Image.open(path) as picture:
        assert picture.size[0] > 1000
        assert np.unique(np.asarray(picture.convert("L"))).size > 20


def panels(shown: pd.DataFrame) -> tuple[dict[str, Axes], str]:
    """The panels that are drawn, by their titles, and what is said below them."""
    figure = _figure(shown)
    figure.canvas.draw()
    return {axes.get_title(loc="left"): axes for axes in figure.axes}, figure.get_supxlabel()


def told(axes: Axes, which: str) -> list[str]:
    """Labels of the ticks that are within the panel."""
    low, high = sorted(axes.get_xlim() if which == "x" else axes.get_ylim())
    axis = axes.xaxis if which == "x" else axes.yaxis
    labels = [(tick.get_loc(), tick.label1.get_text()) for tick in axis.get_major_ticks()]
    return [text for place, text in labels if low <= place <= high and text]


@pytest.mark.parametrize(
    ("unknown", "below"),
    [
        ({}, ""),
        ({"vote": np.nan}, "votes"),
        ({"author": "", "view": "Unknown"}, "views, authors"),
        ({"class_id": ""}, "classes, classes in train"),
        ({"class_id": "", "vote": np.nan, "author": "", "view": "Unknown"},
         "classes, views, votes, authors, classes in train"),
    ],
)  # fmt: skip
def test_what_is_unknown_is_named_and_has_no_empty_panel(unknown: dict[str, object], below: str) -> None:
    drawn, said = panels(papers(40).assign(**unknown))
    assert len(drawn) == 6 - len(below.split(", ") if below else [])
    assert said == (f"unknown of every photograph: {below}" if below else "")


def test_a_picture_without_usable_photographs(tmp_path: Path) -> None:
    (path,) = draw_census(papers(40).assign(status="failed"), tmp_path)
    assert path.stat().st_size > 5_000


@pytest.mark.parametrize("n_authors", [1, 2, 3, 400])
def test_authors_are_counted_in_whole_numbers_and_every_axis_has_labels(n_authors: int) -> None:
    shown = papers(60 * min(n_authors, 20))
    shown["author"] = (np.arange(len(shown)) % n_authors).astype(str)
    shown.loc[: len(shown) // 2, "author"] = "0"
    drawn, _ = panels(shown.assign(split="train"))
    axes = drawn["Photographs per author"]
    for which in ("x", "y"):
        labels = told(axes, which)
        assert labels
        assert all(label.replace(",", "").replace("\N{MINUS SIGN}", "").isdecimal() for label in labels)


def test_no_share_is_above_the_whole() -> None:
    drawn, _ = panels(papers(40).assign(view="Leaf"))
    assert told(drawn["Share of each view"], "y")[-1] == "100%"


def test_the_same_papers_give_the_same_picture(tmp_path: Path) -> None:
    (one,), (two,) = (draw_census(papers(50), tmp_path / name) for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
