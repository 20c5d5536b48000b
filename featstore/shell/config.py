"""`--config`: the options of commands from a TOML file, a table for each, checked by name and by what they take."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import BadParameter

from featstore.errors import SettingsError
from featstore.shell.options import EVERY_COMMAND

if TYPE_CHECKING:
    from typer._click import Parameter

PROGRAMS = ("featstore", "heads", "finetune", "evaluate")
_NEVER = frozenset({"help", "config"})


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; one that cannot be read is a `SettingsError`."""
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError("a readable TOML file for --config", f"{path}: {error}", "Correct the file.") from error


def near(name: str, names: Iterable[str], remedy: str = "") -> str:
    """What to do about an unknown name: the one that was probably meant, else `remedy` or all that there are."""
    known = list(names)
    found = get_close_matches(name, known, n=1)
    return f"Did you mean `{found[0]}`?" if found else remedy or f"There are {', '.join(known)}."


def table_of(content: Mapping[str, Any], path: Path, program: str, command: str) -> dict[str, Any]:
    """The table of one command, empty if there is none.

    Raises
    ------
    SettingsError
        If anything stands outside the tables of the four programs.
    """
    form = f"[{program}.{command}] and the like in {path}"
    for name, tables in content.items():
        if name not in PROGRAMS:
            remedy = near(
                name, PROGRAMS, f"Put options into the table of their command, such as [{program}.{command}]."
            )
            raise SettingsError(form, f"`{name}`", remedy)
        if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
            raise SettingsError(form, f"an option in [{name}]", "Put options into the table of their command.")
    return dict(content.get(program, {}).get(command, {}))


def _strict(context: typer.Context, value: Path | None) -> Path | None:
    if value is not None:
        _apply(context, value, strict=True)
    return value


def _lenient(context: typer.Context, value: Path | None) -> Path | None:
    if value is not None:
        _apply(context, value, strict=False)
    return value


ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="TOML file of options, [PROGRAM.COMMAND] for each; the command line overrides it.",
        is_eager=True,
        callback=_strict,
        rich_help_panel=EVERY_COMMAND,
    ),
]
SettingsFileOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="TOML file of settings, alone or in [PROGRAM.COMMAND] with options; the command line overrides it.",
        is_eager=True,
        callback=_lenient,
        rich_help_panel=EVERY_COMMAND,
    ),
]
"""For a command that reads more from the file than its options."""


def _apply(context: typer.Context, path: Path, *, strict: bool) -> None:
    """Let a file of options speak where the command line says nothing."""
    if context.resilient_parsing or context.parent is None:
        return
    content = read_toml(path)
    if not strict and not set(content) & set(PROGRAMS):
        # Settings alone, which the command reads itself.
        return
    group = context.parent.command
    program, command = str(group.name), str(context.info_name)
    table = table_of(content, path, program, command)
    commands = sorted(getattr(group, "commands", {}))
    for name in content.get(program, {}):
        if name not in commands:
            raise SettingsError(f"commands of {program} in {path}", f"[{program}.{name}]", near(name, commands))
    options = {
        declared.removeprefix("--"): parameter
        for parameter in context.command.params
        for declared in parameter.opts
        if declared.startswith("--") and parameter.name not in _NEVER
    }
    found: dict[str, Any] = {}
    for key, value in table.items():
        option = options.get(key.replace("_", "-"))
        if option is not None:
            found[str(option.name)] = _checked(context, option, key, value, f"[{program}.{command}] of {path}")
        elif strict:
            raise SettingsError(f"options of `{program} {command}` in {path}", f"`{key}`", near(key, options))
    context.default_map = found


def _checked(context: typer.Context, option: Parameter, key: str, value: object, where: str) -> object:
    """A value in the form that the option takes; a single one for an option that may be repeated is a list of one."""
    wanted = [value] if getattr(option, "multiple", False) and not isinstance(value, list) else value
    try:
        option.process_value(context, wanted)
    except BadParameter as error:
        what = f"a value of --{key.replace('_', '-')} for `{key}` in {where}"
        raise SettingsError(what, f"{value!r} ({error.message})", "Correct the value.") from error
    return wanted
