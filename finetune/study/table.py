"""The study's table: every run with its interval, beside the same run without its choice, and beside the article."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.cells import write_csv
from evaluation.gain.article import METRICS
from evaluation.gain.figures import Figure, cells, row_of
from evaluation.gain.tables import between
from evaluation.intervals import Difference
from featstore.provenance import Json, provenance, write_json, write_text

SCHEMA = "article-study/1"
COLUMNS = (
    "network", "classifier", "features", "votes", "weights", "S", "95 % of S", "Top-1", "Top-5", "less", "S less that",
    "95 % of it",
)  # fmt: skip
ARTICLE_COLUMNS = ("row", "run", "weights", "S", "95 % of S", "Top-5", "S published", "Top-5 published")
_UNKNOWN = Figure(math.nan, math.nan, math.nan)
_FACTS = ("kind", "run", "network", "classifier", "features", "votes", "weights")
CSV_COLUMNS = (
    *_FACTS, *(f"{name}{end}" for name in (*METRICS, "S_difference") for end in ("", "_low", "_high")), "less",
    "S_published", "top_5_published", "missing",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes
    ----------
    kind
        ``"head"``, ``"network"``, or a kind of `evaluate article`: ``"best single"``, ``"+ TTA"``, ``"merged"``, ...
    run
        Its run, as a path below the study's folder, or the name of a fusion.
    network, classifier, features, votes, weights
        What it is.
    figures
        Metric -> figure with its interval; empty if the run is not there.
    less, difference
        What S is compared with, and by how much it is above that, the same authors drawn; None without.
    published
        Metric -> what the article reports of such a row; empty where it reports nothing.
    missing
        Why there are no figures, "" if there are.
    """

    kind: str
    run: str
    network: str
    classifier: str
    features: str
    votes: str
    weights: str
    figures: Mapping[str, Figure]
    less: str = ""
    difference: Difference | None = None
    published: Mapping[str, float] | None = None
    missing: str = ""

    def to_json(self) -> dict[str, Json]:
        """One flat object; what is unknown is null."""
        entry: dict[str, Json] = {name: getattr(self, name) for name in _FACTS}
        for name in METRICS:
            entry |= cells(name, self.figures.get(name, _UNKNOWN))
        published = self.published or {}
        return {
            **entry,
            **cells("S_difference", self.difference or _UNKNOWN),
            "less": self.less or None,
            "S_published": published.get("S"),
            "top_5_published": published.get("top_5"),
            "missing": self.missing or None,
        }

    def cells(self) -> list[str]:
        """Cells under `COLUMNS`."""
        gain = self.difference
        told = [f"{gain.value:+.4f}", between(gain, "+")] if gain else ["-", "-"]
        facts = [self.network, self.classifier, self.features, self.votes, self.weights]
        return [*facts, *self._scores("top_1", "top_5"), self.less or "-", *told]

    def article_cells(self) -> list[str]:
        """Cells under `ARTICLE_COLUMNS`."""
        published = self.published or {}
        told = [f"{published[name]:.4f}" if name in published else "-" for name in ("S", "top_5")]
        return [self.kind, self.run, self.weights, *self._scores("top_5"), *told]

    def _scores(self, *others: str) -> list[str]:
        """S, its interval and other metrics, or why they are missing."""
        if not self.figures:
            return [self.missing, "-", *("-" for _ in others)]
        values = [f"{self.figures[name].value:.4f}" for name in ("S", *others)]
        return [values[0], between(self.figures["S"]), *values[1:]]


@dataclass(frozen=True)
class StudyTable:
    """All rows.

    Attributes
    ----------
    rows
        Heads and whole networks.
    article
        The rows that the article has figures for, and their like.
    split, n_observations
        What is reported; "" and 0 while nothing is.
    remarks
        What has to be known to read it.
    """

    rows: tuple[Row, ...]
    article: tuple[Row, ...]
    split: str
    n_observations: int
    remarks: tuple[str, ...]

    @property
    def n_missing(self) -> int:
        """Rows without figures."""
        return sum(bool(row.missing) for row in (*self.rows, *self.article))

    def to_json(self) -> dict[str, Json]:
        """The whole table as one document."""
        return {
            "schema": SCHEMA,
            "split": self.split,
            "n_observations": self.n_observations,
            "article": [row.to_json() for row in self.article],
            "rows": [row.to_json() for row in self.rows],
            "remarks": list(self.remarks),
        }

    def write(self, folder: Path) -> list[Path]:
        """Write study.csv, study.json and study.md."""
        files = [folder / f"study.{kind}" for kind in ("csv", "json", "md")]
        lines = [row_of(row.to_json(), CSV_COLUMNS) for row in (*self.article, *self.rows)]
        write_csv(files[0], CSV_COLUMNS, lines)
        write_json(files[1], {**self.to_json(), "provenance": provenance()})
        first = _markdown(ARTICLE_COLUMNS, [row.article_cells() for row in self.article])
        second = _markdown(COLUMNS, [row.cells() for row in self.rows])
        write_text(files[2], "\n".join([first, second, *(f"- {remark}" for remark in self.remarks), ""]))
        return files


def _markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines) + "\n"
