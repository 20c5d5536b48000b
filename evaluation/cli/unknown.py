"""`evaluate unknown`: how well a run keeps from naming plants of species that it has never learnt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evaluation.cli.options import ReportedOption
from featstore import shell


def unknown(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Run folders, or folders of runs.")],
    score: Annotated[
        list[str] | None,
        typer.Option(
            "--score",
            help="all, or max_probability, entropy, margin, energy, neighbours, mahalanobis; repeatable. "
            "[default: all]",
        ),
    ] = None,
    store: Annotated[
        str | None, typer.Option("--store", help="Feature store of the runs, for neighbours and mahalanobis.")
    ] = None,
    coverage: Annotated[
        float | None,
        typer.Option(
            "--coverage", help="Threshold that accepts so large a share of plants of known species. [default: 0.95]"
        ),
    ] = None,
    precision: Annotated[
        float | None,
        typer.Option("--precision", help="Instead: threshold above which so large a share is rightly named."),
    ] = None,
    choose_on: Annotated[
        str, typer.Option("--choose-on", help="Where thresholds are chosen: valid, or oof (out of fold).")
    ] = "valid",
    split: ReportedOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder of runs that results are written to. [default: where the runs lie]"),
    ] = None,
    as_json: shell.JsonOption = False,
) -> None:
    """Judge scores that tell plants of unknown species, and choose the threshold below which nothing is named.

    A plant is of unknown species if its true class is named and none of the run's: `heads compare
    --hold-out-species 8` writes runs that meet some. Writes OUT/unknown/ with unknown.csv, unknown.json, curves.csv,
    unknown.png and RUN/threshold.json in it, which `evaluate identify` finds beside its run.
    """
    from evaluation.runs import expand
    from evaluation.unknown.asking import COLUMNS, GAIN_NOTE, cells, plain_note, settings_of
    from evaluation.unknown.judge import judge_unknown

    runs = expand(runs)
    settings = settings_of(score or (), (coverage, precision), choose_on, split, store)
    with shell.progress(len(runs), "judging", "runs") as bar:
        report = judge_unknown(runs, settings, out := out or runs[0].parent, lambda _: bar.update(1))
    for text in report.notes:
        shell.say(f"note: {text}")
    if as_json:
        shell.print_json(report.to_json())
        return
    title = f"Unknown species on {report.split}; thresholds for {report.target}, chosen on {settings.choose_on}"
    shell.print_table(title, COLUMNS, cells(report))
    shell.say(f"{GAIN_NOTE}; rejected: of unknown species\n{plain_note(report)}")
    shell.say(f"{out / 'unknown'}: unknown.csv, unknown.json, curves.csv, unknown.png, and threshold.json of each run")
