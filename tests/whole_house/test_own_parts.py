"""The pages that show how to add a part: what they show is put into a copy of the house, and works there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .own_parts import ADDED, follow_pages
from .pages import in_pages


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code in which every page has been followed."""
    return follow_pages(tmp_path_factory.mktemp("house"))


def run(house: Path, *words: object, code: int = 0) -> str:
    """Run Python in the copy."""
    environment = {**os.environ, "PYTHONPATH": str(house), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(command, cwd=house, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_heads_and_rules_keep_their_contract(house: Path) -> None:
    """By the lines of both pages, `pytest FILE -k NAME`, in one process."""
    lines = [one.words for page, lines in in_pages().items() if Path(page).stem in ADDED for one in lines]
    _, files, _, names = zip(*(words for words in lines if words[0] == "pytest"), strict=True)
    told = run(house, "-m", "pytest", *files, "-v", "-k", " or ".join(names), "-p", "no:cacheprovider")
    for name, least in (("naive_bayes", 30), ("certainty", 10)):
        assert len(re.findall(rf"\[{name}\b.* PASSED", told)) >= least
    assert not re.search(r"\d+ (failed|skipped|error)", told)


def test_a_line_that_is_wrong_is_named(house: Path, tmp_path: Path) -> None:
    (tmp_path / "photos.jsonl").write_text('{"path": "1.jpg"}\n{"class_id": "c1"}\n', encoding="utf-8")
    script = (
        "import sys; from pathlib import Path; from featstore.errors import DatasetError\n"
        "from featstore.readers import read_dataset\n"
        "try:\n    read_dataset(Path(sys.argv[1]))\nexcept DatasetError as error:\n    print(error)"
    )
    assert "line 2" in run(house, "-c", script, tmp_path)
