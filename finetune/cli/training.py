"""`finetune run`: networks are trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from featstore import shell
from finetune.cli.options import SetOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from finetune.start import Request


def run(
    store: Annotated[
        str, typer.Argument(metavar="STORE", help="Feature store of the photographs.", show_default=False)
    ],
    runs: Annotated[Path, typer.Option("--from", help="Folder of runs that `heads compare` wrote.")] = Path("runs"),
    backbone: Annotated[
        list[str] | None,
        typer.Option("--backbone", help="Network to train; repeat for several. [default: the best one with mlp]"),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", help="Passes over the photographs at most. [default: 20]")
    ] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", help="Photographs per step. [default: 16]")] = None,
    rate: Annotated[float | None, typer.Option("--rate", help="Learning rate, very small. [default: 3e-5]")] = None,
    min_vote: Annotated[
        float | None,
        typer.Option("--min-vote", help="Leave out training photographs with a lower vote; unknown votes stay."),
    ] = None,
    class_weight: Annotated[
        str | None, typer.Option("--class-weight", help="none or balanced. [default: none]")
    ] = None,
    tta: Annotated[
        int | None, typer.Option("--tta", help="Variants averaged at test time; 0 for none. [default: 5]")
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option("--precision", help="float32, mixed_bfloat16 or mixed_float16. [default: float32]"),
    ] = None,
    batch_norm: Annotated[
        str | None,
        typer.Option("--batch-norm", help="BatchNormalization: frozen, train or recalibrate. [default: frozen]"),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Seed of everything random; the same seed repeats. [default: 0]")
    ] = None,
    config: shell.SettingsFileOption = None,
    assignment: SetOption = None,
    exclude: Annotated[
        list[Path] | None,
        typer.Option("--exclude", help="List of photographs to leave out, as `featstore doctor` writes it."),
    ] = None,
    restart: Annotated[
        bool,
        typer.Option(
            "--restart", help="Begin anew where an interrupted run could go on, or one of other settings is finished."
        ),
    ] = False,
    photos: Annotated[
        Path | None, typer.Option("--photos", help="Where the photographs are now, if they have moved.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option("--weights", help="Where the network's weights are now, if they have moved.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of runs that results are written to. [default: --from]")
    ] = None,
    dry_run: shell.DryRunOption = False,
    as_json: shell.JsonOption = False,
) -> None:
    """Fine-tune networks and compare each with the head it started from.

    Writes OUT/BACKBONE-finetuned/ with the best weights, log.csv, curve.png, run.json, a model card, scores and
    predictions of valid and test, plain and averaged over variants; and OUT/finetuned.csv with all of them. A finished
    run of the same settings is only reported; one that was interrupted, or killed, goes on after its last epoch.

    For example:

    - `finetune run features.zarr --from runs`

    - `finetune run features.zarr --from runs --backbone mobilenet --backbone resnet50 --epochs 5 --min-vote 2`

    - `finetune run features.zarr --from runs --config recipe.toml --set layer_decay=0.7 --set augment.noise=0`
    """
    from finetune.config import load_settings
    from finetune.starting import require_there

    options = {
        "epochs": epochs, "batch_size": batch_size, "rate": rate, "min_vote": min_vote, "class_weight": class_weight,
        "tta": tta, "precision": precision, "batch_norm": batch_norm, "seed": seed,
    }  # fmt: skip
    settings = load_settings(config, options, assignment or ())
    require_there(store, runs, backbone or (), photos)
    from featstore.engine import load_engine
    from featstore.errors import TrainingError
    from finetune.memory import keep_freed_memory

    keep_freed_memory()
    load_engine()
    from evaluation.scores import SCHEMA, scores_to_json
    from finetune.display import show_reports, write_comparison
    from finetune.report import compared_rows, few_told, rows_to_json
    from finetune.run import finetune_all
    from finetune.start import Request

    request = Request(store, runs, settings, None, out, photos, weights, tuple(exclude or ()), restart)
    if dry_run:
        _foresee(request, backbone or (), as_json=as_json)
        return
    reports, failed = finetune_all(request, backbone or ())
    rows = compared_rows(reports)
    write_comparison(rows, (out or runs) / "finetuned.csv")
    if as_json:
        networks = [{k: v for k, v in r.to_json().items() if k not in {"runs", "scores", "schema"}} for r in reports]
        shell.print_json(
            {"schema": SCHEMA, "networks": [*networks], "failed": {name: str(error) for name, error in failed.items()},
             "runs": rows_to_json(rows), "scores": scores_to_json([score for row in rows for score in row.scores]),
             "warnings": [*few_told(rows)]}
        )  # fmt: skip
    else:
        show_reports(reports, rows, failed)
    trouble = [f"{report.folder.name}: {report.trouble}" for report in reports if report.trouble]
    if trouble:
        remedy = f"{settings.against_nan} The weights of the best epoch were kept and scored."
        raise TrainingError("training to end by itself", "; ".join(trouble), remedy)
    if failed or any(report.failures for report in reports):
        raise typer.Exit(shell.EXIT_INCOMPLETE)


def _foresee(request: Request, backbones: Sequence[str], *, as_json: bool) -> None:
    from finetune.forecast import foresee

    ahead = foresee(request, backbones)
    if as_json:
        shell.print_json(ahead.to_json())
        return
    shell.print_table("To be done", ahead.COLUMNS, ahead.cells())
    room = f"{ahead.n_bytes / 1e6:,.1f} MB of {ahead.free_bytes / 1e6:,.0f} MB free"
    shell.print_line(
        f"About {shell.in_words(ahead.seconds)} at most on this machine when nothing else runs, and {room}; training "
        "ends earlier when the validation loss no longer falls."
    )
    shell.print_line("Speeds were measured just now on a few batches. Nothing was trained or written.")
