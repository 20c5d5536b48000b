"""Where a file comes from, and how it is written so that it is whole or absent."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import shutil
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

_MARGIN_BYTES = 1 << 20
_READERS_CLOSE_S = 2.0 if os.name == "nt" else 0.0

LIBRARIES = ("keras", "tensorflow", "numpy", "zarr", "scikit-learn", "scipy", "lightgbm", "pillow")


def library_versions(names: tuple[str, ...] = LIBRARIES) -> dict[str, str]:
    """Versions of the installed libraries, without importing any of them."""
    return {name: _installed(name) or "absent" for name in names}


@cache
def _installed(name: str) -> str:
    """Version of a distribution, "" where there is none; looked up once, for every identity and every file tells it."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def phytobench_version() -> str:
    """Version of the installed distribution, ``"0"`` when run from a bare checkout."""
    return _installed("phytobench") or "0"


def provenance(**details: Json) -> dict[str, Json]:
    """What every artefact carries: program, moment, command, versions, and `details` of its own."""
    return {
        "phytobench": phytobench_version(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "python": platform.python_version(),
        "platform": platform.platform(),
        "libraries": dict(library_versions()),
        **details,
    }


def sha256_of_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    with open(path, "rb", opener=open_at_once) as file:  # Path.open takes no opener
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_at_once(path: str, flags: int) -> int:
    """Open a file as `open` asks its `opener` to; a pipe that nobody writes to is empty, not waited for without end."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def existing_folder(path: Path) -> Path:
    """The folder itself, or the nearest one above it that is there; the root of a disk that is not there."""
    folder = path.expanduser().absolute()
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return folder


def free_bytes(path: Path) -> int:
    """Room on the disk of a folder that need not be there yet."""
    return shutil.disk_usage(existing_folder(path)).free


def require_room(folder: Path, n_bytes: int) -> None:
    """Raise what a full disk would raise, with a name to it, if a folder has no room for so many bytes.

    Above all for HDF5, which crashes the process on its way out when a disk fills up under it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(folder).free < n_bytes + _MARGIN_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


PARTIAL = r"\.[0-9a-f]{32}\.partial\."
"""What stands before a file's name while it is being written."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it takes the place of `path` in one step.

    A reader sees the old file or the whole new one, never a half. If the body raises, the
    temporary file is removed and `path` is left as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays: Keras and NumPy choose the format by it.
    temporary = path.with_name(f".{uuid.uuid4().hex}.partial.{path.name}")
    try:
        yield temporary
        # Windows flushes only what is open for writing.
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())
        _put_in_place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _put_in_place(temporary: Path, path: Path) -> None:
    """Rename; on Windows nobody may have the old file open, so a reader is given the time to close it."""
    end = time.monotonic() + _READERS_CLOSE_S
    while True:
        try:
            temporary.replace(path)
        except PermissionError:
            if time.monotonic() >= end:
                raise
            time.sleep(0.02)
        else:
            return


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text, whole or not at all, the same bytes on every system."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, content: Mapping[str, Json]) -> None:
    """Write indented UTF-8 JSON, whole or not at all."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
