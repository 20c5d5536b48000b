"""Plug-ins: what is built in, what an installed package adds, and what is said where there is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from evaluation.identify.plugins import BUILT_IN, opener_of
from evaluation.runs import RunCard, read_run_card, write_run_card
from featstore.errors import PredictionsError

Install = Callable[[str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """A function that installs a distribution with one module, whose entry points are told."""

    def make(name: str, points: str) -> None:
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[phytobench.identifiers]\n{points}\n")
        (tmp_path / f"{name}.py").write_text("def open_run(run, *, store, photos, weights):\n    return run.name\n")

    monkeypatch.syspath_prepend(tmp_path)
    return make


def test_an_installed_package_adds_a_kind(install: Install, tmp_path: Path) -> None:
    card = {"model": "m", "kind": "theirs", "backbones": (), "head": "", "classes": {"1": ""}}
    with pytest.raises(PredictionsError, match="kind"):
        RunCard(**card)
    install("theirs_of_test", "theirs = theirs_of_test:open_run")
    write_run_card(tmp_path / "run", RunCard(**card))
    kind = read_run_card(tmp_path / "run").kind
    assert opener_of(kind)(tmp_path / "run", store=None, photos=None, weights=None) == "run"


def test_an_installed_package_goes_before_what_is_built_in(install: Install) -> None:
    install("instead_of_test", "head = instead_of_test:open_run")
    assert opener_of("head").__module__ == "instead_of_test"


def test_none_is_refused_by_name(install: Install) -> None:
    with pytest.raises(PredictionsError, match=r"finetuned, head.*got one of kind 'theirs'.*phytobench\.identifiers"):
        opener_of("theirs")
    install("broken_of_test", "theirs = broken_of_test:nothing")
    with pytest.raises(PredictionsError, match="broken_of_test:nothing"):
        opener_of("theirs")


def test_what_is_built_in_is_declared_for_installed_packages_too() -> None:
    """In pyproject.toml, where others look for an example."""
    import tomllib

    declared = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]["entry-points"]
    assert declared["phytobench.identifiers"] == dict(BUILT_IN)
    for kind in BUILT_IN:
        assert opener_of(kind).__name__ == "open_run"
