"""Forecast of a build: what is missing, about how long it takes and how much room it needs; nothing is written."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from featstore.build.build import existing_store, read_photographs, refuse_other_shards
from featstore.build.plan import Plan, ViewPlan
from featstore.build.prepare import Job, prepare
from featstore.build.settings import BuildSettings
from featstore.build.setup import refuse_other_features
from featstore.build.specs import NetworkSpec, load_untrained, with_known_weights
from featstore.catalog import Catalog
from featstore.provenance import Json, free_bytes
from featstore.roi import Recipe
from featstore.store import Store
from featstore.store.column import Column
from featstore.store.ledger import FAILED
from featstore.store.place import Place, open_place

SCHEMA = "build-forecast/1"
N_LOOKED_AT = 12
"""Photographs that are decoded, and cut, to tell how long that takes."""

_ROUNDS = 2


@dataclass(frozen=True)
class BuildForecast:
    """What a build would do.

    Attributes
    ----------
    n_found, n_unusable
        Photographs of the data set, and those that cannot be used as far as their metadata tell.
    n_images
        Photographs to decode in this run, or part.
    rows
        Feature rows to compute, by name.
    n_bytes, free_bytes
        Room that they take, and what the disk has; None in an object store.
    decoding_s
        Seconds per photograph and process, measured on some of them.
    networks_s
        Seconds per photograph of each network, measured with random weights.
    n_computed
        Photographs that a network is given, by name: the rows, and what fills the last batch of each view up.
    start_s
        Seconds to load the engine and the networks and to compile them, once per run.
    """

    location: str
    dataset: str
    n_found: int
    n_unusable: int
    n_images: int
    rows: Mapping[str, int]
    n_bytes: int
    free_bytes: int | None
    decoding_s: float
    networks_s: Mapping[str, float]
    n_workers: int
    n_cores: int
    n_computed: Mapping[str, int]
    start_s: float

    @property
    def seconds(self) -> float:
        """Expected time on this machine when nothing else runs: the start, then networks and decoding on its cores."""
        decoding = self.decoding_s * self.n_images
        networks = sum(self.networks_s[name] * n for name, n in self.n_computed.items() if n)
        return self.start_s + max(decoding / max(self.n_workers, 1), networks + decoding / self.n_cores)

    def to_json(self) -> dict[str, Json]:
        """Everything as one document."""
        return {
            "schema": SCHEMA,
            "store": self.location,
            "dataset": self.dataset,
            "found": self.n_found,
            "unusable": self.n_unusable,
            "photographs": self.n_images,
            "rows": dict(self.rows),
            "bytes": self.n_bytes,
            "free_bytes": self.free_bytes,
            "seconds": round(self.seconds, 3),
            "seconds_to_start": round(self.start_s, 3),
            "seconds_per_photograph": {
                "decoding": round(self.decoding_s, 6),
                **{name: round(seconds, 6) for name, seconds in self.networks_s.items()},
            },
        }


@dataclass(frozen=True)
class _Missing:
    """Of one view: photographs to decode, rows to compute by name, and some of the photographs."""

    n_images: int
    rows: Mapping[str, int]
    jobs: tuple[Job, ...]


def foresee_build(dataset: Path, location: str, settings: BuildSettings) -> BuildForecast:
    """Tell what `build_store` would do with the same arguments; decodes some photographs and runs the networks on them.

    Photographs that only have another name now count as new, those that an earlier version decoded otherwise as done,
    until a build has looked at them. Weights are neither loaded nor downloaded.

    Raises
    ------
    DatasetError, WeightsError, SettingsError, StoreError
        As the build would.
    """
    catalog = read_photographs(dataset, settings.reader)
    return foresee_completion(catalog, open_place(location), settings.specs(), settings.recipe, settings)


def foresee_completion(
    catalog: Catalog,
    place: Place,
    wanted: Iterable[NetworkSpec],
    recipe: Recipe,
    settings: BuildSettings,
    anew: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> BuildForecast:
    """Tell what `complete` would do with the same arguments; the rest is as for `foresee_build`.

    Parameters
    ----------
    anew
        By name of features, photographs whose rows are to be made again though a record vouches for them.
    """
    store = existing_store(place, catalog)
    known = store.identities if store else ()
    told = [(spec, with_known_weights(spec, known)) for spec in wanted]
    if store is not None:
        refuse_other_shards(store, settings)
        seen = [spec for _, spec in told if spec is not None]
        refuse_other_features(store, seen, recipe, sorted(set(catalog.frame["view"])), replacing=settings.replace)
    specs = [known or spec for spec, known in told]
    usable = catalog.frame[catalog.frame["problem"] == ""]
    missing = [_of_view(store, catalog, specs, recipe, view, settings, anew) for view in sorted(set(usable["view"]))]
    rows = {spec.name: sum(part.rows[spec.name] for part in missing) for spec in specs}
    n_images = sum(part.n_images for part in missing)
    jobs = [job for part in missing for job in part.jobs]
    speeds = {spec.name: _speed(spec) for spec in specs if rows[spec.name]}
    return BuildForecast(
        location=place.url,
        dataset=catalog.name,
        n_found=len(catalog.frame),
        n_unusable=len(catalog.frame) - len(usable),
        n_images=n_images,
        rows=rows,
        n_bytes=sum(4 * spec.dimension * rows[spec.name] for spec in specs),
        free_bytes=None if place.local is None else free_bytes(place.local),
        decoding_s=_decoding(jobs),
        networks_s={name: seconds for name, (_, seconds) in speeds.items()},
        n_workers=settings.n_workers,
        n_cores=os.cpu_count() or 1,
        n_computed={spec.name: sum(_filled(part.rows[spec.name], spec) for part in missing) for spec in specs},
        start_s=sum(start for start, _ in speeds.values()),
    )


def _of_view(
    store: Store | None,
    catalog: Catalog,
    specs: Sequence[NetworkSpec],
    recipe: Recipe,
    view: str,
    settings: BuildSettings,
    anew: Mapping[str, Collection[str]],
) -> _Missing:
    """What is missing of one view: of photographs that have a row in the store, and of those that have none yet."""
    of_view = catalog.frame[(catalog.frame["view"] == view) & (catalog.frame["problem"] == "")]
    paths = dict(zip(of_view["image_id"], of_view["path"], strict=True))
    lacking: dict[str, list[str]] = {spec.name: [] for spec in specs}
    keys: set[str] = set()
    if store is not None and view in store.views:
        keys = set(store.keys(view))
        lacking |= _lacking(store, catalog, specs, recipe, view, settings)
        for name, image_ids in anew.items():
            lacking[name] = [*dict.fromkeys([*lacking[name], *(key for key in paths if key in image_ids)])]
    new = [key for key in paths if key not in keys]
    share = -(-len(new) // settings.n_parts)
    rows = {name: len(of_name) + share for name, of_name in lacking.items()}
    known = [*dict.fromkeys(key for of_name in lacking.values() for key in of_name)]
    sides = tuple(sorted({spec.side_px for spec in specs}))
    root, chosen = catalog.root.resolve(), _spread([*known, *new[:share]])
    jobs = tuple(Job(key, root / paths[key], recipe.of(view), sides) for key in chosen)
    return _Missing(len(known) + share, rows, jobs)


def _lacking(
    store: Store, catalog: Catalog, specs: Sequence[NetworkSpec], recipe: Recipe, view: str, settings: BuildSettings
) -> dict[str, list[str]]:
    """By name, the photographs of a view with a row in the store that lack features, in the part that is asked for."""
    first, found = _units_before(store, view), {spec.name: list[str]() for spec in specs}
    there = tuple(spec for spec in specs if store.rows.has(view, spec.name))
    if there:
        columns = {spec.name: _column(store, spec, recipe, view, settings) for spec in there}
        plan = Plan(store.location, there, recipe, columns, settings.part, settings.n_parts)
        for task in ViewPlan(store, plan, catalog, view, content=settings.content).tasks(first):
            for row in task.rows:
                for name in row.names:
                    found[name].append(row.job.image_id)
    of_view = (catalog.frame["view"] == view) & (catalog.frame["problem"] == "")
    ledger, here = store.ledger(view), set(catalog.frame.loc[of_view, "image_id"])
    unit = np.arange(len(ledger.keys)) // store.rows.grid.unit_rows + first
    wanted = (ledger.status != FAILED) & (unit % settings.n_parts == settings.part - 1)
    usable = [ledger.keys[place] for place in np.flatnonzero(wanted).tolist() if ledger.keys[place] in here]
    return found | {spec.name: usable for spec in specs if spec not in there}


def _column(store: Store, spec: NetworkSpec, recipe: Recipe, view: str, settings: BuildSettings) -> Column:
    """The column of a network with the identities whose rows would count after the build has set it up."""
    none = Column(recipe, spec.dimension, {}, {})
    if spec.name not in store.backbones or not spec.weights_sha256:
        return none
    there, identity = store.column(spec.name), spec.identity(recipe.of(view))
    same = [n for n in there.accepted.get(view, ()) if store.identities[n].essence() == identity.essence()]
    kept = same if settings.any_version else [n for n in same if store.identities[n].equals(identity)]
    return replace(none, accepted={view: tuple(kept)})


def _units_before(store: Store, view: str) -> int:
    """Units of the views before one, in the store's order: parts are dealt out by it."""
    unit_rows, before = store.rows.grid.unit_rows, 0
    for other in store.views:
        if other == view:
            break
        before += -(-len(store.keys(other)) // unit_rows)
    return before


def _filled(n_rows: int, spec: NetworkSpec) -> int:
    """Photographs in the batches that some rows of a view take: the last one is as large as the others."""
    return -(-n_rows // spec.batch_size) * spec.batch_size


def _spread(keys: Sequence[str], n_most: int = 4) -> Iterator[str]:
    """Some keys, evenly spread."""
    if keys:
        for place in dict.fromkeys(np.linspace(0, len(keys) - 1, n_most).astype(int).tolist()):
            yield keys[place]


def _decoding(jobs: Sequence[Job]) -> float:
    """Seconds per photograph to decode, cut and resize it."""
    chosen = jobs[:: max(1, len(jobs) // N_LOOKED_AT)][:N_LOOKED_AT]
    if not chosen:
        return 0.0
    started = time.perf_counter()
    for job in chosen:
        prepare(job)
    return (time.perf_counter() - started) / len(chosen)


def _speed(spec: NetworkSpec) -> tuple[float, float]:
    """Seconds until the first batch is computed, which is compiled then, and per photograph, the best of `_ROUNDS`."""
    images = np.zeros((spec.batch_size, spec.side_px, spec.side_px, 3), dtype=np.uint8)
    started = time.perf_counter()
    network = load_untrained(spec)
    network.features(images)
    start, best = time.perf_counter() - started, float("inf")
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        network.features(images)
        best = min(best, time.perf_counter() - started)
    return start, best / spec.batch_size
