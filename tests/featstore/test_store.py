"""The store: rows by (view, image_id), identities, generations of the catalogue, and records that make rows count."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorstore
import zarr

from featstore.catalog import Catalog, make_catalog
from featstore.errors import SettingsError, StoreError
from featstore.roi import RECIPES
from featstore.store import SCHEMA, Store, chunks
from featstore.store.chunks import DamagedError
from featstore.store.column import Column
from featstore.store.identity import Identity
from featstore.store.place import open_place
from featstore.store.records import Fact, FeatureRows, Record
from featstore.store.rows import CHUNK_ROWS, Grid, digest
from featstore.table import load_table, open_table

RECIPE = RECIPES["none"]
IDENTITY = Identity(
    backbone="net", weights="random", weights_source="", weights_sha256="w", side_px=32, pooling="avg",
    preprocessing="p", roi="keep", precision="float32", batch_size=16, engine="keras-x", versions={"keras": "3"},
)  # fmt: skip
VIEWS = ("Leaf", "Flower", "Leaf", "Unknown")


@pytest.fixture
def catalog() -> Catalog:
    return make_catalog(
        [{"image_id": f"ü{n}", "path": f"{n}.jpg", "observation_id": f"o{n}", "class_id": "1", "view": view,
          "split": "test" if n == 3 else "train"}
         for n, view in enumerate(VIEWS)], Path("photos"), "set",
    )  # fmt: skip


@pytest.fixture(params=["chunks", "shards"])
def grid(request: pytest.FixtureRequest) -> Grid:
    return Grid() if request.param == "chunks" else Grid(CHUNK_ROWS, 4 * CHUNK_ROWS)


@pytest.fixture
def store(tmp_path: Path, catalog: Catalog, grid: Grid) -> Store:
    store = Store.create(open_place(tmp_path / "f.zarr"), catalog, grid)
    views = sorted(set(VIEWS))
    store.set_column("net", Column(RECIPE, 3, dict.fromkeys(views, 0), dict.fromkeys(views, (0,))), [IDENTITY])
    store.write_catalog(catalog)
    for view, of_view in catalog.frame.groupby("view"):
        store.row_keys.write(view, list(of_view["image_id"]))
        store.rows.prepare(view, "net", 3)
    return store


def fact(key: str, sha256: str = "") -> Fact:
    return Fact(key, sha256 or f"sha-{key}", "done", "", 1, 1, {"keep": ((0, 0, 5, 6), "")})


def fill(store: Store, view: str, identity: int = 0) -> None:
    keys = store.keys(view)
    rows = np.array([[ord(key[-1]), 1, 2] for key in keys], dtype=np.float32)
    numbers = [identity] * len(keys)
    store.rows.write_unit(view, "net", 0, rows, np.asarray(numbers, dtype=np.int32))
    features = {"net": FeatureRows(numbers, [f"sha-{key}" for key in keys], digest(rows))}
    store.records.write(view, 0, Record([fact(key) for key in keys], features))


def fill_all(store: Store) -> None:
    for view in store.views:
        fill(store, view)


def ids(papers: pd.DataFrame) -> list[str]:
    return papers["image_id"].tolist()


def test_the_catalogue_is_replaced_only_when_it_says_something_else(store: Store, catalog: Catalog) -> None:
    again = Store.open(store.location)
    assert ids(again.papers) == ["ü0", "ü1", "ü2", "ü3"]
    assert again.papers["vote"].isna().all()
    before = again.attrs["catalog"]
    again.write_catalog(catalog)
    assert again.attrs["catalog"] == before
    frame = catalog.frame.assign(species="Rosa canina")
    again.write_catalog(Catalog(frame, catalog.root, catalog.name))
    reopened = Store.open(store.location)
    assert (reopened.papers["species"] == "Rosa canina").all()
    assert len(list((Path(store.location) / "catalog").glob("g*"))) == 1


def test_rows_are_found_by_view_and_id(store: Store) -> None:
    fill_all(store)
    table = load_table(Store.open(store.location), ["net"])
    assert ids(table.papers) == ["ü0", "ü1", "ü2", "ü3"]
    assert table.features[:, 0].tolist() == [ord(c) for c in "0123"]
    assert table.papers[["box_top", "box_left", "box_bottom", "box_right"]].to_numpy().tolist() == [[0, 0, 5, 6]] * 4
    assert load_table(store, ["net", "net"]).features.shape == (4, 6)
    assert store.row("Leaf", "ü2", "net").tolist() == [ord("2"), 1, 2]
    with pytest.raises(StoreError, match="a photograph of this store"):
        store.row("Flower", "ü2", "net")


def test_reading_by_view_split_and_id(store: Store) -> None:
    fill_all(store)
    assert ids(load_table(store, ["net"], views=["Leaf"]).papers) == ["ü0", "ü2"]
    assert ids(load_table(store, ["net"], splits=["test"]).papers) == ["ü3"]
    assert ids(load_table(store, ["net"], image_ids={"ü2", "ü3"}).papers) == ["ü2", "ü3"]
    assert ids(load_table(store, "net", views="Leaf").papers) == ["ü0", "ü2"]
    assert ids(load_table(store, "net", splits="test").papers) == ["ü3"]


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        ({"views": ["Stem"]}, r"views of .*: Flower, Leaf, Unknown, got 'Stem'"),
        ({"views": ["leaf", "Leaf"]}, r"Flower, Leaf, Unknown, got 'leaf'"),
        ({"splits": ["foo"]}, r"splits of .*: test, train, got 'foo'"),
        ({"views": []}, "at least one view, got none"),
        ({"splits": []}, "at least one split, got none"),
        ({"views": ["Leaf"], "splits": ["test"]}, "no photograph that was asked for can be used"),
    ],
)
def test_what_cannot_be_asked_for_is_named(store: Store, ask: dict[str, list[str]], message: str) -> None:
    fill_all(store)
    with pytest.raises((StoreError, SettingsError), match=message):
        load_table(store, ["net"], **ask)


def test_only_photographs_that_count_are_looked_up(store: Store, catalog: Catalog) -> None:
    """Rows of a photograph that is gone, or has another view now, stay and do not count."""
    fill_all(store)
    frame = catalog.frame[catalog.frame["image_id"] != "ü1"].reset_index(drop=True)
    frame["view"] = frame["view"].where(frame["image_id"] != "ü0", "Flower")
    store.write_catalog(Catalog(frame, catalog.root, catalog.name))
    again = Store.open(store.location)
    assert again.row("Leaf", "ü2", "net").tolist() == [ord("2"), 1, 2]
    for view, image_id in (("Flower", "ü1"), ("Leaf", "ü0"), ("Flower", "ü0")):
        with pytest.raises(StoreError, match="a photograph of this store"):
            again.row(view, image_id, "net")


def test_a_lookup_reads_neither_catalogue_nor_keys_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fill_all(store)
    store.row("Leaf", "ü0", "net")
    monkeypatch.setattr(Store, "catalog", property(lambda _: pytest.fail("the catalogue is read again")))
    monkeypatch.setattr(Store, "keys", lambda *_: pytest.fail("row keys are read again"))
    assert store.row("Leaf", "ü2", "net").tolist() == [ord("2"), 1, 2]


def test_a_lazy_table_gives_the_same_rows(store: Store) -> None:
    fill_all(store)
    lazy, whole = open_table(store, ["net"]), load_table(store, ["net"])
    assert (len(lazy), lazy.dimension) == (4, 3)
    np.testing.assert_array_equal(lazy.rows(np.array([3, 0, 3])), whole.features[[3, 0, 3]])
    np.testing.assert_array_equal(lazy.rows(np.array([-1, 0])), whole.features[[3, 0]])
    mask = np.array([True, False, False, True])
    np.testing.assert_array_equal(lazy.rows(mask), whole.features[mask])
    assert lazy.rows(np.zeros(4, dtype=np.bool_)).shape == (0, 3)
    for wrong in (mask[:3], np.array([4]), np.array([-5]), np.array([0.0, 1.0]), np.array([[0]])):
        with pytest.raises(SettingsError):
            lazy.rows(wrong)
    with pytest.raises(SettingsError, match="at least 1 row, got 0"):
        lazy.batches(0)
    batches = list(lazy.batches(3))
    assert [len(batch) for batch in batches] == [3, 1]
    np.testing.assert_array_equal(np.concatenate([batch.features for batch in batches]), whole.features)
    frame = whole.frame()
    assert frame["f0000"].tolist() == [ord(c) for c in "0123"]
    assert ids(frame) == ids(whole.papers)


def test_one_view_opens_only_its_own_chunks(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted where every byte passes: in the place."""
    fill_all(store)
    opened: list[str] = []
    real, real_part = type(store.place).read, type(store.place).read_part

    def counting(self, key: str) -> bytes | None:
        opened.append(key)
        return real(self, key)

    def counting_part(self, key: str, start: int, length: int) -> bytes | None:
        opened.append(key)
        return real_part(self, key, start, length)

    monkeypatch.setattr(type(store.place), "read", counting)
    monkeypatch.setattr(type(store.place), "read_part", counting_part)
    load_table(store, ["net"], views=["Leaf"])
    assert {key for key in opened if "/c/" in key} == {"Leaf/net/c/0/0"}
    assert [key for key in opened if key.startswith("records/")] == ["records/Leaf/0.json"]


def test_many_chunks_in_any_order(tmp_path: Path, catalog: Catalog, grid: Grid) -> None:
    """Against plain NumPy indexing, over chunk borders."""
    rng = np.random.default_rng(0)
    store = Store.create(open_place(tmp_path / "many.zarr"), catalog, grid)
    n_rows = 5 * CHUNK_ROWS + 7
    store.row_keys.write("Leaf", [str(n) for n in range(n_rows)])
    store.rows.prepare("Leaf", "net", 4)
    features = rng.normal(size=(n_rows, 4)).astype(np.float32)
    for unit in range(-(-n_rows // grid.unit_rows)):
        rows = features[grid.unit(unit)]
        store.rows.write_unit("Leaf", "net", unit, rows, np.zeros(len(rows), dtype=np.int32))
        np.testing.assert_array_equal(store.rows.read_unit("Leaf", "net", unit), rows)
    np.testing.assert_array_equal(store.rows.read("Leaf", "net"), features)
    for places in (rng.integers(0, n_rows, 50), np.arange(60, 200), np.array([n_rows - 1]), np.arange(0, n_rows, 3)):
        np.testing.assert_array_equal(store.rows.read("Leaf", "net", places.astype(np.int64)), features[places])


def test_other_zarr_libraries_read_every_numeric_array(store: Store) -> None:
    fill_all(store)
    path = Path(store.location)
    arrays = [meta.parent for meta in path.rglob("zarr.json") if json.loads(meta.read_text())["node_type"] == "array"]
    n_read = 0
    for array in arrays:
        ours = zarr.open_array(array, mode="r")
        if ours.dtype.kind not in "fiu":
            continue
        spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(array)}}
        theirs = tensorstore.open(spec, read=True).result().read().result()
        np.testing.assert_array_equal(theirs, np.asarray(ours[...]))
        n_read += 1
    # Features, identities and keys of three views, and three numeric columns of the catalogue.
    assert n_read == 3 * 3 + 3
    leaf = zarr.open_array(path / "Leaf" / "image_id_utf8", mode="r")[:]
    assert [bytes(row).rstrip(b"\0").decode() for row in leaf] == store.keys("Leaf") == ["ü0", "ü2"]


def test_only_recorded_rows_of_the_same_photograph_count(store: Store) -> None:
    fill_all(store)
    (Path(store.location) / "records" / "Flower" / "0.json").unlink()
    assert ids(load_table(store, ["net"]).papers) == ["ü0", "ü2", "ü3"]
    record = store.records.read("Leaf", 0)
    assert record is not None
    store.records.write("Leaf", 0, Record([fact("ü0", "another photograph"), fact("ü2")], record.features))
    assert ids(load_table(store, ["net"]).papers) == ["ü2", "ü3"]
    with pytest.raises(StoreError, match="features of net, got none for"):
        store.row("Leaf", "ü0", "net")


def test_rows_of_an_identity_that_is_not_accepted_do_not_count(store: Store) -> None:
    fill_all(store)
    newer = replace(IDENTITY, versions={"keras": "4"})
    views = list(store.views)
    store.set_column("net", Column(RECIPE, 3, dict.fromkeys(views, 1), dict.fromkeys(views, (1,))), [IDENTITY, newer])
    with pytest.raises(StoreError, match="photographs with features of net, got none"):
        load_table(store, ["net"])
    store.set_column("net", Column(RECIPE, 3, dict.fromkeys(views, 1), dict.fromkeys(views, (0, 1))), [IDENTITY, newer])
    assert len(load_table(store, ["net"])) == 4


@pytest.mark.parametrize("content", [b"", b'{"photographs": ', b"flipped"])
def test_a_broken_record_does_not_count(store: Store, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    fill(store, "Leaf")
    path = Path(store.location) / "records" / "Leaf" / "0.json"
    path.write_bytes(path.read_bytes().replace(b"done", b"dome") if content == b"flipped" else content)
    assert not store.ledger("Leaf").status.any()
    assert "is no record" in capsys.readouterr().err


def test_a_name_that_is_withdrawn_counts_no_more_and_others_do(store: Store) -> None:
    fill_all(store)
    view = store.views[0]
    before = store.records.read(view, 0)
    assert before is not None
    n_rows = len(store.keys(view))
    other = FeatureRows([0, *[-1] * (n_rows - 1)], [""] * n_rows, "ab")
    store.records.write(view, 0, Record(before.facts, {**before.features, "other": other}))
    assert store.records.withdraw(view, "net") == n_rows
    after = store.records.read(view, 0)
    assert after == Record(before.facts, {"other": other})
    assert (after.n_rows("net"), after.n_rows("other")) == (0, 1)
    assert not store.ledger(view).counts("net", (0,)).any()
    assert store.records.withdraw(view, "net") == 0


def test_records_round_trip() -> None:
    record = Record(
        [None, Fact("ü", "s", "failed", "why", 3, 4, {}), fact("b")],
        {"net": FeatureRows([-1, 0, 2], ["", "x", "y"], "d")},
    )
    again = Record.from_bytes(record.to_bytes())
    assert list(again.facts) == list(record.facts)
    assert again.features["net"] == record.features["net"]


def test_a_changed_chunk_is_refused(store: Store) -> None:
    fill_all(store)
    chunk = Path(store.location) / "Leaf" / "net" / "c" / "0" / "0"
    data = bytearray(chunk.read_bytes())
    data[7] ^= 1
    chunk.write_bytes(data)
    with pytest.raises(DamagedError, match=r"others in Leaf/net/c/0/0.*featstore repair"):
        load_table(store, ["net"])
    assert len(load_table(store, ["net"], views=["Flower"])) == 1


def test_the_checksum_rule_is_that_of_the_codec() -> None:
    """Bytes followed by their crc32c have one crc32c, whatever the bytes."""
    import google_crc32c

    for data in (b"", b"a", b"feature rows", bytes(1000)):
        whole = data + google_crc32c.value(data).to_bytes(4, "little")
        assert google_crc32c.value(whole) == chunks._RESIDUE


def test_growing_keeps_rows_with_their_images(store: Store) -> None:
    fill(store, "Leaf")
    store.row_keys.write("Leaf", ["ü0", "ü2", *(f"new{n}" for n in range(CHUNK_ROWS))])
    store.rows.prepare("Leaf", "net", 3)
    rows = store.rows.read("Leaf", "net")
    assert rows.shape == (CHUNK_ROWS + 2, 3)
    assert rows[:2, 0].tolist() == [ord("0"), ord("2")]
    assert np.isnan(rows[2:]).all()


def test_what_an_identity_is() -> None:
    assert IDENTITY.equals(replace(IDENTITY, weights="elsewhere", weights_source="file:1"))
    for change in ({"side_px": 64}, {"pooling": "max"}, {"weights_sha256": "v"}, {"roi": "contour-1"}):
        other = replace(IDENTITY, **change)
        assert not IDENTITY.equals(other)
        assert IDENTITY.essence() != other.essence()
    for change in ({"engine": "openvino"}, {"versions": {"keras": "4"}}):
        other = replace(IDENTITY, **change)
        assert not IDENTITY.equals(other)
        assert IDENTITY.essence() == other.essence()


def test_stores_that_cannot_be_opened(tmp_path: Path, store: Store) -> None:
    with pytest.raises(StoreError, match=r"none at .*Build it: featstore build"):
        Store.open(tmp_path / "none.zarr")
    meta = Path(store.location) / "zarr.json"
    content = json.loads(meta.read_text())
    content["attributes"]["schema"] = "features/99"
    meta.write_text(json.dumps(content))
    with pytest.raises(StoreError, match=rf"{SCHEMA}, got 'features/99'"):
        Store.open(store.location)
    meta.write_text("{")
    with pytest.raises(StoreError, match="a readable feature store"):
        Store.open(store.location)


def test_unknown_names_are_refused(store: Store) -> None:
    with pytest.raises(StoreError, match=r"features of resnet50 in .*f.zarr, got those of net"):
        load_table(store, ["resnet50"])


def test_shards_hold_whole_chunks() -> None:
    with pytest.raises(StoreError, match="a multiple of 64"):
        Grid(64, 100)
