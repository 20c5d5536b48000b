"""`evaluate report`: one HTML page about runs, with the photographs that they got wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evaluation.cli.options import AlignOption, RuleOption, SplitOption
from featstore import shell


def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN", help="Run folders, folders of runs, or *.predictions.h5 files.")
    ],
    store: Annotated[
        str | None,
        typer.Option("--store", help="Feature store that knows the photographs. [default: a page without them]"),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "--html", help="The file to write.")] = Path("report.html"),
    rule: RuleOption = "mean",
    align: AlignOption = "image",
    split: SplitOption = None,
    worst: Annotated[
        int, typer.Option("--worst", help="How many of the worst observations, and of the most confident mistakes.")
    ] = 12,
    as_json: shell.JsonOption = False,
) -> None:
    """Write one HTML file that tells what the runs are worth and shows where they fail; it opens from disk, offline.

    Leaderboard with intervals, views, species, confused pairs, the worst observations with their photographs and
    nearest training neighbours, reliability, learning curves, and where everything comes from.
    """
    from evaluation.report.material import ReportSettings
    from evaluation.report.writing import report_runs
    from featstore.errors import counted

    written = report_runs(runs, ReportSettings(split, rule, align, worst), store, out)
    for text in written.warnings:
        shell.warn(text)
    if written.n_missing:
        shell.warn(f"{counted(written.n_missing, 'photograph')} could not be shown; the page says why.")
    if as_json:
        shell.print_json(written.to_json())
        return
    shell.print_line(written.headline)
    size = f"{written.n_bytes / 1e6:.1f} MB, {counted(written.n_photographs, 'photograph')}"
    shell.print_line(f"{written.path}: {written.n_results} results, {written.n_observations:,} observations; {size}")
