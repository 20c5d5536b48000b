"""Options that commands share, and what a shell may complete."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from importlib import import_module
from pathlib import Path
from typing import Annotated, TypeAlias, get_args

import typer
from typer.models import OptionInfo

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


Names: TypeAlias = Callable[[], Iterable[str]]
"""Gives the values of an option; asked when a shell completes it, and may import nothing heavy."""


def listed_in(module: str, table: str) -> Names:
    """Names in a table of a module, which is imported only when they are asked for."""
    return lambda: getattr(import_module(module), table)


def completed(annotation: object, names: Mapping[str, Names]) -> object:
    """Return the annotation of an option with what a shell may complete it with, if anything is known of it."""
    info = next((one for one in getattr(annotation, "__metadata__", ()) if isinstance(one, OptionInfo)), None)
    if info is None:
        return annotation
    # typer takes the first declaration for a default until it has read the whole signature.
    declared = [info.default, *(info.param_decls or ())]
    known = next((names[one] for one in declared if isinstance(one, str) and one in names), None)
    if known is None:
        return annotation
    info = copy(info)
    info.autocompletion = _among(known)
    return Annotated[get_args(annotation)[0], info]


def _among(names: Names) -> Callable[[str], list[str]]:

    def complete(incomplete: str) -> list[str]:
        return [name for name in names() if name.startswith(incomplete)]

    return complete
