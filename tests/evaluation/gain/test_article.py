"""The article's table: which rows stand in it, what they are worth, and what may not be compared."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from evaluation.alignment import align
from evaluation.cli import main
from evaluation.fused import FusedPlaces
from evaluation.fusion import Recipe, fuse
from evaluation.gain import article
from evaluation.gain.entries import read_entries
from evaluation.predictions import Predictions
from evaluation.report.growth import Growth, article_section
from evaluation.runs import RunCard, predictions_path, write_run_card
from evaluation.scores import score_fused
from featstore.errors import PredictionsError

CLASSES = ("c0", "c1", "c2")


def write_run(
    folder: Path, skill: float, splits: Sequence[str] = ("valid", "test", "test.tta5"), n_images: int = 2
) -> Path:
    """Write a run that is right the more often the greater its skill; 20 plants of 4 authors."""
    for number, name in enumerate(splits):
        rng = np.random.default_rng([int(1000 * skill) % 2**32, number])
        split, _, variant = name.partition(".")
        plant = np.repeat(np.arange(20), n_images)
        logits = rng.normal(size=(len(plant), 3)) + skill * np.eye(3)[plant % 3]
        probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        Predictions(
            model=folder.name,
            split=split,
            image_id=np.array([f"i{row}" for row in range(len(plant))]),
            observation_id=np.array([f"o{each}" for each in plant]),
            author=np.array([f"a{each % 4}" for each in plant]),
            view=np.full(len(plant), "Leaf"),
            true_class=np.array([CLASSES[each % 3] for each in plant]),
            classes=np.array(CLASSES),
            probability=probability.astype(np.float32),
            images_per_second=10.0 if variant else 60.0,
        ).write(predictions_path(folder, split, variant))
    write_run_card(folder, RunCard(folder.name, "head", ("net",), "mlp", dict.fromkeys(CLASSES, "")))
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two good networks, one with augmentation, and one that guesses."""
    folder = tmp_path / "runs"
    write_run(folder / "good", 1.5)
    write_run(folder / "better", 2.0, ("valid", "test"))
    write_run(folder / "guess", -2.0, ("valid", "test"))
    return folder


def evaluate(arguments: Sequence[str | Path], code: int = 0) -> None:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    assert end.value.code == code


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_rows_stand_in_the_layout_of_the_article(runs: Path, tmp_path: Path) -> None:
    evaluate(["article", runs, "--out", tmp_path])
    rows = rows_of(tmp_path / "article" / "article.csv")
    found = [(row["kind"], row["run"]) for row in rows if row["kind"] != "published"]
    assert found == [
        ("best single", "better"),
        ("single", "good"),
        ("single", "guess"),
        ("+ TTA", "good + TTA5"),
        ("merged", "all 3"),
        ("merged", "2 chosen on valid"),
        ("merged + TTA", "all 3"),
        ("merged + TTA", "2 chosen on valid"),
    ]
    assert {row["models"] for row in rows if row["run"] == "2 chosen on valid" and row["kind"] == "merged"} == {
        "better + good"
    }


@pytest.mark.parametrize("splits", [("valid", "test"), ("test",)])
def test_of_equal_runs_the_simplest_is_the_best_single(tmp_path: Path, splits: tuple[str, ...]) -> None:
    """Runs of one skill answer alike, whatever their name and the networks behind them."""
    for name, networks in (("large", ("net", "other")), ("simple", ("net",))):
        write_run(tmp_path / name, 1.5, splits)
        write_run_card(tmp_path / name, RunCard(name, "head", networks, "mlp", dict.fromkeys(CLASSES, "")))
    evaluate(["article", tmp_path / "large", tmp_path / "simple", "--out", tmp_path / "out"])
    assert json.loads((tmp_path / "out" / "article" / "article.json").read_text())["best_single"] == "simple"


@pytest.mark.parametrize(("width", "n_names"), [(80, 4), (60, 0)])
def test_names_and_figures_stay_whole_in_a_narrow_terminal(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    width: int, n_names: int,
) -> None:  # fmt: skip
    names = ("inception_v3-finetuned", "mobilenet_v2-finetuned")
    for skill, name in enumerate(names, 1):
        write_run(runs / name, skill)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    evaluate(["article", runs, "--out", tmp_path])
    told = capsys.readouterr()
    assert "images/s: a head's" not in told.err, "a legend is for what is there"
    shown = re.sub(r"\x1b\[[0-9;]*m", "", told.out)
    lines = [line for line in shown.splitlines() if line.startswith("│")]
    assert max(map(len, lines)) <= width
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]
    # Alone, and where only "+ TTA5" stands in the next line.
    assert sum(row[1].removesuffix(" +") in names for row in cells) == n_names
    # Whether or not a name goes on in the next line, figures do not.
    rows = rows_of(tmp_path / "article" / "article.csv")
    assert [row[2] for row in cells if row[2]] == [f"{float(row['S']):.4f}" for row in rows]
    assert not any(row[2] == "" and any(row[2:]) for row in cells)


def test_figures_are_those_of_the_ordinary_fusion_and_seconds_add(runs: Path, tmp_path: Path) -> None:
    evaluate(["article", runs, "--out", tmp_path])
    rows = {(row["kind"], row["run"]): row for row in rows_of(tmp_path / "article" / "article.csv")}
    names = ("better", "good", "guess")
    members = [Predictions.read(predictions_path(runs / name, "test")) for name in names]
    usual = {score.metric: score for score in score_fused(FusedPlaces.of(fuse(align(members), Recipe())), "set")}
    merged = rows["merged", "all 3"]
    for metric in ("S", "top_1", "top_3"):
        expected = (usual[metric].value, usual[metric].low, usual[metric].high)
        got = tuple(float(merged[f"{metric}{end}"]) for end in ("", "_low", "_high"))
        assert got == pytest.approx(expected)
    assert float(merged["images_per_second"]) == pytest.approx(20.0)
    assert float(rows["merged + TTA", "all 3"]["images_per_second"]) == pytest.approx(1 / (2 / 60 + 1 / 10))
    gain = float(merged["S"]) - float(rows["best single", "better"]["S"])
    assert float(merged["S_difference"]) == pytest.approx(gain)


def test_the_best_single_is_chosen_on_valid(tmp_path: Path) -> None:
    """On test the other one is better; that is no reason to choose it."""
    write_run(tmp_path / "runs" / "a", 2.0, ("valid",))
    write_run(tmp_path / "runs" / "b", 0.0, ("valid",))
    for name, skill in (("a", 0.5), ("b", 3.0)):
        write_run(tmp_path / "elsewhere" / name, skill, ("test",))
        here, there = (predictions_path(tmp_path / place / name, "test") for place in ("runs", "elsewhere"))
        here.write_bytes(there.read_bytes())
    evaluate(["article", tmp_path / "runs", "--out", tmp_path])
    rows = rows_of(tmp_path / "article" / "article.csv")
    assert [row["run"] for row in rows if row["kind"] == "best single"] == ["a"]
    assert float(rows[1]["S_difference"]) > 0


def test_published_figures_say_that_they_are_of_another_test_set(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(["article", runs, "--out", tmp_path, "--json"])
    document = json.loads(capsys.readouterr().out)
    published = [row["S"] for row in document["rows"] if row["kind"] == "published"]
    assert published == [0.60785, 0.615734, 0.635100]
    assert "NOT COMPARABLE" in document["note"]
    assert "NOT COMPARABLE" in (tmp_path / "article" / "article.md").read_text(encoding="utf-8")


def test_without_valid_the_choice_is_confessed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "runs" / "a", 0.5, ("test",))
    write_run(tmp_path / "runs" / "b", 2.0, ("test",))
    evaluate(["article", tmp_path / "runs", "--out", tmp_path])
    assert "chosen on test itself" in capsys.readouterr().err
    assert rows_of(tmp_path / "article" / "article.csv")[1]["kind"] == "best single"


def test_a_folder_of_runs_leaves_fusions_aside(runs: Path) -> None:
    card = RunCard("fusion:mean", "fusion", (), "", dict.fromkeys(CLASSES, ""))
    write_run_card(runs / "fusion-mean", card)
    entries = read_entries([runs])
    assert [entries.contest.names[number] for number in entries.fused] == ["better", "good", "guess"]


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PredictionsError):
        read_entries([tmp_path])


def test_gain_writes_tables_and_pictures(
    painted: None, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(["gain", runs, "--out", tmp_path, "--json"])
    document = json.loads(capsys.readouterr().out)
    assert [gain["run"] for gain in document["images"]] == ["better", "good", "guess", "fusion:mean"]
    assert [step["models"][-1] for step in document["models"]["steps"]] == ["better", "good", "guess"]
    folder = tmp_path / "gain"
    assert {path.name for path in folder.iterdir()} == {
        "gain.csv",
        "gain.json",
        "gain.png",
        "gain_models.csv",
        "gain_models.png",
    }
    first = rows_of(folder / "gain.csv")[0]
    assert first["n_images"] == "1"
    assert float(first["S"]) == document["images"][0]["curves"][0]["points"][0]["S"]


def test_tta_fuses_the_augmented_predictions(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate(["gain", runs, "--out", tmp_path, "--tta", "--json"])
    document = json.loads(capsys.readouterr().out)
    assert [gain["run"] for gain in document["images"]] == ["better", "good + TTA5", "guess", "fusion:mean"]
    # Here valid was predicted without copies: the order is learned on its plain predictions.
    assert [step["models"][-1] for step in document["models"]["steps"]] == ["better", "good + TTA5", "guess"]
    assert any("valid" in text for text in document["warnings"])


def test_one_run_needs_no_choice(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate(["article", predictions_path(runs / "good", "test"), "--out", tmp_path])
    assert "the only one" in capsys.readouterr().err


def test_one_image_per_plant_is_said_and_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "runs" / "single", 1.0, ("valid", "test"), n_images=1)
    (tmp_path / "gain").mkdir()
    (tmp_path / "gain" / "gain.png").write_text("of an earlier call", encoding="utf-8")
    evaluate(["gain", run, "--out", tmp_path])
    assert "no curve" in capsys.readouterr().err
    assert not (tmp_path / "gain" / "gain.png").exists()


def test_as_many_plants_as_the_official_set_may_be_compared() -> None:
    table = article.ArticleTable("test", article.OFFICIAL_PLANTS, "net", "valid", ())
    assert "NOT COMPARABLE" not in table.note


@pytest.mark.parametrize(
    ("split", "n_plants", "shown"), [("test", 8163, True), ("test", 570, False), ("valid", 8163, False)]
)
def test_the_report_shows_published_figures_beside_their_own_plants_alone(
    split: str, n_plants: int, shown: bool
) -> None:
    own = article.ArticleRow("single", "net", ("net",), article.published_rows()[0].figures, None, 1.0)
    table = article.ArticleTable(split, n_plants, "net", "valid", (own, *article.published_rows()))
    page = article_section(Growth(article=table))
    assert ("article of 2017" in page) == ("0.6351" in page) == shown
    assert "Best single: net" in page
    assert "NOT COMPARABLE" not in page


@pytest.mark.parametrize("command", ["gain", "article"])
@pytest.mark.parametrize(
    ("rule", "told"), [("meen", "Did you mean mean?"), ("greedy", "fixed rule"), ("all", "fixed rule")]
)
def test_a_rule_that_is_not_fixed_is_refused(
    command: str, rule: str, told: str, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate([command, runs, "--rule", rule, "--out", tmp_path], code=1)
    assert told in capsys.readouterr().err
