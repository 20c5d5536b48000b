"""What the four command lines share: running, progress, tables, JSON and the way to fail."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from featstore.errors import PhytobenchError
from featstore.provenance import Json

if TYPE_CHECKING:
    from tqdm import tqdm

EXIT_INCOMPLETE = 3
"""Exit code of a command that finished, but lost more inputs than `--max-failures` allows."""

EXIT_INTERRUPTED = 130
QUIET_SECONDS = 2
"""Work that ends within this time shows no progress."""

JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
SeedOption = Annotated[int, typer.Option("--seed", help="Seed of everything random; the same seed repeats the run.")]
OutOption = Annotated[Path, typer.Option("--out", help="Folder of runs that results are written to.")]


def new_app(help_text: str) -> typer.Typer:
    """Create a command line whose single or several commands keep their names."""
    app = typer.Typer(
        help=help_text,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    # Without a callback typer drops the name of an only command.
    @app.callback(help=help_text)
    def root() -> None:
        pass

    return app


def run(app: typer.Typer, argv: Sequence[str] | None = None) -> None:
    """Run a command line and leave the process with its exit code.

    Codes: 0 done, 1 refused or failed with a message that says what to do, 2 wrong usage, 3 done but with
    more failed inputs than allowed, 130 interrupted.
    """
    try:
        app(args=None if argv is None else list(argv), standalone_mode=True)
    except PhytobenchError as error:
        fail(str(error), error.exit_code)
    except SystemExit as end:
        # typer turns Ctrl-C into this code without a word.
        if end.code == EXIT_INTERRUPTED:
            say("Interrupted. What was completed is kept; the same command continues.")
        raise
    except OSError as error:
        expected = _OS_FAULTS.get(error.errno or 0)
        if expected is None:
            raise
        where, remedy = error.filename or "the output folder", "What was completed is kept; mend this and run again."
        # Not the error's own text: that of HDF5 is ten lines of addresses.
        fail(f"Expected {expected} at {where}, got: {os.strerror(error.errno or 0)}. {remedy}", 1)


_OS_FAULTS = {
    errno.ENOSPC: "room on the disk",
    errno.EDQUOT: "room within the quota",
    errno.EFBIG: "files of this size to be allowed (ulimit -f)",
    errno.EACCES: "permission to read and write",
    errno.EPERM: "permission to read and write",
    errno.EROFS: "a disk that can be written",
    errno.ENOENT: "a file or folder",
    errno.ENOTDIR: "a folder",
    errno.EISDIR: "a file",
}
"""What the operating system may lack through no fault of the program."""


def fail(message: str, code: int) -> None:
    """Print one error to standard error and exit with `code`."""
    say(f"error: {message}")
    raise SystemExit(code)


def say(message: str) -> None:
    """Tell the user something; results alone go to standard output."""
    print(message, file=sys.stderr, flush=True)


def warn(message: str) -> None:
    """Tell the user of something kept but doubtful."""
    say(f"warning: {message}")


class Bar(Protocol):
    """The two calls a long loop needs."""

    def update(self, n: int = 1) -> object:
        """Count `n` more units as finished."""

    def set_postfix_str(self, s: str = "") -> object:
        """Show a short remark behind the rate."""


@contextmanager
def progress(total: int, label: str, unit: str) -> Iterator[Bar]:
    """Show rate and remaining time: a bar on a terminal, a plain line every ten seconds elsewhere.

    Nothing appears for work that ends within two seconds.
    """
    terminal = sys.stderr.isatty()
    with _bar_class()(
        total=total,
        desc=label,
        unit=f" {unit}",
        delay=QUIET_SECONDS,
        file=sys.stderr,
        mininterval=0.2 if terminal else 10,
        miniters=1,
        dynamic_ncols=True,
    ) as bar:
        yield bar


def _bar_class() -> type[tqdm[object]]:
    from tqdm import tqdm

    if sys.stderr.isatty():
        return tqdm

    class Lines(tqdm):  # type: ignore[type-arg]  # tqdm is generic in its stub only
        """Whole lines instead of carriage returns, for logs."""

        # Its thread would add lines of its own.
        monitor_interval = 0

        def display(self, msg: str | None = None, pos: int | None = None) -> None:  # noqa: ARG002  # tqdm's signature
            # When it closes, tqdm disables itself and ends the last line.
            self.fp.write(f"{msg or self}" + ("" if self.disable else "\n"))

        def close(self) -> None:
            if self.format_dict["elapsed"] > QUIET_SECONDS:
                # tqdm closes without a word what it has never shown.
                self.last_print_t = float("inf")
            super().close()

        def set_postfix_str(self, s: str = "", refresh: bool = True) -> None:  # noqa: ARG002  # tqdm's signature
            # A remark waits for the next line instead of making one.
            super().set_postfix_str(s, refresh=False)

    return Lines


def print_line(text: str) -> None:
    """Print one line of a result to standard output."""
    print(text)


def print_json(content: Mapping[str, Json]) -> None:
    """Print one JSON document to standard output."""
    print(json.dumps(content, indent=2, ensure_ascii=False))


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table to standard output; columns whose cells are numbers align right."""
    from rich.console import Console
    from rich.table import Table

    cells = [list(row) for row in rows]
    table = Table(title=title, title_justify="left", title_style="bold")
    for position, name in enumerate(columns):
        numeric = all(_is_number(row[position]) for row in cells)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in cells:
        table.add_row(*row)
    # A file or pipe has no width of its own; 80 columns would fold names and numbers.
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _is_number(text: str) -> bool:
    if text in {"", "-"}:
        return True
    try:
        float(text.rstrip("%").replace(",", ""))
    except ValueError:
        return False
    return True
