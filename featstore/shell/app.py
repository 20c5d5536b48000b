"""A command line of the four: its commands share their options, their help pages and the way to end."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from glob import glob
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from typer import TyperException

from featstore.shell.config import ConfigOption
from featstore.shell.faults import EXIT_DONE, EXIT_INTERRUPTED, INTERRUPTED, fault_of, leave
from featstore.shell.options import Names, QuietOption, completed
from featstore.shell.pages import Command, Group
from featstore.shell.speech import QUIET, Printed

_SHELL_EXPANDS = os.name != "nt"
_Function = TypeVar("_Function", bound=Callable[..., Any])


class App(typer.Typer):
    """A command line that gives each of its commands the options that all of them have."""

    names: Mapping[str, Names]

    def command(self, name: str | None = None, **settings: Any) -> Callable[[_Function], _Function]:
        """Register a command; the function itself stays as it is."""
        register = super().command(name, **{"cls": Command, **settings})

        def decorate(function: _Function) -> _Function:
            called = name or function.__name__.replace("_", "-")
            told = f"{self.info.name or 'phytobench'}-{called}/1"
            register(_with_habits(function, self.names, told))
            return function

        return decorate


def new_app(help_text: str, program: str = "", names: Mapping[str, Names] | None = None) -> App:
    """Create a command line whose single or several commands keep their names.

    Parameters
    ----------
    program
        What `--config` calls it.
    names
        What a shell may complete options with, such as ``"--head"``.
    """
    app = App(
        name=program or None,
        cls=Group,
        help=help_text,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        # Plain pages open in half the time, and read the same in a pipe.
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )

    app.names = names or {}

    # Without a callback typer drops the name of an only command.
    @app.callback(help=help_text)
    def root(
        version: Annotated[
            bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
        ] = False,
    ) -> None:
        pass

    return app


def run(app: typer.Typer, argv: Sequence[str] | None = None) -> None:
    """Run a command line and leave the process with its exit code.

    Codes: 0 done, 1 refused or failed with a message that says what to do, 2 wrong usage, 3 done but with
    more failed inputs than allowed, 70 a fault of the program, 130 interrupted.
    """
    args = list(argv) if argv is not None else _expanded(sys.argv[1:], _SHELL_EXPANDS)
    as_json = "--json" in args
    with _own_state():
        try:
            code = app(args=args, standalone_mode=False)
        except TyperException as error:
            if type(error).__name__ == "NoArgsIsHelpError":
                print(error.format_message())
                raise SystemExit(error.exit_code) from None
            raise leave(fault_of(error), as_json=as_json) from None
        except Exception as error:  # noqa: BLE001  # whatever it is, the user is told in one form
            raise leave(fault_of(error), as_json=as_json) from None
        if code == EXIT_INTERRUPTED:
            # typer turns Ctrl-C into this code without a word.
            raise leave(INTERRUPTED, as_json=as_json)
        raise SystemExit(code if isinstance(code, int) else EXIT_DONE)


def _expanded(words: Sequence[str], shell_expands: bool) -> list[str]:
    """Words of a command line with the files that wildcards stand for, where the shell leaves that to the program."""
    if shell_expands:
        return list(words)
    return [name for word in words for name in (sorted(glob(word)) or [word])]  # noqa: PTH207  # of any folder


@contextmanager
def _own_state() -> Iterator[None]:
    """Let what one run sets end with it: Python programs may call `main` several times."""
    before, Printed.json = os.environ.get(QUIET), False
    out, errors = sys.stdout, getattr(sys.stdout, "errors", None)
    if isinstance(out, TextIOWrapper) and errors == "strict":
        # A letter that a terminal or pipe has not is told by its number, and ends nothing.
        out.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        if isinstance(out, TextIOWrapper):
            out.reconfigure(errors=errors)
        os.environ.pop(QUIET, None)
        if before is not None:
            os.environ[QUIET] = before


def _with_habits(function: Callable[..., Any], names: Mapping[str, Names], schema: str) -> Callable[..., Any]:
    """The function of a command with `--quiet` and `--config`; one that has its own `config` is given it."""
    signature = inspect.signature(function, eval_str=True)
    options = [p for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY or p.default is not p.empty]
    more = [_parameter("quiet", QuietOption, default=False)]
    takes_config = "config" in signature.parameters
    if options and not takes_config:
        more.insert(0, _parameter("config", ConfigOption, default=None))

    @wraps(function)
    def command(quiet: bool = False, config: Path | None = None, **arguments: Any) -> Any:
        Printed.schema = schema
        if quiet:
            os.environ[QUIET] = "1"
        if takes_config:
            arguments["config"] = config
        return function(**arguments)

    parameters = [
        p.replace(kind=p.KEYWORD_ONLY, annotation=completed(p.annotation, names))
        for p in [*signature.parameters.values(), *more]
    ]
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # what typer reads
    command.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": signature.return_annotation}
    return command


def _parameter(name: str, annotation: object, *, default: object) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _print_version(value: bool) -> None:
    if value:
        from featstore.provenance import phytobench_version

        print(f"phytobench {phytobench_version()}")
        raise typer.Exit
