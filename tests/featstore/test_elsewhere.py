"""Beyond one machine: the same store from a Dask cluster that loses a worker, and in a bucket."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featstore.build.build import build_store
from featstore.build.cluster import do_unit, holder_of
from featstore.build.plan import Plan, UnitTask
from featstore.build.settings import BuildSettings
from featstore.build.work import Tally, UnitWork
from featstore.care.repair import repair_store
from featstore.care.verify import verify_store
from featstore.errors import SettingsError, StoreError
from featstore.store import Store
from featstore.store.holder import Holder
from featstore.store.lease import Claim, Lease, LockedError, hold
from featstore.store.place import open_place
from featstore.table import load_table

SETTINGS = BuildSettings(("mobilenet",), "random", side_px=32, batch_size=16, n_workers=0)
N_IMAGES = 300


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 small photographs in two views: four units; one photograph is damaged."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("photos")
    lines = ["path,class_id,view"]
    for n in range(N_IMAGES):
        corners = np.random.default_rng(n).integers(0, 256, (2, 3, 3), dtype=np.uint8)
        Image.fromarray(corners).resize((40, 30), Image.Resampling.BICUBIC).save(folder / f"{n}.jpg")
        lines.append(f"{n}.jpg,{n % 5},{('Flower', 'Leaf')[n % 2]}")
    (folder / "9.jpg").write_bytes(b"no photograph")
    (folder / "table.csv").write_text("\n".join(lines))
    return folder / "table.csv"


@pytest.fixture(scope="module")
def reference(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """Features from an undisturbed build on this machine."""
    store = tmp_path_factory.mktemp("here") / "f.zarr"
    assert build_store(photos, store, SETTINGS).n_done == N_IMAGES - 1
    return load_table(Store.open(store), ["mobilenet"]).features


def workers(address: str) -> list[int]:
    from distributed import Client

    with Client(address, set_as_default=False) as client:
        return list(client.run(os.getpid).values())


@pytest.mark.slow
def test_a_cluster_that_loses_a_worker_makes_the_same_bits(
    photos: Path, reference: np.ndarray, scheduler: str, tmp_path: Path
) -> None:
    victim = workers(scheduler)[0]
    killed = threading.Event()

    def kill_midway() -> None:
        while not list(tmp_path.glob("f.zarr/records/*/*.json")):
            time.sleep(0.01)
        os.kill(victim, signal.SIGKILL)
        killed.set()

    threading.Thread(target=kill_midway, daemon=True).start()
    summary = build_store(
        photos, tmp_path / "f.zarr", BuildSettings(("mobilenet",), "random", side_px=32, scheduler=scheduler)
    )
    assert killed.is_set()
    assert (summary.n_done, summary.n_failed, summary.n_pending) == (N_IMAGES - 1, 1, 0)
    np.testing.assert_array_equal(load_table(Store.open(tmp_path / "f.zarr"), ["mobilenet"]).features, reference)
    assert verify_store(Store.open(tmp_path / "f.zarr")).sound


def test_after_the_lease_is_lost_nothing_is_submitted(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distributed = pytest.importorskip("distributed")
    submitted: list[object] = []

    class Counting(distributed.Client):
        def submit(self, *arguments: object, **options: object) -> object:
            submitted.append(arguments)
            return super().submit(*arguments, **options)

    class Lost(Lease):
        """Taken over while the second unit is done."""

        def check(self) -> None:
            if len(submitted) == 2:
                self._lost.set()
            super().check()

    monkeypatch.setattr("distributed.Client", Counting)
    monkeypatch.setattr("featstore.store.lease.Lease", Lost)
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None, memory_limit=0
        ) as cluster,
        pytest.raises(LockedError, match="taken over"),
    ):
        build_store(photos, tmp_path / "f.zarr", replace(SETTINGS, scheduler=cluster.scheduler_address))
    assert len(submitted) == 2


def test_a_worker_whose_lease_was_taken_over_writes_nothing(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the scheduler's process, which was asleep, does not know yet."""
    real = UnitWork.accept

    def here(plan: Plan, tasks: Iterable[UnitTask], *_: object) -> Tally:
        first, second = itertools.islice(tasks, 2)
        token = holder_of(plan)
        assert do_unit(plan, first, token) is not None
        (lease,) = tmp_path.glob("f.zarr/locks/part-*.json")

        def accept(work: UnitWork, *arguments: Any) -> None:
            # Meanwhile the lease comes to be another's.
            lease.write_bytes(Holder.me(Claim("another plan")).to_bytes())
            real(work, *arguments)

        monkeypatch.setattr(UnitWork, "accept", accept)
        assert do_unit(plan, second, token) is None
        raise KeyboardInterrupt

    monkeypatch.setattr("featstore.build.cluster.work_on_cluster", here)
    with pytest.raises(KeyboardInterrupt):
        build_store(photos, tmp_path / "f.zarr", replace(SETTINGS, scheduler="tcp://nowhere:1"))
    assert len(list(tmp_path.glob("f.zarr/records/*/*.json"))) == 1
    assert len(list(tmp_path.glob("f.zarr/*/mobilenet/c/*/0"))) == 1


def test_a_scheduler_that_does_not_answer(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("featstore.cluster._CONNECT_S", 1)
    nowhere = BuildSettings(("mobilenet",), "random", side_px=32, scheduler="tcp://127.0.0.1:9")
    with pytest.raises(SettingsError, match=r"a Dask scheduler at tcp://127.0.0.1:9"):
        build_store(photos, tmp_path / "f.zarr", nowhere)


def test_a_store_in_a_bucket_is_like_any_other(photos: Path, reference: np.ndarray, s3_url: str) -> None:
    summary = build_store(photos, s3_url, SETTINGS)
    assert (summary.n_done, summary.n_failed) == (N_IMAGES - 1, 1)
    store = Store.open(s3_url)
    np.testing.assert_array_equal(load_table(store, ["mobilenet"]).features, reference)
    assert store.row("Leaf", "3.jpg" if "3.jpg" in store.index["Leaf"] else "3", "mobilenet").shape == (1024,)
    assert build_store(photos, s3_url, SETTINGS).n_decoded == 0
    key = "Leaf/mobilenet/c/0/0"
    data = bytearray(store.place.read(key) or b"")
    data[99] ^= 1
    store.place.write(key, bytes(data))
    (fault,) = verify_store(store).faults
    assert (fault.kind, fault.view, fault.unit) == ("chunk", "Leaf", 0)
    assert repair_store(s3_url, n_workers=0).n_rows == 127
    assert verify_store(Store.open(s3_url)).sound
    np.testing.assert_array_equal(load_table(Store.open(s3_url), ["mobilenet"]).features, reference)


def test_the_lease_of_a_bucket(photos: Path, s3_url: str) -> None:
    with hold(open_place(s3_url), Claim("another")), pytest.raises(LockedError, match=rf"process {os.getpid()}"):
        build_store(photos, s3_url, SETTINGS)
    assert build_store(photos, s3_url, SETTINGS).n_done == N_IMAGES - 1


def test_a_bucket_that_is_not_there(photos: Path, s3_url: str) -> None:
    with pytest.raises(StoreError, match=r"(?s)s3://no-such-bucket/x.*bucket"):
        build_store(photos, "s3://no-such-bucket/x", SETTINGS)
