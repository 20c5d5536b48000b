"""One contract for folders and buckets, and what is peculiar to each."""

from __future__ import annotations

import asyncio
import itertools
import nturl2path
import pickle
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PureWindowsPath

import numpy as np
import pytest
import zarr
from filelock import FileLock

from featstore.errors import StoreError
from featstore.store import place as places
from featstore.store.place import LocalPlace, Place, open_place


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return open_place(tmp_path / "f.zarr" if request.param == "folder" else request.getfixturevalue("s3_url"))


class TestContract:
    def test_nothing_is_there_at_first(self, place: Place) -> None:
        place.delete("records/Leaf/0.json")
        assert place.read("records/Leaf/0.json") is None
        assert place.read_many(["a", "b/c"]) == {}
        assert place.sizes("") == place.sizes("records") == {}
        assert place.is_empty()
        assert place.sweep() == 0

    @pytest.mark.parametrize("data", [b"", b"one", bytes(range(256)) * 8192])
    def test_what_was_written_is_read(self, place: Place, data: bytes) -> None:
        place.write("records/Leaf/0.json", b"before")
        place.write("records/Leaf/0.json", data)
        assert place.read("records/Leaf/0.json") == data
        assert place.sizes("") == {"records/Leaf/0.json": len(data)}
        assert not place.is_empty()

    def test_a_folder_of_keys_is_no_key(self, place: Place) -> None:
        place.write("records/Leaf/0.json", b"{}")
        assert place.read("records") is None
        assert place.read("records/Leaf/0.json/more") is None
        assert place.sizes("records/Leaf/0.json") == {}

    def test_many_are_read_and_absent_ones_left_out(self, place: Place) -> None:
        written = {f"records/Leaf/{number}.json": str(number).encode() for number in range(60)}
        for key, data in written.items():
            place.write(key, data)
        assert place.read_many([*written, "records/Leaf/60.json", "elsewhere"]) == written

    def test_deleted_is_absent(self, place: Place) -> None:
        place.write("a/b", b"1")
        place.delete("a/b")
        assert place.read("a/b") is None
        assert place.sizes("") == {}

    def test_sizes_below_a_folder(self, place: Place) -> None:
        for key in ("records/Leaf/0.json", "records/Leaf/10.json", "records/Leaf2/0.json", "records.json", "zarr.json"):
            place.write(key, key.encode())
        assert place.sizes("records/Leaf") == {"records/Leaf/0.json": 19, "records/Leaf/10.json": 20}
        assert set(place.sizes("records")) == {"records/Leaf/0.json", "records/Leaf/10.json", "records/Leaf2/0.json"}
        assert len(place.sizes("")) == 5

    def test_swap_against_a_model(self, place: Place) -> None:
        values = (None, b"a", b"b")
        for number, (held, old, new) in enumerate(itertools.product(values, repeat=3)):
            key = f"locks/{number}"
            if held is not None:
                place.write(key, held)
            assert place.swap(key, old, new) is (held == old), (held, old, new)
            expected = new if held == old else held
            assert (place.read(key) or None) == expected, (held, old, new)

    def test_a_freed_key_can_be_taken_again(self, place: Place) -> None:
        for _ in range(2):
            assert place.swap("locks/a", None, b"mine")
            assert not place.swap("locks/a", None, b"yours")
            assert place.swap("locks/a", b"mine", None)
        assert place.is_empty()

    def test_no_swap_is_lost_between_threads(self, place: Place) -> None:
        def count(times: int) -> None:
            for _ in range(times):
                while True:
                    old = place.read("locks/count")
                    if place.swap("locks/count", old, str(int(old or 0) + 1).encode()):
                        break

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(count, [6] * 4))
        assert place.read("locks/count") == b"24"

    @pytest.mark.parametrize("key", ["", "/etc/passwd", "..", "records/../../x", "a/.."])
    def test_keys_stay_inside(self, place: Place, key: str) -> None:
        calls = (
            lambda: place.read(key),
            lambda: place.write(key, b"1"),
            lambda: place.swap(key, None, b"1"),
            lambda: place.delete(key),
        )
        for call in calls:
            with pytest.raises(StoreError, match="a key inside the store"):
                call()

    def test_leases_alone_leave_it_empty(self, place: Place) -> None:
        place.swap("locks/part-1-of-1.json", None, b"{}")
        assert place.is_empty()
        place.write("zarr.json", b"{}")
        assert not place.is_empty()

    def test_the_address_opens_the_same_place(self, place: Place) -> None:
        place.write("a", b"1")
        assert open_place(place.url).read("a") == b"1"
        assert open_place(place.url).url == place.url
        assert pickle.loads(pickle.dumps(place)).read("a") == b"1"

    def test_zarr_writes_and_reads(self, place: Place) -> None:
        values = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
        group = zarr.create_group(place.zarr_store(), attributes={"schema": "x/1"})
        group.create_array("Leaf/net", shape=(10, 3), chunks=(4, 3), dtype="float32", compressors=None)[:] = values
        again = zarr.open_group(open_place(place.url).zarr_store(), mode="r+")
        assert again.attrs["schema"] == "x/1"
        np.testing.assert_array_equal(again["Leaf/net"][:], values)
        assert place.sizes("Leaf/net/c") == {f"Leaf/net/c/{unit}/0": 48 for unit in range(3)}
        assert place.read("Leaf/net/c/1/0") == values[4:8].tobytes()
        again.update_attributes({"schema": "x/2"})
        del again["Leaf/net"]
        assert sorted(place.sizes("")) == ["Leaf/zarr.json", "zarr.json"]

    def test_its_swap_can_be_relied_on(self, place: Place) -> None:
        place.require_conditions()
        assert place.sizes("") == {}


class TestFolder:
    def test_nothing_but_what_was_written(self, tmp_path: Path) -> None:
        LocalPlace(tmp_path / "f").write("a/b", b"1")
        assert [path.name for path in sorted((tmp_path / "f").rglob("*"))] == ["a", "b"]

    def test_leftovers_are_no_keys_and_are_swept(self, tmp_path: Path) -> None:
        place = LocalPlace(tmp_path)
        place.write("records/Leaf/0.json", b"{}")
        place.swap("locks/a", None, b"1")
        for name in ("records/Leaf/.77.partial.1.json", ".77.partial.zarr.json", f"records/0.{'a' * 32}.partial"):
            (tmp_path / name).write_bytes(b"half")
        before = place.sizes("")
        assert before == {"records/Leaf/0.json": 2, "locks/a": 1}
        assert place.sweep() == 3
        assert place.sizes("") == before
        assert place.sweep() == 0

    def test_what_zarr_leaves_when_killed_is_swept(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        class Killed(BaseException):
            pass

        def die(*_: object) -> None:
            raise Killed

        place = LocalPlace(tmp_path)
        buffer = zarr.core.buffer.default_buffer_prototype().buffer.from_bytes(b"a chunk")
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", die)
            with pytest.raises(Killed):
                asyncio.run(place.zarr_store().set("Leaf/net/c/0/0", buffer))
        assert len(list((tmp_path / "Leaf/net/c/0").iterdir())) == 1
        assert place.sizes("") == {}
        assert place.sweep() == 1
        assert list((tmp_path / "Leaf/net/c/0").iterdir()) == []

    def test_a_folder_is_no_key_on_windows(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def denied(self: Path, *_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied", str(self))

        place = LocalPlace(tmp_path)
        place.write("a/b", b"1")
        monkeypatch.setattr(Path, "open", denied)
        assert place.read("a") is None
        with pytest.raises(PermissionError):
            place.read("a/b")

    def test_a_failed_write_leaves_the_old(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(self: Path, data: bytes) -> int:
            with self.open("wb") as file:
                file.write(data[:2])
            raise OSError(28, "No space left on device", str(self))

        place = LocalPlace(tmp_path)
        place.write("a", b"before")
        monkeypatch.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="No space left") as caught:
            place.write("a", b"after")
        assert str(tmp_path) in str(caught.value.filename)
        assert place.read("a") == b"before"
        assert [path.name for path in tmp_path.iterdir()] == ["a"]

    def test_faults_of_the_disk_name_their_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        for call in (
            lambda place: place.write("a", b"1"),
            lambda place: place.swap("a", None, b"1"),
        ):
            with pytest.raises(OSError, match="file") as caught:
                call(LocalPlace(tmp_path / "file"))
            assert caught.value.filename

    def test_files_may_vanish_while_they_are_listed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        files = LocalPlace._files

        def vanishing(self: LocalPlace, folder: Path) -> Iterator[object]:
            for entry in files(self, folder):
                if entry.name == "gone":
                    Path(entry.path).unlink()
                yield entry

        place = LocalPlace(tmp_path)
        place.write("locks/gone", b"1")
        place.write("locks/there", b"1")
        monkeypatch.setattr(LocalPlace, "_files", vanishing)
        assert place.sizes("locks") == {"locks/there": 1}

    def test_a_guard_that_is_never_free_is_told(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(places, "_GUARD_PATIENCE_S", 0.05)
        with FileLock(tmp_path / ".guard"), pytest.raises(StoreError, match="End that process"):
            LocalPlace(tmp_path).swap("locks/a", None, b"1")

    def test_a_file_in_its_place_is_not_empty(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        assert not LocalPlace(tmp_path / "file").is_empty()


class TestAddresses:
    def test_folders(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        for location in ("a b", Path("a b"), tmp_path / "a b", (tmp_path / "a b").as_uri(), f"file:{tmp_path}/a b"):
            assert open_place(location).local == tmp_path / "a b"

    def test_as_windows_writes_them(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("urllib.request.url2pathname", nturl2path.url2pathname)
        assert str(open_place("file:///C:/Users/a%20b").local).endswith("C:\\Users\\a b")
        monkeypatch.undo()
        # What a command line there makes of an address that it takes for a path.
        with pytest.raises(StoreError, match=r"begins with s3://, gs://, az://"):
            open_place(PureWindowsPath("http://host/f"))

    def test_buckets(self, s3_url: str) -> None:
        # pathlib, as command lines make it of an option, takes one slash away.
        for location in (s3_url, f"{s3_url}/", s3_url.replace("s3", "S3", 1), Path(s3_url), PureWindowsPath(s3_url)):
            assert open_place(location).url == s3_url
            assert open_place(location).local is None

    @pytest.mark.parametrize("address", ["http://host/f.zarr", "https://host/f", "ftp://host/f", Path("http://host/f")])
    def test_others_are_refused(self, address: str | Path) -> None:
        with pytest.raises(StoreError, match=r"begins with s3://, gs://, az://"):
            open_place(address)

    @pytest.mark.parametrize("address", ["s3://", "s3:///", "gs://"])
    def test_a_bucket_needs_a_name(self, address: str) -> None:
        with pytest.raises(StoreError, match="the name of a bucket"):
            open_place(address)

    def test_without_the_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "obstore.store", None)
        with pytest.raises(StoreError, match=r'pip install "phytobench\[cloud\]"'):
            open_place("s3://bucket/f.zarr")
