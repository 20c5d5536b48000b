"""Files are written whole or not at all, also where a reader keeps the old one open for a moment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from featstore import provenance
from featstore.provenance import existing_folder, free_bytes, replacing, write_text


def busy(monkeypatch: pytest.MonkeyPatch, n_times: int) -> None:
    """Let renaming fail so many times, as Windows does while somebody reads the old file."""
    left, rename = [n_times], Path.replace

    def refuse(self: Path, target: Path) -> Path:
        if left[0]:
            left[0] -= 1
            raise PermissionError(13, "Access is denied", str(target))
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", refuse)


def test_a_reader_is_given_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "_READERS_CLOSE_S", 5.0)
    busy(monkeypatch, 3)
    write_text(tmp_path / "a.txt", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_but_not_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "_READERS_CLOSE_S", 0.05)
    write_text(tmp_path / "a.txt", "old")
    busy(monkeypatch, 1000)
    with pytest.raises(PermissionError):
        write_text(tmp_path / "a.txt", "new")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_what_is_flushed_is_open_for_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl")
    modes = []
    monkeypatch.setattr(os, "fsync", lambda number: modes.append(fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE))
    with replacing(tmp_path / "a.bin") as temporary:
        temporary.write_bytes(b"1")
    # Windows refuses to flush a file that is open for reading alone.
    assert modes == [os.O_RDWR]


def test_lines_end_alike_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def write(self: Path, text: str, **how: str) -> int:
        asked.append(how)
        return self.write_bytes(text.encode())

    monkeypatch.setattr(Path, "write_text", write)
    write_text(tmp_path / "a.txt", "a\nb\n")
    assert asked == [{"encoding": "utf-8", "newline": "\n"}]


def test_room_is_that_of_the_nearest_folder_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    assert existing_folder(tmp_path) == tmp_path
    assert existing_folder(tmp_path / "file") == existing_folder(tmp_path / "not" / "there") == tmp_path
    assert free_bytes(tmp_path / "not" / "there") > 0


def test_a_disk_that_is_not_there_is_not_looked_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "is_dir", lambda _: False)
    assert existing_folder(Path("/nowhere/at/all")) == Path("/").absolute()
