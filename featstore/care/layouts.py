"""Layouts: how groups and arrays lie in zarr has no checksum, but is constant or follows from what has one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from featstore.store import Store
from featstore.store.arrays import ArraySpec
from featstore.store.column import Column
from featstore.store.papers import group_fault, group_layout, layout_faults, n_rows_of
from featstore.store.row_keys import CHUNK_ROWS


def constant_layouts(store: Store, views: Sequence[str]) -> Iterator[tuple[str, str, str, bytes]]:
    """Layouts of groups and, without views, of the catalogue that are not as written.

    Yields
    ------
    View ("" for the catalogue), key, what was found, and what has to lie there.
    """
    generation = str(store.attrs["catalog"])
    if generation:
        for key, detail, data in layout_faults(store.place, generation):
            yield "", key, detail, data
    for view in views:
        files = set(store.place.sizes(view))
        for group in (view, f"{view}/identity"):
            key = f"{group}/zarr.json"
            # A group is there as soon as anything is in it.
            if any(file.startswith(f"{group}/") and file != key for file in files):
                detail = group_fault(store.place.read(key))
                if detail:
                    yield view, key, detail, group_layout()


def key_layouts(store: Store, view: str, keys: Sequence[str], *, growing: bool) -> Iterator[tuple[str, str, bytes]]:
    """Layouts of a view's row keys and of their copy that do not fit the keys: key, what was found, and the right one.

    Parameters
    ----------
    growing
        Whether there may be room for keys to come.
    """
    width = max(len(key.encode()) for key in keys)
    for spec in (
        ArraySpec(f"{view}/image_id", (len(keys),), (CHUNK_ROWS,), "str"),
        ArraySpec(f"{view}/image_id_utf8", (len(keys), width), (CHUNK_ROWS, width), "uint8"),
    ):
        found = store.place.read(spec.layout_key)
        detail = spec.layout_fault(found)
        n_rows = n_rows_of(found)
        if not detail and n_rows != len(keys) and not (growing and n_rows > len(keys)):
            detail = f"{n_rows} rows instead of {len(keys)}"
        if detail:
            yield spec.layout_key, detail, spec.layout()


def row_layouts(
    store: Store, view: str, columns: Mapping[str, Column], n_keys: int, recorded: Sequence[int]
) -> Iterator[tuple[str, str, str]]:
    """Layouts of a view's features and identities that are not as written: name, key, and what was found.

    Parameters
    ----------
    recorded
        Units that have a record, ascending.
    """
    for name, column in columns.items():
        if view not in column.accepted:
            continue
        least = _vouched(store, view, name, recorded)
        for spec in store.rows.specs(view, name, column.dimension, n_keys):
            found = store.place.read(spec.layout_key)
            if found is None and not least and not store.place.sizes(spec.path):
                continue  # a build was killed before it came to them
            detail = spec.layout_fault(found)
            n_rows = n_rows_of(found)
            # Fewer than keys are fine: photographs that came since may not have been asked for.
            if not detail and not least <= n_rows <= n_keys:
                detail = f"{n_rows} rows instead of {n_keys}"
            if detail:
                yield name, spec.layout_key, detail


def _vouched(store: Store, view: str, name: str, recorded: Sequence[int]) -> int:
    """Number of rows up to the last that a record vouches for."""
    for unit in reversed(recorded):
        record = store.records.read(view, unit)
        if record is not None and name in record.features:
            return unit * store.rows.grid.unit_rows + len(record.features[name].identity)
    return 0
