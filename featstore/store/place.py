"""Places: where a store lies, seen as bytes under keys; a folder here, a prefix of a bucket in `objects`."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Protocol

from filelock import FileLock

from featstore.errors import StoreError
from featstore.provenance import replacing

if TYPE_CHECKING:
    import zarr.abc.store

LOCKS = "locks"
"""Folder of the leases, see `featstore.store.lease`."""

_GUARD = ".guard"
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+)://")
_BUCKETS = ("s3", "gs", "az")


class Place(Protocol):
    """Bytes under keys such as ``records/Leaf/3.json``. A write is whole or absent."""

    @property
    def url(self) -> str:
        """What `open_place` opens the same place by, in any process."""

    @property
    def local(self) -> Path | None:
        """The folder on this machine; None for a bucket."""

    def read(self, key: str) -> bytes | None:
        """What a key holds, None if it is absent."""

    def read_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        """What several keys hold; absent ones are left out."""

    def write(self, key: str, data: bytes) -> None:
        """Write a key, whole or not at all."""

    def swap(self, key: str, old: bytes | None, new: bytes | None) -> bool:
        """Write a key only if it holds exactly `old` (None: is absent), in one step; False if it does not.

        With `new` None the key is freed: removed, or where that cannot be conditional, emptied.
        """

    def delete(self, key: str) -> None:
        """Remove a key; an absent one is fine."""

    def sizes(self, prefix: str) -> dict[str, int]:
        """Size in bytes of every key below a folder ("" all), without what killed writers left."""

    def is_empty(self) -> bool:
        """Whether there is nothing but leases."""

    def require_conditions(self) -> None:
        """Refuse a place whose `swap` cannot be relied on, with a `StoreError`."""

    def zarr_store(self) -> zarr.abc.store.Store:
        """The same place for zarr."""

    def sweep(self) -> int:
        """Remove what killed writers left half written, and tell how many files that were."""


def open_place(location: str | Path) -> Place:
    """Open a folder (a path or ``file://``) or a bucket (``s3://``, ``gs://``, ``az://``).

    Raises
    ------
    StoreError
        If the address is of another kind, or the extra for buckets is not installed.
    """
    address = _ADDRESS.match(str(location))
    if address is None:
        return LocalPlace(Path(location))
    scheme = address.group(1)
    if scheme == "file":
        return LocalPlace(Path(str(location).removeprefix("file://")))
    if scheme not in _BUCKETS:
        expected = f"a folder, or an address that begins with {', '.join(f'{name}://' for name in _BUCKETS)}"
        raise StoreError(expected, repr(str(location)), "Correct the place of the store.")
    from featstore.store.objects import ObjectPlace

    return ObjectPlace(str(location))


class LocalPlace:
    """A folder. Files are written beside their place and renamed into it."""

    def __init__(self, path: Path) -> None:
        self._path = Path(os.path.abspath(path.expanduser()))  # noqa: PTH100  # resolve() would follow links

    @property
    def url(self) -> str:
        """The absolute path."""
        return str(self._path)

    @property
    def local(self) -> Path | None:
        """The folder itself."""
        return self._path

    def read(self, key: str) -> bytes | None:
        """See `Place.read`."""
        try:
            with self._file(key).open("rb", buffering=0) as file:
                return file.readall()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        """See `Place.read_many`."""
        found = ((key, self.read(key)) for key in keys)
        return {key: data for key, data in found if data is not None}

    def write(self, key: str, data: bytes) -> None:
        """See `Place.write`."""
        with replacing(self._file(key)) as temporary:
            temporary.write_bytes(data)

    def swap(self, key: str, old: bytes | None, new: bytes | None) -> bool:
        """See `Place.swap`; other writers wait for the moment that it takes."""
        self._path.mkdir(parents=True, exist_ok=True)
        with FileLock(self._path / _GUARD):
            if self.read(key) != old:
                return False
            if new is None:
                self.delete(key)
            else:
                self.write(key, new)
            return True

    def delete(self, key: str) -> None:
        """See `Place.delete`."""
        self._file(key).unlink(missing_ok=True)

    def sizes(self, prefix: str) -> dict[str, int]:
        """See `Place.sizes`."""
        files = self._files(self._file(prefix) if prefix else self._path)
        return {
            str(PurePosixPath(Path(entry.path).relative_to(self._path))): entry.stat().st_size
            for entry in files
            if entry.name != _GUARD and not _is_leftover(entry.name)
        }

    def is_empty(self) -> bool:
        """See `Place.is_empty`."""
        if not self._path.exists():
            return True
        return self._path.is_dir() and {path.name for path in self._path.iterdir()} <= {LOCKS, _GUARD}

    def require_conditions(self) -> None:
        """A file system keeps them."""

    def zarr_store(self) -> zarr.abc.store.Store:
        """See `Place.zarr_store`."""
        import zarr.storage

        return zarr.storage.LocalStore(self._path)

    def sweep(self) -> int:
        """See `Place.sweep`."""
        leftovers = [entry.path for entry in self._files(self._path) if _is_leftover(entry.name)]
        for path in leftovers:
            Path(path).unlink(missing_ok=True)
        return len(leftovers)

    def _file(self, key: str) -> Path:
        parts = PurePosixPath(key)
        if not key or parts.is_absolute() or ".." in parts.parts:
            raise StoreError("a key inside the store", repr(key), "This is a defect of the program; report it.")
        return self._path / parts

    def _files(self, folder: Path) -> Iterator[os.DirEntry[str]]:
        try:
            entries = list(os.scandir(folder))
        except (FileNotFoundError, NotADirectoryError):
            return
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from self._files(Path(entry.path))
            else:
                yield entry


def _is_leftover(name: str) -> bool:
    """Whether a file is one that a writer had not renamed yet: zarr's, or `featstore.provenance.replacing`'s."""
    return name.endswith(".partial") or (name.startswith(".") and ".partial." in name)


def remove_folder(place: Place, prefix: str) -> None:
    """Remove every key below a folder of a place."""
    if place.local is not None:
        shutil.rmtree(place.local / prefix, ignore_errors=True)
        return
    for key in place.sizes(prefix):
        place.delete(key)
