"""The comparison of rules: every one on valid, where the choice is made, and on test, which is reported."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.alignment import Aligned, align
from evaluation.cells import write_csv
from evaluation.fuse import FuseSettings, teacher_of
from evaluation.fused import FusedPlaces
from evaluation.intervals import Difference, difference, few_among, intervals
from evaluation.members import load_members, require_same_classes
from evaluation.metrics import observation_score, reciprocal_rank, top_k_score
from evaluation.per_author import PerAuthor
from evaluation.recipes import Recipe
from evaluation.rows import Matrix
from evaluation.runs import splits_of
from evaluation.simplest import best_first
from evaluation.teaching import Teacher, fuse_recipes
from featstore.errors import PredictionsError, listed
from featstore.provenance import Json, write_json

SCHEMA = "rules/1"
FILE_COLUMNS = ("rule", "split", "S", "low", "high", "difference", "difference_low", "difference_high", "top_1")
CHOSEN_ON_ITSELF = (
    "Rules are compared on {split} alone: the rule is chosen on what it is reported on, which flatters it."
)


@dataclass(frozen=True, eq=False)
class Standing:
    """How a rule does on a split.

    Attributes
    ----------
    score
        S, as sums over authors.
    top_1
        Share of plants whose right species is first.
    low, high
        Ends of the interval of S.
    """

    score: PerAuthor
    top_1: float
    low: float
    high: float

    @classmethod
    def of(cls, fused: FusedPlaces) -> Standing:
        """Score the plants of known class."""
        known = fused.true_class != ""
        rank = fused.places.rank[known]
        score = observation_score(reciprocal_rank(rank), fused.author[known])
        ((low, high),) = intervals([score])
        return cls(score, top_k_score(rank, 1, fused.author[known]).value, low, high)


@dataclass(frozen=True, eq=False)
class RuleTable:
    """What a comparison of rules found.

    Attributes
    ----------
    names
        Rules, the best on the split of choice first.
    standings
        By split, that of choice first, by rule.
    out
        Folder that the tables lie in.
    warnings
        What is doubtful.
    """

    names: tuple[str, ...]
    standings: dict[str, dict[str, Standing]]
    out: Path
    warnings: tuple[str, ...]

    @property
    def best(self) -> str:
        """The chosen rule: the highest S on the split of choice."""
        return self.names[0]

    def behind(self, split: str, name: str) -> Difference:
        """S of a rule less S of the chosen one, on the same authors."""
        found = self.standings[split]
        return difference(found[name].score, found[self.best].score)

    def cells(self) -> list[list[str]]:
        """Write the rows under `columns`."""
        return [[name, *(cell for split in self.standings for cell in self._cells(split, name))] for name in self.names]

    @property
    def columns(self) -> tuple[str, ...]:
        """Titles of the columns."""
        per_split = [(f"S {split}", f"95 % {split}", "to the chosen", f"Top-1 {split}") for split in self.standings]
        return ("rule", *(title for titles in per_split for title in titles))

    @property
    def secondary(self) -> tuple[str, ...]:
        """Columns that give way in a narrow terminal."""
        return tuple(f"{what} {split}" for what in ("Top-1", "95 %") for split in self.standings)

    def _cells(self, split: str, name: str) -> list[str]:
        standing, behind = self.standings[split][name], self.behind(split, name)
        interval = "-" if math.isnan(standing.low) else f"{standing.low:.3f}-{standing.high:.3f}"
        told = "-" if name == self.best else f"{behind.value:+.4f}{'' if behind.distinguishable else ' n.d.'}"
        return [f"{standing.score.value:.4f}", interval, told, f"{standing.top_1:.4f}"]

    def verdict(self) -> list[str]:
        """Say which rule was chosen, which are not distinguishable from it, and what test says."""
        choice, *others = self.standings
        alike = [name for name in self.names[1:] if not self.behind(choice, name).distinguishable]
        said = [f"Chosen on {choice}: {self.best}, S {self.standings[choice][self.best].score.value:.4f}."]
        if alike:
            said.append(f"Not distinguishable from it on {choice} (n.d.): {listed(alike)}.")
        for split in others:
            place = 1 + sum(self.behind(split, name).value > 0 for name in self.names[1:])
            score = self.standings[split][self.best].score.value
            better = [
                n for n in self.names if self.behind(split, n).value > 0 and self.behind(split, n).distinguishable
            ]
            end = (
                f"; distinguishably better there: {listed(better)}"
                if better
                else "; none is distinguishably better there"
            )
            said.append(f"On {split} it has S {score:.4f}, place {place} of {len(self.names)}{end}.")
        return said

    def to_json(self) -> dict[str, Json]:
        """Give everything as one document of schema rules/1; NaN becomes null."""
        rows = [dict(zip(FILE_COLUMNS, row, strict=True)) for row in self._rows()]
        return {
            "schema": SCHEMA,
            "chosen": self.best,
            "rules": [
                {name: None if isinstance(cell, float) and math.isnan(cell) else cell for name, cell in row.items()}
                for row in rows
            ],
            "verdict": list(self.verdict()),
            "warnings": list(self.warnings),
        }

    def _rows(self) -> Iterator[list[str | float]]:
        for split, found in self.standings.items():
            for name in self.names:
                one, behind = found[name], self.behind(split, name)
                told = [one.score.value, one.low, one.high, behind.value, behind.low, behind.high, one.top_1]
                yield [name, split, *told]

    def write(self) -> None:
        """Write ``rules.csv`` and ``rules.json``."""
        rows = [
            ["" if isinstance(cell, float) and math.isnan(cell) else str(cell) for cell in row] for row in self._rows()
        ]
        write_csv(self.out / "rules.csv", FILE_COLUMNS, rows)
        write_json(self.out / "rules.json", self.to_json())


def compare_rules(
    runs: Sequence[Path], settings: FuseSettings, out: Path, tell: Callable[[int], object] = lambda _: None
) -> tuple[RuleTable, Recipe]:
    """Fuse runs by every recipe on valid and test, and choose on valid.

    Where only one split is there, or asked for, the choice is made on it, with a warning. Where valid teaches, learned
    rules are judged on it by `answer_honestly`. A recipe in two steps that answers as its form in one step does is left
    out.

    Parameters
    ----------
    runs, settings, out
        As in `fuse_runs`; settings name the recipes that are compared.
    tell
        Called with the number of recipes that were judged on a split since the last call.

    Returns
    -------
    tuple[RuleTable, Recipe]
        The table, which is also written to ``<out>/fusion-all/``, and the chosen recipe.
    """
    splits = judged_splits(runs, settings)
    warnings = [CHOSEN_ON_ITSELF.format(split=splits[0])] if len(splits) == 1 else []
    standings: dict[str, dict[str, Standing]] = {}
    teacher: Teacher | None = None
    for split in splits:
        members = load_members(runs, split, augmented=settings.augmented)
        aligned = align([member.predictions for member in members.fused], settings.align_by)
        _require_truth(aligned, split)
        if teacher is None:
            # What recipes learn for the first split serves the second, too.
            teacher = teacher_of(members, settings)
            warnings += teacher.lesson.warnings if teacher.lesson else ()
        warnings += [*members.warnings, *aligned.warnings, *few_among(split, aligned.scored_authors)]
        standings[split] = {}
        for recipe, fused in fuse_recipes(aligned, settings.recipes, teacher):
            standings[split][recipe.name] = Standing.of(fused)
            tell(1)
    by_name = {recipe.name: recipe for recipe in _different(settings.recipes, standings)}
    first = standings[splits[0]]
    # Of equal ones the first in the table of rules: the simpler.
    names = tuple(best_first(by_name, lambda name: first[name].score.value))
    kept = {split: {name: found[name] for name in names} for split, found in standings.items()}
    table = RuleTable(
        names, kept, out / f"fusion-all{'-tta' if settings.augmented else ''}", tuple(dict.fromkeys(warnings))
    )
    table.write()
    return table, by_name[table.best]


def report_settings(settings: FuseSettings, chosen: Recipe) -> FuseSettings:
    """Fuse as before, by the chosen recipe alone."""
    return replace(settings, recipes=(chosen,))


def judged_splits(runs: Sequence[Path], settings: FuseSettings) -> list[str]:
    """Find the split to choose on and the one to report, of runs that know the same classes."""
    require_same_classes(runs)
    if settings.split:
        return [settings.split]
    common = set.intersection(*(set(splits_of(run)) for run in runs)) if runs else set()
    found: list[str] = [split for split in ("valid", "test") if split in common]
    if not found and runs:
        raise PredictionsError("valid or test predictions of every run", "no common split", "Leave some runs out.")
    return found or ["valid"]


def _require_truth(aligned: Aligned[Matrix], split: str) -> None:
    if not (aligned.observations[0].true_class != "").any():
        got = f"none of known class in {split}"
        raise PredictionsError("plants to compare rules on", got, "Name one rule: it answers without a known class.")


def _different(recipes: Sequence[Recipe], standings: dict[str, dict[str, Standing]]) -> list[Recipe]:
    """Leave out recipes in two steps whose every figure is that of the same rule in one step."""
    present = set(recipes)
    return [
        recipe
        for recipe in recipes
        if recipe.image_rule is None
        or (one := replace(recipe, image_rule=None)) not in present
        or any(not _same(found[recipe.name].score.alone, found[one.name].score.alone) for found in standings.values())
    ]


def _same(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    return bool(np.allclose(one, other, rtol=0, atol=1e-9))
