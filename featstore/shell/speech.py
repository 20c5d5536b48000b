"""What a command says: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from textwrap import shorten
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.table import Table

    from featstore.provenance import Json

QUIET = "PHYTOBENCH_QUIET"
"""Environment variable that silences notes and progress, of this process and of those that it starts."""
NAME_WIDTH = 18
"""A name that is longer may be folded in a narrow terminal; a figure may not."""
WORDS = ("best", "n.d.", "yes")
"""What stands in a column of figures besides figures."""


N_TOLD = 5
"""Failed inputs that are told one by one."""


def quiet() -> bool:
    """Whether notes and progress are to be left out."""
    return is_set(QUIET)


def is_set(variable: str) -> bool:
    """Whether an environment variable says yes."""
    return os.environ.get(variable, "").lower() not in {"", "0", "no", "false"}


def say(message: str) -> None:
    """Tell the user something beside the result; nothing when quiet."""
    if not quiet():
        _err(message)


def warn(message: str) -> None:
    """Tell the user of something kept but doubtful, also when quiet."""
    _err(f"warning: {message}")


def warn_in_short(message: str) -> None:
    """Warn, but leave out the end of a message that lists very many."""
    warn(shorten(message, 300, placeholder=f" ... ({len(message)} characters; all of them with --json)"))


def warn_of_each(what: str, cases: Iterable[tuple[str, str]], everything: str) -> None:
    """Warn of inputs that failed: the first few with their reasons, a line each; the rest is counted.

    Parameters
    ----------
    what
        What happened to them, with their number.
    cases
        Each one's name and reason.
    everything
        Where all of them are listed.
    """
    told = [f"{name}: {reason}" for name, reason in cases]
    if len(told) > N_TOLD:
        told[N_TOLD:] = [f"and {len(told) - N_TOLD:,} more; {everything}"]
    warn(f"{what}: {told[0]}" if len(told) == 1 else "\n  ".join([f"{what}:", *told]))


def complain(message: str) -> None:
    """Tell the user why the command ends without its result, also when quiet."""
    _err(f"error: {message}")


def print_line(text: str) -> None:
    """Print a result that is a sentence to standard output."""
    print(text, flush=True)


def print_json(content: Mapping[str, Json]) -> None:
    """Print the result as the one JSON document of this run to standard output: its `schema` first."""
    Printed.json = True
    print(in_json({"schema": content["schema"], **content}), flush=True)


def in_json(content: Mapping[str, object]) -> str:
    """A JSON document as standard output can carry it: a pipe of Windows, often, has not every letter."""
    every_letter = str(getattr(sys.stdout, "encoding", None) or "utf-8").lower().startswith("utf")
    return json.dumps(content, indent=2, ensure_ascii=not every_letter)


class Printed:
    """Whether this run has printed its JSON document; a second one would make both unreadable."""

    json = False


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, secondary: Sequence[str] = ()
) -> list[str]:
    """Print a table to standard output, and give the columns shown; those whose cells are numbers align right.

    Parameters
    ----------
    secondary
        Columns that give way, the first one first, where a terminal is too narrow for all; a note names them.
    """
    from rich.console import Console

    cells = [list(row) for row in rows]
    # A file or pipe has no width of its own; 80 columns would fold names and numbers.
    console = Console(width=None if sys.stdout.isatty() else 160)
    shown, left_out = list(range(len(columns))), []
    for name in secondary:
        if _narrowest(columns, cells, shown) <= console.width:
            break
        if name in columns:
            shown = [position for position in shown if columns[position] != name]
            left_out.append(name)
    console.print(_table(title, columns, cells, shown, whole=_narrowest(columns, cells, shown) <= console.width))
    if left_out:
        say(f"left out at this width: {', '.join(left_out)}; a wider terminal or a pipe shows them")
    return [columns[position] for position in shown]


def _table(
    title: str, columns: Sequence[str], cells: Sequence[Sequence[str]], shown: Sequence[int], *, whole: bool
) -> Table:
    """A table of some columns; `whole` keeps figures on one line, and only names are folded."""
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold")
    for position in shown:
        own = [row[position] for row in cells]
        justify: Literal["left", "right"] = "right" if all(map(_is_number, own)) else "left"
        table.add_column(columns[position], justify=justify, overflow="fold", no_wrap=whole and _is_figures(own))
    for row in cells:
        table.add_row(*(row[position] for position in shown))
    return table


def _narrowest(columns: Sequence[str], cells: Sequence[Sequence[str]], shown: Sequence[int]) -> int:
    """Characters that a table needs where figures stay whole and a name is folded to `NAME_WIDTH`."""
    from rich.cells import cell_len

    total = 0
    for position in shown:
        own = [row[position] for row in cells]
        width = max(map(cell_len, [columns[position], *own]))
        total += 3 + (width if _is_figures(own) else min(width, max(NAME_WIDTH, len(columns[position]))))
    return total + 1


def _is_figures(column: Sequence[str]) -> bool:
    """Whether a column is of figures, intervals and the few words that stand for them."""
    return all(not text or text[0] in "+-.0123456789" or text in WORDS for text in column)


def in_words(seconds: float) -> str:
    """A time that is known roughly: "40 s", "3 min", "2.5 h".

    >>> in_words(200)
    '3 min'
    """
    if seconds < 90:
        return f"{max(1.0, seconds):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _is_number(text: str) -> bool:
    if text in {"", "-"}:
        return True
    try:
        float(text.rstrip("%").replace(",", ""))
    except ValueError:
        return False
    return True


def _err(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
