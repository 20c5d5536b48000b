"""`pip`, environments and benchmarks, as pages call them: without network, and no further than is cheap."""

from __future__ import annotations

import argparse
import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from .pages import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
IN_A_CHECKOUT = (
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
    "featstore",
    "heads",
    "finetune",
    "evaluation",
)
DRY = {"install": ["--dry-run", "--no-deps", "--no-build-isolation"]}
"""What makes a command of pip harmless."""


def make_checkout(folder: Path) -> Path:
    """Copy what is installed; its lock asks for one package, which is on this machine, as is a wheel of our own."""
    for name in IN_A_CHECKOUT:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    (folder / "requirements.lock").write_text("locked==1\n", encoding="utf-8")
    (folder / "index").mkdir()
    _write_wheel(folder / "index", "locked", "1")
    _write_wheel(folder, PROJECT["name"], PROJECT["version"])
    return folder


def _write_wheel(folder: Path, name: str, version: str) -> None:
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


def unknown_extras(arguments: Sequence[str]) -> set[str]:
    """Extras that arguments of pip name and `pyproject.toml` does not."""
    return set(re.findall(r"\[(\w+)\]", " ".join(arguments))) - set(PROJECT["optional-dependencies"])


def without_extras(arguments: Sequence[str]) -> list[str]:
    """Arguments of pip without the extras: what they ask for is not installed here anyway."""
    return [re.sub(r"\[\w+\]", "", word) for word in arguments]


def pip(arguments: Sequence[str], checkout: Path) -> str:
    """Call pip in a checkout, dry, and tell what went wrong."""
    words = [sys.executable, "-m", "pip", *arguments, *DRY.get(arguments[0], ())]
    index = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(checkout / "index"), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(words, cwd=checkout, env={**os.environ, **index}, capture_output=True, text=True, check=False)
    return f"ended with {done.returncode}: {done.stderr}" if done.returncode else ""


def make_environment(folder: str) -> str:
    """Call `python -m venv`; without pip, which takes seconds to copy."""
    words = [sys.executable, "-m", "venv", "--without-pip", folder]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return f"ended with {done.returncode}: {done.stderr}" if done.returncode else ""


class _OptionsRead(BaseException):
    """A benchmark has read its options; it cannot catch this."""


def begin_benchmark(script: str, options: Sequence[str]) -> str:
    """Run a benchmark up to where it has read its options: what follows takes minutes or hours."""
    read = argparse.ArgumentParser.parse_args

    def read_and_stop(parser: argparse.ArgumentParser, *given: Any) -> None:
        read(parser, *given)
        raise _OptionsRead

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", read_and_stop)
        patch.setattr(sys, "argv", [script, *options])
        patch.syspath_prepend((ROOT / script).parent)
        # One of them would keep this process on one core.
        patch.setattr(os, "sched_setaffinity", lambda *_: None, raising=False)
        try:
            runpy.run_path(str(ROOT / script), run_name="__main__")
        except _OptionsRead:
            return ""
        except SystemExit as ended:
            return f"ended with {ended.code}"
    return "has read no options"
