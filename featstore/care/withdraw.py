"""Withdrawal: no record vouches any more for what is damaged, so that the next build makes just that anew."""

from __future__ import annotations

from collections.abc import Sequence

from featstore.care.faults import Fault
from featstore.care.layouts import constant_layouts
from featstore.care.row_keys import mend_keys
from featstore.errors import StoreError
from featstore.store import Store
from featstore.store.records import Record


def withdraw(store: Store, faults: Sequence[Fault]) -> int:
    """Let no record vouch any more for what is damaged, so that a build makes just that anew.

    Returns
    -------
    Number of photographs concerned.

    Raises
    ------
    StoreError
        If something stands where a file of the store has to be, or row keys are lost with their copy.
    """
    concerned: set[tuple[str, str]] = set()
    for fault in faults:
        concerned |= {(fault.view, image_id) for image_id in fault.image_ids}
        try:
            _withdraw(store, fault)
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise StoreError(
                f"room for {fault.where or fault.kind} in {store.location}",
                f"something else at {error.filename}",
                "Move it away, then run featstore repair again.",
            ) from error
    return len(concerned)


def _withdraw(store: Store, fault: Fault) -> None:
    if fault.kind == "record":
        # What cannot be read vouches for nothing; an empty one in its place says so without a warning.
        store.records.write(fault.view, fault.unit, Record())
    elif fault.kind in {"chunk", "identity"}:
        record = store.records.read(fault.view, fault.unit)
        # Not to be read again on the way to writing it anew.
        store.rows.delete_unit(fault.view, fault.name, fault.unit)
        if record is not None:
            store.records.write(fault.view, fault.unit, record.without([fault.name]))
    elif fault.kind == "layout" and fault.name:
        store.rows.mend_layout(fault.view, fault.name, store.column(fault.name).dimension)
    elif fault.kind == "layout":
        for _, key, _, data in list(constant_layouts(store, [fault.view] if fault.view else [])):
            store.place.write(key, data)
    elif fault.kind == "keys":
        mend_keys(store, fault.view)
    elif fault.kind == "name":
        features = {name: store.column(name).to_json() for name in store.backbones if name != fault.name}
        store.update_attrs(features=dict(features))
    elif fault.kind == "description":
        store.update_attrs()
