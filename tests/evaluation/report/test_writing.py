"""`evaluate report`: what it says, what it needs, and what it does without."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from evaluation.cli import main
from evaluation.fuse import FuseSettings, fuse_runs
from evaluation.predictions import Predictions
from evaluation.report.curves import read_log
from featstore.errors import PredictionsError, SettingsError, StoreError


def evaluate(*arguments: str | Path, code: int = 0) -> None:
    with pytest.raises(SystemExit) as end:
        main(["report", *map(str, arguments)])
    assert end.value.code == code


def cells(text: str, section: str) -> list[list[str]]:
    """Rows of the first table of a section."""
    own = text[text.index(f'id="{section}"') :]
    body = own[own.index("<tbody>") : own.index("</tbody>")]
    rows = re.findall(r"<tr.*?</tr>", body.replace("<wbr>", ""))
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]


def test_the_figures_are_those_of_evaluate_fuse(scene, page: Path, tmp_path: Path) -> None:
    fused = fuse_runs(scene.runs, FuseSettings(split="test"), tmp_path)
    expected = {line.run: f"{line.figures['S']:.4f}" for line in fused.lines}
    rows = cells(page.read_text(), "leaderboard")
    found = {row[0]: row[1] for row in rows}
    assert found.items() >= expected.items()
    assert [float(row[1]) for row in rows] == sorted((float(row[1]) for row in rows), reverse=True)


def test_the_command_writes_the_page_and_says_what_it_found(scene, tmp_path: Path, capsys) -> None:
    target = tmp_path / "out" / "report.html"
    evaluate(*scene.runs, "--store", scene.store, "--html", target, "--worst", 2, "--json")
    told = json.loads(capsys.readouterr().out)
    assert told["bytes"] == target.stat().st_size
    assert told["results"] == 5
    assert told["observations"] == 8
    assert told["missing_photographs"] == 0
    assert told["headline"] in target.read_text()


def test_two_pages_of_the_same_runs_say_the_same(scene, page: Path, tmp_path: Path) -> None:
    scene.report(tmp_path / "again.html", n_worst=3)
    # But for the moment and the command.
    main_part = re.compile(r"<main.*?id=\"origins\"", re.DOTALL)
    first, second = (main_part.search(path.read_text()).group() for path in (page, tmp_path / "again.html"))
    assert first == second


def test_without_a_store_there_are_figures_and_a_note(scene, tmp_path: Path) -> None:
    written = scene.report(tmp_path / "a.html", store=None)
    text = (tmp_path / "a.html").read_text()
    assert "Without photographs: no feature store was named" in text
    assert "data:image/jpeg" not in text
    assert written.n_photographs == 0
    assert len(cells(text, "leaderboard")) == 5


def test_photographs_that_are_gone_are_counted_with_the_reason(scene, tmp_path: Path, capsys) -> None:
    """The store stays; the photographs have moved away."""
    elsewhere = tmp_path / "moved"
    scene.photos.rename(elsewhere)
    try:
        evaluate(*scene.runs, "--store", scene.store, "--html", tmp_path / "a.html")
    finally:
        elsewhere.rename(scene.photos)
    text = (tmp_path / "a.html").read_text()
    count = int(re.search(r"(\d+) photographs could not be shown \(No such file or directory\)", text).group(1))
    assert count > 10
    assert f"{count} photographs could not be shown" in capsys.readouterr().err


def test_members_with_images_of_their_own(scene, tmp_path: Path) -> None:
    """One network per organ: aligned by observation, each plant with all its photographs."""
    runs = []
    for run, view in zip(scene.runs, ("Leaf", "Flower"), strict=True):
        whole = Predictions.read(run / "test.predictions.h5")
        runs.append(tmp_path / f"{view}.predictions.h5")
        whole.select(whole.view == view).write(runs[-1])
    evaluate(*runs, "--store", scene.store, "--html", tmp_path / "a.html", code=1)
    evaluate(*runs, "--store", scene.store, "--html", tmp_path / "a.html", "--align", "observation")
    assert len(cells((tmp_path / "a.html").read_text(), "leaderboard")) == 3


def test_one_run_alone(scene, tmp_path: Path) -> None:
    evaluate(scene.runs[0], "--html", tmp_path / "a.html", "--split", "valid")
    assert len(cells((tmp_path / "a.html").read_text(), "leaderboard")) == 1


def test_what_cannot_be_reported_is_refused(scene, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="0 or more observations"):
        scene.report(tmp_path / "a.html", n_worst=-1)
    with pytest.raises(SettingsError, match="Did you mean mean"):
        scene.report(tmp_path / "a.html", rule="meen")
    with pytest.raises(SettingsError, match="a fixed rule out of"):
        scene.report(tmp_path / "a.html", rule="log_loss")
    with pytest.raises(StoreError):
        scene.report(tmp_path / "a.html", store=tmp_path / "nowhere")
    nameless = tmp_path / "run"
    shutil.copytree(scene.runs[0], nameless)
    for path in nameless.glob("*.h5"):
        whole = Predictions.read(path)
        fields = {**vars(whole), "true_class": np.full(len(whole.image_id), "")}
        Predictions(**fields).write(path)
    evaluate(nameless, "--html", tmp_path / "a.html", code=1)
    with pytest.raises(PredictionsError, match="at least one observation of known class"):
        type(scene)(scene.photos, scene.store, (nameless,), scene.features, scene.papers).report(tmp_path / "a.html")
    assert not (tmp_path / "a.html").exists()


def test_a_log_is_read_or_left_aside(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    assert read_log(path) is None
    path.write_text("epoch,loss,val_loss\n0,nan,0.9\n1,1.5,0.4\n2,1.0,0.6\n")
    assert read_log(path).best == 1
    path.write_text("epoch,loss\n1,0.5\n")
    assert read_log(path) is None
    path.write_text("epoch,loss,val_loss\n1,half,0.5\n")
    assert read_log(path) is None


def test_photographs_that_the_store_does_not_know(scene, tmp_path: Path) -> None:
    run = tmp_path / "net-a"
    shutil.copytree(scene.runs[0], run)
    whole = Predictions.read(run / "test.predictions.h5")
    renamed = np.array([f"x{name}" for name in whole.image_id])
    Predictions(**{**vars(whole), "image_id": renamed}).write(run / "test.predictions.h5")
    (run / "valid.predictions.h5").unlink()
    other = type(scene)(scene.photos, scene.store, (run,), scene.features, scene.papers)
    written = other.report(tmp_path / "a.html")
    assert any(text.startswith("Not in the store, so shown without a photograph: 16 ") for text in written.warnings)
    assert "a photograph that the store does not know" in (tmp_path / "a.html").read_text()


def test_no_mistakes_are_shown_where_none_are_asked_for(scene, tmp_path: Path) -> None:
    scene.report(tmp_path / "a.html", n_worst=0)
    text = (tmp_path / "a.html").read_text()
    assert 'class="observation' not in text
    assert text.count("None was asked for (--worst 0).") == 2


def test_what_is_drawn_is_said_as_it_is(scene, tmp_path: Path) -> None:
    """Observations where no author is known; and with 16 photographs, that an interval says little."""
    run = tmp_path / "net-a"
    shutil.copytree(scene.runs[0], run)
    for split in ("valid", "test"):
        path = run / f"{split}.predictions.h5"
        known = Predictions.read(path)
        Predictions(**{**vars(known), "author": np.full(len(known.author), "")}).write(path)
    nameless = type(scene)(scene.photos, scene.store, (run,), scene.features, scene.papers)
    for shown, drawn, other in (
        (scene, "authors are drawn", "observations are"),
        (nameless, "observations are drawn", "authors are"),
    ):
        written = shown.report(tmp_path / "a.html")
        page = (tmp_path / "a.html").read_text()
        assert f"{drawn} anew" in page
        assert f"{other} drawn anew" not in page
        few = [text for text in written.warnings if "an interval says little" in text]
        assert few == [f"Only {written.n_observations} observations of test are scored: " + few[0].split(": ")[1]]
        assert few[0].replace("'", "&#x27;") in page
