"""The command line `heads`: classifiers on stored features, compared fairly."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from featstore import shell

if TYPE_CHECKING:
    from heads.protocol import Calibrate, ClassWeight
    from heads.tuning import Search

app = shell.new_app("Fit classifiers on stored features and compare them under one protocol.")


_PROTOCOL, _SEARCH, _WORK = "Protocol", "Tuning", "Who does the work"


@app.command()
def compare(
    store: Annotated[str, typer.Argument(help="Feature store that `featstore build` wrote.", show_default=False)],
    backbone: Annotated[
        list[str] | None, typer.Option("--backbone", help="Network; repeat for several. \\[default: all of the store]")
    ] = None,
    head: Annotated[
        list[str] | None,
        typer.Option(
            "--head",
            metavar="[LABEL=]HEAD[:SETTING=VALUE,...]",
            help="Head; repeat for several. \\[default: those of `heads list`]",
        ),
    ] = None,
    concat: Annotated[bool, typer.Option("--concat/--no-concat", help="Also try all networks side by side.")] = True,
    refit: Annotated[
        bool,
        typer.Option(
            "--refit/--no-refit",
            help="Answer for test with heads fitted again on train and valid.",
            rich_help_panel=_PROTOCOL,
        ),
    ] = True,
    folds: Annotated[
        int,
        typer.Option(
            "--folds",
            help="Also cross-validate between plants, in so many parts; the choice goes by that.",
            rich_help_panel=_PROTOCOL,
        ),
    ] = 0,
    repeats: Annotated[
        int, typer.Option("--repeats", help="Repeat the cross-validation, divided anew.", rich_help_panel=_PROTOCOL)
    ] = 1,
    seeds: Annotated[
        int, typer.Option("--seeds", help="Fit random heads with so many seeds.", rich_help_panel=_PROTOCOL)
    ] = 1,
    split: Annotated[
        Path | None,
        typer.Option(
            "--split",
            help="Use this split (columns image_id, observation_id, split, fold) instead of drawing one.",
            rich_help_panel=_PROTOCOL,
        ),
    ] = None,
    like_test: Annotated[
        bool,
        typer.Option(
            "--valid-like-test",
            help="Judge valid plants by as many photographs, of such views, as test shows.",
            rich_help_panel=_PROTOCOL,
        ),
    ] = False,
    calibrate: Annotated[
        str,
        typer.Option(
            "--calibrate",
            help="Bring predictions to a temperature chosen out of fold, or on valid: no, all, or view (one per view).",
            rich_help_panel=_PROTOCOL,
        ),
    ] = "no",
    calibration_share: Annotated[
        float | None,
        typer.Option(
            "--calibration-share",
            help="Share of valid plants that choose temperatures alone. \\[default: 0.3 without --folds]",
            rich_help_panel=_PROTOCOL,
        ),
    ] = None,
    class_weight: Annotated[
        str,
        typer.Option("--class-weight", help="none, or balanced: every class counts alike.", rich_help_panel=_PROTOCOL),
    ] = "none",
    vote_weight: Annotated[
        bool,
        typer.Option(
            "--vote-weight", help="Let photographs count in proportion to their vote.", rich_help_panel=_PROTOCOL
        ),
    ] = False,
    min_vote: Annotated[
        float | None,
        typer.Option(
            "--min-vote",
            help="Do not learn from photographs with a lower vote; unknown votes count.",
            rich_help_panel=_PROTOCOL,
        ),
    ] = None,
    hold_out_species: Annotated[
        int,
        typer.Option(
            "--hold-out-species",
            help="Learn nothing of so many species: they stand for unknown ones.",
            rich_help_panel=_PROTOCOL,
        ),
    ] = 0,
    exclude: Annotated[
        Path | None,
        typer.Option(
            "--exclude",
            help="CSV of photographs to leave out, as `featstore doctor` suggests them.",
            rich_help_panel=_PROTOCOL,
        ),
    ] = None,
    copies: Annotated[
        Path | None,
        typer.Option(
            "--copies",
            help="CSV of pairs that show the same picture: findings.csv of `featstore doctor`.",
            rich_help_panel=_PROTOCOL,
        ),
    ] = None,
    drop_leaks: Annotated[
        bool,
        typer.Option(
            "--drop-leaks",
            help="Leave out photographs of train and valid that test shows, too.",
            rich_help_panel=_PROTOCOL,
        ),
    ] = False,
    tune: Annotated[
        bool, typer.Option("--tune", help="Search settings for every head, on parts of train.", rich_help_panel=_SEARCH)
    ] = False,
    search: Annotated[
        str | None,
        typer.Option("--search", help="grid, or optuna (an extra). \\[default: grid]", rich_help_panel=_SEARCH),
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option("--budget", help="Seconds to search for each run. \\[default: 300]", rich_help_panel=_SEARCH),
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", help="Processes that fit at once.", rich_help_panel=_WORK)] = 1,
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", help="Dask scheduler, such as tcp://host:8786.", rich_help_panel=_WORK),
    ] = None,
    memory: Annotated[
        float | None,
        typer.Option(
            "--memory",
            metavar="GIB",
            help="Memory that fits may need at once; others are not begun. \\[default: what is free]",
            rich_help_panel=_WORK,
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Tell what is to be done and about how long it takes.", rich_help_panel=_WORK),
    ] = False,
    seed: shell.SeedOption = 0,
    out: shell.OutOption = Path("runs"),
    as_json: shell.JsonOption = False,
) -> None:
    """Fit every head on every network's features and on all of them together; judge on valid, report on test.

    Train and valid are divided 3:1 between plants, once, in OUT/split.csv. Every head is fitted on train; what it
    chooses (epochs, rounds) it chooses on valid; with these settings it is fitted again on train and valid to
    answer for test. A second run fits only what has changed.

    Writes OUT/NETWORK-HEAD/ with run.json, fitted/, refitted/ and predictions, and OUT/leaderboard.csv,
    leaderboard.json and best.json.

    For example:

    - `heads compare features.zarr`

    - `heads compare features.zarr --backbone mobilenet --head logistic --head wide=mlp:units=1024 --out runs`

    - `heads compare features.zarr --tune --budget 600 --folds 5 --calibrate all --dry-run`
    """
    from featstore.errors import SettingsError
    from featstore.store import Store
    from heads.compare import CompareSettings, Crew, compare_heads, foresee
    from heads.display import show_board, show_forecast
    from heads.lists import Lists
    from heads.protocol import Protocol
    from heads.registry import DEFAULT_HEADS
    from heads.tuning import Tuning

    protocol = Protocol(
        seed=seed, refit=refit, min_vote=min_vote, vote_weight=vote_weight,
        class_weight=cast("ClassWeight", class_weight), calibrate=cast("Calibrate", calibrate),
        calibration_share=calibration_share, n_seeds=seeds, n_folds=folds, n_repeats=repeats,
    )  # fmt: skip
    if not tune and (search is not None or budget is not None):
        raise SettingsError("--tune with --search and --budget", "none", "Add --tune.")
    tuning = Tuning(cast("Search", search or "grid"), 300.0 if budget is None else budget) if tune else None
    settings = CompareSettings(
        tuple(backbone or ()), tuple(head or DEFAULT_HEADS), concat, protocol, tuning, like_test, hold_out_species
    )
    lists, crew = Lists(exclude, copies, drop_leaks, split), Crew(jobs, scheduler, memory)
    if dry_run:
        ahead = foresee(Store.open(store), settings, out, lists, crew)
        if as_json:
            shell.print_json(ahead.to_json())
        else:
            show_forecast(ahead)
        return
    board = compare_heads(Store.open(store), settings, out, lists, crew)
    for text in board.warnings:
        shell.warn(text)
    if as_json:
        shell.print_json(board.to_json())
    else:
        show_board(board, out, refit=refit)
    if board.failed:
        raise typer.Exit(shell.EXIT_INCOMPLETE)


@app.command("list")
def list_heads(as_json: shell.JsonOption = False) -> None:
    """List the heads that can be compared."""
    from dataclasses import asdict

    from heads.registry import HEADS

    if as_json:
        shell.print_json({"heads": [{"name": name, **asdict(spec)} for name, spec in HEADS.items()]})
        return
    rows = [[name, spec.summary, "no" if spec.costly else "yes"] for name, spec in HEADS.items()]
    shell.print_table("Heads", ["--head", "what it is", "compared by default"], rows)


RunArgument = Annotated[Path, typer.Argument(help="Folder of a run that `heads compare` wrote.", show_default=False)]


@app.command()
def predict(
    run: RunArgument,
    store: Annotated[str, typer.Argument(help="Feature store with the run's features.", show_default=False)],
    unseen: Annotated[
        bool, typer.Option("--unseen", help="Leave out photographs that the run has learnt from.")
    ] = False,
    image: Annotated[
        list[str] | None, typer.Option("--image", help="Only this image_id; repeat for several. \\[default: all]")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for predictions and answers.")] = Path("answers"),
    as_json: shell.JsonOption = False,
) -> None:
    """Let a run answer for photographs of a store: per photograph as predictions, per observation as a table.

    Writes OUT/test.predictions.h5, which `evaluate fuse` takes, and OUT/observations.csv with the five likeliest
    species of each plant.

    For example:

    - `featstore build new-photos/ --store new.zarr --backbone resnet50`

    - `heads predict runs/resnet50-logistic new.zarr --out answers`
    """
    from featstore.store import Store
    from heads.asking import ask
    from heads.display import show_answers

    asked = ask(run, Store.open(store), out, unseen=unseen, image_ids=set(image) if image else None)
    if as_json:
        from evaluation.scores import scores_to_json

        shell.print_json(
            {
                "run": asked.card.model,
                "images": len(asked.predictions.image_id),
                "observations": len(asked.fused.observation_id),
                "scores": scores_to_json(asked.scores),
                "files": [str(path) for path in asked.files],
            }
        )
        return
    show_answers(asked)


@app.command()
def show(run: RunArgument, as_json: shell.JsonOption = False) -> None:
    """Show what a run is, how it was made, and its scores with their intervals."""
    from evaluation.runs import read_run_card
    from evaluation.scores import scores_to_json
    from heads.asking import scores_of
    from heads.display import show_run

    card, scores = read_run_card(run), scores_of(run)
    if as_json:
        shell.print_json(
            {"model": card.model, "kind": card.kind, "backbones": list(card.backbones), "head": card.head,
             "classes": dict(card.classes), "details": dict(card.details), "scores": scores_to_json(scores)}
        )  # fmt: skip
        return
    show_run(card, scores)


def main(argv: Sequence[str] | None = None) -> None:
    """Run `heads` and leave the process."""
    shell.run(app, argv)


if __name__ == "__main__":
    main()
