"""Verification: every byte of a store against its checksums."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from featstore import shell
from featstore.care.faults import Fault, Verdict
from featstore.care.layouts import constant_layouts, row_layouts
from featstore.care.row_keys import keys_and_faults
from featstore.catalog import VIEWS
from featstore.errors import StoreError
from featstore.store import Store
from featstore.store.column import Column
from featstore.store.description import COPY, copy_is_intact
from featstore.store.papers import papers_digest
from featstore.store.place import LOCKS
from featstore.store.records import FeatureRows, Record
from featstore.store.rows import digest

_IMPOSSIBLE = frozenset({"image_id", "image_id_utf8", "identity", "zarr.json", "c"})
_POSSIBLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass
class _Findings:
    """What is found on the way.

    Attributes
    ----------
    own
        Names of features that a build makes.
    wanted
        Usable photographs of each view.
    building
        Whether a build is at work or was killed.
    """

    columns: Mapping[str, Column]
    own: Sequence[str]
    wanted: Mapping[str, frozenset[str]]
    building: bool
    n_units: int = 0
    n_rows: int = 0
    n_bytes: int = 0
    faults: list[Fault] = field(default_factory=list)
    pending: list[Fault] = field(default_factory=list)


def verify_store(store: Store, *, building: bool | None = None) -> Verdict:
    """Read everything and compare it with checksums: crc32c of every chunk, sha256 of every unit and record.

    Parameters
    ----------
    building
        Whether a build is at work or was killed, so that chunks may lie there without their record yet; None looks
        for its lease.
    """
    faults, wanted = _catalogue(store)
    names = [name for name in store.backbones if _possible(name)]
    columns = {name: store.column(name) for name in names}
    own = [name for name in names if not store.identity(name).foreign]
    found = _Findings(columns, own, wanted, _is_left_off(store) if building is None else building)
    found.faults += [*_description(store), *_names(store), *faults]
    views = [view for view in VIEWS if view in {*store.views, *wanted}]
    found.faults += [
        Fault("layout", f"{key}: {detail}", view) for view, key, detail, _ in constant_layouts(store, views)
    ]
    keys_of = {view: keys_and_faults(store, view, wanted.get(view, frozenset())) for view in views}
    n_units = {view: -(-len(keys) // store.rows.grid.unit_rows) for view, (keys, _) in keys_of.items()}
    with shell.progress(sum(n_units.values()), "verifying", "units") as bar:
        for view, (keys, of_keys) in keys_of.items():
            found.faults += of_keys
            if keys or not of_keys:
                _view(store, view, keys, found, bar)
    return Verdict(found.n_units, found.n_rows, found.n_bytes, tuple(found.faults), tuple(found.pending))


def _is_left_off(store: Store) -> bool:
    """Whether somebody is writing, or was killed: a lease is given back by whoever ends."""
    return any(size for key, size in store.place.sizes(LOCKS).items() if key.startswith(f"{LOCKS}/part-"))


def _catalogue(store: Store) -> tuple[list[Fault], dict[str, frozenset[str]]]:
    """What is wrong with the catalogue, and the usable photographs of each view as far as it can be read."""
    if not store.attrs["catalog"]:
        return [], {}
    try:
        papers = store.catalog
    except StoreError as error:
        return [Fault("catalogue", error.got)], {}
    usable = papers[papers["problem"] == ""]
    wanted = {str(view): frozenset(of_view["image_id"]) for view, of_view in usable.groupby("view", sort=False)}
    if papers_digest(papers) == store.attrs["catalog_digest"]:
        return [], wanted
    return [Fault("catalogue", "another digest")], {}


def _description(store: Store) -> Iterator[Fault]:
    if not copy_is_intact(store.place, store.attrs):
        yield Fault("description", f"{COPY} is not as it was written")


def _names(store: Store) -> Iterator[Fault]:
    for name in store.backbones:
        if not _possible(name):
            yield Fault("name", f"features called {name!r}, whose arrays cannot be", "", name)


def _possible(name: str) -> bool:
    """Whether arrays of this name can lie in a view."""
    return bool(_POSSIBLE.fullmatch(name)) and name not in _IMPOSSIBLE


def _view(store: Store, view: str, keys: Sequence[str], found: _Findings, bar: shell.Bar) -> None:
    """One view whose row keys are known."""
    wanted = found.wanted.get(view, frozenset())
    unplaced = tuple(sorted(wanted - set(keys)))
    if unplaced:
        found.pending.append(Fault("pending", "no place for their rows yet", view, image_ids=unplaced))
    recorded = set(store.records.units(view))
    layouts = [
        Fault("layout", f"{key}: {detail}", view, name)
        for name, key, detail in row_layouts(store, view, found.columns, len(keys), sorted(recorded))
    ]
    found.faults += layouts
    # What is read by a wrong layout cannot be judged.
    unreadable = {fault.name for fault in layouts}
    chunks = _chunks(store, view, found)
    for unit in range(-(-len(keys) // store.rows.grid.unit_rows)):
        of_unit = keys[store.rows.grid.unit(unit)]
        record = store.records.read(view, unit) if unit in recorded else None
        if record is None:
            _unrecorded(view, unit, of_unit, chunks.get(unit, []), found, recorded=unit in recorded)
            bar.update()
            continue
        for name in [name for name in record.features if name in found.columns and name not in unreadable]:
            rows = record.features[name]
            found.n_units += 1
            found.n_rows += record.n_rows(name)
            found.n_bytes += len(rows.identity) * found.columns[name].dimension * 4
            found.faults += _unit(store, view, name, unit, record)
        _lacking(view, unit, of_unit, record, found)
        bar.update()


def _chunks(store: Store, view: str, found: _Findings) -> dict[int, list[str]]:
    """Names of features that have a file, by unit."""
    chunks: dict[int, list[str]] = {}
    for name in found.columns:
        for key in store.place.sizes(f"{view}/{name}/c"):
            unit = key.split("/")[3]
            if unit.isdigit():
                chunks.setdefault(int(unit), []).append(name)
    return chunks


def _unrecorded(
    view: str, unit: int, keys: Sequence[str], names: Sequence[str], found: _Findings, *, recorded: bool
) -> None:
    """A unit without a record that can be read: damage, unless a build was killed before it wrote one."""
    if recorded:
        found.faults.append(Fault("record", "not as it was written", view, "", unit, tuple(keys)))
    elif names and not found.building:
        detail = f"record missing beside chunks of {', '.join(names)}"
        found.faults.append(Fault("record", detail, view, "", unit, tuple(keys)))
    else:
        pending = tuple(key for key in keys if key in found.wanted.get(view, ()))
        if pending:
            found.pending.append(Fault("pending", "not decoded yet", view, "", unit, pending))


def _lacking(view: str, unit: int, keys: Sequence[str], record: Record, found: _Findings) -> None:
    """Photographs of a unit that have no row, or not of every network of the store."""
    wanted = found.wanted.get(view, frozenset())
    failed = {fact.image_id for fact in record.facts if fact is not None and fact.status == "failed"}
    accepted = {name: found.columns[name].accepted.get(view, ()) for name in found.own}
    lacking: dict[str, list[str]] = {}
    for place, key in enumerate(keys):
        if key in wanted and key not in failed:
            names = [name for name in found.own if not record.counts(name, place, key, accepted[name])]
            fact = record.facts[place] if place < len(record.facts) else None
            if names or fact is None or fact.image_id != key:
                lacking.setdefault(", ".join(names), []).append(key)
    for told, image_ids in lacking.items():
        detail = f"no rows of {told}" if told else "not decoded yet"
        found.pending.append(Fault("pending", detail, view, "", unit, tuple(image_ids)))


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
