"""Places in object stores, through obstore: a chunk is one PUT, a lease a conditional one."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from featstore.errors import StoreError
from featstore.store.place import LOCKS, inside

if TYPE_CHECKING:
    import obstore.store
    import zarr.abc.store

_N_THREADS = 32
_T = TypeVar("_T")

_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound", "bucket does not exist")
"""How servers tell a bucket that is absent from an object that is."""

_ACCESS = {
    "s3": "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL with AWS_ALLOW_HTTP for http://",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_NAME, AZURE_STORAGE_ACCOUNT_KEY",
}
"""Variables of the environment by which obstore finds a server and is let in."""


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
        if self._url.endswith(":"):
            raise StoreError("the name of a bucket", repr(url), "Write it as in s3://bucket/features.zarr.")
        self._store = self._try(lambda: from_url(self._url))

    def __reduce__(self) -> tuple[type[ObjectPlace], tuple[str]]:
        """Travel as the address alone: credentials stay, the other process has its own."""
        return ObjectPlace, (self._url,)

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

    def read_part(self, key: str, start: int, length: int) -> bytes | None:
        """See `Place.read_part`."""
        from obstore.exceptions import NotFoundError

        def get() -> bytes | None:
            try:
                if start >= 0:
                    return bytes(self._store.get_range(inside(key), start=start, length=length))
                answer = self._store.get(inside(key), options={"range": {"suffix": -start}})
                return bytes(answer.bytes())[:length]
            except (NotFoundError, FileNotFoundError):
                return None

        return self._try(get)

    def read_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        """See `Place.read_many`; requests run side by side, for each takes tens of milliseconds."""
        with ThreadPoolExecutor(_N_THREADS) as pool:
            found = zip(keys, pool.map(self.read, keys), strict=True)
            return {key: data for key, data in found if data is not None}

    def write(self, key: str, data: bytes) -> None:
        """See `Place.write`."""
        # A multipart upload is several requests; one PUT is whole or absent.
        self._try(lambda: self._store.put(inside(key), data, use_multipart=False))

    def swap(self, key: str, old: bytes | None, new: bytes | None) -> bool:
        """See `Place.swap`: If-None-Match for an absent key, else If-Match with the version of what was read.

        Not every server can delete on a condition, so a key is freed by emptying it.
        """
        held, version = self._get(key)
        if (held or None) != (old or None):
            return False
        return self._put_if(key, new or b"", version or "create")

    def delete(self, key: str) -> None:
        """See `Place.delete`."""

        def remove() -> None:
            try:
                self._store.delete(inside(key))
            except FileNotFoundError as error:
                self._require_bucket(error)

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
            kept = self.swap(probe, None, b"1") and not self._put_if(probe, b"2", "create")
            stale = self._get(probe)[1]
            self.write(probe, b"3")
            kept = kept and bool(stale) and not self._put_if(probe, b"4", stale)
        except StoreError as error:
            if not isinstance(error.__cause__, NotImplementedError):
                raise
            kept = False
        finally:
            self.delete(probe)
        if not kept:
            raise StoreError(
                f"conditional writes at {self._url}, by which builds keep out of each other's way",
                "a server that does not keep to If-None-Match and If-Match",
                "Use another server, or build on a local disk and copy the store.",
            )

    def zarr_store(self) -> zarr.abc.store.Store:
        """See `Place.zarr_store`; it fails as this place does."""
        from featstore.store.object_zarr import ToldStore

        return ToldStore(self._store, failure=self.failure)

    def sweep(self) -> int:
        """Nothing: an object that was not put whole is not there."""
        return 0

    def _put_if(self, key: str, data: bytes, mode: str | dict[str, str]) -> bool:
        """Write on a condition; False if the server says that it does not hold."""
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        try:
            self._store.put(inside(key), data, mode=cast("obstore.PutMode", mode), use_multipart=False)
        except (AlreadyExistsError, PreconditionError):
            return False
        except Exception as error:  # obstore raises OSError, ValueError and its own
            raise self.failure(error) from error
        return True

    def _get(self, key: str) -> tuple[bytes | None, dict[str, str]]:
        """What a key holds, and by which names the server knows this version; None and {} if it is absent."""

        def get() -> tuple[bytes | None, dict[str, str]]:
            try:
                answer = self._store.get(inside(key))
                # S3 and Azure go by the ETag, Google by the generation.
                names = {"e_tag": answer.meta["e_tag"], "version": answer.meta["version"]}
                return bytes(answer.bytes()), {name: value for name, value in names.items() if value is not None}
            except FileNotFoundError as error:
                self._require_bucket(error)
                return None, {}

        return self._try(get)

    def _require_bucket(self, error: FileNotFoundError) -> None:
        if any(sign in str(error) for sign in _NO_BUCKET):
            raise self.failure(error) from error

    def _try(self, request: Callable[[], _T]) -> _T:
        try:
            return request()
        except StoreError:
            raise
        except BaseException as error:  # obstore raises OSError, ValueError and its own
            # An address that is none (localhost:9000) makes its Rust panic, which is no Exception.
            if isinstance(error, Exception) or type(error).__name__ == "PanicException":
                raise self.failure(error) from error
            raise

    def failure(self, error: BaseException) -> StoreError:
        """Tell what failed in this place, in few words, and what to look at."""
        # Behind these words obstore repeats itself at length; servers that speak XML have one sentence for people.
        told = " ".join(str(error).split()).partition("Debug source")[0].partition("<?xml")[0].strip()
        reason = re.search(r"<Message>(.*?)</Message>", str(error))
        if reason:
            told = f"{reason.group(1).rstrip('.')} ({told[:200].strip()})"
        return StoreError(
            f"an answer from {self._url}",
            f"{type(error).__name__}: {told[:400].rstrip('. ')}",
            f"Check the bucket, and what the environment says of access ({_ACCESS[self._url.partition(':')[0]]}).",
        )
