"""Build: a data set becomes a feature store, and a second run does only what is missing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from featstore import shell
from featstore.build.decoded import withdraw_decoded_otherwise
from featstore.build.plan import Plan, UnitTask, ViewPlan, plan_digest
from featstore.build.settings import BuildSettings
from featstore.build.setup import refuse_other_features, set_up
from featstore.build.specs import NetworkSpec, load_networks, with_weights
from featstore.build.summary import BuildSummary, summarise
from featstore.build.work import Tally
from featstore.catalog import Catalog
from featstore.errors import DatasetError, StoreError, listed
from featstore.readers import read_dataset
from featstore.roi import Recipe
from featstore.store import Store
from featstore.store.lease import Claim, Lease, hold, mutex
from featstore.store.papers import papers_digest
from featstore.store.place import Place, open_place

_PATIENCE_S = 600.0


@dataclass(frozen=True)
class _Pass:
    """One pass over what is missing: the plan of each view and the images it has to decode."""

    views: Sequence[ViewPlan]
    n_images: int
    n_changed: int

    def tasks(self) -> Iterator[UnitTask]:
        """Every unit with anything to do."""
        first = 0
        for view in self.views:
            yield from view.tasks(first)
            first += view.n_units


def build_store(dataset: Path, location: str | Path, settings: BuildSettings) -> BuildSummary:
    """Extract what is missing of a data set's features into a store.

    Parameters
    ----------
    location
        Folder of the store, or its address in an object store.

    Raises
    ------
    DatasetError, WeightsError, SettingsError
        If the input cannot be used, or none of its photographs is there; nothing was written then.
    StoreError
        If the store was made differently, see `--replace` and `--as`.
    LockedError
        If another process is writing to it.
    """
    catalog = read_photographs(dataset, settings.reader)
    return complete(catalog, open_place(location), tuple(settings.specs()), settings.recipe, settings)


def complete(
    catalog: Catalog, place: Place, wanted: Sequence[NetworkSpec], recipe: Recipe, settings: BuildSettings
) -> BuildSummary:
    """Compute what is missing of some networks' features of a catalogue; the rest is as for `build_store`.

    Parameters
    ----------
    wanted, recipe
        The networks and how photographs are cut for them.
    settings
        How to run; its networks and recipe are not looked at.
    """
    started = time.perf_counter()
    # Everything that can be refused is refused before the first byte is written.
    store = existing_store(place, catalog)
    if store is not None:
        refuse_other_shards(store, settings)
    specs = tuple(with_weights(spec, store.identities if store else ()) for spec in wanted)
    views = sorted(set(catalog.frame["view"]))
    if store is not None:
        refuse_other_features(store, specs, recipe, views, replacing=settings.replace)
    made_by = {spec.name: [spec.identity(recipe.of(view)) for view in views] for spec in specs}
    digest = plan_digest(papers_digest(catalog.frame), made_by, settings.n_parts)
    with hold(place, Claim(digest, settings.part, settings.n_parts)) as lease:
        with mutex(place, "setup", _PATIENCE_S):
            store = _opened(place) or Store.create(place, catalog, settings.grid)
            refuse_other_shards(store, settings)
            refuse_other_features(store, specs, recipe, views, replacing=settings.replace)
            moves = set_up(store, catalog, specs, recipe, any_version=settings.any_version)
            if not settings.any_version:
                withdraw_decoded_otherwise(store, catalog)
        columns = {spec.name: store.column(spec.name) for spec in specs}
        plan = Plan(store.location, specs, recipe, columns, settings.part, settings.n_parts)
        tally, n_changed = _work(store, plan, catalog, settings, lease)
    return summarise(store, plan, catalog, tally, moves, n_changed, time.perf_counter() - started)


def _work(store: Store, plan: Plan, catalog: Catalog, settings: BuildSettings, lease: Lease) -> tuple[Tally, int]:
    """Work the plan off; a second pass makes rows anew whose chunk turned out to be damaged."""
    tally = Tally()
    n_changed = 0
    for attempt in range(2):
        todo = _missing(store, plan, catalog, content=settings.content and attempt == 0)
        n_changed += todo.n_changed
        if not todo.n_images:
            break
        started = time.perf_counter()
        done = _worker(settings)(store, plan, todo, settings, lease)
        done.spend("working", time.perf_counter() - started)
        tally.add(done)
        if not done.n_dropped:
            break
    return tally, n_changed


def _missing(store: Store, plan: Plan, catalog: Catalog, *, content: bool) -> _Pass:
    views = [ViewPlan(store, plan, catalog, view, content=content) for view in store.views]
    first = n_images = 0
    for view in views:
        n_images += int(view.wanted(first).sum())
        first += view.n_units
    return _Pass(views, n_images, sum(int(view.changed.sum()) for view in views))


_Worker = Callable[[Store, Plan, _Pass, BuildSettings, Lease], Tally]


def _worker(settings: BuildSettings) -> _Worker:
    return _on_cluster if settings.scheduler else _here


def _here(store: Store, plan: Plan, todo: _Pass, settings: BuildSettings, lease: Lease) -> Tally:
    from featstore.build.here import work_here

    networks = load_networks(plan.specs)
    with shell.progress(todo.n_images, "featstore build", "images") as bar:
        return work_here(store, plan, networks, todo.tasks(), settings.n_workers, bar, lease)


def _on_cluster(_: Store, plan: Plan, todo: _Pass, settings: BuildSettings, lease: Lease) -> Tally:
    from featstore.build.cluster import work_on_cluster

    with shell.progress(todo.n_images, "featstore build", "images") as bar:
        return work_on_cluster(plan, todo.tasks(), settings.scheduler, bar, lease)


def read_photographs(dataset: Path, reader: str | None) -> Catalog:
    """Read a data set to build from; one without any photograph that can be used is refused.

    Such a build would have nothing to do but to mark all photographs of its store as failed.
    """
    catalog = read_dataset(dataset, reader)
    ids, problems = catalog.frame["image_id"], catalog.frame["problem"]
    if (problems != "").all():
        told = [f"{image_id}: {problem}" for image_id, problem in zip(ids, problems, strict=True)]
        raise DatasetError(
            f"photographs that can be used in {dataset}",
            f"none of {len(problems):,} ({listed(told, 3)})",
            f"Correct the paths, which start from {catalog.root.resolve()}, or bring the photographs there."
            if problems.str.startswith("no photograph").any()
            else "Mend these, or choose another --reader.",
        )
    classes = set(catalog.frame["class_id"]) - {""}
    if len(classes) == 1:
        # Now, not when hours of features are there.
        shell.warn(
            f"all photographs of known class are of one, {classes.pop()}: heads and fine-tuning need two or more"
        )
    return catalog


def existing_store(place: Place, catalog: Catalog) -> Store | None:
    """The store of this data set at a place, None if there is none."""
    store = _opened(place)
    if store is None or not store.attrs["catalog"]:
        return store
    try:
        known = set(store.catalog["image_id"])
    except StoreError:
        # Damaged: the build writes it anew.
        return store
    if not known & set(catalog.frame["image_id"]):
        raise StoreError(
            f"the data set of {place.url} ({store.name})",
            f"{catalog.name}, which shares no image with it",
            "Build another data set into another --store.",
        )
    return store


def refuse_other_shards(store: Store, settings: BuildSettings) -> None:
    """Refuse another division into files than the store was created with."""
    here = store.rows.grid.unit_rows
    if settings.shard_rows not in {0, here}:
        raise StoreError(
            f"--shard-rows {here}, as {store.location} was created with",
            f"--shard-rows {settings.shard_rows}",
            "Leave it out, or build into another --store.",
        )


def _opened(place: Place) -> Store | None:
    if Store.exists(place):
        return Store.open(place)
    if not place.is_empty():
        raise StoreError(
            "a new place for the store", f"{place.url}, which holds something else", "Name another --store."
        )
    return None
