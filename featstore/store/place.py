"""Places: where a store lies, seen as bytes under keys; a folder here, a prefix of a bucket in `objects`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING, Protocol

from filelock import FileLock, Timeout

from featstore.errors import StoreError
from featstore.provenance import replacing

if TYPE_CHECKING:
    import zarr.abc.store

LOCKS = "locks"
"""Folder of the leases, see `featstore.store.lease`."""

_GUARD = ".guard"
_GUARD_PATIENCE_S = 60.0
# pathlib makes one slash of two.
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+):/+", re.IGNORECASE)
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

    def read_part(self, key: str, start: int, length: int) -> bytes | None:
        """Some bytes of what a key holds, a negative `start` counted from its end; None if it is absent."""

    def read_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        """What several keys hold; absent ones are left out."""

    def write(self, key: str, data: bytes) -> None:
        """Write a key, whole or not at all."""

    def swap(self, key: str, old: bytes | None, new: bytes | None) -> bool:
        """Write a key only if it holds exactly `old` (None: is absent), in one step; False if it does not.

        With `new` None the key is freed: removed, or where that cannot be conditional, emptied. Here an empty key
        counts as absent.
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


def open_place(location: str | PurePath) -> Place:
    """Open a folder (a path or ``file://``) or a bucket (``s3://``, ``gs://``, ``az://``).

    Raises
    ------
    StoreError
        If the address is of another kind, or the extra for buckets is not installed.
    """
    # A path of Windows turns the slashes of an address round.
    text = location if isinstance(location, str) else location.as_posix()
    address = _ADDRESS.match(text)
    if address is None:
        return LocalPlace(Path(location))
    scheme, rest = address.group(1).lower(), text[address.end() :]
    if scheme == "file":
        from urllib.request import url2pathname

        # Where disks have letters, it knows file:///C:/store.
        return LocalPlace(Path(url2pathname(f"/{rest}")))
    if scheme not in _BUCKETS:
        expected = f"a folder, or an address that begins with {', '.join(f'{name}://' for name in _BUCKETS)}"
        raise StoreError(expected, repr(text), "Correct the place of the store.")
    from featstore.store.objects import ObjectPlace

    return ObjectPlace(f"{scheme}://{rest}")


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
                # In one call: readall() would ask a second time whether that was all.
                return file.read(os.fstat(file.fileno()).st_size)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except PermissionError:
            # What Windows says of a folder.
            if self._file(key).is_dir():
                return None
            raise

    def read_part(self, key: str, start: int, length: int) -> bytes | None:
        """See `Place.read_part`."""
        try:
            with self._file(key).open("rb", buffering=0) as file:
                file.seek(start, os.SEEK_SET if start >= 0 else os.SEEK_END)
                return file.read(length)
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
        with self._guard():
            if (self.read(key) or None) != (old or None):
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
        sizes = {}
        above = len(os.path.join(self._path, ""))  # noqa: PTH118  # Path drops the slash at the end
        for entry in self._files(self._file(prefix) if prefix else self._path):
            if entry.name == _GUARD or _is_leftover(entry.name):
                continue
            # Leases come and go meanwhile.
            with suppress(FileNotFoundError):
                sizes[entry.path[above:].replace(os.sep, "/")] = entry.stat().st_size
        return sizes

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
        """See `Place.sweep`. Nobody else may be writing, but for leases."""
        leftovers = [Path(entry.path) for entry in self._files(self._path) if _is_leftover(entry.name)]
        # What lies beside a lease may be another one's being written, but not while we hold the guard.
        with self._guard():
            for path in leftovers:
                path.unlink(missing_ok=True)
        return len(leftovers)

    @contextmanager
    def _guard(self) -> Iterator[None]:
        self._path.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self._path / _GUARD, timeout=_GUARD_PATIENCE_S):
                yield
        except Timeout as error:
            raise StoreError(
                f"{self._path / _GUARD} free within {_GUARD_PATIENCE_S:.0f} s",
                "a process that keeps it locked, perhaps a suspended one",
                "End that process, then run again.",
            ) from error

    def _file(self, key: str) -> Path:
        return self._path / inside(key)

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


def inside(key: str) -> str:
    """Give a key back if it lies inside a place.

    Raises
    ------
    StoreError
        If it does not.
    """
    parts = PurePosixPath(key)
    if not key or parts.is_absolute() or ".." in parts.parts:
        raise StoreError("a key inside the store", repr(key), "This is a defect of the program; report it.")
    return key


def _is_leftover(name: str) -> bool:
    """Whether a file is one that a writer had not renamed yet: zarr's, or `featstore.provenance.replacing`'s."""
    return name.endswith(".partial") or (name.startswith(".") and ".partial." in name)
