"""Verification: every byte of a store against its checksums, and repair of what is not as it was written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featstore import shell
from featstore.errors import StoreError
from featstore.store import Store
from featstore.store.description import COPY, copy_is_intact
from featstore.store.records import FeatureRows, Record
from featstore.store.rows import digest


@dataclass(frozen=True)
class Fault:
    """Something that is not as it was written.

    Attributes
    ----------
    kind
        ``chunk`` (features), ``identity`` (the numbers beside them), ``layout`` (how either lies), ``record``,
        ``keys``, ``catalogue`` or ``description`` (its copy: with a damaged description no store can be opened).
    view, name, unit
        Where; "" and -1 where that does not apply.
    image_ids
        Photographs whose rows it concerns.
    detail
        What was found.
    """

    kind: str
    detail: str
    view: str = ""
    name: str = ""
    unit: int = -1
    image_ids: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """The place in words."""
        parts = [self.view, self.name] if self.name else [self.view]
        unit = f" unit {self.unit}" if self.unit >= 0 else ""
        return "/".join(part for part in parts if part) + unit


@dataclass(frozen=True)
class Verdict:
    """What a verification found.

    Attributes
    ----------
    n_units, n_rows, n_bytes
        Units of feature arrays read, rows that records vouch for, and bytes of features compared.
    """

    n_units: int
    n_rows: int
    n_bytes: int
    faults: tuple[Fault, ...]

    @property
    def sound(self) -> bool:
        """Whether everything is as it was written."""
        return not self.faults


def verify_store(store: Store) -> Verdict:
    """Read everything and compare it with checksums: crc32c of every chunk, sha256 of every unit and record."""
    faults: list[Fault] = [*_description(store), *_catalogue(store)]
    n_units = n_rows = n_bytes = 0
    units = {view: store.records.units(view) for view in store.views}
    with shell.progress(sum(map(len, units.values())), "verifying", "units") as bar:
        for view, numbers in units.items():
            keys, of_keys = _keys(store, view)
            layouts = list(_layouts(store, view))
            faults += [*of_keys, *layouts]
            # What is read by a wrong layout cannot be judged.
            unreadable = {fault.name for fault in layouts}
            if not keys:
                bar.update(len(numbers))
                continue
            for unit in numbers:
                record = store.records.read(view, unit)
                if record is None:
                    of_unit = tuple(keys[store.rows.grid.unit(unit)])
                    faults.append(Fault("record", "not as it was written", view, "", unit, of_unit))
                    continue
                for name, rows in record.without(sorted(unreadable)).features.items():
                    n_units += 1
                    n_rows += sum(number >= 0 for number in rows.identity)
                    n_bytes += len(rows.identity) * store.column(name).dimension * 4
                    faults += _unit(store, view, name, unit, record)
                bar.update()
    return Verdict(n_units, n_rows, n_bytes, tuple(faults))


def withdraw(store: Store, faults: Sequence[Fault]) -> int:
    """Let no record vouch any more for what is damaged, so that a build makes just that anew.

    Returns
    -------
    Number of photographs concerned.
    """
    concerned: set[tuple[str, str]] = set()
    for fault in faults:
        concerned |= {(fault.view, image_id) for image_id in fault.image_ids}
        if fault.kind == "record":
            # What cannot be read vouches for nothing; an empty one in its place says so without a warning.
            store.records.write(fault.view, fault.unit, Record())
        elif fault.kind in {"chunk", "identity"}:
            record = store.records.read(fault.view, fault.unit)
            # Not to be read again on the way to writing it anew.
            store.rows.delete_unit(fault.view, fault.name, fault.unit)
            if record is not None:
                store.records.write(fault.view, fault.unit, record.without([fault.name]))
        elif fault.kind == "layout":
            store.rows.mend_layout(fault.view, fault.name, store.column(fault.name).dimension)
        elif fault.kind == "keys":
            store.rows.write_keys(fault.view, _sound_keys(store, fault.view))
        elif fault.kind == "description":
            store.update_attrs()
    return len(concerned)


def _catalogue(store: Store) -> Iterator[Fault]:
    try:
        _ = store.catalog
    except StoreError as error:
        yield Fault("catalogue", error.got)
    else:
        if not store.has_intact_catalog():
            yield Fault("catalogue", "another digest")


def _description(store: Store) -> Iterator[Fault]:
    if not copy_is_intact(store.place, store.attrs):
        yield Fault("description", f"{COPY} is not as it was written")


def _layouts(store: Store, view: str) -> Iterator[Fault]:
    for name in store.backbones:
        if view in store.column(name).accepted:
            for spec in store.rows.specs(view, name, store.column(name).dimension, 1):
                detail = spec.layout_fault(store.place.read(spec.layout_key))
                if detail:
                    yield Fault("layout", f"{spec.layout_key}: {detail}", view, name)


def _keys(store: Store, view: str) -> tuple[list[str], list[Fault]]:
    """The row keys of a view, and what is wrong with them or their copy; none if neither can be read."""
    found: list[list[str]] = []
    faults: list[Fault] = []
    for read in (store.rows.keys, store.rows.keys_copy):
        try:
            found.append(read(view))
        except StoreError as error:
            faults.append(Fault("keys", error.got, view))
    if len(found) == 2 and found[0] != found[1]:
        faults.append(Fault("keys", "a copy that says something else", view))
    return (found[0] if found else []), faults


def _sound_keys(store: Store, view: str) -> list[str]:
    keys, faults = _keys(store, view)
    if not keys:
        raise StoreError(
            f"the row keys of {view} in {store.location}, or their copy",
            " and ".join(fault.detail for fault in faults),
            "Build the store anew in another place.",
        )
    return keys


def _unit(store: Store, view: str, name: str, unit: int, record: Record) -> Iterator[Fault]:
    rows = record.features[name]
    computed = [place for place, number in enumerate(rows.identity) if number >= 0]
    image_ids = tuple(fact.image_id for place in computed if (fact := record.facts[place]) is not None)
    detail = _features_fault(store, view, name, unit, rows)
    if detail:
        yield Fault("chunk", detail, view, name, unit, image_ids)
        return
    try:
        numbers = store.rows.read_identity(view, name, unit)[: len(rows.identity)]
        intact = bool((numbers == np.asarray(rows.identity)).all())
    except (ValueError, OSError, RuntimeError) as error:
        yield Fault("identity", str(error), view, name, unit, image_ids)
        return
    if not intact:
        yield Fault("identity", "numbers other than the record's", view, name, unit, image_ids)


def _features_fault(store: Store, view: str, name: str, unit: int, rows: FeatureRows) -> str:
    """What is wrong with the features of a unit, "" if nothing is."""
    try:
        features: NDArray[np.float32] = store.rows.read_unit(view, name, unit)[: len(rows.identity)]
    except (StoreError, ValueError, OSError, RuntimeError) as error:
        return error.got if isinstance(error, StoreError) else str(error)
    if digest(features) == rows.digest:
        return ""
    return "no features where the record vouches for some" if np.isnan(features).all() else "another sha256"
