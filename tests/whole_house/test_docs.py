"""The documentation: it builds as a site, its links and anchors lead somewhere, and its options exist."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from evaluation.predictions import Predictions

HOUSE = Path(__file__).resolve().parents[2]
PAGES = [HOUSE / "README.md", HOUSE / "CONTRIBUTING.md", *sorted((HOUSE / "docs").rglob("*.md"))]
LINK = re.compile(r"(?<!!)\[(?:[^\]\[]|\[[^\]]*\])*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
CALL = re.compile(r"\b(?P<program>featstore|heads|finetune|evaluate) (?P<command>[a-z][a-z-]+)\b(?P<rest>[^`|#\n]*)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
ELSEWHERE = {"pytest", "pip", "make", "dask", "sbatch", "mkdocs", "python"}
"""Programs of others, whose options are not ours."""


@cache
def reference() -> ModuleType:
    """The script that writes the reference pages."""
    spec = importlib.util.spec_from_file_location("reference", HOUSE / "docs" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def options() -> Mapping[str, Mapping[str, frozenset[str]]]:
    """Options of every command, by program and command."""
    told: ModuleType = reference()
    return {
        program: {
            name: frozenset(
                {
                    "--help",
                    *(word for given in command.params for word in given.opts + given.secondary_opts if word[0] == "-"),
                }
            )
            for name, command in told.commands(program).items()
        }
        for program in told.PROGRAMS
    }


def slug(heading: str) -> str:
    """The anchor that a forge gives a heading."""
    return re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", heading.replace("`", "").strip().lower()))


def anchors(page: Path) -> set[str]:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    return {slug(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


def links(page: Path) -> Iterator[str]:
    text = re.sub(r"`[^`\n]*`", "", FENCE.sub("", page.read_text(encoding="utf-8")))
    for match in LINK.finditer(text):
        target = match[1] or match[2]
        if not re.match(r"[a-z]+:", target):
            yield target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(HOUSE)))
def test_links_and_anchors_lead_somewhere(page: Path) -> None:
    for target in links(page):
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(found), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(HOUSE)))
def test_every_option_named_behind_a_command_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    for call in CALL.finditer(text):
        known = options()[call["program"]].get(call["command"])
        if known is not None:
            wrong = set(OPTION.findall(call["rest"])) - known
            assert not wrong, f"{page.name}: {call['program']} {call['command']} has no {', '.join(sorted(wrong))}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(HOUSE)))
def test_every_option_in_a_code_span_belongs_to_some_command(page: Path) -> None:
    every = {option for commands in options().values() for known in commands.values() for option in known}
    spans = re.findall(r"`([^`\n]+)`", FENCE.sub("", page.read_text(encoding="utf-8")))
    named = {option for span in spans if not ELSEWHERE & set(span.split()) for option in OPTION.findall(span)}
    # Of the programs themselves, and of pytest.
    every |= {"--version", "--install-completion", "--show-completion", "--every-photograph"}
    assert named <= every, f"{page.name}: {', '.join(sorted(named - every))}"


def test_commands_in_blocks_exist() -> None:
    """A line of a block that begins with one of our programs names a command of it."""
    for page in PAGES:
        for block in FENCE.findall(page.read_text(encoding="utf-8")):
            for line in re.sub(r"\\\n", " ", block).splitlines():
                words = line.split()
                if len(words) > 1 and words[0] in options() and re.fullmatch(r"[a-z][a-z-]*", words[1]):
                    assert words[1] in options()[words[0]], f"{page.name}: {line}"


def test_the_reference_is_as_new_as_the_commands() -> None:
    told = reference()
    for program in told.PROGRAMS:
        page = told.FOLDER / f"{program}.md"
        assert page.read_text(encoding="utf-8") == told.page(program), f"{page} is older than the commands: make docs"


def test_every_command_and_option_is_told() -> None:
    """Beside comparing the text: nothing is left out of it."""
    for program, commands in options().items():
        text = (HOUSE / "docs" / "reference" / f"{program}.md").read_text(encoding="utf-8")
        for name, known in commands.items():
            section = text.split(f"\n## {program} {name}\n")[1].split("\n## ")[0]
            for option in known - {"--help", "-h"}:
                assert f"`{option}`" in section, f"{program} {name} {option}"


def test_the_citation_has_the_version_of_the_package() -> None:
    citation = yaml.safe_load((HOUSE / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((HOUSE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert str(citation["version"]) == project["version"]
    assert citation["license"] == project["license"]
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()


def test_the_example_of_the_format_writes_predictions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [code] = re.findall(r"```python\n(.*?)```", (HOUSE / "docs" / "formats.md").read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    assert Predictions.read(tmp_path / "mine.predictions.h5").classes.tolist() == ["malus", "rosa"]


class Loads(HTMLParser):
    """Addresses that a page fetches when it is opened, and those that it links to."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.linked: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag in {"script", "img", "iframe", "source", "video"}:
            self.fetched.append(given.get("src", ""))
        elif tag == "link" and given.get("rel") not in {"canonical", "next", "prev"}:
            self.fetched.append(given.get("href", ""))
        elif tag == "a":
            self.linked.append(given.get("href", ""))


def test_the_site_builds_strictly_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    """By `make docs`, in a copy."""
    for name in ("Makefile", "mkdocs.yml"):
        shutil.copy(HOUSE / name, tmp_path / name)
    shutil.copytree(HOUSE / "docs", tmp_path / "docs")
    command = ["make", "docs", f"BIN={Path(sys.executable).parent}", "--old-file", ".venv/.ready"]
    environment = {**os.environ, "PYTHONPATH": str(HOUSE)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) >= len(PAGES) - 2
    for page in pages:
        loads = Loads()
        loads.feed(page.read_text(encoding="utf-8"))
        assert loads.fetched
        for address in loads.fetched:
            assert not re.match(r"(https?:)?//", address), f"{page.name} loads {address}"
            assert not address or (page.parent / address.split("?")[0]).exists() or page.name == "404.html"
