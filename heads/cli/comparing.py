"""`heads compare`: one protocol for every head on every network."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from featstore import shell

if TYPE_CHECKING:
    from heads.protocol import Calibrate, ClassWeight
    from heads.tuning import Search

_of_protocol = partial(typer.Option, rich_help_panel="Protocol")
_of_search = partial(typer.Option, rich_help_panel="Tuning")
_of_work = partial(typer.Option, rich_help_panel="Who does the work")


def compare(
    store: Annotated[
        str, typer.Argument(metavar="STORE", help="Feature store that `featstore build` wrote.", show_default=False)
    ],
    backbone: Annotated[
        list[str] | None, typer.Option("--backbone", help="Network; repeat for several. [default: all of the store]")
    ] = None,
    head: Annotated[
        list[str] | None,
        typer.Option(
            "--head",
            metavar="[LABEL=]HEAD[:SETTING=VALUE,...]",
            help="Head; repeat for several. [default: those of `heads list`]",
        ),
    ] = None,
    concat: Annotated[bool, typer.Option("--concat/--no-concat", help="Also try all networks side by side.")] = True,
    refit: Annotated[
        bool,
        _of_protocol("--refit/--no-refit", help="Answer for test with heads fitted again on train and valid."),
    ] = True,
    folds: Annotated[
        int,
        _of_protocol("--folds", help="Also cross-validate between plants, in so many parts; the choice goes by that."),
    ] = 0,
    repeats: Annotated[int, _of_protocol("--repeats", help="Repeat the cross-validation, divided anew.")] = 1,
    seeds: Annotated[int, _of_protocol("--seeds", help="Fit random heads with so many seeds.")] = 1,
    split: Annotated[
        Path | None,
        _of_protocol(
            "--split-file",
            help="Use this split (columns image_id, observation_id, split, fold) instead of drawing one.",
        ),
    ] = None,
    like_test: Annotated[
        bool,
        _of_protocol(
            "--valid-like-test", help="Judge valid plants by as many photographs, of such views, as test shows."
        ),
    ] = False,
    calibrate: Annotated[
        str,
        _of_protocol(
            "--calibrate",
            help="Bring predictions to a temperature chosen out of fold, or on valid: none, all, view (one per view).",
        ),
    ] = "none",
    calibration_share: Annotated[
        float | None,
        _of_protocol(
            "--calibration-share",
            help="Share of valid plants that choose temperatures alone. [default: 0.3 without --folds]",
        ),
    ] = None,
    class_weight: Annotated[
        str,
        _of_protocol("--class-weight", help="none, or balanced: every class counts alike."),
    ] = "none",
    vote_weight: Annotated[
        bool,
        _of_protocol("--vote-weight", help="Let photographs count in proportion to their vote."),
    ] = False,
    min_vote: Annotated[
        float | None,
        _of_protocol("--min-vote", help="Do not learn from photographs with a lower vote; unknown votes count."),
    ] = None,
    hold_out_species: Annotated[
        int,
        _of_protocol("--hold-out-species", help="Learn nothing of so many species: they stand for unknown ones."),
    ] = 0,
    exclude: Annotated[
        Path | None,
        _of_protocol("--exclude", help="CSV of photographs to leave out, as `featstore doctor` suggests them."),
    ] = None,
    copies: Annotated[
        Path | None,
        _of_protocol("--copies", help="CSV of pairs that show the same picture: findings.csv of `featstore doctor`."),
    ] = None,
    drop_leaks: Annotated[
        bool,
        _of_protocol(
            "--drop-leaks",
            help="Leave out photographs of train that valid or test shows, too, and of valid that test does.",
        ),
    ] = False,
    tune: Annotated[bool, _of_search("--tune", help="Search settings for every head, on parts of train.")] = False,
    search: Annotated[
        str | None,
        _of_search("--search", help="grid, or optuna (an extra). [default: grid]"),
    ] = None,
    budget: Annotated[
        float | None,
        _of_search("--budget", help="Seconds to search for each run. [default: 300]"),
    ] = None,
    workers: Annotated[int, _of_work("--workers", help="Processes that fit at once.")] = 1,
    scheduler: Annotated[
        str | None,
        _of_work("--scheduler", help="Dask scheduler, such as tcp://host:8786."),
    ] = None,
    memory: Annotated[
        float | None,
        _of_work(
            "--memory",
            metavar="GIB",
            help="Memory that fits may need at once; others are not begun. [default: what is free]",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        _of_work("--dry-run", help="Tell what is to be done and about how long it takes."),
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

    # One that is missing is told before the heads are loaded, which takes seconds.
    opened = Store.open(store)
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
    lists, crew = Lists(exclude, copies, drop_leaks, split), Crew(workers, scheduler, memory)
    if dry_run:
        ahead = foresee(opened, settings, out, lists, crew)
        if as_json:
            shell.print_json(ahead.to_json())
        else:
            show_forecast(ahead)
        return
    board = compare_heads(opened, settings, out, lists, crew)
    for text in board.warnings:
        shell.warn(text)
    if as_json:
        shell.print_json(board.to_json())
    else:
        show_board(board, out, refit=refit)
    if board.failed:
        raise typer.Exit(shell.EXIT_INCOMPLETE)
