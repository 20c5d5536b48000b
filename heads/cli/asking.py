"""`heads list`, `heads show` and `heads predict`: what there is, and what a run says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from featstore import shell


def list_heads(as_json: shell.JsonOption = False) -> None:
    """List the heads that can be compared."""
    from dataclasses import asdict

    from heads.registry import HEADS

    if as_json:
        shell.print_json(
            {"schema": "heads/1", "heads": [{"name": name, **asdict(spec)} for name, spec in HEADS.items()]}
        )
        return
    rows = [[name, spec.summary, "no" if spec.costly else "yes"] for name, spec in HEADS.items()]
    shell.print_table("Heads", ["--head", "what it is", "compared by default"], rows)


RunArgument = Annotated[
    Path, typer.Argument(metavar="RUN", help="Folder of a run that `heads compare` wrote.", show_default=False)
]


def predict(
    run: RunArgument,
    store: Annotated[
        str, typer.Argument(metavar="STORE", help="Feature store with the run's features.", show_default=False)
    ],
    unseen: Annotated[
        bool, typer.Option("--unseen", help="Leave out photographs that the run has learnt from.")
    ] = False,
    image: Annotated[
        list[str] | None, typer.Option("--image", help="Only this image_id; repeat for several. [default: all]")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for predictions and answers.")] = Path("answers"),
    as_json: shell.JsonOption = False,
) -> None:
    """Let a run answer for photographs of a store: per photograph as predictions, per observation as a table.

    Writes OUT/test.predictions.h5, which `evaluate fuse` takes, and OUT/observations.csv with the five likeliest
    species of each plant.

    For example:

    - `featstore build new.csv --store new.zarr --backbone resnet50`

    - `heads predict runs/resnet50-logistic new.zarr --out answers`
    """
    from evaluation.runs import read_run_card
    from featstore.store import Store

    # What is missing is told before the heads are loaded, which takes seconds.
    read_run_card(run)
    opened = Store.open(store)
    from heads.asking import ask
    from heads.display import show_answers

    asked = ask(run, opened, out, unseen=unseen, image_ids=set(image) if image else None)
    if as_json:
        from evaluation.scores import scores_to_json

        shell.print_json(
            {
                "schema": "answers/1",
                "run": asked.card.model,
                "images": len(asked.predictions.image_id),
                "observations": len(asked.fused.observation_id),
                "scores": scores_to_json(asked.scores),
                "files": [str(path) for path in asked.files],
            }
        )
        return
    show_answers(asked)


def show(run: RunArgument, as_json: shell.JsonOption = False) -> None:
    """Show what a run is, how it was made, and its scores with their intervals."""
    from evaluation.runs import read_run_card

    card = read_run_card(run)
    from evaluation.scores import scores_to_json
    from heads.asking import scores_of
    from heads.display import show_run

    scores = scores_of(run)
    if as_json:
        shell.print_json(
            {"schema": "run-shown/1",
             "model": card.model, "kind": card.kind, "backbones": list(card.backbones), "head": card.head,
             "classes": dict(card.classes), "details": dict(card.details), "scores": scores_to_json(scores)}
        )  # fmt: skip
        return
    show_run(card, scores)
