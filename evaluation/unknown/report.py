"""What judging rejection found, and the files that tell it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from evaluation.cells import as_json, write_csv
from evaluation.unknown.detection import Accepted
from evaluation.unknown.threshold import Target
from featstore.provenance import Json, provenance, write_json

SCHEMA = "unknown/1"
FOLDER = "unknown"
BASELINE = "max_probability"
GAIN = "auroc_gain"
"""Metric: AUROC of a score less that of `BASELINE`, both drawn with the same authors."""


@dataclass(frozen=True)
class Figure:
    """One figure of one score.

    Parameters
    ----------
    run, split
        What it is about.
    score
        Name in `REJECTIONS`, ``""`` for a figure that needs none.
    metric
        Name in `CURVE_METRICS` or `SHARES`, `GAIN`, ``"S"`` without rejection, ``"S_open"`` with.
    value
        The figure, finite.
    low, high
        Ends of its 95 % interval, NaN with fewer than two authors.
    n_known, n_unknown
        Plants of known and of unknown species behind it.
    """

    run: str
    split: str
    score: str
    metric: str
    value: float
    low: float
    high: float
    n_known: int
    n_unknown: int

    def to_json(self) -> dict[str, Json]:
        """Every field by name; NaN becomes null."""
        return as_json(self)


@dataclass(frozen=True, eq=False)
class Judged:
    """One score of one run on one split.

    Parameters
    ----------
    run, split, score
        What it is about.
    accepted
        Its curve, in a single draw of all plants.
    figures
        What it is worth.
    threshold
        Lowest score that is accepted, None where it could not be chosen.
    """

    run: str
    split: str
    score: str
    accepted: Accepted
    figures: tuple[Figure, ...]
    threshold: float | None


@dataclass(frozen=True, eq=False)
class UnknownReport:
    """What judging some runs found.

    Parameters
    ----------
    split
        The split that is reported.
    target
        What thresholds were chosen for.
    judged
        Every score of every run on that split.
    plain
        S of each run without rejection.
    files
        What was written.
    notes
        What could not be told, and why.
    """

    split: str
    target: Target
    judged: tuple[Judged, ...]
    plain: tuple[Figure, ...]
    files: tuple[Path, ...]
    notes: tuple[str, ...]

    @property
    def figures(self) -> list[Figure]:
        """All of them."""
        return [*self.plain, *(figure for one in self.judged for figure in one.figures)]

    def to_json(self) -> dict[str, Json]:
        """Give the whole report as one document of schema unknown/1."""
        return {
            "schema": SCHEMA,
            "split": self.split,
            "target": {"kind": self.target.kind, "level": self.target.level},
            "figures": [figure.to_json() for figure in self.figures],
            "files": [str(path) for path in self.files],
            "notes": list(self.notes),
        }


def write_report(report: UnknownReport, folder: Path) -> list[Path]:
    """Write unknown.csv and unknown.json with every figure, and curves.csv with every threshold there could be."""
    table, document, curves = folder / "unknown.csv", folder / "unknown.json", folder / "curves.csv"
    rows = [["" if cell is None else str(cell) for cell in one.to_json().values()] for one in report.figures]
    write_csv(table, [column.name for column in fields(Figure)], rows)
    write_json(document, {**report.to_json(), "provenance": provenance()})
    header = ("run", "split", "score", "accept_from", "known_accepted", "unknown_accepted", "right_accepted")
    write_csv(
        curves,
        (*header, "n_known", "n_unknown"),
        (
            [one.run, one.split, one.score, f"{one.accepted.threshold[at]:.9g}", *counts]
            for one in report.judged
            for at, counts in enumerate(_counts(one.accepted))
        ),
    )
    return [table, document, curves]


def _counts(accepted: Accepted) -> list[list[str]]:
    totals = [f"{accepted.n_known[0]:.0f}", f"{accepted.n_unknown[0]:.0f}"]
    columns = (accepted.known[0], accepted.unknown[0], accepted.right[0])
    return [[f"{count:.0f}" for count in row] + totals for row in np.stack(columns, axis=1)]
