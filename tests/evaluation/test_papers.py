"""Papers come from a store as from the data set that it was built of."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from evaluation.papers import read_papers
from featstore.catalog import COLUMNS
from featstore.errors import DatasetError
from featstore.readers import read_dataset
from featstore.store import Store
from featstore.store.place import open_place
from featstore.store.rows import Grid


def write_table(folder: Path) -> Path:
    folder.mkdir()
    rows = {
        "path": ["a.jpg", "b.jpg"],
        "class_id": ["7", "9"],
        "species": ["Bellis perennis", None],
        "vote": [2.5, None],
    }
    pd.DataFrame(rows).to_csv(folder / "plants.csv", index=False)
    for name in rows["path"]:
        (folder / str(name)).write_bytes(b"")
    return folder / "plants.csv"


def test_a_store_tells_what_its_data_set_tells(tmp_path: Path) -> None:
    table = write_table(tmp_path / "photos")
    store = Store.create(open_place(tmp_path / "features.zarr"), read_dataset(table), Grid(chunk_rows=4))
    store.write_catalog(read_dataset(table))
    from_table, from_store = read_papers(table), read_papers(tmp_path / "features.zarr")
    assert tuple(from_table.columns) == COLUMNS
    assert from_table["species"].tolist() == ["Bellis perennis", "9"]
    pd.testing.assert_frame_equal(from_store, from_table)


def test_nothing_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such path"):
        read_papers(tmp_path / "absent")
