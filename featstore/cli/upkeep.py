"""`featstore repair | forget`: what is damaged is made anew, and what is no longer wanted leaves a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from featstore import shell
from featstore.cli.building import StoreArgument, show_forecast
from featstore.cli.inspecting import show_verdict, tell_pending, verdict_json
from featstore.errors import counted, listed

if TYPE_CHECKING:
    from featstore.care.faults import Verdict


def repair(
    store: StoreArgument,
    weights: Annotated[
        str | None, typer.Option("--weights", help="Where the weights are now. [default: where they were]")
    ] = None,
    workers: Annotated[int, typer.Option("--workers", help="Processes that decode; 0 decodes in this one.")] = 2,
    dry_run: shell.DryRunOption = False,
    json: shell.JsonOption = False,
) -> None:
    """Find what is damaged in a store, and make just its rows anew from the photographs.

    For example:

    - `featstore repair features.zarr --dry-run`

    - `featstore repair features.zarr`
    """
    if dry_run:
        _foresee_repair(store, weights, workers, as_json=json)
        return
    from featstore.care.repair import repair_store

    done = repair_store(store, n_workers=workers, weights=weights)
    if json:
        shell.print_json(
            {
                "schema": "repair/1",
                "before": verdict_json(done.before),
                "after": verdict_json(done.after),
                "description_taken_from_copy": done.mended,
                "rows_made_anew": done.n_rows,
                "imported_rows_lost": list(done.foreign),
                "photographs_failed": list(done.failed),
            }
        )
    else:
        if done.mended:
            shell.say("The description of the store was damaged; it was taken from its copy.")
        show_verdict(done.before)
        if not done.before.sound:
            told = counted(done.n_rows, "feature row was", "feature rows were")
            shell.say(f"{told} made anew; the store is {_state(done.after)} now.")
        if done.foreign:
            shell.warn(f"imported features lost rows; import them again: {', '.join(done.foreign)}")
        if done.failed:
            shell.warn(f"photographs of damaged rows that cannot be read any more: {listed(list(done.failed))}")
        tell_pending(done.after)
    if not done.after.sound or done.after.pending or done.foreign or done.failed:
        raise typer.Exit(shell.EXIT_INCOMPLETE)


def forget(
    store: StoreArgument,
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="The name of features, as `featstore info` tells it.", show_default=False),
    ],
    dry_run: shell.DryRunOption = False,
    json: shell.JsonOption = False,
) -> None:
    """Remove a name of features from a store: its rows, and the disk that they take.

    Other names, photographs and regions stay. If it is killed, the same command finishes it.

    For example:

    - `featstore forget features.zarr resnet50-448 --dry-run`

    - `featstore forget features.zarr resnet50-448`
    """
    from featstore.build.forget import foresee_forgetting
    from featstore.build.forget import forget as remove
    from featstore.store.place import open_place

    gone = (foresee_forgetting if dry_run else remove)(open_place(store), name)
    if json:
        schema = "forget-forecast/1" if dry_run else "forgotten/1"
        shell.print_json(
            {"schema": schema, "store": gone.location, "name": gone.name, "rows": gone.n_rows, "bytes": gone.n_bytes}
        )
        return
    what = f"{gone.name}: {counted(gone.n_rows, 'row')}, {gone.n_bytes / 1e6:,.1f} MB"
    if dry_run:
        shell.print_line(f"{gone.location} would forget {what}. Nothing was removed.")
    else:
        shell.print_line(f"{gone.location} has forgotten {what}.")


def _foresee_repair(store: str, weights: str | None, workers: int, *, as_json: bool) -> None:
    from featstore.care.forecast import foresee_repair

    ahead = foresee_repair(store, n_workers=workers, weights=weights)
    if as_json:
        shell.print_json({**ahead.to_json(), "before": verdict_json(ahead.verdict) if ahead.verdict else None})
        return
    if ahead.verdict is None:
        shell.print_line("The description of the store is damaged and would be taken from its copy.")
    else:
        show_verdict(ahead.verdict)
    for one in ahead.builds:
        show_forecast(one, f"{one.location}: to be made anew")
    if ahead.foreign:
        shell.warn(f"imported features lose rows, which only another import brings back: {', '.join(ahead.foreign)}")
    if ahead.n_covering:
        told = counted(ahead.n_covering, "fault has", "faults have")
        shell.print_line(f"{told} to be mended before it can be told whether rows have to be made anew.")
    elif ahead.verdict is not None and ahead.verdict.sound:
        shell.print_line("Nothing to do: everything is as it was written.")
    shell.print_line("Nothing was written.")


def _state(verdict: Verdict) -> str:
    return "sound" if verdict.sound else f"not sound ({counted(len(verdict.faults), 'fault')})"
