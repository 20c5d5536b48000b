"""`evaluate gain` and `evaluate article`: what more images, more models and more augmentation add, and cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evaluation.cli.options import RuleOption, SplitOption, TtaOption
from featstore import shell

if TYPE_CHECKING:
    from evaluation.gain.work import GainReport

RunsArgument = Annotated[
    list[Path], typer.Argument(metavar="RUN", help="Run folders, folders of runs or *.predictions.h5 files.")
]


def gain(
    runs: RunsArgument,
    split: SplitOption = None,
    rule: RuleOption = "mean",
    max_images: Annotated[int, typer.Option("--max-images", help="Longest curve, in images per observation.")] = 8,
    draws: Annotated[int, typer.Option("--draws", help="Sets of images, or of models, averaged for a point.")] = 20,
    tta: TtaOption = False,
    seed: shell.SeedOption = 0,
    out: shell.OutOption = Path("runs"),
    as_json: shell.JsonOption = False,
) -> None:
    """Judge runs with more and more images per observation, and with more and more models, cost beside gain.

    A curve keeps its observations: those with at least K images are judged with 1 ... K of them. Models are added in
    the order learned on valid. Writes OUT/gain/ with gain.csv, gain_models.csv, gain.json and two pictures.
    """
    from evaluation.gain.plan import GainPlan
    from evaluation.gain.work import measure_gain, write_gain

    report = measure_gain(runs, split, GainPlan(rule, max_images, draws, seed), augmented=tta)
    files = write_gain(report, out / "gain")
    for text in report.warnings:
        shell.warn(text)
    if as_json:
        shell.print_json(report.to_json())
        return
    _print_gain(report)
    shell.say("Written: " + ", ".join(str(path) for path in files))


def article(
    runs: RunsArgument,
    split: SplitOption = None,
    rule: RuleOption = "mean",
    out: shell.OutOption = Path("runs"),
    as_json: shell.JsonOption = False,
) -> None:
    """Lay out runs as the article does: single models, with test-time augmentation, merged, and the gain of each.

    The best single and the models worth merging are chosen on valid. Writes OUT/article/ with article.csv,
    article.json and article.md.
    """
    from evaluation.gain.article import COLUMNS, SECONDARY
    from evaluation.gain.work import make_article, write_article
    from evaluation.table import SPEED, SPEED_NOTE

    table, warnings = make_article(runs, split, rule)
    files = write_article(table, out / "article")
    for text in warnings:
        shell.warn(text)
    if as_json:
        shell.print_json(table.to_json())
        return
    title = f"{table.n_observations:,} observations of {table.split}, all views together"
    shown = shell.print_table(title, COLUMNS, [row.cells() for row in table.rows], secondary=SECONDARY)
    shell.say(table.choice)
    shell.say(table.note)
    if SPEED in shown:
        shell.say(SPEED_NOTE)
    shell.say("Written: " + ", ".join(str(path) for path in files))


def _print_gain(report: GainReport) -> None:
    from evaluation.gain.tables import (
        IMAGE_COLUMNS,
        IMAGE_SECONDARY,
        MODEL_COLUMNS,
        MODEL_SECONDARY,
        NO_CURVE,
        image_rows,
        model_rows,
        model_title,
    )
    from evaluation.table import SPEED_NOTE

    first = report.images[0]
    if first.curves:
        title = f"With 1 and with K images, for the observations that have at least K ({first.split})"
        shell.print_table(title, IMAGE_COLUMNS, image_rows(report.images), secondary=IMAGE_SECONDARY)
    else:
        shell.say(NO_CURVE)
    if report.models:
        rows = model_rows(report.models)
        shell.print_table(model_title(report.models), MODEL_COLUMNS, rows, secondary=MODEL_SECONDARY)
        shell.say(SPEED_NOTE)
