"""Repair: what is damaged is withdrawn, and just its rows are made anew by the networks that made them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
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
_COVERING = frozenset({"name", "keys", "layout"})


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
        concerned = {image_id for fault in before.faults for image_id in fault.image_ids}
        _require_catalogue(store, before.faults)
        _require_photographs(store, concerned)
        withdraw(store, [fault for fault in before.faults if fault.kind not in _COVERING])
    # A record vouches for all names.
    damaged = {fault.name for fault in before.faults if fault.kind in {"chunk", "identity", "record"}}
    touched = [name for name in store.backbones if name in damaged or "" in damaged]
    own = [name for name in touched if not store.identity(name).foreign]
    runs = tuple(_complete(store, names, n_workers, weights) for names in _by_recipe(store, own))
    failed = {image_id for run in runs for image_id, _ in run.failures} & concerned
    foreign = tuple(name for name in touched if name not in own)
    return Repair(before, verify_store(store), runs, mended, foreign, tuple(sorted(failed)))


def _uncovered(place: Place) -> Verdict:
    """Verify a store; what other faults hide behind is mended at once."""
    store = Store.open(place)
    # The lease that is held here is ours: whoever was killed will write no record any more.
    verdict = verify_store(store, building=False)
    covering = tuple(fault for fault in verdict.faults if fault.kind in _COVERING)
    if not covering:
        return verdict
    withdraw(store, covering)
    behind = verify_store(Store.open(place), building=False)
    return replace(behind, faults=(*covering, *behind.faults))


def _require_catalogue(store: Store, faults: Sequence[Fault]) -> None:
    for fault in faults:
        if fault.kind == "catalogue":
            raise StoreError(
                f"a readable catalogue in {store.location}",
                fault.detail,
                "Run featstore build with the data set: it writes the catalogue anew and keeps the features.",
            )


def _require_photographs(store: Store, image_ids: Collection[str]) -> None:
    """Refuse before anything is withdrawn if there is nothing to make it anew from."""
    catalog = store.catalog
    paths = [store.root / str(path) for path in catalog.loc[catalog["image_id"].isin(set(image_ids)), "path"]]
    if paths and not any(path.exists() for path in paths):
        raise StoreError(
            f"the photographs of {len(paths)} damaged rows in {store.root}",
            f"none of them (the first would be {paths[0]})",
            "Bring them back, or run featstore build with the folder where they are now; nothing was changed.",
        )


def _by_recipe(store: Store, names: Sequence[str]) -> list[list[str]]:
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(store.recipe(name).identity, []).append(name)
    return list(groups.values())


def _complete(store: Store, names: Sequence[str], n_workers: int, weights: str | None) -> BuildSummary:
    """Compute what some names of features lack, with the networks that made them."""
    catalog = Catalog(store.catalog, store.root, store.name)
    recipe: Recipe = store.recipe(names[0])
    specs = [spec_of(store, name, weights) for name in names]
    # Sound rows of earlier library versions stay.
    settings = BuildSettings(n_workers=n_workers, any_version=True)
    return complete(catalog, store.place, specs, recipe, settings)


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
