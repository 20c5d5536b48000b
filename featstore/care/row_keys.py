"""Row keys: which photograph each row of a view is; they lie in the store twice, and records tell them too."""

from __future__ import annotations

from collections.abc import Sequence

from featstore.care.faults import Fault
from featstore.care.layouts import key_layouts
from featstore.errors import StoreError
from featstore.store import Store


def keys_and_faults(store: Store, view: str, wanted: frozenset[str]) -> tuple[list[str], list[Fault]]:
    """The row keys of a view, and what is wrong with them or their copy; none if there are none to be read."""
    found: list[list[str]] = []
    faults: list[Fault] = []
    if view not in store.views:
        files = [*store.place.sizes(view), *store.place.sizes(f"records/{view}")]
        return [], [Fault("keys", "none, nor their copy", view, image_ids=tuple(sorted(wanted)))] if files else []
    for read in (store.row_keys.read_alone, store.row_keys.read_copy):
        try:
            found.append(read(view))
        except StoreError as error:
            faults.append(Fault("keys", error.got, view))
    if len(found) == 2 and found[0] != found[1]:
        faults.append(Fault("keys", "a copy that says something else", view))
    if not any(found):
        return [], faults or [Fault("keys", "none", view)]
    # A layout that was changed cuts keys off; no checksum lets other ones come in.
    keys = max(found, key=len) if len(found) == 2 and _begin_alike(*found) else found[0]
    # While a build enters photographs their keys are still "".
    growing = bool(wanted - set(keys))
    faults += [
        Fault("keys", f"{key}: {detail}", view) for key, detail, _ in key_layouts(store, view, keys, growing=growing)
    ]
    return keys, faults


def _begin_alike(one: Sequence[str], other: Sequence[str]) -> bool:
    n_both = min(len(one), len(other))
    return one[:n_both] == other[:n_both]


def mend_keys(store: Store, view: str) -> None:
    """Write the row keys of a view and their copy anew, from whichever is intact, or from the records.

    Raises
    ------
    StoreError
        If none of them tells all keys.
    """
    keys, faults = keys_and_faults(store, view, frozenset())
    keys = keys or _recorded_keys(store, view)
    if not keys:
        raise StoreError(
            f"the row keys of {view} in {store.location}, their copy or records that tell them",
            " and ".join(fault.detail for fault in faults),
            "Run featstore build with the data set; if it refuses, build the store anew in another place.",
        )
    for key, _, data in list(key_layouts(store, view, keys, growing=False)):
        # The copy is made anew whole.
        if key == f"{view}/image_id/zarr.json":
            store.place.write(key, data)
    store.row_keys.write(view, keys)


def _recorded_keys(store: Store, view: str) -> list[str]:
    """Row keys as far as the records tell all of them."""
    keys: list[str] = []
    for unit, record in store.records.read_all(view):
        told = [fact.image_id for fact in record.facts if fact is not None]
        if unit * store.rows.grid.unit_rows != len(keys) or len(told) != len(record.facts):
            break
        keys += told
    return keys
