"""`evaluate report`: what it says, what it needs, and what it does without."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluation.cli import main
from evaluation.fuse import FuseSettings, fuse_runs
from evaluation.predictions import Predictions
from evaluation.recipes import Recipe
from evaluation.report.curves import read_log
from evaluation.runs import read_run_card, write_run_card
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


def test_the_figures_are_those_of_evaluate_fuse_ordered_by_valid(scene, page: Path, tmp_path: Path) -> None:
    fused, on_valid = (fuse_runs(scene.runs, FuseSettings(split=split), tmp_path) for split in ("test", "valid"))
    names = {"fusion:mean": "fusion:mean of all 2"}
    rows = cells(page.read_text(), "leaderboard")
    for column, report in ((1, on_valid), (2, fused)):
        expected = {names.get(line.run, line.run): f"{line.figures['S']:.4f}" for line in report.lines}
        assert {row[0]: row[column] for row in rows}.items() >= expected.items()
    assert [float(row[1]) for row in rows] == sorted((float(row[1]) for row in rows), reverse=True)
    assert f"<h1>{rows[0][0]}, the best on valid, has S " in page.read_text()


def test_a_winner_on_test_is_not_the_best_unless_valid_says_so(scene, tmp_path: Path) -> None:
    """The run that is perfect on test alone comes second, and the sentence at the top tells how the first did there."""
    lucky, steady = (tmp_path / "runs" / name for name in ("lucky", "steady"))
    for run, good in ((lucky, "test"), (steady, "valid")):
        shutil.copytree(scene.runs[0], run)
        path = run / f"{good}.predictions.h5"
        known = Predictions.read(path)
        right = (known.true_class[:, None] == known.classes[None, :]).astype(np.float32)
        for file in run.glob("*.predictions.h5"):
            told = Predictions.read(file)
            fields = {"probability": right} if file == path else {}
            Predictions(**{**vars(told), "model": run.name, **fields}).write(file)
    written = type(scene)(scene.photos, scene.store, (steady, lucky), scene.features, scene.papers).report(
        tmp_path / "a.html"
    )
    rows = cells((tmp_path / "a.html").read_text(), "leaderboard")
    places = {row[0]: place for place, row in enumerate(rows)}
    assert places["steady"] < places["lucky"]
    assert float(rows[places["lucky"]][2]) == 1.0 > float(rows[places["steady"]][2])
    # Its fusion with the lucky one is as good on valid, and asks for two models.
    assert written.headline.startswith("steady, the simplest of 2 that score highest on valid, has S ")
    # Without valid the figures themselves give the order, and the page says what that is worth.
    for run in (lucky, steady):
        (run / "valid.predictions.h5").unlink()
    written = type(scene)(scene.photos, scene.store, (steady, lucky), scene.features, scene.papers).report(
        tmp_path / "b.html"
    )
    assert written.headline.startswith("lucky, the simplest of 2 that score highest on test, has S 1.000 on test")
    assert "which flatters the first" in (tmp_path / "b.html").read_text()


def test_the_headline_says_how_many_tie(scene, tmp_path: Path) -> None:
    """Two runs that say the same, and their fusion: of one network each, so that fewest models and the name decide."""
    for name in ("b", "a"):
        shutil.copytree(scene.runs[0], tmp_path / name)
        for file in (tmp_path / name).glob("*.predictions.h5"):
            replace(Predictions.read(file), model=name).write(file)
        write_run_card(tmp_path / name, replace(read_run_card(scene.runs[0]), model=name, kind="head"))
    alike = replace(scene, runs=(tmp_path / "b", tmp_path / "a"))
    written = alike.report(tmp_path / "a.html", n_worst=0)
    assert written.headline.startswith("a, the simplest of 3 that score highest on valid, has S ")


def test_classes_without_an_observation_are_named(scene, page: Path, tmp_path: Path) -> None:
    run = tmp_path / "net-a"
    shutil.copytree(scene.runs[0], run)
    path = run / "test.predictions.h5"
    found = Predictions.read(path)
    found.select(~np.isin(found.true_class, ["10", "9"])).write(path)
    replace(scene, runs=(run,)).report(tmp_path / "a.html", n_worst=0)
    told = "Not judged, for no observation of them is scored: 2 of the 4 classes (Acer campestre, Daucus carota)."
    assert told in (tmp_path / "a.html").read_text()
    assert "Not judged" not in page.read_text()


def test_what_says_nothing_is_left_out(scene, page: Path, tmp_path: Path) -> None:
    """No view is known, classes have no other name than their id, and one run looks at nothing."""
    runs = []
    for name, source in zip(("net-a", "net-b", "net-a-dummy"), (*scene.runs, scene.runs[0]), strict=True):
        runs.append(tmp_path / "runs" / name)
        runs[-1].mkdir(parents=True)
        for file in source.glob("????*.predictions.h5"):
            if "tta" not in file.name:
                found = Predictions.read(file)
                replace(found, model=name, view=np.full(len(found.view), "Unknown")).write(runs[-1] / file.name)
        card = read_run_card(source)
        details = {"baseline": name.endswith("dummy")}
        write_run_card(runs[-1], replace(card, model=name, classes={i: i for i in card.classes}, details=details))
    alike = replace(scene, runs=(tmp_path / "runs",))
    alike.report(tmp_path / "a.html", n_worst=0, store=None)
    text, usual = (tmp_path / "a.html").read_text(), page.read_text()
    for there in ('id="views"', 'href="#views"', ">Class</"):
        assert there in usual
        assert there not in text
    assert [len(row) for row in cells(text, "species")] == [5] * 4
    names = {row[0] for row in cells(text, "leaderboard")}
    assert {"net-a-dummy", "fusion:mean of all 2"} <= names
    assert not any("all 3" in name for name in names)
    assert "net-a-dummy looks at nothing and is left out of fusions." in text


def test_stored_fusions_stand_under_their_own_names(scene, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    members = []
    for number, run in enumerate((*scene.runs, scene.runs[0])):
        members.append(runs / f"m{number}")
        shutil.copytree(run, members[-1])
        for file in members[-1].glob("*.predictions.h5"):
            Predictions(**{**vars(Predictions.read(file)), "model": members[-1].name}).write(file)
    recipes = (Recipe("max"), Recipe("weighted_mean", weights=(3.0, 1.0)), Recipe("least_squares"))
    fused = fuse_runs(members[:2], FuseSettings(recipes, split="test"), runs)
    expected = {f"fusion-{line.run.removeprefix('fusion:')}": f"{line.figures['S']:.4f}" for line in fused.lines}
    # As a kill may leave one.
    shutil.copytree(runs / "fusion-max", runs / ".fusion-max.old")
    scored = type(scene)(scene.photos, scene.store, (runs,), scene.features, scene.papers)
    written = scored.report(tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text()
    rows = {row[0]: row for row in cells(text, "leaderboard")}
    assert ".fusion-max.old" not in rows
    for name in ("fusion-max", "fusion-weighted_mean", "fusion-least_squares"):
        assert rows[name][2] == expected[name]
    # What learnt from valid has no figure there, and so is never the best.
    assert rows["fusion-least_squares"][1] == "-" != rows["fusion-max"][1]
    assert "fusion:mean of all 3" in rows
    assert "fusion-max: m0, m1" in text
    assert not [text for text in written.warnings if "left out" in text]
    # A member that has changed since takes its fusions with it, by name.
    changed = Predictions.read(members[1] / "test.predictions.h5")
    Predictions(**{**vars(changed), "images_per_second": 1.0}).write(members[1] / "test.predictions.h5")
    written = scored.report(tmp_path / "b.html")
    assert sum("which has changed since" in text and "is left out" in text for text in written.warnings) == 3
    assert "fusion-max" not in {row[0] for row in cells((tmp_path / "b.html").read_text(), "leaderboard")}


def test_a_stored_fusion_of_other_plants_or_photographs_is_left_out(scene, tmp_path: Path) -> None:
    """As fusions of another data set, or of one network per organ, that were written into the same folder."""
    runs, elsewhere = tmp_path / "runs", tmp_path / "elsewhere"
    shutil.copytree(scene.runs[0], runs / "net-a")
    whole = Predictions.read(scene.runs[0] / "test.predictions.h5")
    organs = []
    for view in ("Leaf", "Flower"):
        organs.append(elsewhere / view / "test.predictions.h5")
        whole.select(whole.view == view).write(organs[-1])
    few = elsewhere / "few" / "test.predictions.h5"
    whole.select(whole.observation_id == whole.observation_id[0]).write(few)
    fuse_runs(organs, FuseSettings((Recipe("mean"),), "observation"), runs)
    fuse_runs([few], FuseSettings((Recipe("max"),)), runs)
    scored = type(scene)(scene.photos, scene.store, (runs,), scene.features, scene.papers)
    written = scored.report(tmp_path / "a.html")
    told = [text for text in written.warnings if "saw other plants, classes or photographs" in text]
    assert [text.split(" is left out")[0].rpartition("/")[2] for text in told] == ["fusion-max", "fusion-mean"]
    assert [row[0] for row in cells((tmp_path / "a.html").read_text(), "leaderboard")] == ["net-a"]
    # Aligned by observation, the organs are about the same plants.
    scored.report(tmp_path / "b.html", align_by="observation")
    assert "fusion-mean" in {row[0] for row in cells((tmp_path / "b.html").read_text(), "leaderboard")}


def test_random_weights_are_told_at_the_top(scene, tmp_path: Path) -> None:
    run = tmp_path / "net-a"
    shutil.copytree(scene.runs[0], run)
    write_run_card(run, replace(read_run_card(run), details={"weights": {"net": "random:0/1"}}))
    other = type(scene)(scene.photos, scene.store, (run,), scene.features, scene.papers)
    written = other.report(tmp_path / "a.html")
    assert written.warnings[0] == "Random weights behind net-a: their figures say nothing about plants."
    assert "Random weights behind net-a" in (tmp_path / "a.html").read_text()


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
