"""What a command that a page tells to type becomes in the small world of the tests."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import typer

from . import small_world
from .pages import Documented, commands_of

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
    "--weights imagenet": "--weights random",
    # The way is that of the small network; a test of its own goes it with these.
    "--backbone seedling --backbone colour --backbone vgg16 --backbone vgg19 --backbone resnet50 --backbone "
    "inception_v3 --weights random --weights seedling=shipped": "",
    "--backbone seedling --backbone colour --backbone vgg16 --backbone vgg19 --backbone resnet50 --backbone "
    "inception_v3 --weights imagenet --weights seedling=shipped": "",
    "--out demo-resnet50": "--out demo",
    "--without fine-tuning": "--without fine-tuning --without max --without whole --without votes-3",
    "WEIGHTS": "random",
    "RUN": "runs/mobilenet-mlp",
    "variants RUN": "variants runs/mobilenet-finetuned",
    "finetune predict RUN": "finetune predict runs/mobilenet-finetuned",
    "TRUTH": "photos/testwithgroundtruthxml",
    "testwithgroundtruthxml": "photos/testwithgroundtruthxml",
    "IMAGE": "11",
    "DATA": "photos",
    "STORE": "features.zarr",
    "f.zarr": "features.zarr",
    "demo/features.zarr": "features.zarr",
    "RUNS": "runs",
    "SOURCE": "new-photos",
    "FOLDER": "photos",
    "RANK": "genus",
    "LIST": "list.csv",
    "flower.jpg": "a.jpg",
    "leaf.jpg": "b.jpg",
    "MYPHOTOS --store features.zarr": "my-photos --store mine.zarr",
    "4711": "11",
    "features.zarr 100": "features.zarr 11",
    "photos/rosa/1.jpg": "photos/train/11.jpg",
    "colour-logistic": "mobilenet-logistic",
    "colour-mlp": "mobilenet-mlp",
    "colour-knn": "mobilenet-lda",
    "mobilenet-knn": "mobilenet-ridge",
    "mobilenet_v2-knn": "mobilenet_v2-ridge",
    "runs/mobilenet*-*": "runs/mobilenet-l*",
    "runs/colour-*": "runs/mobilenet_v2-l*",
    "--head mlp": "--head mlp:epochs=5,n_layers=1",
    "wide=mlp:units=1024": "wide=mlp:units=1024,epochs=5",
    "fusion-weighted_product": "fusion-mean",
    "--hold-out-species 8": "--hold-out-species 1",
}
"""What stands in the world of the tests for what a page calls so; of two names that fit the longer one."""

NETWORKS = " ".join(f"--backbone {name}" for name in small_world.NETWORKS)
OPTIONS = {
    "featstore build": f"{NETWORKS} --weights random --side 32 --workers 0",
    "featstore repair": "--workers 0",
    "featstore synth": "--species 3 --observations 6 --side 64 --corrupt 0 --variation 0 --authors 5",
    "heads compare": "--backbone mobilenet --head logistic --head ridge --no-concat",
    # The prepared folder holds runs of other settings, which a reader has not.
    "finetune run": "--epochs 1 --tta 1 --restart",
    "finetune predict": "--tta 1",
    "finetune demo": "--species 3 --observations 4 --epochs 1 --backbone mobilenet_v2 --weights random --side 32",
    "finetune article": "--backbone mobilenet --weights random --side 32 --epochs 1 "
    "--without max --without whole --without all-votes --without votes-3",
}
"""What makes a command cheap. An option that may be repeated stays as documented, any other takes this value."""

ENDS = {
    # Of drawn plants, which are not the contest's, it refuses to say which place they would have had.
    "evaluate score ours.run --truth testwithgroundtruthxml --compare-official": 1,
}
"""Exit codes other than 0, by the command as documented."""

LEFT = {
    "make test": "these tests would run themselves",
    "make lint": "a minute or two; .ci/run runs it",
    "make docs": "run by test_docs.py",
    ".venv/bin/pytest": "these tests would run themselves",
    ".venv/bin/python -m pytest": "these tests would run themselves",
    ".venv-lock/bin/": "asks the index for every package",
    "pytest tests/contracts": "run by test_own_parts.py, in a copy of the code that has the part",
    "brew install libomp": "of macOS alone",
}
"""Beginnings of lines that are not run with the rest of their page, and why."""

ONCE = ("finetune article", "finetune demo")
"""Commands that run once where several pages have the same: all that they need they make themselves."""

UNSET = {"KERAS_BACKEND": "this process has loaded one already; test_seedling.py tries the others"}
"""Variables that are not set where a line sets them, and why."""

INCOMPLETE = {"MissingParameter", "BadOptionUsage"}
"""Click's errors of a command that lacks something: in the middle of a sentence it is only named."""

_NAME = re.compile(
    "|".join(rf"(?<![\w.]){re.escape(name)}(?!(?<=\w)[A-Za-z])" for name in sorted(NAMES, key=len)[::-1])
)

NotUnderstood: Any = typer.BadParameter.__base__
"""Click's error of usage."""


def is_left(command: Documented) -> bool:
    """Whether it is not run with the rest of its page."""
    return command.text.startswith(tuple(LEFT))


def text_here(text: str) -> str:
    """A text with the names of the world."""
    return _NAME.sub(lambda found: NAMES[found.group()], text)


def named_here(words: list[str]) -> list[str]:
    """A line with the names of the world."""
    return shlex.split(text_here(shlex.join(words)))


def words_here(words: list[str]) -> list[str]:
    """A command of ours in the world of the tests, globs expanded in the current folder."""
    expanded = [found for word in named_here(words) for found in _globbed(word)]
    return expanded + _cheap(expanded)


def redirected(words: list[str]) -> tuple[list[str], str]:
    """A command, and the file that its output is written to, if any."""
    if ">" not in words:
        return words, ""
    place = words.index(">")
    return [*words[:place], *words[place + 2 :]], words[place + 1]


def _globbed(word: str) -> list[str]:
    """What a shell makes of a word: the paths that fit, or the word itself."""
    found = [path for path in Path().glob(word) if not path.name.startswith(".")] if "*" in word else []
    return sorted(map(str, found)) or [word]


def _cheap(words: list[str]) -> list[str]:
    """The options that make a command cheap, but for repeatable ones that it has already."""
    options = re.findall(r"--\S+(?: [^-]\S*)?", OPTIONS.get(" ".join(words[:2]), ""))
    repeatable = option_names(words, multiple=True) if options else set()
    added: list[str] = []
    for option in options:
        name, *_ = option.split()
        if name not in repeatable.intersection(words):
            added += option.split()
    return added


def option_names(words: list[str], *, multiple: bool = False) -> set[str]:
    """The options that a command takes, or those that may be repeated."""
    options = commands_of(words[0])[words[1]].params
    return {name for option in options if not multiple or getattr(option, "multiple", False) for name in option.opts}


def parse(words: list[str]) -> str:
    """Let click read a command without running it, and give what it has understood; it raises what it does not."""
    # An option of the program itself, such as --help, is read when it runs.
    if words[1].startswith("-"):
        return shlex.join(words)
    return str(sorted(commands_of(words[0])[words[1]].make_context(words[1], words[2:]).params.items()))
