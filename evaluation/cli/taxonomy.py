"""`evaluate taxonomy`: genus and family answers where the species is unsure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evaluation.cli.options import ReportedOption
from featstore import shell


def taxonomy(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder with valid predictions.")],
    papers: Annotated[
        str, typer.Option("--papers", help="Feature store or data set whose papers name genus and family.")
    ],
    precision: Annotated[
        float, typer.Option("--precision", help="Share of the answers that is to be right on valid.")
    ] = 0.95,
    split: ReportedOption = None,
    out: shell.OutOption = Path("runs"),
    as_json: shell.JsonOption = False,
) -> None:
    """Answer each plant at the lowest rank - species, genus, family - of which the run is sure enough.

    The probability of a genus or family is the sum over its species. Writes OUT/taxonomy/RUN/ with taxonomy.csv,
    taxonomy.json, answers.csv and taxonomy.png.
    """
    from evaluation.taxonomy.judge import COLUMNS, cells, roll_up_run, write_report

    report = roll_up_run(run, papers, precision, split)
    files = write_report(report, out)
    for text in report.notes:
        shell.say(f"note: {text}")
    if as_json:
        shell.print_json(report.to_json())
        return
    shell.print_table(report.sentence, COLUMNS, cells(report))
    shell.say(f"{files[0].parent}: {', '.join(path.name for path in files)}")
