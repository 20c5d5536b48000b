"""Places in object stores, through obstore: a chunk is one PUT, a lease a conditional one."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from featstore.errors import StoreError
from featstore.store.place import LOCKS

if TYPE_CHECKING:
    import obstore.store
    import zarr.abc.store

_N_THREADS = 32
_T = TypeVar("_T")


class ObjectPlace:
    """A prefix of a bucket. Credentials, region and endpoint come from the environment, as obstore reads them."""

    def __init__(self, url: str) -> None:
        try:
            from obstore.store import from_url
        except ImportError as error:
            raise StoreError(
                f"obstore to reach {url}", "none installed", 'Install it: pip install "phytobench[cloud]".'
            ) from error
        self._url = url.rstrip("/")
        self._store = self._try(lambda: from_url(self._url))

    @property
    def url(self) -> str:
        """The address."""
        return self._url

    @property
    def local(self) -> Path | None:
        """None: it is not a folder."""
        return None

    def read(self, key: str) -> bytes | None:
        """See `Place.read`."""
        return self._get(key)[0]

    def read_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        """See `Place.read_many`; requests run side by side, for each takes tens of milliseconds."""
        with ThreadPoolExecutor(_N_THREADS) as pool:
            found = zip(keys, pool.map(self.read, keys), strict=True)
            return {key: data for key, data in found if data is not None}

    def write(self, key: str, data: bytes) -> None:
        """See `Place.write`."""
        # A multipart upload is several requests; one PUT is whole or absent.
        self._try(lambda: self._store.put(key, data, use_multipart=False))

    def swap(self, key: str, old: bytes | None, new: bytes | None) -> bool:
        """See `Place.swap`: If-None-Match for an absent key, else If-Match with the ETag of what was read.

        Not every server can delete on a condition, so a key is freed by emptying it.
        """
        from obstore.exceptions import AlreadyExistsError, NotFoundError, PreconditionError

        held, e_tag = self._get(key)
        if held != old:
            return False
        mode = "create" if e_tag is None else {"e_tag": e_tag}
        try:
            self._store.put(key, new or b"", mode=cast("obstore.PutMode", mode), use_multipart=False)
        except (AlreadyExistsError, PreconditionError, NotFoundError):
            return False
        except Exception as error:  # obstore raises OSError, ValueError and its own
            raise self._failure(error) from error
        return True

    def delete(self, key: str) -> None:
        """See `Place.delete`."""
        from obstore.exceptions import NotFoundError

        def remove() -> None:
            try:
                self._store.delete(key)
            except (NotFoundError, FileNotFoundError):
                return

        self._try(remove)

    def sizes(self, prefix: str) -> dict[str, int]:
        """See `Place.sizes`."""

        def collect() -> dict[str, int]:
            pages = self._store.list(f"{prefix}/" if prefix else None)
            return {str(entry["path"]): int(entry["size"]) for page in pages for entry in page}

        return self._try(collect)

    def is_empty(self) -> bool:
        """See `Place.is_empty`."""
        return all(key.startswith(f"{LOCKS}/") for key in self.sizes(""))

    def require_conditions(self) -> None:
        """Probe whether the server refuses a second creation and a stale replacement, as leases need it.

        Raises
        ------
        StoreError
            If it does not.
        """
        probe = f"{LOCKS}/probe-{uuid.uuid4().hex}"
        try:
            kept = self.swap(probe, None, b"1") and not self._created_twice(probe) and not self._replaced_stale(probe)
        finally:
            self.delete(probe)
        if not kept:
            raise StoreError(
                f"conditional writes at {self._url}, by which builds keep out of each other's way",
                "a server that ignores If-None-Match or If-Match",
                "Use another server, or build on a local disk and copy the store.",
            )

    def zarr_store(self) -> zarr.abc.store.Store:
        """See `Place.zarr_store`."""
        import zarr.storage

        return zarr.storage.ObjectStore(self._store)

    def sweep(self) -> int:
        """Nothing: an object that was not put whole is not there."""
        return 0

    def _created_twice(self, key: str) -> bool:
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        try:
            self._store.put(key, b"2", mode="create", use_multipart=False)
        except (AlreadyExistsError, PreconditionError):
            return False
        return True

    def _replaced_stale(self, key: str) -> bool:
        from obstore.exceptions import PreconditionError

        stale = self._get(key)[1]
        self.write(key, b"3")
        try:
            self._store.put(key, b"4", mode=cast("obstore.PutMode", {"e_tag": stale}), use_multipart=False)
        except PreconditionError:
            return False
        return True

    def _get(self, key: str) -> tuple[bytes | None, str | None]:
        """What a key holds and its ETag; both None if it is absent."""
        from obstore.exceptions import NotFoundError

        def get() -> tuple[bytes | None, str | None]:
            try:
                answer = self._store.get(key)
                return bytes(answer.bytes()), answer.meta["e_tag"]
            except (NotFoundError, FileNotFoundError):
                return None, None

        return self._try(get)

    def _try(self, request: Callable[[], _T]) -> _T:
        try:
            return request()
        except StoreError:
            raise
        except Exception as error:  # obstore raises OSError, ValueError and its own
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> StoreError:
        told = " ".join(str(error).split())[:300]
        return StoreError(
            f"an answer from {self._url}",
            f"{type(error).__name__}: {told}",
            "Check bucket, credentials and endpoint (such as AWS_ACCESS_KEY_ID, AWS_REGION, AWS_ENDPOINT_URL).",
        )
