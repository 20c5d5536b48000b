"""The pages that show how to add a part: what they show is put into a copy of the house, and works there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parents[2]
TITLED = re.compile(r'^```(?:python|text) title="([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def shown(page: str) -> dict[str, str]:
    """Code blocks of a how-to page by the file they belong to."""
    blocks = dict(TITLED.findall((HOUSE / "docs" / "how-to" / f"{page}.md").read_text(encoding="utf-8")))
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


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code in which every page has been followed."""
    copy = tmp_path_factory.mktemp("house")
    for part in ("featstore", "heads", "finetune", "evaluation", "tests/contracts"):
        shutil.copytree(HOUSE / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "tests/conftest.py"):
        shutil.copy(HOUSE / name, copy / name)
    for page, (table, add) in ADDED.items():
        blocks = shown(page)
        add(copy, blocks.pop(table))
        [(name, code)] = blocks.items()
        assert not (copy / name).exists()
        (copy / name).write_text(code, encoding="utf-8")
    return copy


def run(house: Path, *words: object, code: int = 0) -> str:
    """Run Python in the copy."""
    environment = {**os.environ, "PYTHONPATH": str(house), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(command, cwd=house, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_heads_and_rules_keep_their_contract(house: Path) -> None:
    contracts = ["tests/contracts/test_heads.py", "tests/contracts/test_rules.py"]
    told = run(house, "-m", "pytest", *contracts, "-v", "-k", "naive_bayes or certainty", "-p", "no:cacheprovider")
    for name, least in (("naive_bayes", 30), ("certainty", 10)):
        assert len(re.findall(rf"\[{name}\b.* PASSED", told)) >= least
    assert not re.search(r"\d+ (failed|skipped|error)", told)


def test_the_reader_is_found_and_the_backbone_makes_features(
    house: Path, tmp_path: Path, write_photo: Callable[..., Path]
) -> None:
    photographs = [write_photo(tmp_path / "mine" / f"{number}.jpg", seed=number).name for number in range(6)]
    lines = [{"path": path, "class_id": f"c{n % 2}", "view": "Flower"} for n, path in enumerate(photographs)]
    (tmp_path / "mine" / "photos.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    options = ["--store", tmp_path / "f.zarr", "--backbone", "leafnet", "--weights", "random", "--workers", 0]
    built = json.loads(run(house, "-m", "featstore.cli", "build", tmp_path / "mine", *options, "--json"))
    assert (built["found"], built["done"], built["failed"]) == (6, 6, 0)
    script = (
        "import sys; from featstore.store import Store; from featstore.table import load_table\n"
        "table = load_table(Store.open(sys.argv[1]), ['leafnet'])\n"
        "print(*table.features.shape, *sorted(set(table.papers['view'])), table.features.std(axis=0).max() > 0)"
    )
    assert run(house, "-c", script, tmp_path / "f.zarr").split() == ["6", "64", "Flower", "True"]


def test_a_line_that_is_wrong_is_named(house: Path, tmp_path: Path) -> None:
    (tmp_path / "photos.jsonl").write_text('{"path": "1.jpg"}\n{"class_id": "c1"}\n', encoding="utf-8")
    script = (
        "import sys; from pathlib import Path; from featstore.errors import DatasetError\n"
        "from featstore.readers import read_dataset\n"
        "try:\n    read_dataset(Path(sys.argv[1]))\nexcept DatasetError as error:\n    print(error)"
    )
    assert "line 2" in run(house, "-c", script, tmp_path)
