"""Export and import: what leaves can be read by others as it was, and what comes in joins like any other features."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featstore.build.build import build_store
from featstore.build.settings import BuildSettings
from featstore.cli import main
from featstore.errors import DatasetError, StoreError
from featstore.exchange import export as export_module
from featstore.exchange.export import export_table
from featstore.exchange.foreign import read_foreign
from featstore.exchange.importing import _names, _told_by, import_features
from featstore.readers import read_dataset
from featstore.store import Store
from featstore.store.place import open_place
from featstore.table import FeatureTable, load_table, open_table

SETTINGS = BuildSettings(("mobilenet",), "random", side_px=32, n_workers=0)
N_IMAGES = 9


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from PIL import Image

    folder = tmp_path_factory.mktemp("set")
    lines = ["image_id,path,class_id,view,author,vote,split"]
    for n in range(N_IMAGES):
        corners = np.random.default_rng(n).integers(0, 256, (2, 3, 3), dtype=np.uint8)
        Image.fromarray(corners).resize((40, 30), Image.Resampling.BICUBIC).save(folder / f"ph-{n}.jpg")
        view, split = ("Leaf", "Flower")[n % 2], "test" if n > 6 else "train"
        lines.append(f"id{n},ph-{n}.jpg,{n % 3},{view},Zoë,{'' if n == 2 else n / 2},{split}")
    (folder / "photos.csv").write_text("\n".join(lines), encoding="utf-8")
    return folder / "photos.csv"


@pytest.fixture(scope="module")
def whole(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("whole") / "f.zarr"
    build_store(photos, store, SETTINGS)
    return store


@pytest.fixture
def store(whole: Path, tmp_path: Path) -> Store:
    return Store.open(shutil.copytree(whole, tmp_path / "f.zarr"))


def read_back(path: Path) -> tuple[pd.DataFrame, np.ndarray, dict[str, object]]:
    """A file as a program that knows nothing of us would read it."""
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        features = np.stack(table["mobilenet"].to_pylist()).astype(np.float32)
        about = table.schema.metadata[b"about"]
        return table.drop_columns(["mobilenet"]).to_pandas(), features, json.loads(about)
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as archive:
            papers = {name: archive[name] for name in archive.files if name not in {"mobilenet", "about"}}
            return pd.DataFrame(papers), archive["mobilenet"], json.loads(str(archive["about"]))
    with h5py.File(path) as file:
        papers = {
            name: data.asstr()[()] if data.dtype.kind == "O" else data[()] for name, data in file["papers"].items()
        }
        return pd.DataFrame(papers), file["features/mobilenet"][()], json.loads(file.attrs["about"])


@pytest.mark.parametrize("suffix", [".parquet", ".npz", ".h5"])
def test_what_is_exported_is_read_by_others_as_it_was(
    store: Store, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_module, "BATCH_ROWS", 4)
    table = load_table(store, ["mobilenet"])
    path = tmp_path / f"out{suffix}"
    assert export_table(open_table(store, ["mobilenet"]), path) == N_IMAGES
    papers, features, about = read_back(path)
    np.testing.assert_array_equal(features, table.features)
    for column in ("image_id", "author", "class_id", "sha256", "box_bottom"):
        assert papers[column].tolist() == table.papers[column].tolist()
    assert papers["vote"].isna().tolist() == [n == 2 for n in range(N_IMAGES)]
    assert about["features"]["mobilenet"]["weights_sha256"] == store.identity("mobilenet").weights_sha256


def test_a_selection_is_exported(store: Store, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["export", store.location, str(tmp_path / "x.npz"), "--view", "Leaf", "--split", "test", "--json"])
    assert ended.value.code == 0
    assert read_back(tmp_path / "x.npz")[0]["image_id"].tolist() == ["id8"]


def test_another_suffix_is_refused(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["export", store.location, str(tmp_path / "x.csv")])
    assert "a file that ends in .parquet, .npz" in capsys.readouterr().err


def write(path: Path, ids: list[str], features: np.ndarray) -> Path:
    if path.suffix == ".npz":
        np.savez(path, filenames=np.asarray(ids), embeddings=features)
    elif path.suffix == ".parquet":
        pq.write_table(pa.table({"id": ids, "embedding": [row.tolist() for row in features]}), path)
    else:
        with h5py.File(path, "w") as file:
            file["x/ids"] = ids
            file["x/dino"] = features
    return path


def foreign_rows() -> np.ndarray:
    return np.random.default_rng(5).normal(size=(N_IMAGES, 6)).astype(np.float32)


@pytest.mark.parametrize("suffix", [".npz", ".parquet", ".h5"])
@pytest.mark.parametrize("key", ["id{}", "ph-{}.jpg", "ph-{}"])
def test_imported_rows_stand_beside_the_others(store: Store, tmp_path: Path, suffix: str, key: str) -> None:
    order = np.random.default_rng(0).permutation(N_IMAGES)
    path = write(tmp_path / f"in{suffix}", [key.format(n) for n in order], foreign_rows()[order])
    summary = import_features(open_place(store.location), "dino", read_foreign(path))
    assert (summary.n_rows, summary.n_without, summary.n_failed, summary.unknown) == (N_IMAGES, 0, 0, ())
    again = Store.open(store.location)
    assert again.backbones == ("mobilenet", "dino")
    assert again.identity("dino").foreign
    table: FeatureTable = load_table(again, ["mobilenet", "dino"])
    assert table.papers["image_id"].tolist() == [f"id{n}" for n in range(N_IMAGES)]
    np.testing.assert_array_equal(table.features[:, 1024:], foreign_rows())
    np.testing.assert_array_equal(table.features[:, :1024], load_table(store, ["mobilenet"]).features)


def test_an_import_makes_a_store_and_a_build_joins_it(photos: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "in.npz", [f"id{n}" for n in range(N_IMAGES)], foreign_rows())
    catalog = read_dataset(photos)
    with pytest.raises(StoreError, match="--dataset"):
        import_features(open_place(tmp_path / "f.zarr"), "dino", read_foreign(path))
    import_features(open_place(tmp_path / "f.zarr"), "dino", read_foreign(path), catalog=catalog)
    assert build_store(photos, tmp_path / "f.zarr", SETTINGS).n_rows == N_IMAGES
    table = load_table(Store.open(tmp_path / "f.zarr"), ["dino", "mobilenet"])
    np.testing.assert_array_equal(table.features[:, :6], foreign_rows())


def test_imported_rows_belong_to_the_photograph_as_it_was(
    photos: Path, store: Store, tmp_path: Path, write_photo: Callable[..., Path]
) -> None:
    import_features(
        open_place(store.location),
        "dino",
        read_foreign(write(tmp_path / "in.npz", [f"id{n}" for n in range(N_IMAGES)], foreign_rows())),
    )
    before = (photos.parent / "ph-3.jpg").read_bytes()
    try:
        write_photo(photos.parent / "ph-3.jpg", seed=77, size=(40, 30))
        build_store(photos, store.location, SETTINGS)
        assert "id3" not in load_table(Store.open(store.location), ["dino"]).papers["image_id"].tolist()
        assert len(load_table(Store.open(store.location), ["mobilenet"])) == N_IMAGES
    finally:
        (photos.parent / "ph-3.jpg").write_bytes(before)


def test_another_file_under_the_name_is_refused_unless_replaced(store: Store, tmp_path: Path) -> None:
    ids = [f"id{n}" for n in range(N_IMAGES)]
    first = read_foreign(write(tmp_path / "one.npz", ids, foreign_rows()))
    second = read_foreign(write(tmp_path / "two.npz", ids[:4], np.ones((4, 3), dtype=np.float32)))
    place = open_place(store.location)
    import_features(place, "dino", first)
    import_features(place, "dino", first)
    with pytest.raises(StoreError, match=r"Choose another --as NAME, or --replace"):
        import_features(place, "dino", second)
    assert import_features(place, "dino", second, replacing=True).n_without == N_IMAGES - 4
    np.testing.assert_array_equal(load_table(Store.open(store.location), ["dino"]).features, np.ones((4, 3)))


@pytest.mark.parametrize(
    ("ids", "features", "message"),
    [
        (["id1", "id1"], np.ones((2, 3)), "id1 twice"),
        (["id1"], np.ones((2, 3)), "1 ids and features of shape"),
        (["id1", "id2"], np.array([[1.0, np.nan], [1, 2]]), "NaN or infinity in those of id1"),
        (["a", "b"], np.ones((2, 3)), "none, but a, b"),
    ],
)
def test_files_that_do_not_fit(
    store: Store, tmp_path: Path, ids: list[str], features: np.ndarray, message: str
) -> None:
    np.savez(tmp_path / "in.npz", ids=np.asarray(ids), x=features)
    with pytest.raises(DatasetError, match=message):
        import_features(open_place(store.location), "dino", read_foreign(tmp_path / "in.npz"))


def test_arrays_that_must_be_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", key=np.asarray(["a"]), x=np.ones((1, 2)), y=np.ones((1, 3)))
    with pytest.raises(DatasetError, match=r"x \(1, 2\), y \(1, 3\).*--features NAME"):
        read_foreign(tmp_path / "in.npz")
    assert read_foreign(tmp_path / "in.npz", features="y").features.shape == (1, 3)
    with pytest.raises(DatasetError, match="Correct --ids"):
        read_foreign(tmp_path / "in.npz", ids="nothing")


def test_paths_of_another_machine_are_matched_by_their_end(store: Store, tmp_path: Path) -> None:
    keys = [f"/else/where/ph-{n}.jpg" if n % 2 else f"D:\\photos\\ph-{n}.png" for n in range(N_IMAGES)]
    foreign = read_foreign(write(tmp_path / "in.npz", keys, foreign_rows()))
    summary = import_features(open_place(store.location), "dino", foreign)
    assert (summary.n_rows, summary.unknown) == (N_IMAGES, ())
    np.testing.assert_array_equal(load_table(Store.open(store.location), ["dino"]).features, foreign_rows())


def test_two_rows_of_one_photograph_are_refused(store: Store, tmp_path: Path) -> None:
    path = write(tmp_path / "in.npz", ["id1", "/else/ph-1.jpg"], foreign_rows()[:2])
    with pytest.raises(DatasetError, match=r"each photograph once in in.npz, got id1 as id1 and as /else/ph-1.jpg"):
        import_features(open_place(store.location), "dino", read_foreign(path))


def test_files_of_one_name_are_told_by_their_folders_only() -> None:
    names = _names(["a", "b", "c"], ["train/1.jpg", "test/1.jpg", "test/2.jpg"])
    found = {key: next((names[name] for name in _told_by(key) if name in names), None) for key in (
        "/x/train/1.jpg", "x/test/1.jpg", "1.jpg", "1", "/y/2.jpg", "2", "c", "2.v3",
    )}  # fmt: skip
    assert found == {
        "/x/train/1.jpg": "a", "x/test/1.jpg": "b", "1.jpg": None, "1": None, "/y/2.jpg": "c", "2": "c", "c": "c",
        "2.v3": None,
    }  # fmt: skip


def test_python_objects_are_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "in.npz"
    np.savez(path, ids=np.asarray(["a", "b"], dtype=object), x=np.ones((2, 3)))
    with pytest.raises(DatasetError, match=r"Python objects .*ids=np.asarray\(values\).astype\(str\)"):
        read_foreign(path)
    np.savez(path, ids=np.asarray(["a", "b"]), x=np.ones((2, 3)), author=np.asarray(["z", None], dtype=object))
    assert read_foreign(path).features.shape == (2, 3), "what is not asked for does not matter"


def test_whole_numbers_are_no_features_unless_named(tmp_path: Path) -> None:
    path = tmp_path / "in.npz"
    np.savez(path, ids=np.asarray(["a", "b"]), x=np.ones((2, 3), dtype=np.int64))
    with pytest.raises(DatasetError, match=r"features as float in in.npz, got x, which are int64.*--features"):
        read_foreign(path)
    assert read_foreign(path, features="x").features.dtype == np.float32


@pytest.mark.parametrize("prefix", ["f", "", "dim_"])
def test_one_column_per_feature(store: Store, tmp_path: Path, prefix: str) -> None:
    """As `FeatureTable.frame` makes them, beside papers that are numbers, too; not in the order of text."""
    table = load_table(store, ["mobilenet"])
    frame = FeatureTable(table.papers, foreign_rows()[:, [0, 1, 2] * 4], ("x",)).frame()
    frame = frame.rename(columns={f"f{n:04d}": f"{prefix}{n}" for n in range(12)})
    frame = frame[[*table.papers.columns, *sorted(f"{prefix}{n}" for n in range(12))]]
    frame.to_parquet(tmp_path / "in.parquet")
    foreign = read_foreign(tmp_path / "in.parquet", features="dim_" if prefix == "dim_" else "")
    assert foreign.ids == tuple(table.papers["image_id"])
    np.testing.assert_array_equal(foreign.features, foreign_rows()[:, [0, 1, 2] * 4])


def test_the_exit_code_tells_of_missing_partners(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "in.npz", ["id1", "stranger"], np.ones((2, 3), dtype=np.float32))
    words = ["import", str(tmp_path / "in.npz"), "--as", "dino", "--store", store.location, "--json"]
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 3
    result = json.loads(capsys.readouterr().out)
    assert (result["rows"], result["without_row"], result["unknown_ids"]) == (1, N_IMAGES - 1, ["stranger"])
    with pytest.raises(SystemExit) as ended:
        main([*words, "--allow-missing"])
    assert ended.value.code == 0
    for taken in ("resnet50", "identity", "Leaf", "a/b"):
        with pytest.raises(SystemExit) as ended:
            main(["import", str(tmp_path / "in.npz"), "--as", taken, "--store", store.location])
        assert ended.value.code == 1
