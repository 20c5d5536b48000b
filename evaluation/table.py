"""The table of results: one line per model and fusion, on screen and as one JSON document."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from evaluation.comparison import LESS_BEST, Compared, less_best_note
from evaluation.invariants import ALL_VIEWS
from evaluation.scores import SCHEMA, Score, scores_to_json
from featstore.provenance import Json

TITLES = {"S": "S", "S_image": "S_image", "top_1": "Top-1", "top_3": "Top-3", "top_5": "Top-5"}
SPEED = "images/s"
COLUMNS = ("run", "S", "95 % of S", *list(TITLES.values())[1:], "images", "observations", SPEED)

SECONDARY = ("images", "observations", SPEED, "Top-3", "S_image", "Top-5")
"""Columns that give way in a narrow terminal."""
SPEED_NOTE = f"{SPEED}: a head's from stored features, a whole network's from photographs that are already cut."


@dataclass(frozen=True)
class Line:
    """One run in the table.

    Parameters
    ----------
    run
        Name of the model, or ``fusion:<rule>``.
    figures
        Metric -> value over all views; a metric without a figure is absent.
    low, high
        Ends of the interval of S, NaN where there is none.
    n_images, n_observations
        What the run was asked about, whether the class is known or not.
    images_per_second
        NaN when unknown; for a fusion, through all its members one after another.
    """

    run: str
    figures: Mapping[str, float]
    low: float
    high: float
    n_images: int
    n_observations: int
    images_per_second: float

    @classmethod
    def of(cls, run: str, scores: list[Score], n_images: int, n_observations: int, images_per_second: float) -> Line:
        """Pick the figures of the total out of a run's scores."""
        total = {score.metric: score for score in scores if score.view == ALL_VIEWS}
        low, high = (total["S"].low, total["S"].high) if "S" in total else (math.nan, math.nan)
        figures = {name: score.value for name, score in total.items()}
        return cls(run, figures, low, high, n_images, n_observations, images_per_second)

    def cells(self) -> list[str]:
        """Write the run's cells under `COLUMNS`, ``-`` where there is no figure."""
        first, *others = (f"{self.figures[name]:.4f}" if name in self.figures else "-" for name in TITLES)
        interval = "-" if math.isnan(self.low) else f"{self.low:.3f}-{self.high:.3f}"
        digits = 0 if self.images_per_second >= 100 else 1
        speed = "-" if math.isnan(self.images_per_second) else f"{self.images_per_second:,.{digits}f}"
        return [self.run, first, interval, *others, f"{self.n_images:,}", f"{self.n_observations:,}", speed]

    def to_json(self) -> dict[str, Json]:
        """Describe what the run is about; its figures are among the scores."""
        return {
            "run": self.run,
            "n_images": self.n_images,
            "n_observations": self.n_observations,
            "images_per_second": None if math.isnan(self.images_per_second) else self.images_per_second,
        }


@dataclass(frozen=True)
class FusionReport:
    """What fusing some runs found.

    Parameters
    ----------
    split
        The split that was reported.
    lines
        The table: every model, plain and augmented, then every fusion.
    scores
        All figures, also those of single views; empty when no true class is known.
    compared
        S of every line beside the best of them, as far as a true class is known.
    folders
        Run folders written, one per fusion.
    warnings
        What is doubtful and was kept, or is left out of the scores.
    """

    split: str
    lines: tuple[Line, ...]
    scores: tuple[Score, ...]
    compared: tuple[Compared, ...]
    folders: tuple[Path, ...]
    warnings: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Titles of the columns."""
        return (*COLUMNS[:3], LESS_BEST, *COLUMNS[3:])

    @property
    def note(self) -> str:
        """What the difference is from; "" where nothing is scored or nothing else is beside the best."""
        best = [row.run for row in self.compared if row.is_best]
        return less_best_note(best[0]) if best and len(self.compared) > 1 else ""

    @property
    def verdict(self) -> str:
        """Say so where one of several members alone is as good as every fusion, or better; else ""."""
        members = {line.run for line in self.lines[: -len(self.folders)]}
        best = next((row for row in self.compared if row.is_best), None)
        fusions = [row for row in self.compared if row.run not in members and math.isfinite(row.value)]
        if best is None or best.run not in members or len(members) < 2 or not fusions:
            return ""
        first = max(fusions, key=lambda row: row.value)
        told = f"Fusing did not help on {self.split}: {best.run} alone has S {best.value:.4f}"
        told += f", {first.run} {first.value:.4f}"
        by_chance = first.less_best.value != 0 and not first.less_best.distinguishable
        return f"{told}, which chance may explain." if by_chance else f"{told}."

    def cells(self) -> list[list[str]]:
        """Write the lines under `columns`."""
        words = {row.run: row.words for row in self.compared}
        return [[*cells[:3], words.get(line.run, "-"), *cells[3:]] for line in self.lines for cells in [line.cells()]]

    def to_json(self) -> dict[str, Json]:
        """Give the whole report as one document of schema scores/1."""
        return {
            "schema": SCHEMA,
            "split": self.split,
            "runs": [line.to_json() for line in self.lines],
            "scores": scores_to_json(self.scores),
            "compared": [row.to_json() for row in self.compared],
            "folders": [str(folder) for folder in self.folders],
            "warnings": list(self.warnings),
        }
