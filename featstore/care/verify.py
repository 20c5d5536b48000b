"""Verification: every byte of a store against its checksums, and repair of what is not as it was written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featstore import shell
from featstore.errors import StoreError
from featstore.store import Store
from featstore.store.records import FeatureRows, Record
from featstore.store.rows import digest


@dataclass(frozen=True)
class Fault:
    """Something that is not as it was written.

    Attributes
    ----------
    kind
        ``chunk`` (features), ``identity`` (the numbers beside them), ``record``, ``keys`` or ``catalogue``.
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
    faults: list[Fault] = [*_catalogue(store)]
    n_units = n_rows = n_bytes = 0
    units = {view: store.records.units(view) for view in store.views}
    with shell.progress(sum(map(len, units.values())), "verifying", "units") as bar:
        for view, numbers in units.items():
            try:
                keys = store.rows.keys(view)
            except (ValueError, OSError, RuntimeError, KeyError) as error:
                faults.append(Fault("keys", str(error), view))
                continue
            for unit in numbers:
                record = store.records.read(view, unit)
                if record is None:
                    of_unit = tuple(keys[store.rows.grid.unit(unit)])
                    faults.append(Fault("record", "not as it was written", view, "", unit, of_unit))
                    continue
                for name, rows in record.features.items():
                    n_units += 1
                    n_rows += sum(number >= 0 for number in rows.identity)
                    n_bytes += len(rows.identity) * store.rows.dimension(view, name) * 4
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
        elif fault.kind == "keys":
            raise StoreError(
                f"the row keys of {fault.view} in {store.location}",
                "keys that cannot be read, without which no row can be told from another",
                "Build the store anew in another place.",
            )
    return len(concerned)


def _catalogue(store: Store) -> Iterator[Fault]:
    try:
        store.catalog  # noqa: B018  # reading it is the test
    except StoreError as error:
        yield Fault("catalogue", error.got)


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
