"""A run is found by its folder or its file, and says what it is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluation.predictions import Predictions
from evaluation.runs import (
    RunCard,
    choose_split,
    expand,
    find_predictions,
    predictions_path,
    read_run_card,
    split_and_variant,
    told_apart,
    write_run_card,
)
from featstore.errors import PredictionsError

CARD = RunCard("vgg16-mlp", "head", ("vgg16",), "mlp", {"10": "Acer campestre", "9": ""}, {"seed": 1, "note": None})


def write(folder: Path, *names: str) -> Path:
    for name in names:
        Predictions(
            model=folder.name,
            split=name.partition(".")[0],
            image_id=np.array(["1"]),
            observation_id=np.array(["1"]),
            author=np.array([""]),
            view=np.array(["Leaf"]),
            true_class=np.array(["10"]),
            classes=np.array(["10", "9"]),
            probability=np.array([[0.5, 0.5]], dtype=np.float32),
        ).write(folder / f"{name}.predictions.h5")
    return folder


def test_a_card_gives_back_what_was_written(tmp_path: Path) -> None:
    write_run_card(tmp_path / "vgg16-mlp", CARD)
    assert read_run_card(tmp_path / "vgg16-mlp") == CARD
    content = json.loads((tmp_path / "vgg16-mlp" / "run.json").read_text())
    assert content["schema"] == "run/1"
    assert content["provenance"]["libraries"]["numpy"] == np.__version__


def test_what_is_no_run_is_told_with_the_runs_in_it(tmp_path: Path) -> None:
    with pytest.raises(PredictionsError, match=r"which does not exist\. Correct the path"):
        read_run_card(tmp_path / "nothing")
    with pytest.raises(PredictionsError, match="Write the run again"):
        read_run_card(tmp_path)
    write_run_card(tmp_path / "vgg16-mlp", CARD)
    with pytest.raises(PredictionsError, match=r"Name one of the runs in it: vgg16-mlp\."):
        read_run_card(tmp_path)


def test_a_folder_of_runs_is_its_runs_without_hidden_leftovers_and_fusions(tmp_path: Path) -> None:
    """As `finetune run --tta` leaves a copy behind when it is killed while it predicts anew."""
    for name, kind in (
        ("vgg16-mlp", "head"),
        (".vgg16-mlp.renewed", "head"),
        ("net-finetuned", "finetuned"),
        ("fusion-mean", "fusion"),
    ):
        write_run_card(write(tmp_path / name, "test"), replace(CARD, model=name, kind=kind))
    assert expand([tmp_path]) == [tmp_path / "net-finetuned", tmp_path / "vgg16-mlp"]
    with pytest.raises(PredictionsError, match=r"Name one of the runs in it: fusion-mean, net-finetuned, vgg16-mlp\."):
        read_run_card(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "guess"}, "kind head, finetuned, fusion"),
        ({"model": ""}, "named model"),
        ({"classes": {}}, "0 classes"),
    ],
)
def test_a_card_says_what_a_run_is(change: dict[str, object], message: str) -> None:
    with pytest.raises(PredictionsError, match=message):
        replace(CARD, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "run/0"}, "schema run/1, got 'run/0'"),
        ({"kind": 3}, "text `kind`, got 3"),
        ({"kind": "guess"}, "a run of kind"),
        ({"backbones": "vgg16"}, "list `backbones`"),
        ({"classes": ["10"]}, "mapping `classes`"),
    ],
)
def test_a_broken_card_is_refused_by_name(tmp_path: Path, change: dict[str, object], message: str) -> None:
    write_run_card(tmp_path, CARD)
    path = tmp_path / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(PredictionsError, match=message) as refusal:
        read_run_card(tmp_path)
    assert str(path) in str(refusal.value)


def test_an_absent_or_damaged_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PredictionsError, match=r"with run\.json"):
        read_run_card(tmp_path)
    for text in ('{"schema": ', "[]"):
        (tmp_path / "run.json").write_text(text)
        with pytest.raises(PredictionsError, match=r"run\.json"):
            read_run_card(tmp_path)


def test_paths_carry_split_and_variant() -> None:
    assert predictions_path(Path("r"), "valid") == Path("r/valid.predictions.h5")
    assert predictions_path(Path("r"), "test", "tta5") == Path("r/test.tta5.predictions.h5")
    assert split_and_variant(Path("r/test.tta5.predictions.h5")) == ("test", "tta5")
    assert split_and_variant(Path("r/valid.predictions.h5")) == ("valid", "")
    for other in ("leaf.predictions.h5", "my.leaf.predictions.h5", "test.csv", ".7.partial.test.predictions.h5"):
        assert split_and_variant(Path(other)) == ("", "")


def test_test_comes_before_valid_and_plain_before_variants(tmp_path: Path) -> None:
    run = write(tmp_path / "net", "valid", "test.tta5", "test", "test.crop", "valid.tta5")
    names = [path.name for path in find_predictions(run, None)]
    assert names == ["test.predictions.h5", "test.crop.predictions.h5", "test.tta5.predictions.h5"]
    assert find_predictions(run, "valid")[0].name == "valid.predictions.h5"
    only_valid = write(tmp_path / "other", "valid")
    assert find_predictions(only_valid) == [only_valid / "valid.predictions.h5"]


def test_a_file_is_a_run(tmp_path: Path) -> None:
    file = write(tmp_path, "test.tta5") / "test.tta5.predictions.h5"
    assert find_predictions(file, None) == [file]
    assert find_predictions(file, "test") == [file]
    with pytest.raises(PredictionsError, match=r"valid predictions .* got only test\. Pass `--split test`"):
        find_predictions(file, "valid")


def test_what_is_no_run_is_refused_with_the_way_out(tmp_path: Path) -> None:
    run = write(tmp_path / "net", "valid")
    with pytest.raises(PredictionsError, match="got only valid"):
        find_predictions(run, "test")
    with pytest.raises(PredictionsError, match="which is not there"):
        find_predictions(tmp_path / "nowhere", None)
    (tmp_path / "split.csv").write_text("image_id\n")
    with pytest.raises(PredictionsError, match="which is another file"):
        find_predictions(tmp_path / "split.csv", None)
    with pytest.raises(PredictionsError, match=r"got none\. Name a run that"):
        find_predictions(tmp_path, None)
    (tmp_path / "empty").mkdir()
    with pytest.raises(PredictionsError, match="got an empty folder"):
        find_predictions(tmp_path / "empty", None)
    write_run_card(tmp_path / "fusion-mean", replace(CARD, kind="fusion"))
    with pytest.raises(PredictionsError, match=r"a fusion, not a model.*Name the run folders of its members"):
        find_predictions(tmp_path / "fusion-mean", None)


@pytest.mark.parametrize(
    ("runs", "names"),
    [
        (["a/x"], ["x"]),
        (["a/x", "a/y", "b/z"], ["x", "y", "z"]),
        (["a/x", "b/x", "b/y"], ["a/x", "b/x", "y"]),
        (["a/x", "a/x/x", "a/b/x"], ["x", "x/x", "b/x"]),
        (["one/a/x", "two/a/x"], ["one/a/x", "two/a/x"]),
        (["x", "a/../x"], ["x", "x"]),
    ],
)
def test_runs_of_one_name_have_as_much_of_their_paths_as_it_takes(runs: list[str], names: list[str]) -> None:
    assert told_apart([Path(run) for run in runs]) == names


def test_one_split_is_chosen_for_all_runs(tmp_path: Path) -> None:
    both, valid, test = (
        write(tmp_path / name, *splits)
        for name, splits in {"both": ("valid", "test"), "valid": ("valid",), "test": ("test",)}.items()
    )
    assert choose_split([both, test]) == "test"
    assert choose_split([valid]) == "valid"
    with pytest.raises(
        PredictionsError, match=r"test predictions of every run, got none of .*valid\. Pass `--split valid`"
    ):
        choose_split([both, valid])
    with pytest.raises(PredictionsError, match="Leave these runs out"):
        choose_split([test, valid])
