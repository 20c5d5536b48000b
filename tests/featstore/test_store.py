"""The store: rows by (view, image_id), identities, generations of papers, and records that make rows count."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from featstore.catalog import make_catalog
from featstore.errors import StoreError
from featstore.identity import Identity
from featstore.rows import CHUNK_ROWS
from featstore.store import SCHEMA, Store
from featstore.table import load_table

IDENTITY = Identity(
    backbone="net", weights="random", weights_sha256="w", side_px=32, pooling="avg", preprocessing="p",
    roi="none/1", engine="keras-tensorflow", precision="float32", versions={"keras": "3"},
)  # fmt: skip


def papers(catalog, status="done"):
    frame = catalog.frame.copy()
    frame["sha256"] = "sha-" + frame["image_id"]
    frame["status"], frame["reason"] = status, ""
    for name in ("box_top", "box_left", "box_bottom", "box_right", "file_bytes", "file_mtime_ns"):
        frame[name] = 1
    return frame


@pytest.fixture
def catalog():
    views = ["Leaf", "Flower", "Leaf", "Unknown"]
    return make_catalog(
        [{"image_id": f"ü{n}", "path": f"{n}.jpg", "observation_id": "o", "class_id": "1", "view": view}
         for n, view in enumerate(views)], Path("photos"), "set",
    )  # fmt: skip


@pytest.fixture
def store(tmp_path: Path, catalog) -> Store:
    store = Store.create(tmp_path / "f.zarr", catalog, "none/1")
    store.add_identity(IDENTITY)
    store.write_papers(papers(catalog))
    for view, of_view in catalog.frame.groupby("view"):
        store.write_row_keys(view, list(of_view["image_id"]))
        store.prepare_features(view, "net", 3)
    return store


def fill(store: Store, view: str) -> None:
    keys = store.row_keys(view)
    rows = np.array([[ord(key[-1]), 1, 2] for key in keys], dtype=np.float32)
    store.write_chunk(view, "net", 0, rows, {key: f"sha-{key}" for key in keys})


def test_papers_round_trip_in_generations(store: Store, catalog) -> None:
    again = Store.open(store.path)
    assert again.papers["image_id"].tolist() == ["ü0", "ü1", "ü2", "ü3"]
    assert again.papers["vote"].isna().all()
    again.write_papers(papers(catalog, status="failed"))
    assert (Store.open(store.path).papers["status"] == "failed").all()
    assert len(list((store.path / "catalog").glob("g*"))) == 1


def test_rows_are_found_by_view_and_id(store: Store) -> None:
    for view in store.views:
        fill(store, view)
    table = load_table(Store.open(store.path), ["net"])
    assert table.papers["image_id"].tolist() == ["ü0", "ü1", "ü2", "ü3"]
    assert table.features[:, 0].tolist() == [ord(c) for c in "0123"]
    two = load_table(store, ["net", "net"])
    assert two.features.shape == (4, 6)


def test_keys_are_readable_as_numbers(store: Store) -> None:
    import zarr

    raw = zarr.open_array(store.path / "Leaf" / "image_id_utf8", mode="r")[:]
    assert [bytes(row).rstrip(b"\0").decode() for row in raw] == store.row_keys("Leaf") == ["ü0", "ü2"]


def test_only_recorded_rows_of_the_same_photograph_count(store: Store, catalog) -> None:
    fill(store, "Leaf")
    fill(store, "Flower")
    (store.path / "records" / "Flower" / "net" / "0.json").unlink()
    assert load_table(store, ["net"]).papers["image_id"].tolist() == ["ü0", "ü2"]
    changed = papers(catalog)
    changed.loc[0, "sha256"] = "another photograph"
    store.write_papers(changed)
    assert load_table(store, ["net"]).papers["image_id"].tolist() == ["ü2"]
    store.add_identity(replace(IDENTITY, weights_sha256="new"))
    with pytest.raises(StoreError, match="photographs with features of net, got none"):
        load_table(store, ["net"])


def test_a_broken_record_does_not_count(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    fill(store, "Leaf")
    (store.path / "records" / "Leaf" / "net" / "0.json").write_text('{"rows": ')
    assert store.computed("Leaf", "net") == {}
    assert "is no record" in capsys.readouterr().err


def test_growing_keeps_rows_with_their_images(store: Store) -> None:
    fill(store, "Leaf")
    store.write_row_keys("Leaf", ["ü0", "ü2", *(f"new{n}" for n in range(CHUNK_ROWS))])
    store.prepare_features("Leaf", "net", 3)
    rows = store.read_features("Leaf", "net")
    assert rows.shape == (CHUNK_ROWS + 2, 3)
    assert rows[:2, 0].tolist() == [ord("0"), ord("2")]
    assert np.isnan(rows[2:]).all()


def test_identities_ignore_labels_and_versions() -> None:
    assert IDENTITY.made_like(replace(IDENTITY, weights="elsewhere", versions={}))
    for change in ({"side_px": 64}, {"pooling": "max"}, {"weights_sha256": "v"}, {"roi": "article/1"}):
        assert not IDENTITY.made_like(replace(IDENTITY, **change))


def test_stores_that_cannot_be_opened(tmp_path: Path, store: Store) -> None:
    with pytest.raises(StoreError, match=r"none at .*Build it: featstore build"):
        Store.open(tmp_path / "none.zarr")
    meta = store.path / "zarr.json"
    content = json.loads(meta.read_text())
    content["attributes"]["schema"] = "features/99"
    meta.write_text(json.dumps(content))
    with pytest.raises(StoreError, match=rf"{SCHEMA}, got 'features/99'"):
        Store.open(store.path)
    meta.write_text("{")
    with pytest.raises(StoreError, match="a readable feature store"):
        Store.open(store.path)


def test_a_store_never_lands_on_other_files(tmp_path: Path, catalog) -> None:
    (tmp_path / "thesis.txt").write_text("do not lose")
    with pytest.raises(StoreError, match="which holds something else"):
        Store.create(tmp_path, catalog, "none/1")
    assert (tmp_path / "thesis.txt").read_text() == "do not lose"


def test_unknown_names_are_refused(store: Store) -> None:
    with pytest.raises(StoreError, match=r"features of resnet50 in f.zarr, got those of net"):
        load_table(store, ["resnet50"])
    with pytest.raises(StoreError, match="an image_id of this store"):
        store.photograph("nobody")
    assert store.photograph("ü2").name == "2.jpg"
