"""`finetune show`, `finetune predict` and `finetune variants`: what a run is, and what it says."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from featstore import shell
from featstore.errors import counted

if TYPE_CHECKING:
    from finetune.answer_forecast import AnswerForecast

RunArgument = Annotated[
    Path, typer.Argument(metavar="RUN", help="Folder of a run that `finetune run` wrote.", show_default=False)
]


def show(run: RunArgument, as_json: shell.JsonOption = False) -> None:
    """Show what a fine-tuned network is, how it was made, its epochs and its scores with their intervals."""
    from evaluation.runs import read_run_card

    # What is missing is told before a network can be loaded, which takes seconds.
    read_run_card(run)
    from featstore.engine import load_engine

    load_engine()
    from evaluation.scores import scores_to_json
    from finetune.display import show_run
    from finetune.report import rows_to_json
    from finetune.saved import open_run

    card, rows = open_run(run)
    if as_json:
        shell.print_json(
            {"schema": "run-shown/1",
             "model": card.model, "kind": card.kind, "backbones": list(card.backbones), "head": card.head,
             "classes": dict(card.classes), "details": dict(card.details), "runs": rows_to_json(rows),
             "scores": scores_to_json([score for row in rows for score in row.scores])}
        )  # fmt: skip
        return
    show_run(run, card, rows)


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
    dry_run: shell.DryRunOption = False,
    as_json: shell.JsonOption = False,
) -> None:
    """Let a fine-tuned network answer for any photographs, stored or not.

    Photographs of a store are cut by the boxes that it keeps, others by the recipe that the network was trained with.
    Writes OUT/test.predictions.h5, which `evaluate fuse` takes, and OUT/observations.csv with the five likeliest
    species of each plant.

    For example:

    - `finetune predict runs/mobilenet-finetuned new-photos/ --out answers --tta 5`

    - `finetune predict runs/mobilenet-finetuned features.zarr --unseen --dry-run`
    """
    from evaluation.runs import read_run_card
    from featstore.readers import require_path

    # What is missing is told before a network can be loaded, which takes seconds.
    read_run_card(run)
    if "://" not in source:
        require_path(Path(source))
    started = time.perf_counter()
    from featstore.engine import load_engine

    load_engine()
    if dry_run:
        from finetune.answer_forecast import foresee_answers

        engine_s = time.perf_counter() - started
        ahead = foresee_answers(run, source, out, tta=tta, unseen=unseen, photos=photos, batch_size=batch_size)
        _show_forecast(replace(ahead, start_s=ahead.start_s + engine_s), as_json=as_json)
        return
    from evaluation.scores import scores_to_json
    from finetune.asking import ask
    from heads.display import show_answers

    asked, failures = ask(run, source, out, tta=tta, unseen=unseen, photos=photos, batch_size=batch_size)
    if as_json:
        shell.print_json(
            {"schema": "answers/1", "run": asked.card.model, "images": len(asked.predictions.image_id),
             "observations": len(asked.fused.observation_id), "scores": scores_to_json(asked.scores),
             "failures": [{"image_id": key, "reason": reason} for key, reason in failures.items()],
             "files": [str(path) for path in asked.files]}
        )  # fmt: skip
    else:
        show_answers(asked)
    if failures:
        told = counted(len(failures), "photograph") + " got no answer"
        shell.warn_of_each(told, failures.items(), "--json lists all")
        raise typer.Exit(shell.EXIT_INCOMPLETE)


def _show_forecast(ahead: AnswerForecast, *, as_json: bool) -> None:
    if as_json:
        shell.print_json(ahead.to_json())
        return
    speed = f"{1 / (ahead.decode_s + ahead.predict_s):.1f}"
    row = [f"{ahead.n_images:,}", f"{ahead.n_observations:,}", str(ahead.n_variants), speed]
    shell.print_table(f"{ahead.run}: to be done", ["photographs", "observations", "variants", "images/s"], [row])
    all_of_it, start = shell.in_words(ahead.seconds), shell.in_words(ahead.start_s)
    to_load = f"{start} of it to load Keras and the network"
    shell.print_line(f"About {all_of_it} on this machine when nothing else runs, {to_load}.")
    shell.print_line(f"Room: {ahead.n_bytes / 1e6:,.1f} MB of {ahead.free_bytes / 1e6:,.0f} MB free.")
    shell.print_line("Speeds were measured just now on a few photographs. Nothing was written.")


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
    from evaluation.runs import read_run_card
    from featstore.store import Store

    # What is missing is told before a network can be loaded, which takes seconds.
    read_run_card(run)
    Store.open(store)
    from featstore.engine import load_engine

    load_engine()
    from finetune.variant_study import COLUMNS, study

    found = study(run, store, photos)
    if as_json:
        shell.print_json({"schema": "variants/1", "run": run.name, "variants": [row.to_json() for row in found]})
        return
    shell.print_table(f"{run.name}: variants on valid", COLUMNS, [row.cells() for row in found])
    shell.say(f"written: {run / 'variants.csv'}, {run / 'variants.png'}")
