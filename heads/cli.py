"""The command line `heads`: classifiers on stored features, compared fairly."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from featstore import shell

if TYPE_CHECKING:
    from heads.leaderboard import Leaderboard

app = shell.new_app("Fit classifiers on stored features and compare them under one protocol.")


@app.command()
def compare(
    store: Annotated[str, typer.Argument(help="Feature store that `featstore build` wrote.", show_default=False)],
    backbone: Annotated[
        list[str] | None, typer.Option("--backbone", help="Network; repeat for several. \\[default: all of the store]")
    ] = None,
    head: Annotated[
        list[str] | None,
        typer.Option("--head", help="Head; repeat for several. \\[default: those of `heads list`]"),
    ] = None,
    concat: Annotated[bool, typer.Option("--concat/--no-concat", help="Also try all networks side by side.")] = True,
    refit: Annotated[
        bool, typer.Option("--refit/--no-refit", help="Answer for test with heads fitted again on train and valid.")
    ] = True,
    exclude: Annotated[
        Path | None,
        typer.Option("--exclude", help="CSV of photographs to leave out, as `featstore doctor` suggests them."),
    ] = None,
    copies: Annotated[
        Path | None,
        typer.Option("--copies", help="CSV of pairs that show the same picture: findings.csv of `featstore doctor`."),
    ] = None,
    drop_leaks: Annotated[
        bool,
        typer.Option("--drop-leaks", help="Leave out photographs of train and valid that test shows, too."),
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

    - `heads compare features.zarr --backbone mobilenet --head logistic --out runs`
    """
    from featstore.store import Store
    from heads.compare import CompareSettings, Lists, compare_heads
    from heads.registry import DEFAULT_HEADS

    settings = CompareSettings(tuple(backbone or ()), tuple(head or DEFAULT_HEADS), concat, refit, seed)
    board = compare_heads(Store.open(store), settings, out, Lists(exclude, copies, drop_leaks))
    for text in board.warnings:
        shell.warn(text)
    if as_json:
        shell.print_json(board.to_json())
    else:
        _show(board, out, refit=refit)
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


def main(argv: Sequence[str] | None = None) -> None:
    """Run `heads` and leave the process."""
    shell.run(app, argv)


def _show(board: Leaderboard, out: Path, *, refit: bool) -> None:
    from heads.entry import COLUMNS

    fitted_on = "train and valid" if refit else "train"
    titles = {
        "valid": "Valid: heads fitted on train; every choice is made on these figures",
        "test": f"Test: heads fitted on {fitted_on}; reported, never chosen by",
    }
    for split, title in titles.items():
        if any(entry.scores for entry in board.entries if entry.value(split) is not None):
            shell.print_table(title, COLUMNS, [entry.cells(split, board.overall) for entry in board.entries])
    n_reused = sum(entry.reused for entry in board.entries)
    if n_reused:
        shell.say(f"{n_reused} of {len(board.entries)} runs were there already and have not changed.")
    for use, entry in (("Best on valid", board.overall), ("Start for finetune run", board.finetune)):
        if entry is not None:
            shell.say(f"{use}: {entry.trial.name}, S {entry.value('valid'):.4f}")
    shell.say(f"{out}: a folder per run, split.csv, leaderboard.csv, leaderboard.json, best.json")


if __name__ == "__main__":
    main()
