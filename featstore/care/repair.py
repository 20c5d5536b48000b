"""Repair: what is damaged is withdrawn, and just its rows are made anew by the networks that made them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from featstore.backbones import Pooling
from featstore.build.build import complete
from featstore.build.settings import BuildSettings
from featstore.build.specs import NetworkSpec
from featstore.build.summary import BuildSummary
from featstore.care.faults import Fault, Verdict
from featstore.care.verify import verify_store
from featstore.care.withdraw import withdraw
from featstore.catalog import Catalog
from featstore.errors import StoreError
from featstore.roi import Recipe
from featstore.store import Store
from featstore.store.description import mend
from featstore.store.lease import Claim, hold
from featstore.store.place import Place, open_place

_CLAIM = Claim("repair", 1, 1)
COVERING = frozenset({"name", "keys", "layout"})
"""Kinds of faults behind which others hide; they are mended without computing anything."""


@dataclass(frozen=True)
class Repair:
    """What a repair found, did and could not do.

    Attributes
    ----------
    before, after
        What verification found.
    runs
        The builds that made rows anew, one per recipe.
    mended
        Whether the description had to be taken from its copy.
    foreign
        Names of imported features that lost rows: only another import brings them back.
    failed
        Photographs of damaged rows that cannot be read any more, so that those rows are lost.
    """

    before: Verdict
    after: Verdict
    runs: tuple[BuildSummary, ...]
    mended: bool
    foreign: tuple[str, ...]
    failed: tuple[str, ...]

    @property
    def n_rows(self) -> int:
        """Feature rows made anew."""
        return sum(run.n_rows for run in self.runs)


def repair_store(location: str | Path, *, n_workers: int, weights: str | None = None) -> Repair:
    """Verify a store, withdraw what is damaged and compute it again.

    Parameters
    ----------
    location
        The store: a folder, or an address in an object store.
    n_workers
        Processes that decode.
    weights
        Where the weights are now; None takes them from where they were.

    Raises
    ------
    StoreError
        If the catalogue is damaged, which only a build from the data set mends; or both something and its copy are;
        or something else stands where a file has to be; or none of the photographs is there.
    WeightsError
        If weights are missing, or others than those that made the store.
    LockedError
        If another process is writing to the store.
    """
    place = open_place(location)
    if not Store.exists(place):
        Store.open(place)
    with hold(place, _CLAIM):
        place.sweep()
        mended = mend(place)
        before = _uncovered(place)
        store = Store.open(place)
        concerned = require_what_is_needed(store, before.faults)
        withdraw(store, [fault for fault in before.faults if fault.kind not in COVERING])
    own, foreign = touched(store, before.faults)
    runs = tuple(
        complete(one.catalog, one.place, one.specs, one.recipe, one.settings)
        for one in completions(store, own, n_workers, weights)
    )
    failed = {image_id for run in runs for image_id, _ in run.failures} & concerned
    return Repair(before, verify_store(store), runs, mended, foreign, tuple(sorted(failed)))


def _uncovered(place: Place) -> Verdict:
    """Verify a store; what other faults hide behind is mended at once."""
    store = Store.open(place)
    # The lease that is held here is ours: whoever was killed will write no record any more.
    verdict = verify_store(store, building=False)
    covering = tuple(fault for fault in verdict.faults if fault.kind in COVERING)
    if not covering:
        return verdict
    withdraw(store, covering)
    behind = verify_store(Store.open(place), building=False)
    return replace(behind, faults=(*covering, *behind.faults))


def require_what_is_needed(store: Store, faults: Sequence[Fault]) -> set[str]:
    """Refuse before anything is withdrawn if it could not be made anew; the photographs that faults concern.

    Raises
    ------
    StoreError
        If the catalogue is damaged, or none of these photographs is there.
    """
    for fault in faults:
        if fault.kind == "catalogue":
            raise StoreError(
                f"a readable catalogue in {store.location}",
                fault.detail,
                "Run featstore build with the data set: it writes the catalogue anew and keeps the features.",
            )
    concerned = {image_id for fault in faults for image_id in fault.image_ids}
    catalog = store.catalog
    paths = [store.root / str(path) for path in catalog.loc[catalog["image_id"].isin(concerned), "path"]]
    if paths and not any(path.exists() for path in paths):
        raise StoreError(
            f"the photographs of {len(paths)} damaged rows in {store.root}",
            f"none of them (the first would be {paths[0]})",
            "Bring them back, or run featstore build with the folder where they are now; nothing was changed.",
        )
    return concerned


def touched(store: Store, faults: Sequence[Fault]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of features that lose rows: those that a build makes anew, and imported ones."""
    # A record vouches for all names.
    damaged = {fault.name for fault in faults if fault.kind in {"chunk", "identity", "record"}}
    names = [name for name in store.backbones if name in damaged or "" in damaged]
    own = tuple(name for name in names if not store.identity(name).foreign)
    return own, tuple(name for name in names if name not in own)


@dataclass(frozen=True)
class Completion:
    """A build that makes what some names of features lack, by the networks that made them; all are cut alike."""

    catalog: Catalog
    place: Place
    specs: tuple[NetworkSpec, ...]
    recipe: Recipe
    settings: BuildSettings


def completions(store: Store, names: Sequence[str], n_workers: int, weights: str | None) -> list[Completion]:
    """The builds that make what some names of features lack, one per recipe."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(store.recipe(name).identity, []).append(name)
    catalog = Catalog(store.catalog, store.root, store.name)
    # Sound rows of earlier library versions stay.
    settings = BuildSettings(n_workers=n_workers, any_version=True)
    return [
        Completion(
            catalog,
            store.place,
            tuple(spec_of(store, name, weights) for name in group),
            store.recipe(group[0]),
            settings,
        )
        for group in groups.values()
    ]


def spec_of(store: Store, name: str, weights: str | None = None) -> NetworkSpec:
    """The network that makes the features of a name."""
    identity = store.identity(name)
    pooling: Pooling = "max" if identity.pooling == "max" else "avg"
    return NetworkSpec(
        name=name,
        backbone=identity.backbone,
        weights=weights or identity.weights,
        side_px=identity.side_px,
        pooling=pooling,
        engine=identity.engine.partition("-")[0],
        batch_size=identity.batch_size,
    )
