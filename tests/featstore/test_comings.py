"""Comings and goings: what a build tells of photographs is how the catalogue differs from the one before, once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from featstore.build.setup import Moves, set_up
from featstore.errors import StoreError
from featstore.readers import read_dataset
from featstore.roi import RECIPES
from featstore.store import Store
from featstore.store.place import open_place
from featstore.store.rows import Grid


class DataSet:
    """Photographs by name and view, and a store that is told of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.view = {"a": "Leaf", "b": "Leaf", "c": "Flower"}
        for n, name in enumerate([*self.view, "d"]):
            Image.fromarray(np.full((9, 9, 3), 20 * n, dtype=np.uint8)).save(folder / f"{name}.png")
        self.place = open_place(folder / "f.zarr")

    def enter(self) -> Moves:
        lines = [f"{name},{name}.png,{view},k" for name, view in self.view.items()]
        (self.folder / "table.csv").write_text("\n".join(["image_id,path,view,class_id", *lines]))
        catalog = read_dataset(self.folder / "table.csv")
        store = Store.open(self.place) if Store.exists(self.place) else Store.create(self.place, catalog, Grid())
        return set_up(store, catalog, [], RECIPES["none"], any_version=True)


@pytest.fixture
def photographs(tmp_path: Path) -> DataSet:
    return DataSet(tmp_path)


def test_one_that_went_is_told_once(photographs: DataSet) -> None:
    assert photographs.enter() == Moves(new=("c", "a", "b"))
    del photographs.view["b"]
    assert photographs.enter() == Moves(gone=("b",))
    photographs.view["d"] = "Leaf"
    assert photographs.enter() == Moves(new=("d",)), "b went long ago"
    assert photographs.enter() == Moves()


def test_the_last_of_a_view_that_went_is_told(photographs: DataSet) -> None:
    photographs.enter()
    del photographs.view["c"]
    assert photographs.enter() == Moves(gone=("c",))


def test_one_of_another_view_has_neither_come_nor_gone(photographs: DataSet) -> None:
    photographs.enter()
    photographs.view["a"] = "Flower"
    assert photographs.enter() == Moves()
    assert Store.open(photographs.place).index == {"Flower": {"c": 0, "a": 1}, "Leaf": {"b": 1}}


def test_without_the_catalogue_before_rows_tell_who_is_gone(photographs: DataSet) -> None:
    photographs.enter()
    (photographs.folder / "f.zarr" / "catalog" / "g000001" / "image_id" / "c" / "0").unlink()
    del photographs.view["b"]
    assert photographs.enter() == Moves(gone=("b",))


@pytest.mark.parametrize("content", ["", "{", '{"node_type": "array"}'])
def test_a_catalogue_is_written_beside_a_damaged_one(photographs: DataSet, content: str) -> None:
    photographs.enter()
    catalogue = photographs.folder / "f.zarr" / "catalog"
    for layout in (catalogue / "zarr.json", catalogue / "g000001" / "zarr.json"):
        layout.write_text(content)
    del photographs.view["b"]
    photographs.enter()
    assert Store.open(photographs.place).catalog["image_id"].tolist() == ["a", "c"]
    assert [path.name for path in sorted(catalogue.iterdir())] == ["g000002", "zarr.json"]


def test_columns_of_different_lengths_are_no_catalogue(photographs: DataSet) -> None:
    """pandas would fill them up."""
    photographs.enter()
    layout = photographs.folder / "f.zarr" / "catalog" / "g000001" / "vote" / "zarr.json"
    layout.write_text(layout.read_text().replace("[\n    3\n  ]", "[\n    2\n  ]", 1))
    with pytest.raises(StoreError, match="columns of different lengths"):
        _ = Store.open(photographs.place).catalog
