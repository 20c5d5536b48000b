"""Forgetting a name of features: whatever the moment at which it is killed, the store is sound."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featstore.build.build import build_store
from featstore.build.forget import forget
from featstore.build.settings import BuildSettings
from featstore.care.verify import verify_store
from featstore.cli import main
from featstore.errors import StoreError
from featstore.store import Store
from featstore.store.lease import Claim, LockedError, hold
from featstore.store.place import LocalPlace, open_place
from featstore.table import load_table

GONE, KEPT = "mobilenet", "mobilenet_v2"
BOTH = BuildSettings((GONE, KEPT), "random", side_px=32, batch_size=4, n_workers=0)


def features(store: Path, name: str) -> np.ndarray:
    return load_table(Store.open(store), [name]).features


def test_a_forgotten_name_is_gone_and_can_be_built_again(master: Path, finished: Path) -> None:
    before, kept = features(finished, GONE), features(finished, KEPT)
    gone = forget(open_place(finished), GONE)
    assert (gone.name, gone.n_rows) == (GONE, 10)
    assert gone.n_bytes > before.nbytes
    assert Store.open(finished).backbones == (KEPT,)
    assert not [path for path in finished.rglob("*") if path.name == GONE]
    assert verify_store(Store.open(finished)).sound
    np.testing.assert_array_equal(features(finished, KEPT), kept)
    assert build_store(master / "photos", finished, BOTH).n_rows == 10
    np.testing.assert_array_equal(features(finished, GONE), before)


def test_the_last_name_too_and_in_a_bucket(master: Path, s3_url: str) -> None:
    build_store(master / "photos", s3_url, BOTH)
    for name in (GONE, KEPT):
        forget(open_place(s3_url), name)
    assert Store.open(s3_url).backbones == ()
    assert len(Store.open(s3_url).papers) == 11
    assert not [key for key in open_place(s3_url).sizes("") if GONE in key.split("/")]


@contextmanager
def killed_after(n_steps: int, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process that gets no further than to its n-th change of a store, leases aside."""
    steps: list[str] = []

    def counted(real: Callable[..., None]) -> Callable[..., None]:
        def change(place: LocalPlace, key: str, *data: Any) -> None:
            if not key.startswith("locks/"):
                steps.append(key)
                if len(steps) > n_steps:
                    raise KeyboardInterrupt
            real(place, key, *data)

        return change

    with patch.context() as patched:
        for method in ("write", "delete"):
            patched.setattr(LocalPlace, method, counted(getattr(LocalPlace, method)))
        # One after the other, so that none comes after the last.
        patched.setattr("featstore.build.forget._N_THREADS", 1)
        yield


def test_killed_at_any_step_it_leaves_a_sound_store(
    master: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, kept = features(finished, GONE), features(finished, KEPT)
    keys = load_table(Store.open(finished), [GONE]).papers["image_id"].tolist()
    row_of = dict(zip(keys, right, strict=True))
    for n_steps in range(100):
        store = Path(shutil.copytree(finished, tmp_path / f"{n_steps}.zarr"))
        try:
            with killed_after(n_steps, monkeypatch):
                forget(open_place(store), GONE)
            break
        except KeyboardInterrupt:
            pass
        assert {fault.kind for fault in verify_store(Store.open(store), building=True).faults} <= {"description"}
        np.testing.assert_array_equal(features(store, KEPT), kept)
        if GONE in Store.open(store).backbones:
            assert_rows_are(store, row_of)
        if n_steps % 5 == 0:
            again = Path(shutil.copytree(store, tmp_path / f"{n_steps}-again.zarr"))
            build_store(master / "photos", again, BOTH)
            np.testing.assert_array_equal(features(again, GONE), right)
        forget(open_place(store), GONE)
        assert Store.open(store).backbones == (KEPT,)
        assert not [path for path in store.rglob("*") if path.name == GONE]
        assert verify_store(Store.open(store)).sound
    # Three records, the description, and three views of two arrays of two files.
    assert n_steps >= 3 + 1 + 3 * 4


def assert_rows_are(store: Path, row_of: dict[str, np.ndarray]) -> None:
    """Those that still count are the right ones."""
    try:
        table = load_table(Store.open(store), [GONE])
    except StoreError:
        return
    for key, row in zip(table.papers["image_id"], table.features, strict=True):
        np.testing.assert_array_equal(row, row_of[key])


@pytest.mark.parametrize("name", ["resnet50", "image_id", "identity", "../records", "Leaf", ""])
def test_an_unknown_name_is_refused_with_those_that_there_are(finished: Path, name: str) -> None:
    files = {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()}
    with pytest.raises(StoreError, match=rf"\({GONE}, {KEPT}\), got '{name}'"):
        forget(open_place(finished), name)
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()} == files


def test_not_while_another_writes(finished: Path) -> None:
    with hold(open_place(finished), Claim("another")), pytest.raises(LockedError):
        forget(open_place(finished), GONE)
    assert Store.open(finished).backbones == (GONE, KEPT)


def test_a_dry_run_tells_what_goes_and_removes_nothing(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()}
    told = []
    for words in (["--dry-run"], []):
        with pytest.raises(SystemExit, match="0"):
            main(["forget", str(finished), GONE, *words, "--json"])
        told.append(json.loads(capsys.readouterr().out))
        if words:
            assert {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()} == files
    ahead, gone = told
    assert ahead.pop("schema") == "forget-forecast/1"
    assert gone.pop("schema") == "forgotten/1"
    assert ahead == gone
    assert ahead["rows"] == 10
    with pytest.raises(SystemExit):
        main(["forget", str(finished), KEPT, "--dry-run"])
    assert "would forget mobilenet_v2: 10 rows" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="1"):
        main(["forget", str(finished), GONE, "--dry-run"])
    assert f"({KEPT}), got '{GONE}'" in capsys.readouterr().err


def test_on_the_command_line(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["forget", str(finished), GONE, "--json"])
    assert not ended.value.code
    assert json.loads(capsys.readouterr().out)["rows"] == 10
    with pytest.raises(SystemExit) as ended:
        main(["forget", str(finished), GONE])
    assert ended.value.code == 1
    assert f"({KEPT}), got '{GONE}'" in capsys.readouterr().err
