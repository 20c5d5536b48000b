"""Repair: what is damaged is withdrawn, and just its rows are made anew by the networks that made them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from featstore.backbones import Pooling
from featstore.build.build import complete
from featstore.build.settings import BuildSettings
from featstore.build.specs import NetworkSpec
from featstore.build.summary import BuildSummary
from featstore.care.verify import Verdict, verify_store, withdraw
from featstore.catalog import Catalog
from featstore.errors import StoreError
from featstore.roi import Recipe
from featstore.store import Store
from featstore.store.lease import Claim, hold


@dataclass(frozen=True)
class Repair:
    """What a repair found, did and could not do.

    Attributes
    ----------
    before, after
        What verification found.
    runs
        The builds that made rows anew, one per recipe.
    foreign
        Names of imported features that lost rows: only another import brings them back.
    """

    before: Verdict
    after: Verdict
    runs: tuple[BuildSummary, ...]
    foreign: tuple[str, ...]

    @property
    def n_rows(self) -> int:
        """Feature rows made anew."""
        return sum(run.n_rows for run in self.runs)


def repair_store(store: Store, *, n_workers: int, weights: str | None = None) -> Repair:
    """Verify a store, withdraw what is damaged and compute it again.

    Parameters
    ----------
    n_workers
        Processes that decode.
    weights
        Where the weights are now; None takes them from where they were.

    Raises
    ------
    StoreError
        If the catalogue or the row keys are damaged, which only a build from the data set mends.
    WeightsError
        If weights are missing, or others than those that made the store.
    LockedError
        If another process is writing to the store.
    """
    before = verify_store(store)
    for fault in before.faults:
        if fault.kind == "catalogue":
            raise StoreError(
                f"a readable catalogue in {store.location}",
                fault.detail,
                "Run featstore build with the data set: it writes the catalogue anew and keeps the features.",
            )
    damaged = {fault.name for fault in before.faults}
    with hold(store.place, Claim("repair", 1, 1)):
        store.place.sweep()
        withdraw(store, before.faults)
    own = [name for name in store.backbones if not store.identity(name).foreign]
    touched = [name for name in own if name in damaged or "" in damaged]
    runs = tuple(_complete(store, names, n_workers, weights) for names in _by_recipe(store, touched))
    foreign = tuple(name for name in store.backbones if name not in own and (name in damaged or "" in damaged))
    return Repair(before, verify_store(store), runs, foreign)


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
