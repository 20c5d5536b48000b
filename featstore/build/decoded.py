"""Rows of photographs that an earlier version decoded to other pixels are withdrawn, once per store."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from featstore import shell
from featstore.catalog import Catalog
from featstore.errors import counted
from featstore.images import is_indexed_and_reduced
from featstore.store import Store
from featstore.store.records import Fact, FeatureRows, Record

DECODER = 2
"""Counts changes of pixels: 1 left some out where it reduced pictures with a palette or in black and white."""

_N_THREADS = 16
_WHOLE = "keep"
"""Identity of a recipe whose regions do not depend on pixels."""


def withdraw_decoded_otherwise(store: Store, catalog: Catalog) -> None:
    """Let no record vouch for rows of photographs that are decoded otherwise now, unless they were imported.

    The photographs are looked at once; a store that was looked at says so. If this is killed, it is done again.
    """
    if store.attrs.get("decoder") == DECODER:
        return
    usable, root = catalog.frame[catalog.frame["problem"] == ""], catalog.root.resolve()
    path_of = {str(key): root / path for key, path in zip(usable["image_id"], usable["path"], strict=True)}
    imported = frozenset(number for number, identity in enumerate(store.identities) if identity.foreign)
    n_units = sum(len(store.records.units(view)) for view in store.views)
    n_withdrawn = 0
    with (
        shell.progress(n_units, "how photographs were decoded", "units") as bar,
        ThreadPoolExecutor(_N_THREADS) as pool,
    ):
        for view in store.views:
            for unit, record in store.records.read_all(view):
                places = _concerned(record, path_of, pool)
                if places:
                    store.records.write(view, unit, _without(record, places, imported))
                n_withdrawn += len(places)
                bar.update()
    if n_withdrawn:
        told = counted(
            n_withdrawn,
            "photograph with a palette or in black and white is",
            "photographs with palettes or in black and white are",
        )
        shell.say(f"{told} decoded anew: reducing them, an earlier version left pixels out")
        if len(store.backbones) > 1:
            shell.say(f"their rows of every network are made again when it is built: {', '.join(store.backbones)}")
    store.update_attrs(decoder=DECODER)


def _concerned(record: Record, path_of: Mapping[str, Path], pool: ThreadPoolExecutor) -> frozenset[int]:
    """Places of the photographs of a record that are decoded otherwise now."""
    paths = {
        place: path_of[fact.image_id]
        for place, fact in enumerate(record.facts)
        if fact is not None and fact.status == "done" and fact.image_id in path_of
    }
    return frozenset(
        place for place, other in zip(paths, pool.map(is_indexed_and_reduced, paths.values()), strict=True) if other
    )


def _without(record: Record, places: Collection[int], imported: Collection[int]) -> Record:
    """The record without the rows and regions that came from the pixels of some photographs."""

    def known(place: int, fact: Fact | None) -> Fact | None:
        if fact is None or place not in places:
            return fact
        return replace(fact, boxes={key: region for key, region in fact.boxes.items() if key == _WHOLE})

    def vouched(rows: FeatureRows) -> FeatureRows:
        stays = [place not in places or number in imported for place, number in enumerate(rows.identity)]
        return replace(rows, sha256=[text if stay else "" for text, stay in zip(rows.sha256, stays, strict=True)])

    facts = [known(place, fact) for place, fact in enumerate(record.facts)]
    return Record(facts, {name: vouched(rows) for name, rows in record.features.items()})
