"""`finetune article` and `finetune demo`: whole studies by one command each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from featstore import shell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from featstore.provenance import Json
    from finetune.study.demo import DemoSettings
    from finetune.study.runner import Outcome
    from finetune.study.table import StudyTable
    from finetune.study.work import Plan


def article(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="The PlantCLEF 2014 package, or any data set.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder of everything that is made.")] = Path("article"),
    weights: Annotated[
        str, typer.Option("--weights", help="imagenet, random[:SEED], or a file or folder of weights.")
    ] = "imagenet",
    backbone: Annotated[
        list[str] | None,
        typer.Option("--backbone", help="Network; repeat for several. [default: vgg16 vgg19 resnet50 inception_v3]"),
    ] = None,
    fine_tuned: Annotated[
        list[str] | None,
        typer.Option("--finetune", help="Network to fine-tune; repeat. [default: resnet50 inception_v3]"),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option("--without", help="Part to leave out: max, whole, all-votes, votes-3 or fine-tuning; repeat."),
    ] = None,
    side: Annotated[
        int | None, typer.Option("--side", help="Input side in px. [default: each network's own, 224 or 299]")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", help="Most epochs of fine-tuning. [default: that of `finetune run`]")
    ] = None,
    dry_run: shell.DryRunOption = False,
    seed: shell.SeedOption = 0,
    as_json: shell.JsonOption = False,
) -> None:
    """Run the article's whole study and lay its table beside the published one.

    Features of four networks by average and maximum pooling, with and without regions of interest; the selu head and
    logistic regression; votes of all, of 2 and of 3 or more; ResNet50 and InceptionV3 fine-tuned, with test-time
    augmentation, and merged. Each step is one of the four commands, shown as you would type it; kill it at any moment
    and the same command goes on. Writes OUT/study.csv, study.json, study.md, report.html and the log of every step.

    For example:

    - `finetune article PlantCLEF2014/ --dry-run`

    - `finetune article PlantCLEF2014/ --out article`

    - `finetune article PlantCLEF2014/ --without fine-tuning`
    """
    from featstore.backbones import ARTICLE_BACKBONES
    from finetune.study.plan import ArticleSettings
    from finetune.study.work import exit_code, plan_article, run_article

    settings = ArticleSettings(
        data, out, weights, tuple(backbone or ARTICLE_BACKBONES), tuple(fine_tuned or ()), tuple(without or ()), side,
        epochs, seed,
    )  # fmt: skip
    plan = plan_article(settings, dry=dry_run)
    if dry_run and as_json:
        shell.print_json(_plan_to_json(plan))
    else:
        _show_plan(plan, quietly=as_json)
    if dry_run:
        for step in () if as_json else plan.steps:
            shell.say(f"$ {step.line}")
        return
    outcomes, table = run_article(plan)
    if as_json:
        steps: list[Json] = [outcome.to_json() for outcome in outcomes]
        shell.print_json({**table.to_json(), "forecast": _plan_to_json(plan), "steps": steps})
    else:
        _show_table(plan, table)
    _end(outcomes, exit_code(outcomes))


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder of everything that is made.")] = Path("demo"),
    species: Annotated[int, typer.Option("--species", help="Species to draw.")] = 16,
    observations: Annotated[int, typer.Option("--observations", help="Plants of each species.")] = 24,
    backbone: Annotated[
        list[str] | None,
        typer.Option("--backbone", help="Network; repeat for several, the first learns. [default: seedling colour]"),
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option("--weights", help="As of `featstore build`. [default: those that come with the seedling]"),
    ] = None,
    side: Annotated[
        int | None, typer.Option("--side", help="Input side in px. [default: 96 with random weights, else their own]")
    ] = None,
    epochs: Annotated[int, typer.Option("--epochs", help="Most epochs of fine-tuning.")] = 30,
    dry_run: shell.DryRunOption = False,
    seed: shell.SeedOption = 1,
    as_json: shell.JsonOption = False,
) -> None:
    """Draw photographs and take them through the four commands, offline, to a report that opens in a browser.

    Every command is shown as you would type it on photographs of your own. A second call does nothing twice.

    For example:

    - `finetune demo`

    - `finetune demo --dry-run`

    - `finetune demo --backbone resnet50 --weights imagenet --out demo-resnet50`
    """
    from dataclasses import replace

    from finetune.study.demo import NETWORKS, DemoSettings, demo_steps
    from finetune.study.work import exit_code, run_demo

    settings = DemoSettings(
        out, species, observations, tuple(backbone or NETWORKS), tuple(weights or ()), side, epochs, seed
    )
    if side is None and settings.has_random_weights:
        settings = replace(settings, side_px=96)
    if dry_run:
        _foresee_demo(settings, as_json=as_json)
        return
    outcomes = run_demo(demo_steps(settings), out)
    if as_json:
        shell.print_json(
            {"schema": "demo/1", "report": str(settings.report), "runs": str(settings.runs),
             "store": str(settings.store), "random_weights": settings.has_random_weights,
             "steps": [outcome.to_json() for outcome in outcomes]}
        )  # fmt: skip
    elif settings.report.is_file():
        shell.say(f"\nPhotographs   {settings.photos}    drawn by a program, one of them damaged on purpose")
        shell.say(f"Features      {settings.store}")
        shell.say(f"Runs          {settings.runs}    leaderboard.csv, finetuned.csv, one folder per model")
        shell.say(f"Report        {settings.report}    open it in a browser")
        shell.say("The figures are about drawn plants and say nothing about real ones.")
    if settings.has_random_weights:
        shell.warn("random weights: what networks with them say only shows that everything runs.")
    _end(outcomes, exit_code(outcomes))


def _foresee_demo(settings: DemoSettings, *, as_json: bool) -> None:
    from featstore.errors import counted
    from featstore.synth.plan import planned
    from finetune.study.demo import TIME_OF_DEFAULTS, demo_steps
    from finetune.study.work import what_is_done

    steps = demo_steps(settings)
    done, n_images = what_is_done(steps, settings.out), len(planned(settings.drawn()))
    n_plants = settings.n_species * settings.n_observations
    if as_json:
        told: list[Json] = [{"step": one.name, "command": one.line, "done": done[one.name]} for one in steps]
        shell.print_json(
            {"schema": "demo-forecast/1", "photographs": n_images, "observations": n_plants,
             "random_weights": settings.has_random_weights, "steps": told}
        )  # fmt: skip
        return
    rows = [[one.name, "done" if done[one.name] else "to do"] for one in steps]
    shell.print_table(f"{settings.out}: to be done", ["step", "state"], rows)
    for step in steps:
        shell.say(f"$ {step.line}")
    shell.print_line(f"{counted(n_images, 'photograph')} of {n_plants:,} plants, drawn into {settings.photos}.")
    shell.print_line(TIME_OF_DEFAULTS)
    shell.print_line("Nothing was measured or written.")


def _plan_to_json(plan: Plan) -> dict[str, Json]:
    return {
        **plan.forecast.to_json(),
        "photographs": plan.photographs.to_json(),
        "to_download": list(plan.to_download),
        "free_bytes": plan.free_bytes,
        "warnings": list(plan.photographs.warnings),
    }


def _show_plan(plan: Plan, *, quietly: bool) -> None:
    from textwrap import shorten

    from finetune.study.forecast import GB

    found, ahead = plan.photographs, plan.forecast
    for text in found.warnings:
        shell.warn(shorten(text, 300, placeholder=" ..."))
    if plan.to_download:
        shell.say(f"Weights to be downloaded first: {', '.join(plan.to_download)}.")
    if not quietly:
        lines = [
            [step.name, "done" if step.is_done else shell.in_words(step.seconds), f"{step.n_bytes / GB:.2f}",
             f"{step.passing_bytes / GB:.2f}" if step.passing_bytes else "-"]
            for step in ahead.steps
        ]  # fmt: skip
        title = (
            f"{found.n_images:,} photographs of {found.n_observations:,} plants; {found.n_train:,} to learn from, of "
            f"{found.n_classes:,} species, {found.n_test:,} to be tested on"
        )
        shell.print_table(title, ["step", "about", "GB", "GB while it runs"], lines)
    free = plan.free_bytes
    shell.say(
        f"About {shell.in_words(ahead.seconds)} in all, with every epoch of fine-tuning; early stopping may end it "
        f"sooner. Disk: {ahead.n_bytes / GB:.2g} GB at most, {free / GB:.2g} GB free."
    )
    if free < ahead.n_bytes:
        shell.warn("the disk may be too small; a step that finds it full stops, and the same command goes on.")


def _show_table(plan: Plan, table: StudyTable) -> None:
    from finetune.study.table import ARTICLE_COLUMNS, COLUMNS

    about = f"{table.n_observations:,} observations of {table.split}" if table.split else "no run yet"
    shell.print_table(f"Every choice of the article, {about}", COLUMNS, [row.cells() for row in table.rows])
    if table.article:
        title = f"The article's table, {about}"
        shell.print_table(title, ARTICLE_COLUMNS, [row.article_cells() for row in table.article])
    for remark in table.remarks:
        shell.say(remark)
    if table.n_missing:
        shell.warn(f"{table.n_missing} rows have no figures: their runs are not there")
    out = plan.settings.out
    shell.say(f"Written: {out / 'study.csv'}, {out / 'study.json'}, {out / 'study.md'}")
    if plan.settings.report.is_file():
        shell.say(f"Report: {plan.settings.report}")


def _end(outcomes: Sequence[Outcome], code: int) -> None:
    """Tell of the first step that failed, and leave with its exit code; 3 where some were done with losses."""
    failed = next((outcome for outcome in outcomes if outcome.state == "failed"), None)
    if failed:
        shell.fail(str(failed.error()), code)
    if code:
        names = ", ".join(outcome.step.name for outcome in outcomes if outcome.state == "incomplete")
        shell.warn(f"done with losses, told above and in the logs: {names}")
        raise typer.Exit(code)
