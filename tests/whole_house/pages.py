"""Every command that the pages and the help tell a reader to type, and where it stands."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import typer.main

ROOT = Path(__file__).resolve().parents[2]
APPS = {"featstore": "featstore.cli", "heads": "heads.cli", "finetune": "finetune.cli", "evaluate": "evaluation.cli"}
OTHERS = ("brew", "curl", "dask", "export", "make", "pip", "pytest", "python", "sbatch")
"""Programs of others that pages tell to call; what each does here is in `terminal.py`."""
NO_COMMANDS = {"text", "python", "toml", "json", "csv"}
"""Languages of blocks that hold no commands; each line of any other block is one."""

ELSEWHERE = {"docs/reference/": "made from the help, whose examples run as the help's"}
"""Beginnings of pages whose commands are run by other means, and which."""

_PROGRAM = rf"(?:[\w.-]+/)*(?:{'|'.join((*APPS, *OTHERS))})(?:3|3\.\d+)?"
_COMMAND = re.compile(rf"(?:\$ )?(?P<variables>(?:\w+=\S+ +)*)(?P<text>{_PROGRAM} .+)")
_LIKE_ONE = re.compile(rf"(?:\w+=\S+ +)*(?:{_PROGRAM} .*|[a-z][\w./-]*(?: \S+){{0,2}} --?[a-z].*)")
_BLOCK = re.compile(r"^( *)```([^\n]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`]+)`")
_FORM = re.compile(r"\.\.\.|\[[A-Z]")
"""What shows how a command is formed, and is none: `RUN...`, `[OPTIONS]`."""


@dataclass(frozen=True)
class Documented:
    """A command line, where it stands, and the variables that are set in front of it."""

    page: str
    line: int
    text: str
    variables: tuple[tuple[str, str], ...] = ()
    in_prose: bool = False

    @classmethod
    def read(cls, page: str, line: int, text: str, *, in_prose: bool = False) -> Documented | None:
        """Read a line; None if it begins with no program that is known."""
        found = _COMMAND.fullmatch(text)
        if not found:
            return None
        words = [word for word in shlex.split(found["text"], comments=True) if word != "&"]
        return cls(page, line, shlex.join(words), tuple(re.findall(r"(\w+)=(\S+)", found["variables"])), in_prose)

    @property
    def where(self) -> str:
        return f"{self.page} line {self.line}: `{self.text}`"

    @property
    def words(self) -> list[str]:
        """The program, without the folder that it lies in and the version of Python, and its arguments."""
        program, *arguments = shlex.split(self.text)
        return [re.sub(r"3(\.\d+)?$", "", program.rpartition("/")[2]), *arguments]

    @property
    def is_ours(self) -> bool:
        return self.words[0] in APPS


def in_pages(root: Path = ROOT) -> dict[str, list[Documented]]:
    """The commands of README, CONTRIBUTING and docs, by page, in their order."""
    found = {page: [one for one in _lines(page, text) if isinstance(one, Documented)] for page, text in _texts(root)}
    return {page: commands for page, commands in found.items() if commands}


def block(page: str, begins: str) -> str:
    """The block of a page that begins so."""
    text = (ROOT / page).read_text(encoding="utf-8")
    [found] = [one[3] for one in _BLOCK.finditer(text) if one[3].startswith(begins)]
    return str(found)


def strange_lines(root: Path = ROOT) -> list[str]:
    """What is, or looks like, a command of a program that is not known."""
    return [one for page, text in _texts(root) for one in _lines(page, text) if isinstance(one, str)]


def in_help() -> dict[str, list[Documented]]:
    """The commands that the help of the four command lines gives as examples."""
    return {f"{tool} --help": list(_in_help(tool)) for tool in APPS if any(_in_help(tool))}


def in_make() -> list[Documented]:
    """The commands that `make help` gives."""
    told = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    found = re.findall(r"^make [a-z-]+(?: [A-Z]+=\S+)*", told.stdout, re.MULTILINE)
    return [Documented("make help", number, line) for number, line in enumerate(found, 1)]


@cache
def commands_of(tool: str) -> Mapping[str, Any]:
    """Click's commands of a command line, by name; typer may bring a click of its own."""
    group: Any = typer.main.get_command(importlib.import_module(APPS[tool]).app)
    return dict(group.commands)


def _in_help(tool: str) -> Iterator[Documented]:
    for name, command in commands_of(tool).items():
        _, _, examples = (command.help or "").partition("For example")
        for number, example in enumerate(re.findall(rf"(?:{'|'.join(APPS)}) [a-z][^`\n]*", examples), 1):
            yield Documented(f"{tool} {name} --help", number, example)


def _texts(root: Path) -> Iterator[tuple[str, str]]:
    for path in (root / "README.md", root / "CONTRIBUTING.md", *sorted((root / "docs").rglob("*.md"))):
        page = path.relative_to(root).as_posix()
        if not page.startswith(tuple(ELSEWHERE)):
            yield page, path.read_text(encoding="utf-8")


def _lines(page: str, text: str) -> Iterator[Documented | str]:
    """The commands of a page, and what is strange, in their order."""
    prose, found = text, list[tuple[int, Documented | str]]()
    for block in _BLOCK.finditer(text):
        prose = prose.replace(block.group(), "\n" * block.group().count("\n"), 1)
        found += _in_block(page, text.count("\n", 0, block.start(3)) + 1, block[2].partition(" ")[0], block[3])
    found += _in_prose(page, prose)
    yield from (one for _, one in sorted(found, key=lambda one: one[0]))


def _in_block(page: str, first: int, language: str, body: str) -> Iterator[tuple[int, Documented | str]]:
    for number, line in _whole(body, first):
        if language in NO_COMMANDS:
            if language == "text" and _LIKE_ONE.fullmatch(line):
                yield number, f"{page} line {number}: `{line}` is a command in a block that holds none"
        elif line and not line.startswith("#"):
            unknown = f"{page} line {number}: `{line}` is of a program that terminal.py does not know"
            yield number, Documented.read(page, number, line) or unknown


def _whole(body: str, first: int) -> Iterator[tuple[int, str]]:
    """The lines of a block, each with all that a backslash at its end lets follow."""
    before, begun = "", first
    for number, line in enumerate(body.splitlines(), first):
        begun = begun if before else number
        before += line.strip()
        if before.endswith("\\"):
            before = before.removesuffix("\\")
        else:
            yield begun, before
            before = ""


def _in_prose(page: str, prose: str) -> Iterator[tuple[int, Documented | str]]:
    for span in _SPAN.finditer(prose):
        number, text = prose.count("\n", 0, span.start()) + 1, " ".join(span[1].split())
        command = Documented.read(page, number, text, in_prose=True)
        if command and not (command.is_ours and _FORM.search(text)):
            yield number, command
        elif not command and _LIKE_ONE.fullmatch(text):
            yield number, f"{page} line {number}: `{text}` is of a program that terminal.py does not know"
