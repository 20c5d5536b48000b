"""The work of `evaluate taxonomy`: choose the threshold on valid, report what it answers, and at which rank."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.alignment import align
from evaluation.cells import as_json, write_csv
from evaluation.fusion import Recipe, fuse
from evaluation.intervals import intervals, intervals_of
from evaluation.metrics import observation_score
from evaluation.papers import read_papers
from evaluation.predictions import Predictions
from evaluation.runs import choose_split, find_predictions, read_run_card
from evaluation.taxonomy.answering import NO_ANSWER, Ladder, choose_threshold
from evaluation.taxonomy.taxa import RANKS, Taxonomy
from featstore.errors import DatasetError, SettingsError
from featstore.provenance import Json, provenance, write_json

SCHEMA = "taxonomy/1"
FOLDER = "taxonomy"
CHOSEN_ON = "valid"
ALONE = "species alone"
"""What the same precision costs without higher ranks."""


@dataclass(frozen=True)
class Figure:
    """One figure.

    Parameters
    ----------
    run, split
        What it is about.
    rank
        ``"species"``, ``"genus"``, ``"family"``, ``"any"`` for all answers together, or ``"species alone"``.
    metric
        ``"answered"``: share of plants answered at the rank; ``"precision"``: share of those that is right; ``"S"`` of
        the taxa of the rank, without any threshold.
    value
        The figure.
    low, high
        Ends of its 95 % interval, NaN with fewer than two authors.
    n_observations
        Plants that are judged.
    """

    run: str
    split: str
    rank: str
    metric: str
    value: float
    low: float
    high: float
    n_observations: int

    def to_json(self) -> dict[str, Json]:
        """Every field by name; NaN becomes null."""
        return as_json(self)


@dataclass(frozen=True, eq=False)
class TaxonomyReport:
    """What rolling up one run found.

    Parameters
    ----------
    run, precision
        What was asked.
    threshold
        Probability from which a rank is answered.
    figures
        Of valid, where it was chosen, and of the split that is reported.
    ladders
        The plants of each split.
    notes
        What was left out.
    """

    run: str
    precision: float
    threshold: float
    figures: tuple[Figure, ...]
    ladders: Mapping[str, Ladder]
    notes: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """How plants are answered, in words."""
        share = f"{100 * self.precision:g} %"
        if f"{self.threshold:.4f}" == "1.0000":
            return (
                f"{self.run}: answers only where it is certain (probability 1.0000); with less certain answers, "
                f"fewer than {share} of them would be right on valid"
            )
        return (
            f"{self.run}: answers at the lowest rank with a probability of {self.threshold:.4f} or more; "
            f"so at least {share} of the answers are right on valid"
        )

    def to_json(self) -> dict[str, Json]:
        """Give the report as a document of schema taxonomy/1."""
        return {
            "schema": SCHEMA,
            "run": self.run,
            "target_precision": self.precision,
            "chosen_on": CHOSEN_ON,
            "answer_from": self.threshold,
            "figures": [figure.to_json() for figure in self.figures],
            "notes": list(self.notes),
        }


def roll_up_run(run: Path, source: str, precision: float = 0.95, split: str | None = None) -> TaxonomyReport:
    """Choose on valid, report valid and another split.

    Parameters
    ----------
    run
        A run folder with valid predictions.
    source
        Store or data set whose papers name genus and family.
    precision
        Share of the answers that is to be right, in (0, 1].
    split
        Which split to report; None takes test where there is one, else valid.

    Raises
    ------
    PredictionsError
        If predictions are missing or damaged.
    DatasetError
        If the papers name no taxa.
    SettingsError
        If no threshold reaches the precision.
    """
    if not 0 < precision <= 1:
        raise SettingsError("a precision above 0 and at most 1", f"{precision:g}", "Pass 0.95, for example.")
    taxonomy, model = Taxonomy.from_papers(read_papers(source)), read_run_card(run).model
    ladders, notes = {}, []
    for name in dict.fromkeys((CHOSEN_ON, split or choose_split([run]))):
        fused = fuse(align([Predictions.read(find_predictions(run, name)[0])]), Recipe("mean"))
        ladders[name], n_left = Ladder.of(fused, taxonomy)
        if not len(ladders[name].author):
            got = f"none of {n_left} in {name}"
            raise DatasetError(f"plants whose class has genus and family in {source}", got, "Name other --papers.")
        if n_left:
            n_all = n_left + len(ladders[name].author)
            why = "are of a class without name, genus or family and are left out"
            notes.append(f"{name}: {n_left} of {n_all} plants {why}.")
    threshold = choose_threshold(ladders[CHOSEN_ON], precision)
    if threshold is None:
        remedy = "Pass a lower --precision."
        raise SettingsError(f"a threshold at which {precision:g} of the answers on valid are right", "none", remedy)
    alone = choose_threshold(ladders[CHOSEN_ON], precision, n_ranks=1)
    figures = [
        figure for name, ladder in ladders.items() for figure in _figures(ladder, (model, name), (threshold, alone))
    ]
    return TaxonomyReport(model, precision, threshold, tuple(figures), ladders, tuple(notes))


def _figures(ladder: Ladder, names: tuple[str, str], thresholds: tuple[float, float | None]) -> list[Figure]:
    answered = ladder.answered(thresholds[0])
    parts = {rank: answered == number for number, rank in enumerate(RANKS)} | {"any": answered < NO_ANSWER}
    right = dict.fromkeys(parts, ladder.rightly(answered))
    if thresholds[1] is not None:
        species = ladder.answered(thresholds[1], n_ranks=1)
        parts[ALONE], right[ALONE] = species < NO_ANSWER, ladder.rightly(species)

    def statistics(weight: NDArray[np.float64]) -> NDArray[np.float64]:
        found = []
        for name, part in parts.items():
            n_answered = weight @ part.astype(np.float64)
            n_right = weight @ (part & right[name]).astype(np.float64)
            with np.errstate(invalid="ignore"):
                found += [n_answered / weight.sum(axis=1), n_right / n_answered]
        return np.stack(found, axis=1)

    m = len(ladder.author)
    labels = [(name, metric) for name in parts for metric in ("answered", "precision")]
    values = statistics(np.ones((1, m)))[0].tolist()
    figures = [
        Figure(*names, *label, value, *ends, m)
        for label, value, ends in zip(labels, values, intervals_of(statistics, ladder.author), strict=True)
        if math.isfinite(value)
    ]
    totals = [observation_score(column, ladder.author) for column in ladder.reciprocal.T]
    for rank, total, ends in zip(RANKS, totals, intervals(totals), strict=True):
        figures.append(Figure(*names, rank, "S", total.value, *ends, m))
    return figures


def write_report(report: TaxonomyReport, out: Path) -> list[Path]:
    """Write taxonomy.csv, taxonomy.json, answers.csv of the reported split and taxonomy.png below ``out/taxonomy/``."""
    from evaluation.taxonomy.picture import draw

    folder = out / FOLDER / report.run
    table, document, answers = folder / "taxonomy.csv", folder / "taxonomy.json", folder / "answers.csv"
    rows = [["" if cell is None else str(cell) for cell in figure.to_json().values()] for figure in report.figures]
    write_csv(table, [column.name for column in fields(Figure)], rows)
    write_json(document, {**report.to_json(), "provenance": provenance()})
    ladder = report.ladders[list(report.ladders)[-1]]
    write_csv(answers, ("observation_id", "rank", "answer", "probability", "right"), _answers(ladder, report.threshold))
    return [table, document, answers, draw(report, folder / "taxonomy.png")]


def _answers(ladder: Ladder, threshold: float) -> list[list[str]]:
    answered = ladder.answered(threshold)
    right = ladder.rightly(answered)
    rows = []
    for row, rank in enumerate(answered.tolist()):
        if rank == NO_ANSWER:
            rows.append([str(ladder.observation_id[row]), "", "", "", ""])
            continue
        taxa = ladder.rolled[rank]
        name, sure = str(taxa.name[taxa.best[row]]), f"{ladder.sure[row, rank]:.6g}"
        rows.append([str(ladder.observation_id[row]), RANKS[rank], name, sure, "yes" if right[row] else "no"])
    return rows


COLUMNS = ("split", "rank", "answered", "95 %", "right of these", "95 %", "S", "95 %")


def cells(report: TaxonomyReport) -> list[list[str]]:
    """One line per split and rank under `COLUMNS`."""
    found = {(figure.split, figure.rank, figure.metric): figure for figure in report.figures}
    rows = []
    for split, rank in dict.fromkeys((figure.split, figure.rank) for figure in report.figures):
        row = [split, rank]
        for metric in ("answered", "precision", "S"):
            figure = found.get((split, rank, metric))
            known = figure is not None and math.isfinite(figure.low)
            row += [
                "-" if figure is None else f"{figure.value:.4f}",
                f"{figure.low:.3f}-{figure.high:.3f}" if figure is not None and known else "-",
            ]
        rows.append(row)
    return rows
