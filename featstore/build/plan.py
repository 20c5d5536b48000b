"""Plans: what a build has to do, told per unit; the same plan for whoever works it off."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from featstore import shell
from featstore.build.prepare import Job
from featstore.build.specs import NetworkSpec
from featstore.catalog import Catalog
from featstore.errors import ImageError
from featstore.images import read_bytes, stamp
from featstore.roi import Recipe
from featstore.store import Store
from featstore.store.column import Column
from featstore.store.identity import Identity
from featstore.store.ledger import DONE, FAILED, Ledger

__all__ = ["Plan", "RowTask", "UnitTask", "ViewPlan", "plan_digest", "stamp"]


@dataclass(frozen=True)
class Plan:
    """What makes the rows of a build, wherever it runs.

    Attributes
    ----------
    location
        The store.
    columns
        What stands under the name of each network in the store.
    part, n_parts
        Which share of all units is worked off, 1..n_parts.
    """

    location: str
    specs: tuple[NetworkSpec, ...]
    recipe: Recipe
    columns: Mapping[str, Column]
    part: int = 1
    n_parts: int = 1

    def accepted(self, name: str, view: str) -> tuple[int, ...]:
        """Numbers of the identities whose rows count."""
        return self.columns[name].accepted.get(view, ())


@dataclass(frozen=True)
class RowTask:
    """One photograph to prepare; `place` is its row in the unit, `names` the features it lacks."""

    place: int
    names: tuple[str, ...]
    job: Job


@dataclass(frozen=True)
class UnitTask:
    """What is missing in one unit.

    Attributes
    ----------
    keys
        image_id of each of its rows.
    rows
        Those to be worked on.
    lost
        Names of features whose chunk is gone or cut, whatever the record says.
    """

    view: str
    unit: int
    keys: tuple[str, ...]
    rows: tuple[RowTask, ...]
    lost: tuple[str, ...] = ()


def plan_digest(catalog_digest: str, made_by: Mapping[str, Sequence[Identity]], n_parts: int) -> str:
    """Digest of what makes two builds the same work: photographs, what makes the features, the number of parts."""
    made = {
        name: [[identity.essence(), identity.environment()] for identity in identities]
        for name, identities in made_by.items()
    }
    content = json.dumps([catalog_digest, made, n_parts], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


class ViewPlan:
    """What is missing of one view."""

    def __init__(self, store: Store, plan: Plan, catalog: Catalog, view: str, *, content: bool) -> None:
        self.view = view
        self._plan = plan
        self._ledger = store.ledger(view)
        self._unit_rows = store.rows.grid.unit_rows
        of_view = catalog.frame[(catalog.frame["view"] == view) & (catalog.frame["problem"] == "")]
        path_of = dict(zip(of_view["image_id"], of_view["path"], strict=True))
        root = catalog.root.resolve()
        # Strings: a hundred thousand Paths take a second.
        self._paths = [os.path.join(root, path_of[key]) if key in path_of else None for key in self._ledger.keys]  # noqa: PTH118
        self.changed = _changed(self._ledger, self._paths, content=content)
        self._lost = {spec.name: self._lost_units(store, spec.name) for spec in plan.specs}
        self._wanted = self._missing()

    @property
    def n_units(self) -> int:
        """Units of the view, worked off or not."""
        return -(-len(self._ledger.keys) // self._unit_rows)

    def wanted(self, first_unit: int) -> NDArray[np.bool_]:
        """Rows of the plan's part that lack any features, (n_view,); `first_unit` counts the views before."""
        unit = np.arange(len(self._ledger.keys)) // self._unit_rows + first_unit
        mine: NDArray[np.bool_] = unit % self._plan.n_parts == self._plan.part - 1
        any_name: NDArray[np.bool_] = np.logical_or.reduce(list(self._wanted.values()))
        return mine & any_name

    def tasks(self, first_unit: int) -> Iterator[UnitTask]:
        """The units of the plan's part with anything to do, in order."""
        wanted = self.wanted(first_unit)
        for unit in range(self.n_units):
            start = unit * self._unit_rows
            places = start + np.flatnonzero(wanted[start : start + self._unit_rows])
            if len(places):
                keys = tuple(self._ledger.keys[start : start + self._unit_rows])
                rows = tuple(self._row(int(place), start) for place in places)
                lost = tuple(name for name, units in self._lost.items() if unit in units)
                yield UnitTask(self.view, unit, keys, rows, lost)

    def _row(self, place: int, start: int) -> RowTask:
        names = tuple(name for name, wanted in self._wanted.items() if wanted[place])
        recipe = self._plan.recipe.of(self.view)
        path = self._paths[place]
        if path is None:
            raise AssertionError("only photographs of the catalogue are wanted")
        sides = sorted({spec.side_px for spec in self._plan.specs if spec.name in names})
        known = self._ledger.region(recipe.identity, place) if self._ledger.status[place] == DONE else None
        job = Job(
            self._ledger.keys[place],
            Path(path),
            recipe,
            tuple(sides),
            known_sha256=self._ledger.sha256[place].decode() if known else "",
            known_region=known,
        )
        return RowTask(place - start, names, job)

    def _missing(self) -> dict[str, NDArray[np.bool_]]:
        """Rows without features, by name."""
        ledger = self._ledger
        here = np.asarray([path is not None for path in self._paths], dtype=np.bool_)
        # Without a digest the file could not even be read, which may have changed without a trace.
        unusable = (ledger.status == FAILED) & (ledger.sha256 != b"") & ~self.changed
        missing = {}
        for spec in self._plan.specs:
            counts = ledger.counts(spec.name, self._plan.accepted(spec.name, self.view)) & ~self.changed
            counts &= ~np.isin(np.arange(len(counts)) // self._unit_rows, list(self._lost[spec.name]))
            missing[spec.name] = here & ~unusable & ~counts
        return missing

    def _lost_units(self, store: Store, name: str) -> frozenset[int]:
        """Units whose chunk is gone or cut."""
        column = self._ledger.features.get(name)
        lost = store.rows.lost(self.view, name, list(column.digests) if column else [])
        for unit in lost:
            shell.warn(f"unit {unit} of {self.view}/{name} is cut or lost; its rows are made again")
        return frozenset(lost)


def _changed(ledger: Ledger, paths: Sequence[str | None], *, content: bool) -> NDArray[np.bool_]:
    """Rows whose file is no longer as it was when it was decoded: size and time, on request its bytes."""
    decoded = [(place, path) for place, path in enumerate(paths) if path is not None and ledger.status[place]]
    changed = np.zeros(len(paths), dtype=np.bool_)
    with shell.progress(len(decoded) if content else 0, "reading photographs", "images") as bar:
        for place, path in decoded:
            changed[place] = (ledger.file_bytes[place], ledger.file_mtime_ns[place]) != stamp(path)
            if content:
                changed[place] |= _sha256(path) != ledger.sha256[place].decode()
                bar.update()
    return changed


def _sha256(path: str) -> str:
    try:
        return hashlib.sha256(read_bytes(Path(path))).hexdigest()
    except ImageError:
        return ""
