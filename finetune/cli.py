"""The command line `finetune`: a backbone and its head become one network, trained in small steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from featstore import shell

app = shell.new_app("Train whole networks: the best backbone together with its fitted head.", "finetune")


@app.command()
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
    assignment: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any other setting of the file; repeat for several."),
    ] = None,
    exclude: Annotated[
        list[Path] | None,
        typer.Option("--exclude", help="List of photographs to leave out, as `featstore doctor` writes it."),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin anew where an interrupted run could go on.")
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
    from featstore.engine import load_engine
    from featstore.errors import TrainingError
    from finetune.memory import keep_freed_memory

    keep_freed_memory()
    load_engine()
    from evaluation.scores import scores_to_json
    from finetune.config import load_settings
    from finetune.display import show_reports, write_comparison
    from finetune.report import fused_rows, rows_to_json
    from finetune.run import finetune_all
    from finetune.start import SPLITS, Request

    options = {
        "epochs": epochs, "batch_size": batch_size, "rate": rate, "min_vote": min_vote, "class_weight": class_weight,
        "tta": tta, "precision": precision, "batch_norm": batch_norm, "seed": seed,
    }  # fmt: skip
    settings = load_settings(config, options, assignment or ())
    request = Request(store, runs, settings, None, out, photos, weights, tuple(exclude or ()), restart)
    reports, failed = finetune_all(request, backbone or ())
    rows = [row for report in reports for row in report.rows] + fused_rows(reports)
    rows.sort(key=lambda row: SPLITS.index(row.split))
    write_comparison(rows, (out or runs) / "finetuned.csv")
    if as_json:
        document = {name: value for name, value in reports[0].to_json().items() if name == "schema"} if reports else {}
        networks = [{k: v for k, v in r.to_json().items() if k not in {"runs", "scores", "schema"}} for r in reports]
        shell.print_json(
            {**document, "networks": [*networks], "failed": {name: str(error) for name, error in failed.items()},
             "runs": rows_to_json(rows), "scores": scores_to_json([score for row in rows for score in row.scores])}
        )  # fmt: skip
    else:
        show_reports(reports, rows, failed)
    trouble = [f"{report.folder.name}: {report.trouble}" for report in reports if report.trouble]
    if trouble:
        remedy = f"{settings.against_nan} The weights of the best epoch were kept and scored."
        raise TrainingError("training to end by itself", "; ".join(trouble), remedy)
    if failed or any(report.failures for report in reports):
        raise typer.Exit(shell.EXIT_INCOMPLETE)


RunArgument = Annotated[
    Path, typer.Argument(metavar="RUN", help="Folder of a run that `finetune run` wrote.", show_default=False)
]


@app.command()
def show(run: RunArgument, as_json: shell.JsonOption = False) -> None:
    """Show what a fine-tuned network is, how it was made, its epochs and its scores with their intervals."""
    from featstore.engine import load_engine

    load_engine()
    from evaluation.scores import scores_to_json
    from finetune.display import show_run
    from finetune.report import rows_to_json
    from finetune.saved import open_run

    card, rows = open_run(run)
    if as_json:
        shell.print_json(
            {"model": card.model, "kind": card.kind, "backbones": list(card.backbones), "head": card.head,
             "classes": dict(card.classes), "details": dict(card.details), "runs": rows_to_json(rows),
             "scores": scores_to_json([score for row in rows for score in row.scores])}
        )  # fmt: skip
        return
    show_run(run, card, rows)


@app.command()
def predict(
    run: RunArgument,
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="Feature store, folder of photographs or table that lists them.", show_default=False
        ),
    ],
    tta: Annotated[int, typer.Option("--tta", help="Variants averaged with each photograph; 0 for none.", min=0)] = 0,
    unseen: Annotated[
        bool, typer.Option("--unseen", help="Leave out photographs that the run has learnt or chosen from.")
    ] = False,
    photos: Annotated[
        Path | None, typer.Option("--photos", help="Where a store's photographs are now, if they have moved.")
    ] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", help="Photographs per call.", min=1)] = 32,
    out: Annotated[Path, typer.Option("--out", help="Folder for predictions and answers.")] = Path("answers"),
    as_json: shell.JsonOption = False,
) -> None:
    """Let a fine-tuned network answer for any photographs, stored or not.

    Photographs of a store are cut by the boxes that it keeps, others by the recipe that the network was trained with.
    Writes OUT/test.predictions.h5, which `evaluate fuse` takes, and OUT/observations.csv with the five likeliest
    species of each plant.

    For example:

    - `finetune predict runs/mobilenet-finetuned new-photos/ --out answers --tta 5`

    - `finetune predict runs/mobilenet-finetuned features.zarr --unseen`
    """
    from featstore.engine import load_engine

    load_engine()
    from evaluation.scores import scores_to_json
    from finetune.asking import ask
    from heads.display import show_answers

    asked, failures = ask(run, source, out, tta=tta, unseen=unseen, photos=photos, batch_size=batch_size)
    if as_json:
        shell.print_json(
            {"run": asked.card.model, "images": len(asked.predictions.image_id),
             "observations": len(asked.fused.observation_id), "scores": scores_to_json(asked.scores),
             "failures": [{"image_id": key, "reason": reason} for key, reason in failures.items()],
             "files": [str(path) for path in asked.files]}
        )  # fmt: skip
    else:
        show_answers(asked)
    if failures:
        for image_id, reason in failures.items():
            shell.warn(f"{image_id} got no answer: {reason}")
        raise typer.Exit(shell.EXIT_INCOMPLETE)


@app.command()
def variants(
    run: RunArgument,
    store: Annotated[
        str, typer.Argument(metavar="STORE", help="Feature store that the run was trained on.", show_default=False)
    ],
    photos: Annotated[
        Path | None, typer.Option("--photos", help="Where the photographs are now, if they have moved.")
    ] = None,
    as_json: shell.JsonOption = False,
) -> None:
    """Measure on valid which variants help at test time, each alone and all so far together.

    Writes RUN/variants.csv and RUN/variants.png.

    For example:

    - `finetune variants runs/mobilenet-finetuned features.zarr`
    """
    from featstore.engine import load_engine

    load_engine()
    from finetune.variant_study import COLUMNS, study

    found = study(run, store, photos)
    if as_json:
        shell.print_json({"run": run.name, "variants": [row.to_json() for row in found]})
        return
    shell.print_table(f"{run.name}: variants on valid", COLUMNS, [row.cells() for row in found])
    shell.say(f"written: {run / 'variants.csv'}, {run / 'variants.png'}")


@app.command()
def preview(
    store: Annotated[
        str, typer.Argument(metavar="STORE", help="Feature store of the photographs.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", help="The picture, a PNG.")] = Path("augmentation.png"),
    per_row: Annotated[int, typer.Option("--per-row", help="Varied pictures in each row, 1 to 20.")] = 8,
    side: Annotated[
        int | None, typer.Option("--side", help="Side of the pictures in px. [default: that of the stored features]")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Another seed shows other photographs and draws. [default: 0]")
    ] = None,
    config: shell.SettingsFileOption = None,
    photos: Annotated[
        Path | None, typer.Option("--photos", help="Where the photographs are now, if they have moved.")
    ] = None,
    as_json: shell.JsonOption = False,
) -> None:
    """Draw a sheet of augmented photographs: one row per group, the last as in training.

    For example:

    - `finetune preview features.zarr`

    - `finetune preview features.zarr --config recipe.toml --seed 3 --out augmentation.png`
    """
    from featstore.errors import listed
    from finetune.config import load_settings
    from finetune.preview import draw_preview

    drawn = draw_preview(store, load_settings(config, {"seed": seed, "side_px": side}), out, n=per_row, photos=photos)
    if as_json:
        shell.print_json(
            {"sheet": str(drawn.path), "photographs": list(drawn.photographs), "failures": dict(drawn.failures)}
        )
    else:
        shell.tell(f"{drawn.path} shows {len(set(drawn.photographs))} photographs, one group in each row.")
    if drawn.failures:
        told = listed([f"{image_id}: {reason}" for image_id, reason in drawn.failures.items()])
        shell.warn(f"{len(drawn.failures)} photographs could not be used: {told}")


def main(argv: Sequence[str] | None = None) -> None:
    """Run `finetune` and leave the process."""
    shell.run(app, argv)


if __name__ == "__main__":
    main()
