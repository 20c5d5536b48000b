"""Write the pages about every command and option, `docs/reference/<program>.md`, from the command lines themselves.

`make docs` runs it before the site is built. What it writes is committed, so that the pages can be read without a
build; `tests/whole_house/test_docs.py` fails when they are older than the commands.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from typer.main import get_command

PROGRAMS = {
    "featstore": "featstore.cli",
    "heads": "heads.cli",
    "finetune": "finetune.cli",
    "evaluate": "evaluation.cli",
}
"""Name of each program -> the module that holds its `app`."""

FOLDER = Path(__file__).parent / "reference"
NOTE = "<!-- Written by docs/reference.py (make docs) from the commands themselves; not to be edited. -->"


def commands(program: str) -> Mapping[str, Any]:
    """Commands of a program by name, as typer knows them."""
    group: Any = get_command(import_module(PROGRAMS[program]).app)
    return {name: command for name, command in group.commands.items() if not command.hidden}


def page(program: str) -> str:
    """The whole page of one program."""
    group: Any = get_command(import_module(PROGRAMS[program]).app)
    found = commands(program)
    lines = [NOTE, "", f"# {program}", "", _prose(group.help), ""]
    lines += ["| command | what it does |", "|---|---|"]
    lines += [
        f"| [`{program} {name}`](#{program}-{name}) | {_cell(_first(command.help))} |"
        for name, command in found.items()
    ]
    for name, command in found.items():
        lines += ["", *_section(f"{program} {name}", command)]
    return "\n".join(lines) + "\n"


def _section(title: str, command: Any) -> Iterator[str]:
    arguments = [given for given in command.params if given.param_type_name == "argument"]
    options = [given for given in command.params if given.param_type_name == "option" and not given.hidden]
    words = [_usage(given) for given in arguments]
    yield from (f"## {title}", "", "```text", " ".join([title, *words, "[OPTIONS]"]), "```", "", _prose(command.help))
    if arguments:
        yield from ("", "| argument | type | meaning |", "|---|---|---|")
        yield from (f"| `{_usage(given)}` | {_type(given)} | {_meaning(given)} |" for given in arguments)
    yield from ("", "| option | type | default | meaning |", "|---|---|---|---|")
    for given in options:
        told, default = _default(given)
        names = ", ".join(f"`{name}`" for name in (*given.opts, *given.secondary_opts))
        yield f"| {names} | {_type(given)} | {default} | {told} |"


def _usage(given: Any) -> str:
    name = given.metavar or given.name.upper()
    name += "..." if given.nargs == -1 else ""
    return name if given.required else f"[{name}]"


def _type(given: Any) -> str:
    if getattr(given, "is_flag", False):
        return "flag"
    annotation = given.type_descriptor.annotation
    name = getattr(annotation, "__name__", str(annotation)) if not hasattr(annotation, "__args__") else str(annotation)
    repeated = ", repeatable" if getattr(given, "multiple", False) else ""
    plain = {"str": "text", "int": "integer", "float": "number", "bool": "flag"}
    words = re.findall(r"\b(?:str|int|float|bool|Path)\b", name)
    told = {"Path": "path"} | plain
    bounds = [
        f"{word} {value:g}" for word, value in (("at least", given.min), ("at most", given.max)) if value is not None
    ]
    return ", ".join([told[words[0]] if words else "text", *bounds]) + repeated


def _default(given: Any) -> tuple[str, str]:
    """What an option means, and its default; help texts name defaults that the code works out itself."""
    told = _meaning(given)
    if match := re.search(r"\s*\\?\[default: (.*)\]", told):
        return told.replace(match[0], ""), match[1]
    default = given.default() if callable(given.default) else given.default
    if given.required:
        return told, "*required*"
    if default is None or default is False or (not default and isinstance(default, str | list | tuple)):
        return told, ""
    return told, f"`{_shown(default)}`"


def _shown(default: object) -> str:
    if isinstance(default, list | tuple):
        return " ".join(map(str, default))
    return str(getattr(default, "value", default))


def _meaning(given: Any) -> str:
    return _cell(given.help or "")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


def _first(text: str) -> str:
    return inspect.cleandoc(text).split("\n\n", maxsplit=1)[0]


def _prose(text: str) -> str:
    """A docstring as Markdown: what stands behind a form feed is not for users; examples become one block."""
    body = inspect.cleandoc(text.split("\f", maxsplit=1)[0])
    paragraphs = body.split("\n\n")
    examples = [match[1] for block in paragraphs if (match := re.fullmatch(r"- `(.+)`", block, re.DOTALL))]
    shown = [block for block in paragraphs if not re.fullmatch(r"- `(.+)`", block, re.DOTALL)]
    if not examples:
        return "\n\n".join(shown)
    place = shown.index("For example:") + 1 if "For example:" in shown else len(shown)
    shown.insert(place, "\n".join(["```text", *(" ".join(example.split()) for example in examples), "```"]))
    return "\n\n".join(shown)


def main() -> None:
    """Write every page."""
    FOLDER.mkdir(exist_ok=True)
    for program in PROGRAMS:
        (FOLDER / f"{program}.md").write_text(page(program), encoding="utf-8")


if __name__ == "__main__":
    main()
