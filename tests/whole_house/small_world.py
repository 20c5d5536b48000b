"""Command lines in a process whose networks are small: this one, a Dask worker that loads this file, or a script.

As a script it runs the commands that come in, each a line of JSON with its folder and words, and answers with how it
ended and the end of what it told.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from functools import wraps
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import pytest

from finetune.study.child import PROGRAMS

NETWORKS = ("mobilenet", "mobilenet_v2")
"""What has two convolutions here, so that a page costs seconds."""


def make_networks_small(patch: pytest.MonkeyPatch) -> None:
    patch.syspath_prepend(Path(__file__).parents[1] / "finetune")
    import_module("small_backbone").register(patch, *NETWORKS)


def dask_setup(worker: object) -> None:
    """Begin a worker: Dask calls this in modules that it is told to load."""
    make_networks_small(pytest.MonkeyPatch())


def run(words: list[str]) -> int:
    """Run a command in this process as its program would, and give its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", words)
        try:
            if words[0] == "python":
                _execute(words[2], patch)
            else:
                import_module(PROGRAMS[words[0]]).main(words[1:])
        except SystemExit as ended:
            return int(ended.code or 0)
    return 0


def _execute(code: str, patch: pytest.MonkeyPatch) -> None:
    """Do what `python -c` does; networks of Keras are asked for, but neither downloaded nor built."""
    import keras

    for name, one in vars(keras.applications).items():
        if callable(one):
            patch.setattr(keras.applications, name, _asked_for(one))
    exec(code, {"__name__": "__main__"})


def _asked_for(constructor: Callable[..., Any]) -> Callable[..., None]:
    """A stand-in for a constructor that takes the same arguments, and asks for weights that can be downloaded."""

    @wraps(constructor)
    def ask(*arguments: object, **options: object) -> None:
        asked = signature(constructor).bind(*arguments, **options)
        asked.apply_defaults()
        assert asked.arguments["weights"] == "imagenet"

    return ask


if __name__ == "__main__":
    make_networks_small(pytest.MonkeyPatch())
    for line in sys.stdin:
        folder, given = json.loads(line)
        os.chdir(folder)
        with redirect_stderr(io.StringIO()) as told, redirect_stdout(told):
            code = run(given)
        sys.stdout.write(json.dumps([code, told.getvalue()[-600:]]) + "\n")
        sys.stdout.flush()
