"""`featstore forget`: what is no longer wanted leaves a store."""

from __future__ import annotations

from typing import Annotated

import typer

from featstore import shell
from featstore.cli.building import StoreArgument


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
    from featstore.errors import counted
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
