"""Every command that the pages and the help tell a reader to type, and what it becomes in a small world."""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import typer
import typer.main

ROOT = Path(__file__).resolve().parents[2]
APPS = {"featstore": "featstore.cli", "heads": "heads.cli", "finetune": "finetune.cli", "evaluate": "evaluation.cli"}

NAMES = {
    "PHOTOS": "photos",
    "PlantCLEF2014": "photos",
    "plants39 --store features.zarr": "photos --store plants39.zarr",
    "photos.csv --store features.zarr": "photos.csv --store from-csv.zarr",
    "new.csv --store new.zarr": "new.csv --store from-new.zarr",
    "/shared/photos": "photos",
    "/shared/": "shared/",
    "s3://bucket/": "bucket/",
    "new.zarr --dataset": "imported.zarr --dataset",
    "resnet50": "mobilenet_v2",
    "inception_v3": "mobilenet",
    "seedling": "mobilenet",
    # The help of `featstore build` means the network whose weights come with it.
    "seedling --weights random": "seedling --weights random",
    "seedling=shipped": "seedling=shipped",
    "--backbone vgg16": "--backbone mobilenet",
    "WEIGHTS": "random",
    "RUN": "runs/mobilenet-mlp",
    "TRUTH": "photos/testwithgroundtruthxml",
    "testwithgroundtruthxml": "photos/testwithgroundtruthxml",
    "IMAGE": "11",
    "4711": "11",
    "features.zarr 100": "features.zarr 11",
    "photos/rosa/1.jpg": "photos/train/11.jpg",
    "colour-logistic": "mobilenet-logistic",
    "fusion-weighted_product": "fusion-mean",
    "--hold-out-species 8": "--hold-out-species 1",
}
"""What stands in the world of the tests for what a page calls so; of two names that fit the longer one."""

NETWORKS = "--backbone mobilenet --backbone mobilenet_v2"
OPTIONS = {
    "featstore build": f"{NETWORKS} --weights random --side 32 --workers 0",
    "featstore repair": "--workers 0",
    "featstore synth": "--species 3 --observations 6 --side 64 --corrupt 0 --variation 0",
    "heads compare": "--backbone mobilenet --head logistic --head ridge --no-concat",
    # The prepared folder holds runs of other settings, which a reader has not.
    "finetune run": "--epochs 1 --tta 1 --restart",
    "finetune predict": "--tta 1",
}
"""What makes a command cheap. An option that may be repeated stays as documented, any other takes this value."""

ENDS = {
    # Of drawn plants, which are not the contest's, it refuses to say which place they would have had.
    "evaluate score ours.run --truth testwithgroundtruthxml --compare-official": 1,
}
"""Exit codes other than 0, by the command as documented."""

ONLY_PARSED = {
    "--scheduler tcp://HOST": "needs a Dask cluster",
    "evaluate serve": "serves until it is stopped; tests/evaluation/serve",
    "finetune article": "tests/finetune/study/test_rehearsal.py",
    "finetune demo": "run by .ci/run",
}
"""What a command has in it that cannot run here, and why; its options are still looked at."""

ELSEWHERE = {
    **{f"docs/how-to/own-{part}": "followed by test_own_parts.py" for part in ("backbone", "head", "reader", "rule")},
    "docs/reference/": "made from the help, whose examples run as the help's",
}
"""Beginnings of pages whose commands are run by other means, and which."""


@dataclass(frozen=True)
class Documented:
    """A command line, and where it stands."""

    page: str
    line: int
    text: str

    @property
    def where(self) -> str:
        return f"{self.page} line {self.line}: `{self.text}`"

    @property
    def only_parsed(self) -> bool:
        return any(part in self.text for part in ONLY_PARSED)

    @property
    def tool(self) -> str:
        return self.text.split()[0]


_FENCE = re.compile(r" *```")
_COMMAND = re.compile(rf"(?:\$ )?(?:\w+=\S+ )*((?:{'|'.join(APPS)}|make) +[a-z].*)")
_NAME = re.compile(
    "|".join(rf"(?<![\w.]){re.escape(name)}(?!(?<=\w)[A-Za-z])" for name in sorted(NAMES, key=len)[::-1])
)
_SYNOPSIS = "[OPTIONS]"

NotUnderstood: Any = typer.BadParameter.__base__
"""Click's error of usage."""


def in_pages(root: Path = ROOT) -> dict[str, list[Documented]]:
    """The commands of fenced blocks in README and docs, by page."""
    pages = [root / "README.md", *sorted((root / "docs").rglob("*.md"))]
    told = {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in pages}
    found = {page: list(_in_page(page, text)) for page, text in told.items() if not page.startswith(tuple(ELSEWHERE))}
    return {page: commands for page, commands in found.items() if commands}


def _in_page(page: str, text: str) -> Iterator[Documented]:
    fenced, before, begun = False, "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if _FENCE.match(line):
            fenced = not fenced
            continue
        begun = begun if before else number
        whole = before + line.strip()
        before = whole.removesuffix("\\") if fenced and whole.endswith("\\") else ""
        command = _COMMAND.fullmatch(whole) if fenced and not before else None
        if command and _SYNOPSIS not in whole:
            words = shlex.split(command.group(1), comments=True)
            yield Documented(page, begun, shlex.join(word for word in words if word != "&"))


def in_help() -> dict[str, list[Documented]]:
    """The commands that the help of the four command lines gives as examples."""
    return {f"{tool} --help": list(_in_help(tool)) for tool in APPS if any(_in_help(tool))}


def _in_help(tool: str) -> Iterator[Documented]:
    for name, command in commands_of(tool).items():
        _, _, examples = (command.help or "").partition("For example")
        for number, example in enumerate(re.findall(rf"(?:{'|'.join(APPS)}) [a-z][^`\n]*", examples), 1):
            yield Documented(f"{tool} {name} --help", number, example)


@cache
def commands_of(tool: str) -> Mapping[str, Any]:
    """Click's commands of a command line, by name; typer may bring a click of its own."""
    group: Any = typer.main.get_command(importlib.import_module(APPS[tool]).app)
    return dict(group.commands)


def words_here(documented: Documented) -> list[str]:
    """The command in the world of the tests, globs expanded in the current folder."""
    text = _NAME.sub(lambda found: NAMES[found.group()], documented.text)
    words = [found for word in shlex.split(text) for found in _globbed(word)]
    return words + _cheap(words)


def _globbed(word: str) -> list[str]:
    """What a shell makes of a word: the paths that fit, or the word itself."""
    found = [path for path in Path().glob(word) if not path.name.startswith(".")] if "*" in word else []
    return sorted(map(str, found)) or [word]


def _cheap(words: list[str]) -> list[str]:
    """The options that make a command cheap, but for repeatable ones that it has already."""
    repeatable = option_names(words, multiple=True)
    added: list[str] = []
    for option in re.findall(r"--\S+(?: [^-]\S*)?", OPTIONS.get(" ".join(words[:2]), "")):
        name, *_ = option.split()
        if name not in repeatable.intersection(words):
            added += option.split()
    return added


def option_names(words: list[str], *, multiple: bool = False) -> set[str]:
    """The options that a command takes, or those that may be repeated."""
    options = commands_of(words[0])[words[1]].params
    return {name for option in options if not multiple or getattr(option, "multiple", False) for name in option.opts}


def parse(words: list[str]) -> None:
    """Let click read a command without running it; it raises what it does not understand."""
    command = commands_of(words[0])[words[1]]
    command.make_context(words[1], words[2:])
