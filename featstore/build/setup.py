"""Setting up: the store learns of a catalogue and of the networks; rows that exist keep their places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from featstore import shell
from featstore.build.plan import stamp
from featstore.build.specs import NetworkSpec
from featstore.catalog import Catalog
from featstore.errors import StoreError
from featstore.provenance import Json, provenance, sha256_of_file
from featstore.roi import Recipe
from featstore.store import Store
from featstore.store.column import Column
from featstore.store.description import copy_is_intact
from featstore.store.identity import Identity, differences
from featstore.store.ledger import DONE
from featstore.store.records import Record


@dataclass(frozen=True)
class Moves:
    """How the catalogue differs from the one before: images that came, went, or have another name now."""

    new: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()


def refuse_other_features(
    store: Store, specs: Sequence[NetworkSpec], recipe: Recipe, views: Sequence[str], *, replacing: bool
) -> None:
    """Refuse features that were made differently under a name that exists.

    Raises
    ------
    StoreError
        Naming both, and the ways out.
    """
    for spec in specs:
        if replacing or spec.name not in store.backbones:
            continue
        column, identities = store.column(spec.name), store.identities
        ways = {
            view: (identities[column.current[view]], spec.identity(recipe.of(view)))
            for view in views
            if view in column.current
        }
        if any(differences(old.essence(), new.essence()) for old, new in ways.values()):
            before, now = _told_apart(ways, column.recipe, recipe)
            raise StoreError(
                f"{spec.name} made as in {store.location}: {before}",
                now,
                "Give the same options, --replace its features, or keep both: --as NAME.",
            )


def set_up(store: Store, catalog: Catalog, specs: Sequence[NetworkSpec], recipe: Recipe, *, any_version: bool) -> Moves:
    """Enter networks, catalogue and rows into the store; what is there already is left alone."""
    views = sorted(set(catalog.frame.loc[catalog.frame["problem"] == "", "view"]))
    for spec in specs:
        _enter(store, spec, recipe, views, any_version=any_version)
    store.write_catalog(catalog)
    moves = _place_rows(store, catalog, views)
    for view in views:
        n_rows = len(store.keys(view))
        for spec in specs:
            if store.rows.has(view, spec.name) and store.rows.dimension(view, spec.name) != spec.dimension:
                store.records.withdraw(view, spec.name)
            store.rows.prepare(view, spec.name, spec.dimension, n_rows)
    root = str(catalog.root.resolve())
    warnings: list[Json] = list(catalog.warnings)
    attrs = store.attrs
    if (attrs["root"], attrs["dataset"], attrs["warnings"]) != (root, catalog.name, warnings) or moves != Moves():
        store.update_attrs(root=root, dataset=catalog.name, warnings=warnings, provenance=provenance())
    elif not copy_is_intact(store.place, attrs):
        store.update_attrs()
    return moves


def _enter(store: Store, spec: NetworkSpec, recipe: Recipe, views: Sequence[str], *, any_version: bool) -> None:
    """Enter what makes a network's rows of each view; rows of other identities no longer count."""
    table = list(store.identities)
    old = store.column(spec.name) if spec.name in store.backbones else None
    current = dict(old.current) if old else {}
    accepted = dict(old.accepted) if old else {}
    for view in views:
        identity = spec.identity(recipe.of(view))
        number = _number(table, identity)
        before = [n for n in accepted.get(view, ()) if table[n].essence() == identity.essence()]
        if before and number not in before and not any_version:
            _tell_update(spec.name, view, table[before[-1]], identity)
        kept = before if any_version else []
        current[view], accepted[view] = number, tuple(dict.fromkeys([*kept, number]))
    column = Column(recipe, spec.dimension, current, accepted)
    if column != old or tuple(table) != store.identities:
        store.set_column(spec.name, column, table)


def _number(table: list[Identity], identity: Identity) -> int:
    """Place of an identity in the table, where it is entered if it is new."""
    for number, known in enumerate(table):
        if known.equals(identity):
            # The same weights may lie elsewhere by now.
            table[number] = identity
            return number
    table.append(identity)
    return len(table) - 1


def _tell_update(name: str, view: str, old: Identity, new: Identity) -> None:
    before, after = old.environment(), new.environment()
    changes = [f"{key} {before.get(key)} -> {after.get(key)}" for key in differences(before, after)]
    shell.say(
        f"{name}, {view}: made by other software or in other batches ({', '.join(changes)}); its rows are made again. "
        "--any-version keeps them."
    )


def _place_rows(store: Store, catalog: Catalog, views: Sequence[str]) -> Moves:
    """Give every usable photograph a row of its view, and tell how the catalogue differs from the one before."""
    usable = catalog.frame[catalog.frame["problem"] == ""]
    root = catalog.root.resolve()
    new: list[str] = []
    left: list[str] = []
    renamed: dict[str, str] = {}
    for view in views:
        of_view = usable[usable["view"] == view]
        paths = dict(zip(of_view["image_id"], of_view["path"], strict=True))
        before = store.keys(view)
        known = set(before)
        without = [key for key in before if key not in paths]
        unplaced = [key for key in paths if key not in known]
        here = _rename(store, view, before, without, {key: root / paths[key] for key in unplaced})
        names = set(here.values())
        unplaced = [key for key in unplaced if key not in names]
        keys = [*(here.get(key, key) for key in before), *unplaced]
        if keys != before:
            store.row_keys.write(view, keys)
        new += unplaced
        left += without
        renamed |= here
    # Rows of photographs that went long ago are still there, and one of another view has not come just now.
    told = store.known_before if store.known_before is not None else left
    came, there = set(store.known_before or ()), set(catalog.frame["image_id"])
    return Moves(
        tuple(key for key in new if key not in came),
        tuple(key for key in dict.fromkeys(told) if key not in there and key not in renamed),
        tuple(renamed.items()),
    )


def _rename(
    store: Store, view: str, keys: Sequence[str], gone: Sequence[str], new: Mapping[str, Path]
) -> dict[str, str]:
    """New name of each photograph that is gone under its old one but lies there with equal bytes under another.

    Size and time lead to a candidate, its bytes prove it.
    """
    if not gone or not new:
        return {}
    ledger = store.ledger(view)
    place_of = {key: place for place, key in enumerate(keys)}
    candidates: dict[tuple[int, int], list[str]] = {}
    for key in gone:
        place = place_of[key]
        if ledger.status[place] == DONE:
            mark = int(ledger.file_bytes[place]), int(ledger.file_mtime_ns[place])
            candidates.setdefault(mark, []).append(key)
    renamed: dict[str, str] = {}
    for key, path in new.items():
        for old in candidates.get(stamp(path), []):
            if old not in renamed and sha256_of_file(path) == ledger.sha256[place_of[old]].decode():
                renamed[old] = key
                break
    for unit in {place_of[old] // store.rows.grid.unit_rows for old in renamed}:
        record = store.records.read(view, unit)
        if record is not None:
            facts = [
                fact and replace(fact, image_id=renamed.get(fact.image_id, fact.image_id)) for fact in record.facts
            ]
            store.records.write(view, unit, Record(facts, record.features))
    return renamed


def _told_apart(ways: Mapping[str, tuple[Identity, Identity]], before: Recipe, now: Recipe) -> tuple[str, str]:
    """Say by which options two ways to make rows differ, by view; where an option is the same, by what it led to."""
    told: dict[str, tuple[str, str]] = {}
    for view, (old, new) in ways.items():
        if old.foreign:
            return f"features {old.weights}", f"a network, {new.backbone}"
        options = _options(old, before), _options(new, now)
        for name in differences(old.essence(), new.essence()):
            first, second = (of.get(name, name) for of in options)
            if first == second and old.backbone != new.backbone:
                # Another network has other weights of the same name.
                continue
            if first == second:
                first, second = (f"{first} ({_shortly(name, getattr(one, name), view)})" for one in (old, new))
            told.setdefault(name, (first, second))
    return ", ".join(first for first, _ in told.values()), ", ".join(second for _, second in told.values())


def _shortly(name: str, value: object, view: str) -> str:
    return f"{value} in {view}" if name == "roi" else str(value)[:12]


def _options(identity: Identity, recipe: Recipe) -> dict[str, str]:
    """What to write on the command line for the parts of an identity."""
    return {
        "backbone": f"--backbone {identity.backbone}",
        "weights_sha256": f"--weights {identity.weights}",
        "side_px": f"--side {identity.side_px} px",
        "pooling": f"--pooling {identity.pooling}",
        "roi": f"--roi {recipe.name}",
    }
