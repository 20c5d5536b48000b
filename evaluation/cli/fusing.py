"""`evaluate fuse`: all images of a plant and several models become one answer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evaluation.cli.options import TopOption, UnknownAuthorOption
from featstore import shell


def fuse(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Run folders or *.predictions.h5 files.")],
    rule: Annotated[
        list[str] | None,
        typer.Option("--rule", help="mean, max or product, over all images and models at once; repeatable. [mean]"),
    ] = None,
    image_rule: Annotated[
        str | None, typer.Option("--image-rule", help="Two steps: first each model's images, by this rule. [mean]")
    ] = None,
    model_rule: Annotated[
        str | None, typer.Option("--model-rule", help="Two steps: then the models, by this rule. [mean]")
    ] = None,
    align: Annotated[
        str,
        typer.Option(
            "--align", help="image: members saw the same images; observation: other images of the same plants."
        ),
    ] = "image",
    split: Annotated[
        str | None, typer.Option("--split", help="train, valid or test. [test where there is one, else valid]")
    ] = None,
    tta: Annotated[
        bool, typer.Option("--tta", help="Fuse test-time augmented predictions where a run has them.")
    ] = False,
    top: TopOption = None,
    unknown_author: UnknownAuthorOption = "own",
    out: shell.OutOption = Path("runs"),
    as_json: shell.JsonOption = False,
) -> None:
    """Average the predictions of all images and models of each observation, and compare with every model alone.

    Writes OUT/fusion-RULE/ with run.json, observations.csv, scores.csv and scores.json.
    """
    from evaluation.fuse import FuseSettings, fuse_runs
    from evaluation.fusion import recipes
    from evaluation.scores import Scoring
    from evaluation.table import COLUMNS, SPEED_NOTE

    scoring = Scoring(tuple(top or ()), unknown_author)
    settings = FuseSettings(recipes(rule or (), image_rule, model_rule), align, split, tta, scoring)
    report = fuse_runs(runs, settings, out)
    for text in report.warnings:
        shell.warn(text)
    if as_json:
        shell.print_json(report.to_json())
        return
    title = f"Scores on {report.split}, all views together"
    shell.print_table(title, COLUMNS, [line.cells() for line in report.lines])
    shell.say(SPEED_NOTE)
    for folder in report.folders:
        shell.say(f"{folder}: answers in observations.csv, scores (also per view) in scores.csv and scores.json")
