"""Import: features that were computed elsewhere join a store under a name of their own, marked as foreign."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from featstore import shell
from featstore.build.plan import stamp
from featstore.build.setup import set_up
from featstore.catalog import Catalog
from featstore.errors import DatasetError, ImageError, StoreError, listed
from featstore.exchange.foreign import ForeignFeatures
from featstore.images import read_bytes
from featstore.readers.reader import is_photograph
from featstore.roi import RECIPES
from featstore.store import Store
from featstore.store.column import Column
from featstore.store.identity import FOREIGN, Identity, differences
from featstore.store.lease import Claim, hold
from featstore.store.place import Place
from featstore.store.records import Fact, FeatureRows, Record
from featstore.store.rows import Grid, digest

_RECIPE = RECIPES["none"]


@dataclass(frozen=True)
class ImportSummary:
    """What an import did; `n_photographs` = `n_rows` + `n_without` + `n_failed`.

    Attributes
    ----------
    n_photographs
        Photographs of the store.
    n_rows
        Of these, with a row now.
    n_without
        Without a row in the file.
    n_failed
        That cannot be read, so that no row can be tied to them.
    unknown
        Ids of the file that are no photograph of the store.
    """

    location: str
    name: str
    dimension: int
    n_photographs: int
    n_rows: int
    n_without: int
    n_failed: int
    unknown: tuple[str, ...]


def import_features(
    place: Place, name: str, foreign: ForeignFeatures, *, catalog: Catalog | None = None, replacing: bool = False
) -> ImportSummary:
    """Put features that were computed elsewhere into a store.

    Ids are matched with image_id, else with the path, else with the file's name without its suffix.

    Parameters
    ----------
    name
        What the features are called in the store.
    catalog
        The data set; needed for a store that is not there yet.
    replacing
        Whether they may take the place of others of the same name.

    Raises
    ------
    StoreError
        If there is neither a store nor a catalogue, or other features stand under the name.
    DatasetError
        If no id is a photograph of the store.
    LockedError
        If another process is writing to the store.
    """
    with hold(place, Claim(f"import {name} {foreign.sha256}")):
        store = _store(place, catalog)
        rows, unknown = _matched(store, foreign)
        number = _enter(store, name, foreign, replacing=replacing)
        counts = [_import_view(store, view, name, rows, number) for view in store.views]
    n_rows, n_failed = sum(count[0] for count in counts), sum(count[1] for count in counts)
    papers = store.catalog
    n_unusable = int((papers["problem"] != "").sum())
    return ImportSummary(
        location=store.location,
        name=name,
        dimension=foreign.features.shape[1],
        n_photographs=len(papers),
        n_rows=n_rows,
        n_without=len(papers) - n_rows - n_failed - n_unusable,
        n_failed=n_failed + n_unusable,
        unknown=unknown,
    )


def _store(place: Place, catalog: Catalog | None) -> Store:
    if Store.exists(place):
        store = Store.open(place)
    elif catalog is None:
        raise StoreError(
            "a feature store, or the data set to make one of", f"none at {place.url}", "Give --dataset DATASET."
        )
    else:
        store = Store.create(place, catalog, Grid())
    if catalog is not None:
        set_up(store, catalog, [], _RECIPE, any_version=True)
    return store


def _matched(store: Store, foreign: ForeignFeatures) -> tuple[dict[str, NDArray[np.float32]], tuple[str, ...]]:
    """Row of each photograph by image_id, and the ids that are none."""
    papers = store.catalog
    names = _names(list(papers["image_id"]), list(papers["path"]))
    found = [next((names[name] for name in _told_by(key) if name in names), None) for key in foreign.ids]
    rows: dict[str, NDArray[np.float32]] = {}
    key_of: dict[str, str] = {}
    for key, image_id, row in zip(foreign.ids, found, foreign.features, strict=True):
        if image_id is not None:
            if image_id in rows:
                got = f"{image_id} as {key_of[image_id]} and as {key}"
                raise DatasetError(f"each photograph once in {foreign.source}", got, "Leave one row of each.")
            rows[image_id], key_of[image_id] = row, key
    unknown = tuple(key for key, image_id in zip(foreign.ids, found, strict=True) if image_id is None)
    if not rows:
        raise DatasetError(
            f"ids of {foreign.source} among the image_id, path or file name of the photographs",
            f"none, but {listed(list(unknown), 3)}",
            f"Correct --ids; the store has for example {listed(list(papers['image_id']), 3)}.",
        )
    return rows, unknown


def _names(image_ids: Sequence[str], paths: Sequence[str]) -> dict[str, str]:
    """image_id by everything that tells a photograph: itself, its path, its file's name with and without suffix."""
    alike: dict[str, set[str]] = {}
    for image_id, path in zip(image_ids, paths, strict=True):
        file = PurePosixPath(path)
        for name in (file.name, file.stem):
            alike.setdefault(name, set()).add(image_id)
    # A name that several files have tells none of them.
    names = {name: next(iter(found)) for name, found in alike.items() if len(found) == 1}
    return names | dict(zip(paths, image_ids, strict=True)) | {key: key for key in image_ids}


def _told_by(key: str) -> Iterator[str]:
    """What an id may be, the surest first: itself, the end of a path of another machine, the name of a file."""
    yield key
    parts = key.replace("\\", "/").split("/")
    for start in range(1, len(parts)):
        yield "/".join(parts[start:])
    if is_photograph(parts[-1]):
        yield PurePosixPath(parts[-1]).stem


def _enter(store: Store, name: str, foreign: ForeignFeatures, *, replacing: bool) -> int:
    """Enter what the features are, and give its number in the table of identities."""
    identity = Identity(
        backbone=name, weights=f"imported from {foreign.source}", weights_source=f"file:{foreign.sha256}",
        weights_sha256=foreign.sha256, side_px=0, pooling="", preprocessing="", roi="unknown",
        precision=str(foreign.features.dtype), batch_size=0, engine=FOREIGN, versions={},
    )  # fmt: skip
    table = list(store.identities)
    if name in store.backbones and not replacing:
        old, new = store.identity(name).essence(), identity.essence()
        differing = differences(old, new)
        if differing:
            told = ", ".join(f"{key} {str(old[key])[:12]}" for key in differing)
            raise StoreError(
                f"{name} as in {store.location}: {told}",
                f"those of {foreign.source}",
                "Choose another --as NAME, or --replace the features that are there.",
            )
    numbers = [number for number, known in enumerate(table) if known.equals(identity)]
    if not numbers:
        table.append(identity)
    number = numbers[0] if numbers else len(table) - 1
    views = store.views
    column = Column(_RECIPE, foreign.features.shape[1], dict.fromkeys(views, number), dict.fromkeys(views, (number,)))
    for view in views:
        if store.rows.has(view, name) and store.rows.dimension(view, name) != column.dimension:
            store.records.withdraw(view, name)
        store.rows.prepare(view, name, column.dimension, len(store.keys(view)))
    store.set_column(name, column, table)
    return number


def _import_view(
    store: Store, view: str, name: str, rows: Mapping[str, NDArray[np.float32]], number: int
) -> tuple[int, int]:
    """Write a view's rows; how many it has now, and how many photographs could not be read."""
    keys, unit_rows = store.keys(view), store.rows.grid.unit_rows
    papers = store.catalog
    usable = papers[(papers["view"] == view) & (papers["problem"] == "")]
    paths = {str(key): store.root / str(path) for key, path in zip(usable["image_id"], usable["path"], strict=True)}
    n_rows = n_failed = 0
    with shell.progress(len(keys), f"importing {view}", "images") as bar:
        for unit in range(-(-len(keys) // unit_rows)):
            of_unit = keys[unit * unit_rows : (unit + 1) * unit_rows]
            before = store.records.read(view, unit) or Record()
            facts = [_fact(before, place, key, paths.get(key)) for place, key in enumerate(of_unit)]
            block, vouched = _block(of_unit, facts, rows, number)
            n_rows += sum(1 for n in vouched.identity if n >= 0)
            n_failed += sum(fact is not None and fact.status == "failed" for fact in facts)
            if before.features.get(name) != vouched or list(before.facts) != facts:
                store.commit(view, unit, facts, before, {name: (block, vouched)})
            bar.update(len(of_unit))
    return n_rows, n_failed


def _fact(before: Record, place: int, key: str, path: Path | None) -> Fact | None:
    """What is known of a photograph; one that was never looked at is read, so that its row is tied to its bytes."""
    known = before.facts[place] if place < len(before.facts) else None
    if path is None or (known is not None and known.image_id == key):
        return known
    # Before the bytes: a file that changes meanwhile is another one to the next build.
    seen = stamp(path)
    try:
        sha256 = hashlib.sha256(read_bytes(path)).hexdigest()
    except ImageError as error:
        return Fact(key, "", "failed", error.in_short, -1, -1)
    return Fact(key, sha256, "done", "", *seen)


def _block(
    keys: Sequence[str], facts: Sequence[Fact | None], rows: Mapping[str, NDArray[np.float32]], number: int
) -> tuple[NDArray[np.float32], FeatureRows]:
    dimension = len(next(iter(rows.values())))
    block = np.full((len(keys), dimension), np.nan, dtype=np.float32)
    identity, sha256 = [-1] * len(keys), [""] * len(keys)
    for place, (key, fact) in enumerate(zip(keys, facts, strict=True)):
        if key in rows and fact is not None and fact.status == "done":
            block[place], identity[place], sha256[place] = rows[key], number, fact.sha256
    return block, FeatureRows(identity, sha256, digest(block))
