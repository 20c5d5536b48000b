"""Slices equal the scores of the same plants picked by hand, and fusions are sliced as what was fused."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.alignment import align
from evaluation.cli import main
from evaluation.fusion import Recipe
from evaluation.predictions import Predictions
from evaluation.runs import RunCard, predictions_path, write_run_card
from evaluation.scores import USUAL, score_predictions
from evaluation.slices import GROUPS, SLICES, UNKNOWN, Answers, SliceScore, require_slices, score_slices
from evaluation.slicing import ON_SCREEN, read_taxa
from featstore.errors import SettingsError

CLASSES = ("1", "2", "3")
TAXA = {
    "species": {"1": "Acer campestre", "2": "Acer platanoides"},
    "genus": {"1": "Acer", "2": "Acer", "3": "Bellis"},
    "family": {"1": "Sapindaceae", "2": "Sapindaceae"},
}
GENUS = TAXA["genus"]


@st.composite
def cases(draw: st.DrawFn) -> Predictions:
    n_plants = draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    plants = np.r_[np.arange(n_plants), rng.integers(0, n_plants, draw(st.integers(0, 10)))]
    rng.shuffle(plants)
    truth, author = rng.choice([*CLASSES, "9", ""], n_plants), rng.choice(["", "anna", "bo"], n_plants)
    return predictions_of(plants, truth, author, rng)


def predictions_of(plants: np.ndarray, truth: np.ndarray, author: np.ndarray, rng: np.random.Generator) -> Predictions:
    n = len(plants)
    return Predictions(
        model="net",
        split="test",
        image_id=np.array([f"i{row}" for row in range(n)]),
        observation_id=np.array([f"o{plant}" for plant in plants]),
        author=author[plants],
        view=rng.choice(["Flower", "Leaf"], n),
        true_class=truth[plants],
        classes=np.array(CLASSES),
        probability=(rng.multinomial(8, np.ones(3) / 3, n) / 8).astype(np.float32),
    )


def group_by_hand(predictions: Predictions, by: str, plant: str) -> str:
    rows = predictions.observation_id == plant
    truth = str(predictions.true_class[rows][0])
    return {
        "views": "+".join(sorted(set(predictions.view[rows].tolist()))),
        "images": "5+" if rows.sum() >= 5 else str(rows.sum()),
        "author": str(predictions.author[rows][0]) or UNKNOWN,
        "species": truth,
        "genus": GENUS.get(truth, UNKNOWN),
        "family": TAXA["family"].get(truth, UNKNOWN),
    }[by]


@settings(max_examples=25)
@given(cases(), st.sampled_from([*GROUPS]))
def test_a_slice_is_scored_as_its_plants_alone(predictions: Predictions, by: str) -> None:
    found, warnings = score_slices(Answers("net", align([predictions]), Recipe()), [by], TAXA, USUAL)
    known = sorted(set(predictions.observation_id[predictions.true_class != ""].tolist()))
    assert bool(warnings) == (not known)
    groups = {plant: group_by_hand(predictions, by, plant) for plant in known}
    assert {one.group for one in found} == set(groups.values())
    for group in set(groups.values()):
        own = np.isin(predictions.observation_id, [plant for plant in known if groups[plant] == group])
        expected = [score for score in score_predictions(predictions.select(own)) if score.view == "all"]
        mine = [one for one in found if one.group == group]
        assert [one.score for one in mine] == pytest.approx(expected, nan_ok=True) or same(mine, expected)
        assert {one.n_images for one in mine} == {int(own.sum())}


def same(mine: Sequence[SliceScore], expected: Sequence[object]) -> bool:
    """NaN ends of two intervals are alike."""
    return [repr(one.score) for one in mine] == [repr(score) for score in expected]


@settings(max_examples=20)
@given(cases())
def test_a_view_is_scored_as_everywhere(predictions: Predictions) -> None:
    found, _ = score_slices(Answers("net", align([predictions]), Recipe()), ["view"], {}, USUAL)
    expected = [score for score in score_predictions(predictions) if score.view != "all"]
    assert same(found, expected)
    assert all(one.group == one.score.view for one in found)


def test_members_with_other_plants_in_a_view_say_so() -> None:
    rng = np.random.default_rng(0)
    plants, truth, author = np.array([0, 0, 1, 1]), np.array(["1", "2"]), np.array(["anna", "bo"])
    first = predictions_of(plants, truth, author, rng)
    leaves = replace(first, view=np.array(["Leaf"] * 4))
    flowers = replace(first, model="other", image_id=np.char.add("f", first.image_id), view=np.array(["Flower"] * 4))
    answers = Answers("fusion:mean", align([leaves, flowers], "observation"), Recipe())
    found, warnings = score_slices(answers, ["view", "views", "images"], {}, USUAL)
    assert len(warnings) == 2
    assert {one.group for one in found} == {"Flower+Leaf", "4"}
    assert "S_image" not in {one.score.metric for one in found}


def test_hardest_taxa_and_busiest_authors_come_first() -> None:
    truth, author = np.array(["1", "1", "2", "3"]), np.array(["anna", "bo", "bo", "bo"])
    said = predictions_of(np.arange(4), truth, author, np.random.default_rng(0))
    right = np.eye(3, dtype=np.float32)[[0, 0, 0, 2]]
    answers = Answers("net", align([replace(said, probability=right)]), Recipe())
    found, _ = score_slices(answers, ["author", "species"], TAXA, USUAL)
    order = [(one.group, one.name) for one in found if one.score.metric == "S"]
    assert order == [("bo", "bo"), ("anna", "anna"), ("2", "Acer platanoides"), ("1", "Acer campestre"), ("3", "3")]


def test_slices_that_cannot_be_are_refused() -> None:
    assert require_slices((), {}) == tuple(name for name in SLICES if name not in {"genus", "family"})
    assert require_slices(("genus", "view", "genus"), TAXA) == ("genus", "view")
    with pytest.raises(SettingsError, match="--papers"):
        require_slices(("genus",), {"species": {"1": "Acer"}})
    with pytest.raises(SettingsError, match="--by"):
        require_slices(("organ",), TAXA)


def evaluate(arguments: Sequence[str | Path], code: int = 0) -> None:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    assert end.value.code == code


def write_run(folder: Path, seed: int, n_species: int = 3, split: str = "test") -> Path:
    rng = np.random.default_rng(seed)
    classes = [f"{number:02d}" for number in range(n_species)]
    n = 4 * n_species
    Predictions(
        model=folder.name,
        split=split,
        image_id=np.array([f"i{row}" for row in range(n)]),
        observation_id=np.array([f"{split} o{row // 2}" for row in range(n)]),
        author=np.array([f"author {row // 4}" for row in range(n)]),
        view=np.array(["Leaf", "Flower"] * (n // 2)),
        true_class=np.array([classes[row // 4] for row in range(n)]),
        classes=np.array(classes),
        probability=rng.dirichlet(np.ones(n_species), n).astype(np.float32),
    ).write(predictions_path(folder, split))
    write_run_card(folder, RunCard(folder.name, "head", ("net",), "mlp", dict.fromkeys(classes, "")))
    return folder


def test_a_fusion_is_sliced_as_it_was_fused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [write_run(tmp_path / name, seed) for seed, name in enumerate("ab")]
    evaluate(["fuse", *runs, "--rule", "product", "--top", "2", "--out", tmp_path, "--json"])
    fused = json.loads(capsys.readouterr().out)["scores"]
    folder = tmp_path / "fusion-product"
    evaluate(["slices", folder, runs[0], "--by", "views", "--top", "2", "--out", tmp_path, "--json"])
    document = json.loads(capsys.readouterr().out)
    # All plants show both views: the only slice is the whole.
    for run in ("fusion:product", "a"):
        whole = {row["metric"]: row["value"] for row in fused if (row["run"], row["view"]) == (run, "all")}
        sliced = {row["metric"]: row["value"] for row in document["slices"] if row["run"] == run}
        assert sliced == pytest.approx(whole)
        assert "top_2" in sliced
    with (tmp_path / "slices.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(document["slices"])
    assert rows[0]["group"] == "Flower+Leaf"
    assert json.loads((tmp_path / "slices.json").read_text())["schema"] == document["schema"] == "slices/1"
    # A member that has changed since is not what was fused.
    write_run(runs[1], seed=5)
    evaluate(["slices", folder, "--out", tmp_path], code=1)
    assert "changed since" in capsys.readouterr().err


def test_a_fusion_knows_its_members_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for seed, name in enumerate("ab"):
        write_run(here / "runs" / name, seed)
    monkeypatch.chdir(here)
    evaluate(["fuse", "runs/a", "runs/b", "--out", "runs"])
    # All of it moves, and is named from elsewhere.
    monkeypatch.chdir(tmp_path)
    here.rename(there)
    capsys.readouterr()
    evaluate(["slices", there / "runs" / "fusion-mean", "--out", tmp_path, "--json"])
    assert json.loads(capsys.readouterr().out)["slices"]
    write_run(there / "runs" / "b", seed=5)
    evaluate(["slices", there / "runs" / "fusion-mean", "--out", tmp_path], code=1)
    assert "changed since" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [["--rule", "weighted_mean", "--weight", "3", "--weight", "1"], ["--rule", "stacked", "--calibrate", "all"]],
)
def test_weights_and_what_was_learnt_are_those_of_the_fusion(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [write_run(tmp_path / name, seed, n_species=12) for seed, name in enumerate("ab")]
    for seed, run in enumerate(runs):
        write_run(run, 7 + seed, n_species=12, split="valid")
    evaluate(["fuse", *runs, *options, "--learn-on", "valid", "--split", "test", "--out", tmp_path, "--json"])
    fused = json.loads(capsys.readouterr().out)
    folder = fused["folders"][-1]
    evaluate(["slices", folder, "--by", "views", "--out", tmp_path, "--json"])
    sliced = json.loads(capsys.readouterr().out)["slices"]
    name = json.loads((Path(folder) / "run.json").read_text())["model"]
    whole = {row["metric"]: row["value"] for row in fused["scores"] if (row["run"], row["view"]) == (name, "all")}
    assert {row["metric"]: row["value"] for row in sliced} == pytest.approx(whole)


def test_long_tables_are_cut_on_screen_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "a", 0, n_species=ON_SCREEN + 5)
    evaluate(["slices", run, "--by", "species", "--out", tmp_path])
    told = capsys.readouterr()
    assert len(re.findall(r"^│ +\d\d │", told.out, flags=re.MULTILINE)) == ON_SCREEN
    assert "5 more in" in told.err
    with (tmp_path / "slices.csv").open(newline="") as file:
        assert len({row["group"] for row in csv.DictReader(file)}) == ON_SCREEN + 5


def test_taxa_come_from_papers(tmp_path: Path) -> None:
    (tmp_path / "photos.csv").write_text(
        "path,observation_id,view,class_id,species,genus,family\n"
        "a.jpg,o1,Leaf,1,Acer campestre,Acer,Sapindaceae\nb.jpg,o2,Leaf,1,Acer campestre,Acer,Aceraceae\n"
        "c.jpg,o3,Leaf,2,,,\n"
    )
    for name in "abc":
        (tmp_path / f"{name}.jpg").write_bytes(b"")
    taxa, warnings = read_taxa(tmp_path / "photos.csv", {"1": "another name", "2": "Bellis perennis", "3": ""})
    assert taxa["species"] == {"1": "Acer campestre", "2": "Bellis perennis"}
    assert taxa["family"] == {"1": "Sapindaceae"}
    assert len(warnings) == 1
    assert "family" in warnings[0]
