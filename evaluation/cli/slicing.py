"""`evaluate slices`: where a result is good, and where it is not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evaluation.cli.options import PapersOption, SplitOption, TopOption, UnknownAuthorOption
from featstore import shell


def slices(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN",
            help="Run folders, of fusions too, folders of runs (all but fusions), or *.predictions.h5 files.",
        ),
    ],
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            help="view (its images alone), views (those of a plant together), images (their number), author, species, "
            "genus or family; repeatable. [default: all that is known]",
        ),
    ] = None,
    papers: PapersOption = None,
    split: SplitOption = None,
    top: TopOption = None,
    unknown_author: UnknownAuthorOption = "own",
    out: shell.OutOption = Path("runs"),
    as_json: shell.JsonOption = False,
) -> None:
    """Score runs by view, views together, number of images, author, species, genus and family, with intervals.

    Writes OUT/slices.csv and OUT/slices.json with every metric.
    """
    from evaluation.runs import expand
    from evaluation.scores import Scoring
    from evaluation.slicing import ON_SCREEN, SliceSettings, slice_runs

    settings = SliceSettings(tuple(by or ()), papers, split, Scoring(tuple(top or ()), unknown_author))
    report = slice_runs(expand(runs), settings, out)
    for text in report.warnings:
        shell.warn(text)
    if as_json:
        shell.print_json(report.to_json())
        return
    for name in report.by:
        columns, rows, n_more = report.table(name, settings.scoring.top)
        shell.print_table(f"Scores on {report.split} by {name}", columns, rows)
        if n_more:
            shell.say(f"the first {ON_SCREEN}; {n_more:,} more in {report.files[0]}")
    shell.say(f"every metric in {report.files[0]} and {report.files[1]}")
