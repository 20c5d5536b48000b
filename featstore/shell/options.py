"""Options that commands share, and what a shell may complete."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated

import typer

EVERY_COMMAND = "Options of every command"

JsonOption = Annotated[
    bool,
    typer.Option("--json", help="Print the result as JSON on standard output.", rich_help_panel=EVERY_COMMAND),
]
QuietOption = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q", help="No notes and no progress; only results, warnings, errors.", rich_help_panel=EVERY_COMMAND
    ),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Tell what is to be done, about how long it takes and the room it needs.")
]
SeedOption = Annotated[int, typer.Option("--seed", help="Seed of everything random; the same seed repeats the run.")]
OutOption = Annotated[Path, typer.Option("--out", help="Folder of runs that results are written to.")]


def among(names: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """What a shell completes an option with; `names` is asked only then, and may import nothing heavy."""

    def complete(incomplete: str) -> list[str]:
        return [name for name in names() if name.startswith(incomplete)]

    return complete
