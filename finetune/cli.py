"""The command line `finetune`: a backbone and its head become one network, trained in small steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from featstore import shell

if TYPE_CHECKING:
    from finetune.report import Report

app = shell.new_app("Train whole networks: the best backbone together with its fitted head.")


@app.command()
def run(
    store: Annotated[str, typer.Argument(help="Feature store of the photographs.", show_default=False)],
    runs: Annotated[Path, typer.Option("--from", help="Folder of runs that `heads compare` wrote.")] = Path("runs"),
    backbone: Annotated[
        str | None, typer.Option("--backbone", help="Network to train. \\[default: the best one with mlp]")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", help="Passes over the photographs at most. \\[default: 20]")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", help="Photographs per step. \\[default: 16]")
    ] = None,
    rate: Annotated[float | None, typer.Option("--rate", help="Learning rate, very small. \\[default: 3e-5]")] = None,
    min_vote: Annotated[
        float | None,
        typer.Option("--min-vote", help="Leave out training photographs with a lower vote; unknown votes stay."),
    ] = None,
    class_weight: Annotated[
        str | None, typer.Option("--class-weight", help="none or balanced. \\[default: none]")
    ] = None,
    tta: Annotated[
        int | None, typer.Option("--tta", help="Variants averaged at test time; 0 for none. \\[default: 5]")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Seed of everything random; the same seed repeats. \\[default: 0]")
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", help="TOML file of settings; options override it.")] = None,
    photos: Annotated[
        Path | None, typer.Option("--photos", help="Where the photographs are now, if they have moved.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option("--weights", help="Where the network's weights are now, if they have moved.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of runs that results are written to. \\[default: --from]")
    ] = None,
    json: shell.JsonOption = False,
) -> None:
    """Fine-tune a network and compare it with the head it started from.

    Writes OUT/BACKBONE-finetuned/ with the best weights, log.csv, curve.png, run.json, scores and predictions of
    valid and test, plain and averaged over variants. A finished run of the same settings is only reported.

    For example:

    - `finetune run features.zarr --from runs`

    - `finetune run features.zarr --from runs --backbone mobilenet --epochs 5 --rate 5e-5 --min-vote 2`

    - `finetune run features.zarr --from runs --config recipe.toml --tta 0 --json`
    """
    from featstore.engine import load_engine
    from featstore.errors import TrainingError

    load_engine()
    from finetune.run import finetune
    from finetune.settings import load_settings
    from finetune.start import Request

    options = {
        "epochs": epochs, "batch_size": batch_size, "rate": rate, "min_vote": min_vote, "class_weight": class_weight,
        "tta": tta, "seed": seed,
    }  # fmt: skip
    settings = load_settings(config, options)
    report = finetune(Request(store, runs, settings, backbone, out, photos, weights))
    if json:
        shell.print_json(report.to_json())
    else:
        _show(report)
    if report.trouble:
        remedy = "Train with a lower --rate. The weights of the best epoch were kept and scored."
        raise TrainingError("training to end by itself", report.trouble, remedy)
    if report.failures:
        raise typer.Exit(shell.EXIT_INCOMPLETE)


def main(argv: Sequence[str] | None = None) -> None:
    """Run `finetune` and leave the process."""
    shell.run(app, argv)


def _show(report: Report) -> None:
    from evaluation.table import COLUMNS, SPEED_NOTE
    from featstore.errors import listed

    if report.reused:
        shell.say(f"{report.folder} is a finished run of the same settings: nothing was computed.")
    for split in dict.fromkeys(row.split for row in report.rows):
        lines = [row.line.cells() for row in report.rows if row.split == split]
        shell.print_table(f"Scores on {split}, all views together", COLUMNS, lines)
    shell.say(SPEED_NOTE)
    kept = f"epoch {report.best_epoch}" if report.best_epoch else "the starting point (no epoch was better on valid)"
    shell.say(f"{report.epochs_run} epochs run, kept: {kept}. Everything lies in {report.folder}")
    if report.failures:
        told = listed([f"{image_id}: {reason}" for image_id, reason in report.failures.items()])
        shell.warn(f"{len(report.failures)} photographs could not be used: {told}")
    if report.random_weights:
        shell.warn("random weights: these figures show that everything runs and say nothing about plants.")


if __name__ == "__main__":
    main()
