"""Verification: every byte of a store against its checksums, and repair of what is not as it was written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from featstore import shell
from featstore.care.layouts import constant_layouts, key_layouts, row_layouts
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


@dataclass(frozen=True)
class Fault:
    """Something that is not as it was written.

    Attributes
    ----------
    kind
        ``chunk`` (features), ``identity`` (the numbers beside them), ``layout`` (how arrays and groups lie),
        ``record``, ``keys``, ``name`` (of features, that no array can have), ``catalogue`` or ``description`` (its
        copy: with a damaged description no store can be opened). No damage is ``pending``, see `Verdict`.
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
    pending
        What a build has not done yet: no damage, but photographs without rows.
    """

    n_units: int
    n_rows: int
    n_bytes: int
    faults: tuple[Fault, ...]
    pending: tuple[Fault, ...] = ()

    @property
    def sound(self) -> bool:
        """Whether everything is as it was written."""
        return not self.faults

    @property
    def n_pending(self) -> int:
        """Photographs that lack rows for want of a build."""
        return sum(len(part.image_ids) for part in self.pending)


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
    keys_of = {view: _keys(store, view, wanted.get(view, frozenset())) for view in views}
    n_units = {view: -(-len(keys) // store.rows.grid.unit_rows) for view, (keys, _) in keys_of.items()}
    with shell.progress(sum(n_units.values()), "verifying", "units") as bar:
        for view, (keys, of_keys) in keys_of.items():
            found.faults += of_keys
            if keys or not of_keys:
                _view(store, view, keys, found, bar)
    return Verdict(found.n_units, found.n_rows, found.n_bytes, tuple(found.faults), tuple(found.pending))


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
        _mend_keys(store, fault.view)
    elif fault.kind == "name":
        features = {name: store.column(name).to_json() for name in store.backbones if name != fault.name}
        store.update_attrs(features=dict(features))
    elif fault.kind == "description":
        store.update_attrs()


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


def _keys(store: Store, view: str, wanted: frozenset[str]) -> tuple[list[str], list[Fault]]:
    """The row keys of a view, and what is wrong with them or their copy; none if there are none to be read."""
    found: list[list[str]] = []
    faults: list[Fault] = []
    if view not in store.views:
        files = [*store.place.sizes(view), *store.place.sizes(f"records/{view}")]
        return [], [Fault("keys", "none, nor their copy", view, image_ids=tuple(sorted(wanted)))] if files else []
    for read in (store.keys_alone, store.rows.keys_copy):
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


def _mend_keys(store: Store, view: str) -> None:
    keys, faults = _keys(store, view, frozenset())
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
    store.rows.write_keys(view, keys)


def _recorded_keys(store: Store, view: str) -> list[str]:
    """Row keys as far as the records tell all of them."""
    keys: list[str] = []
    for unit, record in store.records.read_all(view):
        told = [fact.image_id for fact in record.facts if fact is not None]
        if unit * store.rows.grid.unit_rows != len(keys) or len(told) != len(record.facts):
            break
        keys += told
    return keys


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
            found.n_rows += sum(number >= 0 for number in rows.identity)
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
