"""Forgetting: a name of features leaves a store, in an order that leaves it sound at every moment."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import cast

from featstore.build.settings import can_be_features
from featstore.errors import StoreError
from featstore.provenance import Json
from featstore.store import Store
from featstore.store.lease import Claim, hold
from featstore.store.place import Place

_N_THREADS = 16


@dataclass(frozen=True)
class Forgotten:
    """What went, or would go: rows that records vouch for, and bytes of the files."""

    location: str
    name: str
    n_rows: int
    n_bytes: int


def forget(place: Place, name: str) -> Forgotten:
    """Remove a name of features from a store: from the records, then from its description, then its arrays.

    One that was killed half way is finished by another.

    Raises
    ------
    StoreError
        If there is no store, or no such name in it.
    LockedError
        If another process is writing to it.
    """
    _require(Store.open(place), name)
    with hold(place, Claim(f"forget {name}")):
        store = Store.open(place)
        _require(store, name)
        n_rows = sum(store.records.withdraw(view, name) for view in store.views)
        if name in store.backbones:
            features = cast("dict[str, Json]", store.attrs["features"])
            store.update_attrs(features={known: column for known, column in features.items() if known != name})
        n_bytes = sum(_delete(place, view, name) for view in store.views)
    return Forgotten(store.location, name, n_rows, n_bytes)


def foresee_forgetting(place: Place, name: str) -> Forgotten:
    """Tell what `forget` would remove; nothing is written.

    Raises
    ------
    StoreError
        As `forget` would.
    """
    store = Store.open(place)
    _require(store, name)
    n_rows = sum(record.n_rows(name) for view in store.views for _, record in store.records.read_all(view))
    n_bytes = sum(sum(_files(place, view, name).values()) for view in store.views)
    return Forgotten(store.location, name, n_rows, n_bytes)


def _require(store: Store, name: str) -> None:
    # Arrays alone are what a killed process has left.
    left = can_be_features(name) and any(store.rows.has(view, name) for view in store.views)
    if not left and name not in store.backbones:
        known = ", ".join(store.backbones) or "none"
        raise StoreError(f"a name of features in {store.location} ({known})", repr(name), "Give one of these.")


def _folders(view: str, name: str) -> tuple[str, str]:
    """Where the arrays of a name lie in a view: the numbers beside its features, then these."""
    return f"{view}/identity/{name}", f"{view}/{name}"


def _files(place: Place, view: str, name: str) -> dict[str, int]:
    """Files of the arrays, by key, and their sizes."""
    return {key: size for folder in _folders(view, name) for key, size in place.sizes(folder).items()}


def _delete(place: Place, view: str, name: str) -> int:
    """Delete the arrays of a view; how many bytes that were."""
    folders, sizes = _folders(view, name), _files(place, view, name)
    # By its layout another process finds what is left if this one is killed.
    last = f"{view}/{name}/zarr.json"
    with ThreadPoolExecutor(_N_THREADS) as pool:
        list(pool.map(place.delete, [key for key in sizes if key != last]))
    if place.local is not None:
        shutil.rmtree(place.local / folders[0], ignore_errors=True)
        shutil.rmtree(place.local / folders[1] / "c", ignore_errors=True)
    place.delete(last)
    if place.local is not None:
        shutil.rmtree(place.local / folders[1], ignore_errors=True)
    return sum(sizes.values())
