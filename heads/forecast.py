"""Forecast: what a comparison still has to do, about how long it will take, and which fits do not fit into memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from featstore import shell
from featstore.provenance import Json
from featstore.splits import SPARE
from heads.effort import Effort, Size, estimate, free_memory
from heads.material import Material
from heads.proposals import n_combinations
from heads.trial import Trial
from heads.tuning import N_FOLDS
from heads.work import Unit

GIB = 2.0**30
WORTH_TELLING_S = 60.0
"""Work that will take longer is announced."""


@dataclass(frozen=True)
class Forecast:
    """What is to be done.

    Attributes
    ----------
    units
        In the order in which they will be worked off.
    efforts
        What each is expected to cost.
    n_jobs
        Processes that work at once; each has its share of the memory.
    memory
        Bytes that fits may need together; None takes what is free.
    """

    units: tuple[Unit, ...]
    efforts: tuple[Effort, ...]
    n_jobs: int = 1
    memory: float | None = None

    @property
    def seconds(self) -> float:
        """Expected time of everything."""
        longest = max((effort.seconds for effort in self.efforts), default=0.0)
        return max(longest, sum(effort.seconds for effort in self.efforts) / self.n_jobs)

    @cached_property
    def most_bytes(self) -> float:
        """What one fit may need."""
        return (free_memory() if self.memory is None else self.memory) / self.n_jobs

    def refusal(self, unit: Unit) -> str:
        """Why a unit is not begun, "" if it can be."""
        effort = self.efforts[self.units.index(unit)]
        if effort.n_bytes <= self.most_bytes:
            return ""
        return (
            f"Expected about {effort.n_bytes / GIB:.2g} GiB of memory for this fit, got {self.most_bytes / GIB:.2g}. "
            "Free some, use fewer --workers or fewer columns (components=128), or say --memory GIB if you know better."
        )

    def rows(self) -> list[tuple[str, int, Effort]]:
        """By run: its name, how many units it has, and what they cost."""
        found: dict[str, tuple[int, Effort]] = {}
        for unit, effort in zip(self.units, self.efforts, strict=True):
            n_units, before = found.get(unit.trial.name, (0, Effort()))
            found[unit.trial.name] = n_units + 1, before + effort
        return [(name, n_units, effort) for name, (n_units, effort) in found.items()]

    def announcement(self) -> str:
        """One line before long work, "" before work that is soon done."""
        if self.seconds < WORTH_TELLING_S:
            return ""
        name, _, longest = max(self.rows(), key=lambda row: row[2].seconds)
        most = max(effort.n_bytes for effort in self.efforts)
        return (
            f"{len(self.units)} fits to do, about {shell.in_words(self.seconds)} in all; longest {name}, about "
            f"{shell.in_words(longest.seconds)}; up to {most / GIB:.1f} GiB of memory beside the features."
        )

    def to_json(self) -> dict[str, Json]:
        """Everything as one document."""
        return {
            "schema": "forecast/1",
            "fits": len(self.units),
            "seconds": self.seconds,
            "runs": [
                {"run": name, "fits": n_units, "seconds": effort.seconds, "bytes": effort.n_bytes}
                for name, n_units, effort in self.rows()
            ],
        }


def forecast(units: Sequence[Unit], material: Material, n_jobs: int, memory: float | None) -> Forecast:
    """Estimate units."""
    return Forecast(tuple(units), tuple(effort_of(unit, material) for unit in units), n_jobs, memory)


def effort_of(unit: Unit, material: Material) -> Effort:
    """What a unit costs: its fits, and the search for settings where there is one."""
    trial, protocol = unit.trial, unit.trial.protocol
    head = trial.create()
    train, everything = size_of(trial, material, "train"), size_of(trial, material, "train", "valid", SPARE)
    # The features of a run are a copy of their own.
    copied = Effort(n_bytes=4.0 * (everything.n_images + train.n_valid) * everything.n_features)
    if unit.part is not None:
        share = 1 - 1 / protocol.n_folds
        return Effort(n_bytes=copied.n_bytes) + estimate(head, everything).times(share * (2 if head.chooses else 1))
    fit = estimate(head, train)
    total = fit.times(1.0) + (estimate(head, everything) if protocol.refit else Effort())
    if protocol.n_seeds > 1 and trial.choice.random():
        total = total.times(protocol.n_seeds)
    if trial.tuning:
        one = fit.seconds * (N_FOLDS - 1)
        wanted = one * min(trial.tuning.most, n_combinations(trial))
        total += Effort(max(one, min(wanted, trial.tuning.budget_s)))
    return Effort(total.seconds, total.n_bytes + copied.n_bytes)


def size_of(trial: Trial, material: Material, *splits: str) -> Size:
    """How much a trial learns from in some splits."""
    n_features = sum(material.columns[name].stop - material.columns[name].start for name in trial.backbones)
    n_images = int(np.isin(material.split, splits).sum())
    n_valid = 0 if "valid" in splits else int((material.split == "valid").sum())
    return Size(n_images, n_features, len(material.classes("train")), n_valid)
