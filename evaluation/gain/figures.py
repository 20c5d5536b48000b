"""Figures of a gain: a score with its interval, and how they are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evaluation.cells import finite
from evaluation.intervals import Difference, intervals
from evaluation.per_author import PerAuthor
from featstore.provenance import Json

SCHEMA = "gain/1"


@dataclass(frozen=True)
class Figure:
    """A score in [0, 1] and the ends of its 95 % interval, NaN with fewer than two authors."""

    value: float
    low: float
    high: float


def figures(scores: Sequence[PerAuthor]) -> list[Figure]:
    """Give each score its interval; the scores are of the same authors."""
    return [Figure(score.value, *ends) for score, ends in zip(scores, intervals(scores), strict=True)]


def cells(name: str, figure: Figure | Difference) -> dict[str, Json]:
    """Write a figure as three entries ``name``, ``name_low``, ``name_high``; NaN becomes null."""
    named = {name: figure.value, f"{name}_low": figure.low, f"{name}_high": figure.high}
    return {key: finite(value) for key, value in named.items()}


def row_of(entry: Mapping[str, Json], columns: Sequence[str]) -> list[str]:
    """Write a JSON object as a line of a table; an absent figure is an empty cell."""
    return ["" if entry[column] is None else str(entry[column]) for column in columns]
