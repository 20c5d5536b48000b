"""The feature store: the only package that knows its files, and the only one that imports zarr."""

from featstore.store.store import SCHEMA, Store

__all__ = ["SCHEMA", "Store"]
