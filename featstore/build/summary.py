"""The summary of a build: found = done + failed + pending, and what was done, seen in the store itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from featstore.build.plan import Plan
from featstore.build.setup import Moves
from featstore.build.work import Tally
from featstore.catalog import Catalog
from featstore.errors import listed
from featstore.store import Store
from featstore.store.ledger import FAILED
from featstore.tiny import is_tiny


@dataclass(frozen=True)
class BuildSummary:
    """What a build found and did; `n_found` = `n_done` + `n_failed` + `n_pending`.

    Attributes
    ----------
    n_done
        Photographs with features of every network asked for.
    n_pending
        Photographs that belong to other parts of the plan, or could not be finished.
    n_decoded, n_rows
        Photographs decoded and feature rows computed in this run.
    n_changed, moves
        Photographs that had changed since they were decoded, and those that came, went or were renamed.
    failures
        image_id and reason of every photograph that cannot be used.
    fallbacks, n_tiny
        Number of photographs whose whole area was taken because no region was found, and of those with a tiny region.
    seconds, stages
        Of the whole run, and of its stages: ``waiting`` for photographs, in the ``networks``, ``writing``, and all
        of ``working``.
    """

    location: str
    dataset: str
    names: tuple[str, ...]
    n_found: int
    n_done: int
    n_failed: int
    n_pending: int
    n_decoded: int
    n_rows: int
    n_changed: int
    moves: Moves
    seconds: float
    stages: Mapping[str, float]
    failures: tuple[tuple[str, str], ...]
    fallbacks: int
    n_tiny: int
    warnings: tuple[str, ...]
    random_weights: tuple[str, ...]

    @property
    def images_per_second(self) -> float:
        """Photographs per second of work, through every network; 0 if there was nothing to do."""
        working = self.stages.get("working", 0.0)
        return self.n_decoded / working if working else 0.0

    @property
    def failures_told(self) -> str:
        """The failed photographs in one line."""
        return listed([f"{image_id}: {reason}" for image_id, reason in self.failures])


def summarise(
    store: Store, plan: Plan, catalog: Catalog, tally: Tally, moves: Moves, n_changed: int, seconds: float
) -> BuildSummary:
    """Count what the store holds of a catalogue."""
    import pandas as pd

    failures = catalog.lost
    n_done = fallbacks = n_tiny = 0
    for view, of_view in catalog.frame[catalog.frame["problem"] == ""].groupby("view", sort=True):
        ledger = store.ledger(str(view))
        here = pd.Index(ledger.keys, dtype="str").isin(of_view["image_id"])
        failed = here & (ledger.status == FAILED)
        failures += [(ledger.keys[place], ledger.reasons.get(place, "")) for place in np.flatnonzero(failed).tolist()]
        done = here & ~failed
        for spec in plan.specs:
            done &= ledger.counts(spec.name, plan.accepted(spec.name, str(view)))
        n_done += int(done.sum())
        regions = ledger.boxes.get(plan.recipe.of(str(view)).identity)
        if regions:
            fallbacks += sum(bool(done[place]) for place in regions.reasons)
            n_tiny += int((done & is_tiny(regions.boxes)).sum())
    n_found = len(catalog.frame)
    return BuildSummary(
        location=store.location,
        dataset=catalog.name,
        names=tuple(spec.name for spec in plan.specs),
        n_found=n_found,
        n_done=n_done,
        n_failed=len(failures),
        n_pending=n_found - n_done - len(failures),
        n_decoded=tally.n_decoded,
        n_rows=tally.n_rows,
        n_changed=n_changed,
        moves=moves,
        seconds=seconds,
        stages=tally.seconds,
        failures=tuple(failures),
        fallbacks=fallbacks,
        n_tiny=n_tiny,
        warnings=catalog.warnings,
        random_weights=tuple(spec.name for spec in plan.specs if spec.weights_source.startswith("random:")),
    )
