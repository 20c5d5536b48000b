"""A bucket for zarr whose failures are `StoreError`, as those of `featstore.store.objects` are."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from zarr.storage import ObjectStore

from featstore.errors import StoreError

if TYPE_CHECKING:
    import obstore.store
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype


class ToldStore(ObjectStore["obstore.store.ObjectStore"]):
    """zarr's own store of objects; `failure` makes its errors ones that tell the user what to do."""

    def __init__(
        self, store: obstore.store.ObjectStore, *, failure: Callable[[Exception], StoreError], read_only: bool = False
    ) -> None:
        super().__init__(store, read_only=read_only)
        self._failure = failure

    def with_read_only(self, read_only: bool = False) -> ToldStore:
        """See zarr."""
        return ToldStore(self.store, failure=self._failure, read_only=read_only)

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """See zarr."""
        with self._told():
            return await super().get(key, prototype, byte_range)

    async def exists(self, key: str) -> bool:
        """See zarr."""
        with self._told():
            return await super().exists(key)

    async def set(self, key: str, value: Buffer) -> None:
        """See zarr."""
        with self._told():
            await super().set(key, value)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """See zarr."""
        with self._told():
            await super().set_if_not_exists(key, value)

    async def delete(self, key: str) -> None:
        """See zarr."""
        with self._told():
            await super().delete(key)

    async def delete_dir(self, prefix: str) -> None:
        """See zarr."""
        with self._told():
            await super().delete_dir(prefix)

    async def list_dir(self, prefix: str) -> AsyncGenerator[str, None]:
        """See zarr."""
        with self._told():
            async for name in super().list_dir(prefix):
                yield name

    @contextmanager
    def _told(self) -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, OSError) as error:
            raise self._failure(error) from error
