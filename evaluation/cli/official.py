"""`evaluate score`, `check-run` and `write-run`: run files as the contests of 2014 to 2022 write them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evaluation.cli.options import AlignOption, RuleOption, SplitOption, TtaOption
from featstore import shell

RunFile = Annotated[Path, typer.Argument(metavar="RUN", help="An official run file.")]
LayoutOption = Annotated[
    str, typer.Option("--layout", help="auto, 2014 (also 2015), 2014-image, 2020 or 2022 (also 2023).")
]
TruthSplitOption = Annotated[
    str | None,
    typer.Option("--split", help="Whose plants the truth is about. [default: test where there is one, else all]"),
]


def score(
    run: RunFile,
    truth: Annotated[
        str,
        typer.Option("--truth", help="The folder of XML records with the truth, a data set, a table or a store."),
    ],
    layout: LayoutOption = "auto",
    split: TruthSplitOption = None,
    ties: Annotated[
        str, typer.Option("--ties", help="rank: the rank in the file decides; average: equal scores share places.")
    ] = "rank",
    compare_official: Annotated[
        bool, typer.Option("--compare-official", help="Place the run among the official results of 2014.")
    ] = False,
    label: Annotated[
        str | None,
        typer.Option("--label", help="What sets the run apart in that table. [default: as the card beside RUN says]"),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder to write scores.csv and scores.json to.")] = None,
    as_json: shell.JsonOption = False,
) -> None:
    """Score an official run file as its contest did: S, or S_image for a run on images, MRR and Top-1, 3, 5.

    Queries without a line count 0. A file with a fault that leaves its score in doubt is refused with the line.
    """
    from evaluation.official import standings
    from evaluation.official.cards import read_label
    from evaluation.official.scoring import score_run
    from evaluation.official.truth import read_truth
    from evaluation.scores import write_scores

    right = read_truth(truth, split)
    if compare_official:
        standings.require_official(right)
    found = score_run(run, right, layout, ties)
    comparison = None
    if compare_official:
        figures = {name: found.value(name) for name in ("S", "S_image")}
        comparison = standings.compare_2014(found.run, figures, label or read_label(run))
    files = write_scores(found.scores, out) if out else ()
    for text in found.warnings:
        shell.warn(text)
    if as_json:
        shell.print_json(found.to_json() | ({"official_2014": comparison.to_json()} if comparison else {}))
        return
    shell.print_table(found.title, found.columns, found.table())
    if comparison:
        shell.print_table("Official results of LifeCLEF 2014", standings.COLUMNS, comparison.table())
        shell.say(f"{standings.NOTE} {comparison.sentence}")
    for file in files:
        shell.say(f"{file} written")


def check_run(
    run: RunFile,
    truth: Annotated[
        str | None, typer.Option("--truth", help="Also check queries and classes against this truth.")
    ] = None,
    layout: LayoutOption = "auto",
    split: TruthSplitOption = None,
    out: Annotated[Path | None, typer.Option("--out", help="CSV file to write all faults to.")] = None,
    as_json: shell.JsonOption = False,
) -> None:
    """Check a run file line by line: fields, ranks, scores, classes, queries. Exit code 3 if anything is wrong."""
    from evaluation.official.checks import check
    from evaluation.official.faults import FAULT_COLUMNS, N_SHOWN
    from evaluation.official.lines import read_lines
    from evaluation.official.truth import read_truth
    from featstore.errors import counted

    lines = read_lines(run, layout)
    faults = check(lines, read_truth(truth, split).known(lines.layout) if truth else None)
    if out:
        faults.write(out)
    if as_json:
        shell.print_json(faults.to_json() | {"layout": lines.layout.name, "n_lines": len(lines.number)})
    elif faults.found:
        title = f"{run.name}: {counted(len(faults.found), 'fault')}, the first {min(N_SHOWN, len(faults.found))}"
        shell.print_table(title, FAULT_COLUMNS, faults.table())
        shell.say("; ".join(f"{kind}: {count:,}" for kind, count in faults.counts.items()))
    else:
        shell.print_line(
            f"{run}: {len(lines.number):,} lines for {len(lines.queries):,} queries, layout {lines.layout.name}"
        )
    if faults.found:
        raise typer.Exit(shell.EXIT_INCOMPLETE)


def write_run(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN", help="Run folders, folders of runs, or *.predictions.h5 files.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The run file; FILE.json beside it says what was fused.")],
    layout: Annotated[str, typer.Option("--layout", help="2014 (also 2015), 2014-image, 2020 or 2022.")] = "2014",
    limit: Annotated[
        int | None, typer.Option("--limit", help="Lines per query. [default: all species; 30 in layout 2022]")
    ] = None,
    rule: RuleOption = "mean",
    image_rule: Annotated[
        str | None, typer.Option("--image-rule", help="Two steps: first each model's images, by this rule.")
    ] = None,
    align: AlignOption = "image",
    split: SplitOption = None,
    tta: TtaOption = False,
    as_json: shell.JsonOption = False,
) -> None:
    """Fuse runs and write the ranked species of every plant (or photograph) as an official run file."""
    from evaluation.fuse import FuseSettings
    from evaluation.fusion import Recipe
    from evaluation.official.writing import write_run as write
    from evaluation.runs import expand

    settings = FuseSettings((Recipe(rule, image_rule),), align, split, tta)
    written = write(expand(runs), settings, out, layout, limit)
    for text in written.warnings:
        shell.warn(text)
    if as_json:
        shell.print_json(written.to_json())
        return
    shell.print_line(f"{written.path}: {written.n_lines:,} lines for {written.n_queries:,} queries ({written.label})")
