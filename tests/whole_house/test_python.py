"""The Python interface: the notebook of the docs, cell by cell, and what a notebook shows of each result."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from evaluation import identify_plant
from featstore.errors import PredictionsError, SettingsError
from featstore.shown import Shown, rounded
from featstore.synth import SynthSettings, synthesise

NOTEBOOK = Path(__file__).parents[2] / "docs" / "example.ipynb"
README = Path(__file__).parents[2] / "README.md"


def cells() -> list[str]:
    content = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == "code"]


def execute(source: str, names: dict[str, object]) -> object:
    """Run a cell and give its last expression, as a notebook does."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) and not source.rstrip().endswith(";") else None
    exec(compile(tree, "<cell>", "exec"), names)
    return None if last is None else eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)


@pytest.mark.slow
def test_notebook_runs_and_shows_its_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    results = [execute(source, names) for source in cells()]
    shown = [result for result in results if isinstance(result, Shown)]
    assert len(shown) == 8
    sheets, built, compared, tuned, fused, identified, answered, page = shown
    for result in shown:
        html = result._repr_html_()
        assert result.title.split()[0] in html
        assert "<table" in html
        # One element per picture, none of them gone.
        assert html.count("<img") == len(result.pictures)
    assert sheets.pictures
    assert compared.pictures
    assert tuned.pictures
    assert identified.pictures
    assert built.table["found"].item() == built.table["done"].item() + built.table["failed"].item()
    assert any("truncated" in note or "cannot be used" in note for note in built.notes)
    assert set(compared.table["run"]) == {"mobilenet-mlp", "mobilenet-logistic", "mobilenet-prototype"}
    assert compared.table["S valid"].is_monotonic_decreasing
    assert set(tuned.table["split"]) == {"valid", "test"}
    assert fused.table["run"].tolist()[-1] == "fusion:mean"
    assert identified.table["probability"].is_monotonic_decreasing
    assert identified.table["probability"].between(0, 1).all()
    assert len(answered.table) == len(answered.details.fused.observation_id)
    assert (tmp_path / str(page.table["page"].item())).is_file()


@pytest.mark.slow
def test_the_lines_of_the_readme_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they stand, but for weights that are not downloaded and one head instead of all."""
    monkeypatch.chdir(tmp_path)
    synthesise(Path("photos"), SynthSettings(n_species=3, n_observations=6, side_px=64, n_corrupt=0))
    shutil.copy(next(Path("photos").rglob("*.jpg")), "flower.jpg")
    (block,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    for documented, cheap in (
        ('["mobilenet"]', '["mobilenet"], weights="random", side_px=32'),
        ('"features.zarr", "runs"', '"features.zarr", "runs", heads=["logistic"]'),
    ):
        assert documented in block
        block = block.replace(documented, cheap)
    found = execute(block, {})
    assert isinstance(found, Shown)
    assert set(found.table["species"]) == set(pd.read_csv("runs/classes.csv")["species"])


def test_a_model_that_is_none_is_told_as_everywhere(tmp_path: Path) -> None:
    with pytest.raises(PredictionsError, match="Correct the path"):
        identify_plant("flower.jpg", tmp_path / "nothing")


def test_a_wrong_view_is_told_with_its_photograph(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"'a/petal' for photograph 2, leaf\.jpg"):
        identify_plant({"flower.jpg": "flower", "leaf.jpg": "a/petal"}, tmp_path)


def test_an_empty_view_is_an_open_one(tmp_path: Path) -> None:
    """As the server says: leave it empty."""
    with pytest.raises(PredictionsError, match="Correct the path"):
        identify_plant({"flower.jpg": ""}, tmp_path / "nothing")


def test_figures_are_those_of_the_details() -> None:
    table = rounded([{"run": "a", "S": 0.123456}, {"run": "b", "error": "no"}])
    assert table["S"].tolist()[0] == 0.1235
    assert table["error"].tolist()[1] == "no"


def test_html_escapes_and_pictures_travel_inside(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(b"\x89PNG")
    result = Shown("<b>", pd.DataFrame({"x": ["<i>"]}), None, (picture, tmp_path / "gone.png"), ("<u>",))
    html = result._repr_html_()
    assert not re.search(r"<b><b>|<i>|<u>", html)
    assert "data:image/png;base64,iVBORw==" in html
    assert "gone.png is not there" in html
    assert "<u>" in repr(result)


def test_packages_offer_their_functions_and_load_nothing_before() -> None:
    script = (
        "import sys, featstore, heads, finetune, evaluation\n"
        "assert not {'numpy', 'pandas', 'keras', 'zarr'} & set(sys.modules), sorted(sys.modules)\n"
        "packages = (featstore, heads, finetune, evaluation)\n"
        "print(sum(callable(getattr(package, name)) for package in packages for name in package.__all__))\n"
        "try:\n    heads.nothing\nexcept AttributeError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["10", "module 'heads' has no attribute 'nothing'"]
