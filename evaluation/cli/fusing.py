"""`evaluate fuse`: all images of a plant and several models become one answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evaluation.cli.options import AlignOption, SplitOption, TopOption, TtaOption, UnknownAuthorOption
from featstore import shell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluation.fuse import FuseSettings

SETS = ("all", "fixed", "learned")
"""Values of `--rule` that stand for many, as in `evaluation.fusion.SETS`; no rule is loaded for `--help`."""


def fuse(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN", help="Run folders, folders of runs, or *.predictions.h5 files.")
    ],
    rule: Annotated[
        list[str] | None,
        typer.Option(
            "--rule",
            help="Over all images and models at once; repeatable. Fixed: mean, weighted_mean, product, max, median, "
            "borda, reciprocal_rank, majority. Learned: greedy, log_loss, least_squares, view_weights, "
            "model_view_weights, weighted_product, stacked, stacked_views, stacked_classes. "
            "all, fixed or learned compares many and chooses on valid. [default: mean]",
        ),
    ] = None,
    weight: Annotated[
        list[float] | None,
        typer.Option("--weight", help="For weighted_mean: once per model, in the order of the runs."),
    ] = None,
    image_rule: Annotated[
        str | None,
        typer.Option("--image-rule", help="Two steps: first each model's images, by this rule. [default: mean]"),
    ] = None,
    model_rule: Annotated[
        str | None, typer.Option("--model-rule", help="Two steps: then the models, by this rule. [default: mean]")
    ] = None,
    calibrate: Annotated[
        str, typer.Option("--calibrate", help="none, or a temperature before fusion per model (all) or also per view.")
    ] = "none",
    learn_on: Annotated[
        list[str] | None,
        typer.Option(
            "--learn-on",
            help="What learned rules and temperatures are fitted on: oof, valid, train, or one file per model. "
            "[default: oof where every run has it, else valid]",
        ),
    ] = None,
    align: AlignOption = "image",
    split: SplitOption = None,
    tta: TtaOption = False,
    top: TopOption = None,
    unknown_author: UnknownAuthorOption = "own",
    seed: shell.SeedOption = 0,
    out: shell.OutOption = Path("runs"),
    as_json: shell.JsonOption = False,
) -> None:
    """Fuse the predictions of all images and models of each observation, and compare with every model alone.

    Writes OUT/fusion-RULE/ with run.json, observations.csv, SPLIT.observations.h5, scores.csv, scores.json and, of a
    rule that learns, rule.json; for a comparison also OUT/fusion-all/ with rules.csv and rules.json.
    """
    from evaluation.fuse import FuseSettings
    from evaluation.fusion import recipes
    from evaluation.runs import expand
    from evaluation.scores import Scoring

    chosen = recipes(rule or (), image_rule, model_rule, weight or (), calibrate)
    scoring = Scoring(tuple(top or ()), unknown_author)
    settings = FuseSettings(chosen, align, split, tta, scoring, tuple(learn_on or ("auto",)), seed)
    work = _compare if set(SETS) & set(rule or ()) else _fuse
    work(expand(runs), settings, out, as_json=as_json)


def _fuse(runs: Sequence[Path], settings: FuseSettings, out: Path, *, as_json: bool) -> None:
    from evaluation.fuse import fuse_runs
    from evaluation.table import SECONDARY, SPEED, SPEED_NOTE

    report = fuse_runs(runs, settings, out)
    for text in report.warnings:
        shell.warn(text)
    if as_json:
        shell.print_json(report.to_json())
        return
    title = f"Scores on {report.split}, all views together"
    shown = shell.print_table(title, report.columns, report.cells(), secondary=SECONDARY)
    for text in filter(None, (report.note, report.verdict)):
        shell.say(text)
    if SPEED in shown:
        shell.say(SPEED_NOTE)
    for folder in report.folders:
        shell.say(f"{folder}: answers in observations.csv, scores (also per view) in scores.csv and scores.json")


def _compare(runs: Sequence[Path], settings: FuseSettings, out: Path, *, as_json: bool) -> None:
    from evaluation.fuse import fuse_runs
    from evaluation.rule_table import compare_rules, judged_splits, report_settings

    n_judged = len(judged_splits(runs, settings)) * len(settings.recipes)
    with shell.progress(n_judged, "comparing", "rules") as bar:
        table, chosen = compare_rules(runs, settings, out, bar.update)
    report = fuse_runs(runs, report_settings(settings, chosen), out)
    for text in table.warnings:
        shell.warn(text)
    if as_json:
        shell.print_json(table.to_json())
        return
    title = "Rules, the best first; n.d.: not distinguishable"
    shell.print_table(title, table.columns, table.cells(), secondary=table.secondary)
    for text in filter(None, (*table.verdict(), report.verdict)):
        shell.say(text)
    shell.say(f"{table.out}: the table as rules.csv and rules.json")
    for folder in report.folders:
        shell.say(f"{folder}: answers of the chosen rule on {report.split}")
