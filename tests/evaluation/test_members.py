"""Runs become members: each file once, under a name of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from evaluation.members import load_members, species_names
from evaluation.predictions import Predictions
from evaluation.runs import RunCard, predictions_path, write_run_card
from featstore.errors import PredictionsError, SettingsError


def write(
    folder: Path, variant: str = "", *, split: str = "test", seed: int = 0, model: str = "", classes: str = "ab"
) -> Path:
    rng = np.random.default_rng(seed)
    Predictions(
        model=model or folder.name,
        split=split,
        image_id=np.array(["1", "2"]),
        observation_id=np.array(["1", "1"]),
        author=np.array(["", ""]),
        view=np.array(["Leaf", "Leaf"]),
        true_class=np.array(["a", "a"]),
        classes=np.array(list(classes)),
        probability=rng.dirichlet([1] * len(classes), 2).astype(np.float32),
    ).write(predictions_path(folder, split, variant))
    return folder


def test_augmented_predictions_are_listed_and_fused_on_request(tmp_path: Path) -> None:
    tuned = write(write(tmp_path / "tuned", seed=1), "tta5", seed=2)
    plain = write(tmp_path / "plain", seed=3)
    members = load_members([tuned, plain])
    assert [member.run for member in members.listed] == ["tuned", "tuned + TTA5", "plain"]
    assert [member.run for member in members.fused] == ["tuned", "plain"]
    assert members.warnings == ()
    members = load_members([tuned, plain], augmented=True)
    assert [member.run for member in members.fused] == ["tuned + TTA5", "plain"]
    assert members.warnings == ("plain without augmented predictions: the plain ones are fused.",)


def test_augmented_predictions_must_exist_and_be_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="got none for plain"):
        load_members([write(tmp_path / "plain")], augmented=True)
    several = write(write(write(tmp_path / "several"), "tta5", seed=1), "tta10", seed=2)
    with pytest.raises(SettingsError, match=r"got test\.tta10\.predictions\.h5, test\.tta5\.predictions\.h5"):
        load_members([several], augmented=True)
    members = load_members([predictions_path(several, "test", "tta10")], augmented=True)
    assert [member.run for member in members.fused] == ["several + TTA10"]


def test_a_run_named_twice_counts_once(tmp_path: Path) -> None:
    run = write(tmp_path / "net")
    members = load_members([run, predictions_path(run, "test"), run / ".." / "net"])
    assert len(members.listed) == len(members.fused) == 1
    assert len(members.warnings) == 2
    assert "is named twice; it counts once" in members.warnings[0]


def test_a_copy_counts_twice_with_a_warning(tmp_path: Path) -> None:
    first = write(tmp_path / "net")
    shutil.copytree(first, tmp_path / "copy")
    members = load_members([first, tmp_path / "copy"])
    assert len(members.fused) == 2
    assert "hold the same probabilities: they count twice" in members.warnings[0]


def test_models_of_one_name_are_told_apart_by_their_files(tmp_path: Path) -> None:
    runs = [write(tmp_path / side / "net", seed=seed) for seed, side in enumerate(("a", "b"))]
    names = [member.run for member in load_members(runs).listed]
    assert names == [str(predictions_path(run, "test")) for run in runs]


def test_a_file_must_hold_the_split_of_its_name(tmp_path: Path) -> None:
    run = write(tmp_path / "net", split="valid")
    predictions_path(run, "valid").rename(predictions_path(run, "test"))
    with pytest.raises(PredictionsError, match="test predictions, as the file's name says, got valid"):
        load_members([run])
    with pytest.raises(SettingsError, match="at least one run"):
        load_members([])


def test_species_come_from_the_cards(tmp_path: Path) -> None:
    first, second, third = (write(tmp_path / name, seed=seed) for seed, name in enumerate(("x", "y", "z")))
    write_run_card(first, RunCard("x", "head", ("vgg16",), "mlp", {"a": "", "b": "Bellis perennis"}))
    write_run_card(second, RunCard("y", "head", ("vgg19",), "mlp", {"a": "Acer campestre", "b": "Bellis"}))
    members = load_members([first, second, third]).fused
    assert members[2].card is None
    assert species_names(members) == {"a": "Acer campestre", "b": "Bellis perennis"}


def test_other_classes_are_told_before_any_split_and_by_the_folder(tmp_path: Path) -> None:
    usual = [write(tmp_path / name, split="valid", model="same") for name in ("a", "b")]
    stranger = write(tmp_path / "c", split="test", model="same", classes="bcd")
    told = rf"same classes .* 1 only in {usual[0]} \(a\); 2 only in {stranger} \(c, d\)\. Runs of different classes"
    for runs in ([*usual, stranger], [stranger, *usual]):
        for split in (None, "valid", "test"):
            with pytest.raises(PredictionsError, match=told):
                load_members(runs, split)
    # One after the other they are looked at all the same.
    write(stranger, split="valid", model="same", classes="bcd")
    assert len(load_members([*usual, stranger], "valid", apart=True).listed) == 3
