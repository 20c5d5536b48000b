"""The wheel and the source distribution: everything that runs, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Mapping
from configparser import ConfigParser
from email import message_from_bytes
from email.message import Message
from importlib import import_module
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((HOUSE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ROOMS = ("featstore", "heads", "finetune", "evaluation")
TOLD = ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "MANIFEST.in")
BUILD = """
import sys
from setuptools import build_meta
out = sys.argv[1]  # which setuptools overwrites
print(build_meta.build_sdist(out), build_meta.build_wheel(out))
"""


def build(source: Path, out: Path) -> tuple[Path, Path]:
    """Build both distributions of a source tree without network, with the setuptools that is installed."""
    out.mkdir()
    words = [sys.executable, "-c", BUILD, str(out)]
    done = subprocess.run(words, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    sdist, wheel = done.stdout.splitlines()[-1].split()
    return out / sdist, out / wheel


def tree() -> set[str]:
    """Every file that a room of the house is made of."""
    files = (path for room in ROOMS for path in (HOUSE / room).rglob("*") if path.is_file())
    return {path.relative_to(HOUSE).as_posix() for path in files if "__pycache__" not in path.parts}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Source distribution and wheel, built from a copy: building leaves files beside what it builds from."""
    folder = tmp_path_factory.mktemp("built")
    for room in ROOMS:
        shutil.copytree(HOUSE / room, folder / "source" / room, ignore=shutil.ignore_patterns("__pycache__"))
    # What must not come along.
    shutil.copytree(HOUSE / "tests" / "whole_house", folder / "source" / "tests" / "whole_house")
    (folder / "source" / "features.zarr").mkdir()
    (folder / "source" / "features.zarr" / "zarr.json").write_text("{}")
    for name in TOLD:
        shutil.copy(HOUSE / name, folder / "source" / name)
    return build(folder / "source", folder / "dist")


@pytest.fixture(scope="module")
def wheel(built: tuple[Path, Path]) -> Mapping[str, bytes]:
    """Files of the wheel, with `info/` for the name of its metadata's folder."""
    return contents(built[1])


def contents(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        info = f"phytobench-{PROJECT['version']}.dist-info/"
        return {name.replace(info, "info/"): archive.read(name) for name in archive.namelist()}


def test_every_file_of_the_rooms_and_no_other(wheel: Mapping[str, bytes]) -> None:
    assert {name for name in wheel if not name.startswith("info/")} == tree()
    assert {name for name in tree() if not name.endswith(".py")} >= {
        *(f"{room}/py.typed" for room in ROOMS),
        "featstore/backbones/seedling/seedling.weights.h5",
        "featstore/backbones/seedling/MODEL_CARD.md",
        "evaluation/report/page.css",
        "evaluation/serve/page/index.html",
    }
    assert all(wheel[name] == (HOUSE / name).read_bytes() for name in tree())


def test_licence_and_size(wheel: Mapping[str, bytes], built: tuple[Path, Path]) -> None:
    assert wheel["info/licenses/LICENSE"] == (HOUSE / "LICENSE").read_bytes()
    assert all(path.stat().st_size < 4 << 20 for path in built)


def test_the_source_distribution_makes_the_same_wheel(
    built: tuple[Path, Path], wheel: Mapping[str, bytes], tmp_path: Path
) -> None:
    with tarfile.open(built[0]) as archive:
        archive.extractall(tmp_path, filter="data")
    [source] = tmp_path.iterdir()
    names = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    assert {*TOLD, *tree()} <= names
    assert not {name for name in names if name.startswith("tests/") or ".zarr/" in name}
    assert contents(build(source, tmp_path / "again")[1]) == wheel


def test_commands_and_plugins_lead_somewhere(wheel: Mapping[str, bytes]) -> None:
    points = ConfigParser()
    points.read_string(wheel["info/entry_points.txt"].decode())
    assert set(points["console_scripts"]) == {"featstore", "heads", "finetune", "evaluate"}
    assert set(points["phytobench.identifiers"]) == {"head", "finetuned"}
    for group in points.sections():
        for target in points[group].values():
            module, _, name = target.partition(":")
            assert f"{module.replace('.', '/')}.py" in wheel or f"{module.replace('.', '/')}/__init__.py" in wheel
            assert callable(getattr(import_module(module), name))


@pytest.fixture(scope="module")
def metadata(wheel: Mapping[str, bytes]) -> Message:
    return message_from_bytes(wheel["info/METADATA"])


def test_metadata(metadata: Message) -> None:
    assert metadata["Requires-Python"] == "<3.14,>=3.11"
    assert metadata["License-Expression"] == "Apache-2.0"
    told = {line.removeprefix("Programming Language :: Python :: ") for line in metadata.get_all("Classifier", [])}
    assert {"3.11", "3.12", "3.13"} <= told
    assert set(metadata.get_all("Provides-Extra", [])) == set(PROJECT["optional-dependencies"])


def test_the_citation_and_the_changelog_name_this_version() -> None:
    assert f"version: {PROJECT['version']}\n" in (HOUSE / "CITATION.cff").read_text(encoding="utf-8")
    changelog = (HOUSE / "CHANGELOG.md").read_text(encoding="utf-8")
    assert any(f"## [{name}]" in changelog for name in (PROJECT["version"], "Unreleased"))
