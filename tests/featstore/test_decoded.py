"""Photographs that are decoded to other pixels than by an earlier version are made again, and no others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from featstore import images
from featstore.build import build, decoded
from featstore.build.build import build_store
from featstore.build.forecast import foresee_build
from featstore.build.settings import BuildSettings
from featstore.exchange.foreign import ForeignFeatures
from featstore.exchange.importing import import_features
from featstore.store import Store
from featstore.store.place import open_place

SETTINGS = BuildSettings(("colour",), side_px=32, n_workers=0)
REDUCED = ("palette.png", "scan.png")
"""Those of `photos` whose pixels have changed."""


@pytest.fixture
def photos(tmp_path: Path, write_photo: Callable[..., Path]) -> Path:
    folder, stripes = tmp_path / "photos", np.zeros((40, 2100), dtype=np.uint8)
    stripes[:, ::2] = 255
    write_photo(folder / "photo.jpg", size=(1500, 800))
    Image.fromarray(stripes).save(folder / "grey.png")
    # Every second column of the leaf is ground: leaving out the others leaves no leaf.
    leaf = np.full((1600, 2048, 3), 255, dtype=np.uint8)
    leaf[500:1100, 700:1300:2] = (0, 90, 0)
    Image.fromarray(leaf).quantize(2).save(folder / "palette.png")
    Image.fromarray(stripes).convert("1").save(folder / "scan.png")
    Image.fromarray(stripes[:, :900]).convert("P").save(folder / "small.png")
    names = sorted(path.name for path in folder.iterdir())
    views = ["Flower", "Leaf"] * 3
    rows = (f"{name},{n % 2},{view}\n" for n, (name, view) in enumerate(zip(names, views, strict=False)))
    (folder / "catalog.csv").write_text("path,class_id,view\n" + "".join(rows))
    return folder


def rows_of(store: Store, name: str = "colour") -> dict[str, np.ndarray]:
    papers, counting = store.survey([name])
    return {
        row.image_id: store.row(row.view, row.image_id, name)
        for row, counts in zip(papers.itertuples(), counting[:, 0], strict=True)
        if counts
    }


@pytest.fixture
def earlier(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store of the version before, in which someone has imported features, too."""
    with monkeypatch.context() as before:
        before.setattr(images, "_INDEXED", frozenset())
        before.setattr(build, "withdraw_decoded_otherwise", lambda *_: None)
        build_store(photos, tmp_path / "f.zarr", SETTINGS)
        build_store(photos, tmp_path / "f.zarr", replace(SETTINGS, name="again"))
    ids = tuple(rows_of(Store.open(tmp_path / "f.zarr")))
    own = ForeignFeatures(ids, np.eye(len(ids), 3, dtype=np.float32), "own.npz", "ab" * 32)
    import_features(open_place(tmp_path / "f.zarr"), "own", own)
    return Store.open(tmp_path / "f.zarr")


def test_only_photographs_whose_pixels_have_changed_are_made_again(
    photos: Path, tmp_path: Path, earlier: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    before, own = rows_of(earlier), rows_of(earlier, "own")
    capsys.readouterr()
    assert build_store(photos, earlier.location, replace(SETTINGS, any_version=True)).n_decoded == 0
    done = build_store(photos, earlier.location, SETTINGS)
    assert "2 photographs with palettes or in black and white are decoded anew" in capsys.readouterr().err
    assert (done.n_decoded, done.n_rows, done.n_done) == (2, 2, 5)
    now = rows_of(earlier)
    build_store(photos, tmp_path / "new.zarr", SETTINGS)
    anew = Store.open(tmp_path / "new.zarr")
    edges = ["box_top", "box_left", "box_bottom", "box_right"]
    assert earlier.papers[edges].equals(anew.papers[edges])
    for name, row in rows_of(anew).items():
        np.testing.assert_array_equal(now[name], row)
        assert np.array_equal(before[name], row) == (name not in REDUCED)
    # What the build was not asked for waits; what it did not make stays.
    assert set(rows_of(earlier, "again")) == set(now) - set(REDUCED)
    assert rows_of(earlier, "own").keys() == own.keys() == now.keys()
    assert build_store(photos, earlier.location, SETTINGS).n_decoded == 0
    assert foresee_build(photos, earlier.location, replace(SETTINGS, name="again")).n_images == 2


def test_a_store_is_looked_at_once(
    photos: Path, earlier: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    looked: list[Path] = []
    monkeypatch.setattr(decoded, "is_indexed_and_reduced", lambda path: bool(looked.append(path)))
    for _ in range(2):
        build_store(photos, earlier.location, SETTINGS)
    assert sorted(path.name for path in looked) == sorted(rows_of(earlier))
    assert "decoded anew" not in capsys.readouterr().err
