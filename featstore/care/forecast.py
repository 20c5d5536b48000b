"""Forecast of a repair: what is damaged, what would be made anew and about how long that takes; nothing is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from featstore.build.forecast import BuildForecast, foresee_completion
from featstore.care.faults import Verdict
from featstore.care.repair import COVERING, completions, require_what_is_needed, touched
from featstore.care.verify import verify_store
from featstore.provenance import Json
from featstore.store import Store
from featstore.store.description import intact_copy
from featstore.store.place import open_place


@dataclass(frozen=True)
class RepairForecast:
    """What a repair would do.

    Attributes
    ----------
    verdict
        What verification finds; None where the description has to be taken from its copy before anything can be read.
    foreign
        Names of imported features that lose rows, which only another import brings back.
    builds
        What makes rows anew, one per recipe; photographs that have no row yet are counted with them. None as long as
        faults hide others, see `n_covering`.
    """

    verdict: Verdict | None
    foreign: tuple[str, ...] = ()
    builds: tuple[BuildForecast, ...] = ()

    @property
    def n_covering(self) -> int:
        """Faults that are mended at once, and behind which others may hide."""
        return sum(fault.kind in COVERING for fault in self.verdict.faults) if self.verdict else 1

    def to_json(self) -> dict[str, Json]:
        """What is to be done, as one document."""
        return {
            "schema": "repair-forecast/1",
            "description_damaged": self.verdict is None,
            "faults_that_hide_others": self.n_covering,
            "imported_rows_lost": list(self.foreign),
            "photographs": sum(one.n_images for one in self.builds),
            "rows": {name: n for one in self.builds for name, n in one.rows.items()},
            "bytes": sum(one.n_bytes for one in self.builds),
            "seconds": round(sum(one.seconds for one in self.builds), 3),
        }


def foresee_repair(location: str | Path, *, n_workers: int, weights: str | None = None) -> RepairForecast:
    """Tell what `repair_store` would do with the same arguments; reads the store, and runs its networks for a moment.

    Raises
    ------
    StoreError, WeightsError
        As the repair would.
    """
    place = open_place(location)
    if Store.exists(place) and intact_copy(place) is not None:
        return RepairForecast(None)
    store = Store.open(place)
    verdict = verify_store(store)
    require_what_is_needed(store, verdict.faults)
    own, foreign = touched(store, verdict.faults)
    found = RepairForecast(verdict, foreign)
    if found.n_covering:
        return found
    builds = []
    for one in completions(store, own, n_workers, weights):
        # A record that cannot be read vouches for nothing: these rows are missing already.
        anew = {
            spec.name: {key for fault in verdict.faults if fault.name == spec.name for key in fault.image_ids}
            for spec in one.specs
        }
        builds.append(foresee_completion(one.catalog, one.place, one.specs, one.recipe, one.settings, anew))
    return RepairForecast(verdict, foreign, tuple(builds))
