"""The pages that show how to add a part, followed in a copy of the code."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from .pages import ROOT

TITLED = re.compile(r'^```(?:python|text) title="([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def shown(page: str) -> dict[str, str]:
    """Code blocks of a how-to page by the file they belong to."""
    blocks = dict(TITLED.findall((ROOT / "docs" / "how-to" / f"{page}.md").read_text(encoding="utf-8")))
    assert len(blocks) == 2, f"{page}: one file and one line"
    return blocks


def insert(path: Path, before: str, text: str) -> None:
    """Put lines before the one line that begins so."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    [place] = [number for number, line in enumerate(lines) if line.startswith(before)]
    path.write_text("".join([*lines[:place], text, *lines[place:]]), encoding="utf-8")


def add_head(house: Path, entry: str) -> None:
    insert(house / "heads/registry.py", '        "dummy":', entry)


def add_rule(house: Path, entry: str) -> None:
    imported, line = entry.split("\n\n")
    table = house / "evaluation/rules/__init__.py"
    insert(table, "WEIGHTED =", imported + "\n\n")
    insert(table, '        "majority":', line)


def add_backbone(house: Path, entry: str) -> None:
    insert(house / "featstore/backbones/table.py", '        Backbone("colour"', entry)


def add_reader(house: Path, entry: str) -> None:
    imported, table = entry.split("\n\n")
    path = house / "featstore/readers/__init__.py"
    text = re.sub(r"^from featstore.readers import .*$", imported, path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    text, n_tables = re.subn(r"^READERS: .*?\}$", lambda _: table.rstrip(), text, flags=re.MULTILINE | re.DOTALL)
    assert n_tables == 1
    path.write_text(text, encoding="utf-8")


ADDED: dict[str, tuple[str, Callable[[Path, str], None]]] = {
    "own-head": ("heads/registry.py", add_head),
    "own-rule": ("evaluation/rules/__init__.py", add_rule),
    "own-backbone": ("featstore/backbones/table.py", add_backbone),
    "own-reader": ("featstore/readers/__init__.py", add_reader),
}


def follow_pages(copy: Path) -> Path:
    """Copy the code, and do in the copy what every page shows."""
    for part in ("featstore", "heads", "finetune", "evaluation", "tests/contracts"):
        shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "tests/conftest.py"):
        shutil.copy(ROOT / name, copy / name)
    for page, (table, add) in ADDED.items():
        blocks = shown(page)
        add(copy, blocks.pop(table))
        [(name, code)] = blocks.items()
        assert not (copy / name).exists()
        (copy / name).write_text(code, encoding="utf-8")
    return copy
