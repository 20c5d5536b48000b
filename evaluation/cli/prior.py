"""`evaluate prior`: what place and month of an observation add to a run, or tell by themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evaluation.cli.options import ReportedOption
from featstore import shell


def prior(
    papers: Annotated[
        str, typer.Option("--papers", help="Feature store or data set with places and dates of the photographs.")
    ],
    run: Annotated[
        Path | None,
        typer.Argument(metavar="[RUN]", help="Run folder with valid predictions. [default: only the papers]"),
    ] = None,
    rank: Annotated[
        str, typer.Option("--rank", help="Without RUN: species, genus or family is what place and month are to tell.")
    ] = "species",
    split: ReportedOption = None,
    out: shell.OutOption = Path("runs"),
    seed: shell.SeedOption = 0,
    as_json: shell.JsonOption = False,
) -> None:
    """Learn place and month of every species on train, choose how far to heed them on valid, and print the effect.

    Nothing else uses a prior: this command tells whether one would help. A plant without place or date stays as it
    is. Writes OUT/prior/RUN/ with prior.csv, prior.json and prior.png. Without RUN, tells how much likelier place and
    month make the right class of held-out records.
    """
    from evaluation.prior.asking import COLUMNS, RECORD_COLUMNS, cells, record_cells, require_rank
    from evaluation.prior.judge import judge_prior, judge_records, learnt_json, write_report

    if run is None:
        learnt, notes = judge_records(papers, require_rank(rank), seed)
        for text in notes:
            shell.say(f"note: {text}")
        if as_json:
            shell.print_json({"schema": "prior/1", "rank": rank, **{n: learnt_json(one) for n, one in learnt.items()}})
            return
        shell.print_table(f"What papers tell of the {rank} of held-out records", RECORD_COLUMNS, record_cells(learnt))
        return
    report = judge_prior(run, papers, split, seed)
    files = write_report(report, out)
    for text in report.notes:
        shell.say(f"note: {text}")
    if as_json:
        shell.print_json(report.to_json())
        return
    shell.print_table(f"{report.run} with priors of place and month", COLUMNS, cells(report))
    shell.say("valid: each plant by strengths that other authors chose; elsewhere by those of all of valid")
    shell.say(f"{files[0].parent}: {', '.join(path.name for path in files)}")
