"""Photographs that change while they are read: the next build sees it, whoever does the work."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from featstore import images
from featstore.build import build
from featstore.build.build import build_store
from featstore.build.cluster import do_unit, holder_of
from featstore.build.plan import Plan, UnitTask
from featstore.build.settings import BuildSettings
from featstore.build.work import Tally
from featstore.exchange.foreign import ForeignFeatures
from featstore.exchange.importing import import_features
from featstore.readers import read_dataset
from featstore.store import Store
from featstore.store.place import open_place
from featstore.table import load_table

SETTINGS = BuildSettings(("mobilenet",), "random", side_px=32, batch_size=4, n_workers=0)

Reader = Callable[[Path], bytes]


@pytest.fixture
def changing(dataset: Path, write_photo: Callable[..., Path]) -> Reader:
    """Reading, by which photograph 3 is another one as soon as it was read for the first time."""
    path, times = dataset / "train" / "3.jpg", []

    def read_bytes(file: Path) -> bytes:
        data = images.read_bytes(file)
        if file == path and not times:
            times.append(file.stat().st_mtime_ns)
            write_photo(file, seed=99, size=(90, 50))
            os.utime(file, ns=(times[0] + 10**9, times[0] + 10**9))
        return data

    return read_bytes


def on_a_cluster(*_: object) -> Callable[..., Tally]:
    def work(_: Store, plan: Plan, todo: Iterable[UnitTask], *__: object) -> Tally:
        total = Tally()
        for task in todo.tasks():
            total.add(do_unit(plan, task, holder_of(plan)) or Tally())
        return total

    return work


@pytest.mark.parametrize("where", ["here", "cluster"])
def test_a_photograph_that_changes_during_a_build_is_read_again_by_the_next(
    tmp_path: Path, dataset: Path, changing: Reader, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("featstore.build.prepare.read_bytes", changing)
        if where == "cluster":
            patched.setattr(build, "_worker", on_a_cluster)
        build_store(dataset, tmp_path / "f.zarr", SETTINGS)
    summary = build_store(dataset, tmp_path / "f.zarr", SETTINGS)
    assert (summary.n_changed, summary.n_rows) == (1, 1)
    build_store(dataset, tmp_path / "fresh.zarr", SETTINGS)
    after, fresh = (load_table(Store.open(tmp_path / name), ["mobilenet"]) for name in ("f.zarr", "fresh.zarr"))
    np.testing.assert_array_equal(after.features, fresh.features)
    assert after.papers["sha256"].equals(fresh.papers["sha256"])


def test_a_photograph_that_changes_during_an_import_is_another_to_the_next_build(
    tmp_path: Path, dataset: Path, changing: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = tuple(str(n) for n in range(11))
    foreign = ForeignFeatures(ids, np.ones((11, 4), dtype=np.float32), "rows.npz", "0" * 64)
    with monkeypatch.context() as patched:
        patched.setattr("featstore.exchange.importing.read_bytes", changing)
        import_features(open_place(tmp_path / "f.zarr"), "mine", foreign, catalog=read_dataset(dataset))
    assert build_store(dataset, tmp_path / "f.zarr", SETTINGS).n_changed == 1
    now = hashlib.sha256((dataset / "train" / "3.jpg").read_bytes()).hexdigest()
    papers = Store.open(tmp_path / "f.zarr").papers.set_index("image_id")
    assert papers.loc["3", "sha256"] == now
    # The imported row was of the file before.
    assert "3" not in set(load_table(Store.open(tmp_path / "f.zarr"), ["mine"]).papers["image_id"])
