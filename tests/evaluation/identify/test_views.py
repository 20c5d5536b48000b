"""Photographs and their views as the command line names them."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.identify.contract import Photograph
from evaluation.identify.views import photograph_named
from featstore.catalog import VIEWS
from featstore.errors import SettingsError


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_in_any_case(view: str) -> None:
    for text in (view, view.upper(), view.lower()):
        assert photograph_named(f"a.jpg:{text}") == Photograph("a.jpg", Path("a.jpg"), view)


@pytest.mark.parametrize(
    ("text", "file", "view"),
    [
        ("a.jpg", "a.jpg", "Unknown"),
        ("a.jpg:", "a.jpg", "Unknown"),
        ("folder/a", "folder/a", "Unknown"),
        (r"C:\plants\a.jpg", r"C:\plants\a.jpg", "Unknown"),
        (r"C:\plants\a.jpg:leafscan", r"C:\plants\a.jpg", "LeafScan"),
        ("C:/plants/a.jpg:bark", "C:/plants/a.jpg", "Stem"),
        ("12:30 garden/a.jpg", "12:30 garden/a.jpg", "Unknown"),
        ("at 12:30.jpg:Flower", "at 12:30.jpg", "Flower"),
        ("at 12:30.jpg", "at 12:30.jpg", "Unknown"),
    ],
)
def test_a_colon_in_the_name_does_not_matter(text: str, file: str, view: str) -> None:
    assert photograph_named(text) == Photograph(file, Path(file), view)


def test_a_file_that_is_there_is_one(tmp_path: Path) -> None:
    path = tmp_path / "rose:leaf"
    path.touch()
    assert photograph_named(str(path)) == Photograph(str(path), path)
    assert photograph_named(f"{path}:Leaf") == Photograph(str(path), path, "Leaf")


@pytest.mark.parametrize("text", ["a.jpg:Blossom", "a.jpg:Leaf:Flwer"])
def test_an_unknown_view_is_refused_with_the_list(text: str) -> None:
    with pytest.raises(SettingsError, match="Branch, Entire, Flower, Fruit, Leaf, LeafScan, Stem, Unknown"):
        photograph_named(text)
