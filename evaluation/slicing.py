"""The work of `evaluate slices`: find what runs and fusions answered, score its parts, write slices.csv and .json."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evaluation.again import find_answers
from evaluation.cells import write_csv
from evaluation.papers import read_papers
from evaluation.scores import SCORE_COLUMNS, USUAL, Scoring, score_cells, score_to_json
from evaluation.slices import TAXA, SliceScore, Taxa, require_slices, score_slices
from evaluation.table import TITLES
from featstore import shell
from featstore.errors import listed
from featstore.provenance import Json, write_json

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = "slices/1"
CSV_COLUMNS = ("by", "group", "name", "n_images", *SCORE_COLUMNS)
ON_SCREEN = 20
"""Groups of one kind that a terminal shows."""
_HEADERS = {"views": "views together", "images": "images each"}


@dataclass(frozen=True)
class SliceSettings:
    """What to slice, and how.

    Parameters
    ----------
    by
        Names in `SLICES`; none means all that the papers allow.
    papers
        A feature store or data set that tells species and taxa, if any.
    split
        Which split; None takes that of a fusion, else test where there is one, else valid.
    scoring
        What is scored, and how.
    """

    by: tuple[str, ...] = ()
    papers: str | Path | None = None
    split: str | None = None
    scoring: Scoring = USUAL


@dataclass(frozen=True)
class SlicesReport:
    """What slicing some runs found.

    Parameters
    ----------
    split
        The split that was sliced.
    by
        The slices made.
    slices
        All figures, run by run.
    files
        What was written.
    warnings
        What is doubtful and was kept, or could not be said.
    """

    split: str
    by: tuple[str, ...]
    slices: tuple[SliceScore, ...]
    files: tuple[Path, ...]
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Json]:
        """Give the whole report as one document of schema slices/1."""
        return {
            "schema": SCHEMA,
            "split": self.split,
            "by": list(self.by),
            "slices": _to_json(self.slices),
            "files": [str(path) for path in self.files],
            "warnings": list(self.warnings),
        }

    def table(self, by: str, top: Sequence[int] = ()) -> tuple[list[str], list[list[str]], int]:
        """Lay out the slices of one kind for a terminal.

        Returns
        -------
        tuple[list[str], list[list[str]], int]
            Columns, one line per group and run - the groups in the order of the first run - and how many groups
            are left to the file.
        """
        titles = {**TITLES, **{f"top_{k}": f"Top-{k}" for k in sorted(top)}}
        lines: dict[str, dict[str, dict[str, SliceScore]]] = {}
        for one in self.slices:
            if one.by == by:
                lines.setdefault(one.group, {}).setdefault(one.score.run, {})[one.score.metric] = one
        runs = list(dict.fromkeys(one.score.run for one in self.slices))
        first, *others = titles.values()
        columns = [
            _HEADERS.get(by, by),
            *(["run"] if len(runs) > 1 else []),
            "observations",
            "images",
            first,
            "95 % of S",
            *others,
        ]
        rows = [
            [next(iter(found.values())).name, *([run] if len(runs) > 1 else []), *_cells(found, titles)]
            for of_runs in list(lines.values())[:ON_SCREEN]
            for run, found in of_runs.items()
        ]
        return columns, rows, max(0, len(lines) - ON_SCREEN)


def slice_runs(runs: Sequence[Path], settings: SliceSettings, out: Path) -> SlicesReport:
    """Score the parts of runs and write ``slices.csv`` and ``slices.json`` (schema slices/1).

    Parameters
    ----------
    runs
        Run folders of models or fusions, or ``*.predictions.h5`` files. A fusion is fused again from the predictions of
        its members, which must be those that were fused.
    settings
        What to slice, and how.
    out
        Folder that the files are written to.

    Raises
    ------
    PredictionsError
        If predictions are missing, break their format or are no longer those that were fused.
    SettingsError
        If there is no such slice, or its taxa are not known.
    """
    answers, names = find_answers(runs, settings.split)
    taxa, warnings = read_taxa(settings.papers, names)
    by = require_slices(settings.by, taxa)
    slices: list[SliceScore] = []
    with shell.progress(len(answers) * len(by), "slices", "slices") as bar:
        for one in answers:
            warnings += [*one.notes, *one.aligned.warnings]
            found, own = score_slices(one, by, taxa, settings.scoring, bar.update)
            slices += found
            warnings += own
    table, document = out / "slices.csv", out / "slices.json"
    write_csv(table, CSV_COLUMNS, [_csv_row(one) for one in slices])
    write_json(document, {"schema": SCHEMA, "slices": _to_json(slices)})
    return SlicesReport(answers[0].split, by, tuple(slices), (table, document), tuple(dict.fromkeys(warnings)))


def read_taxa(papers: str | Path | None, names: Mapping[str, str]) -> tuple[Taxa, list[str]]:
    """Read the names of classes.

    Parameters
    ----------
    papers
        Feature store or data set; None for no more than `names`.
    names
        Raw class id -> species where papers know none.

    Returns
    -------
    tuple[Taxa, list[str]]
        Names, the first of each class, and a warning for each rank in which a class has several.
    """
    species = {class_id: name for class_id, name in names.items() if name}
    if papers is None:
        return {"species": species}, []
    frame = read_papers(papers)
    taxa: dict[str, Mapping[str, str]] = {}
    warnings: list[str] = []
    for rank in ("species", *TAXA):
        found, several = _first_names(frame, rank)
        taxa[rank] = {**species, **found} if rank == "species" else found
        if several:
            warnings.append(f"Classes with several names as {rank}, of which the first counts: {listed(several)}.")
    return taxa, warnings


def _first_names(frame: pd.DataFrame, rank: str) -> tuple[dict[str, str], list[str]]:
    # Readers name a species without a name after its class.
    known = frame[(frame["class_id"] != "") & (frame[rank] != "") & (frame[rank] != frame["class_id"])]
    pairs = known[["class_id", rank]].drop_duplicates()
    several = pairs.loc[pairs["class_id"].duplicated(), "class_id"].astype(str).unique().tolist()
    firsts = pairs.drop_duplicates("class_id")
    return dict(zip(firsts["class_id"].astype(str), firsts[rank].astype(str), strict=True)), several


def _cells(found: Mapping[str, SliceScore], titles: Mapping[str, str]) -> list[str]:
    first, *others = (f"{found[name].score.value:.4f}" if name in found else "-" for name in titles)
    s = found["S"]
    interval = f"{s.score.low:.3f}-{s.score.high:.3f}" if not math.isnan(s.score.low) else "-"
    return [f"{s.score.n_observations:,}", f"{s.n_images:,}", first, interval, *others]


def _to_json(slices: Sequence[SliceScore]) -> list[Json]:
    return [
        {"by": one.by, "group": one.group, "name": one.name, "n_images": one.n_images, **score_to_json(one.score)}
        for one in slices
    ]


def _csv_row(one: SliceScore) -> list[str]:
    return [one.by, one.group, one.name, str(one.n_images), *score_cells(one.score)]
