"""Predictions exist whole or not at all, in memory and on disk."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from evaluation.predictions import STRINGS, Predictions, peek_split
from featstore.errors import PredictionsError


def strings(*values: str) -> np.ndarray:
    return np.array(values, dtype=np.str_)


@pytest.fixture
def predictions() -> Predictions:
    return Predictions(
        model="vgg16-mlp",
        split="test",
        image_id=strings("30", "10", "blatt/20.jpg"),
        observation_id=strings("o1", "o1", "o2"),
        author=strings("Zoë", "Zoë", ""),
        view=strings("Leaf", "Flower", "Unknown"),
        true_class=strings("9", "9", ""),
        classes=strings("10", "9"),
        probability=np.array([[0.25, 0.75], [1.0, 0.0], [0.5, 0.5]], dtype=np.float32),
        images_per_second=12.5,
        provenance={"seed": 3, "nested": {"list": [1, None, "é"]}},
    )


def same(one: Predictions, other: Predictions) -> bool:
    arrays = all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in (*STRINGS, "classes", "probability")
    )
    speeds = np.array_equal(one.images_per_second, other.images_per_second, equal_nan=True)
    return arrays and speeds and (one.model, one.split, one.provenance) == (other.model, other.split, other.provenance)


def test_a_file_gives_back_what_was_written(tmp_path: Path, predictions: Predictions) -> None:
    path = tmp_path / "runs" / "vgg16-mlp" / "test.predictions.h5"
    predictions.write(path)
    assert same(Predictions.read(path), predictions)
    assert peek_split(path) == "test"
    assert [file.name for file in path.parent.iterdir()] == [path.name], "no temporary file is left"


def test_the_file_is_as_documented(tmp_path: Path, predictions: Predictions) -> None:
    predictions.write(tmp_path / "p.h5")
    with h5py.File(tmp_path / "p.h5") as file:
        assert dict(file.attrs) | {"provenance": ""} == {
            "schema": "predictions/1",
            "model": "vgg16-mlp",
            "split": "test",
            "images_per_second": 12.5,
            "provenance": "",
        }
        assert set(file) == {*STRINGS, "classes", "probability"}
        assert file["probability"].dtype == np.float32
        text = h5py.check_string_dtype(file["author"].dtype)
        assert text.encoding == "utf-8"
        assert text.length is None


def test_which_rows_no_choice_has_seen_travels_along(tmp_path: Path, predictions: Predictions) -> None:
    told = replace(predictions, unseen=np.array([True, False, True]))
    told.write(tmp_path / "p.h5")
    read = Predictions.read(tmp_path / "p.h5")
    assert read.unseen is not None
    assert read.unseen.tolist() == [True, False, True]
    chosen = read.take(np.array([1, 0])).unseen
    assert chosen is not None
    assert chosen.tolist() == [False, True]
    predictions.write(tmp_path / "q.h5")
    assert Predictions.read(tmp_path / "q.h5").unseen is None
    for wrong in (np.array([True, False]), np.array([1, 0, 1])):
        with pytest.raises(PredictionsError, match="`unseen` as one yes or no for each of 3 images"):
            replace(predictions, unseen=wrong)


def test_speed_and_provenance_are_optional(tmp_path: Path, predictions: Predictions) -> None:
    bare = replace(predictions, images_per_second=math.nan, provenance={})
    bare.write(tmp_path / "p.h5")
    with h5py.File(tmp_path / "p.h5") as file:
        assert set(file.attrs) == {"schema", "model", "split"}
    assert same(Predictions.read(tmp_path / "p.h5"), bare)


def test_additions_and_double_precision_are_tolerated(tmp_path: Path, predictions: Predictions) -> None:
    predictions.write(tmp_path / "p.h5")
    with h5py.File(tmp_path / "p.h5", "r+") as file:
        file["something_else"] = np.zeros(3)
        del file["probability"]
        file["probability"] = predictions.probability.astype(np.float64)
    assert same(Predictions.read(tmp_path / "p.h5"), predictions)


def test_log_sum_exp_travels_with_its_images(tmp_path: Path, predictions: Predictions) -> None:
    told = replace(predictions, log_sum_exp=np.array([1.5, -2.0, 30.0], dtype=np.float32))
    told.write(tmp_path / "p.h5")
    again = Predictions.read(tmp_path / "p.h5").take(np.array([2, 0]))
    assert again.log_sum_exp is not None
    assert again.log_sum_exp.tolist() == [30.0, 1.5]
    predictions.write(tmp_path / "p.h5")
    assert Predictions.read(tmp_path / "p.h5").log_sum_exp is None
    with pytest.raises(PredictionsError, match=r"finite `log_sum_exp`, got inf in row 1 \(image '10'\)"):
        replace(predictions, log_sum_exp=np.array([1, np.inf, 0], dtype=np.float32))
    with pytest.raises(PredictionsError, match="one `log_sum_exp` per image"):
        replace(predictions, log_sum_exp=np.zeros(2, dtype=np.float32))


def test_a_long_provenance_fits(tmp_path: Path, predictions: Predictions) -> None:
    long = replace(predictions, provenance={"list": ["x" * 100] * 5000})
    long.write(tmp_path / "p.h5")
    assert Predictions.read(tmp_path / "p.h5").provenance == long.provenance


def test_papers_become_strings_and_gaps_become_unknown() -> None:
    papers = pd.DataFrame(
        {
            "image_id": ["1", "2"],
            "observation_id": ["7", "7"],
            "author": ["anna", None],
            "view": ["Leaf", "Stem"],
            "class_id": [np.nan, "b"],
            "vote": [1.0, 2.0],
        },
        index=[5, 9],
    )
    probability = np.array([[0.1, 0.9], [0.8, 0.2]], dtype=np.float32)
    made = Predictions.from_papers(papers, model="m", split="valid", classes=["a", "b"], probability=probability)
    assert made.author.tolist() == ["anna", ""]
    assert made.true_class.tolist() == ["", "b"]
    assert made.image_id.dtype.kind == "U"
    with pytest.raises(PredictionsError, match="without author, view"):
        Predictions.from_papers(
            papers.drop(columns=["author", "view"]), model="m", split="valid", classes=["a"], probability=probability
        )


def test_selection_keeps_rows_together(predictions: Predictions) -> None:
    chosen = predictions.select(predictions.view != "Flower")
    assert chosen.image_id.tolist() == ["30", "blatt/20.jpg"]
    assert chosen.probability.tolist() == [[0.25, 0.75], [0.5, 0.5]]
    with pytest.raises(PredictionsError, match="at least one image"):
        predictions.select(np.zeros(3, dtype=np.bool_))


def test_arrays_cannot_be_changed_and_the_callers_can(predictions: Predictions) -> None:
    mine = np.array([[0.5, 0.5]] * 3, dtype=np.float32)
    held = replace(predictions, probability=mine)
    with pytest.raises(ValueError, match="read-only"):
        held.probability[0, 0] = 2
    mine[0] = [1, 0]


ROWS = [[0.25, 0.75], [1.0, 0.0], [0.5, 0.5]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": ""}, "a model with a name"),
        ({"split": "holdout"}, "a split out of train, valid, test, got 'holdout'"),
        ({"images_per_second": 0.0}, "above 0"),
        ({"images_per_second": math.inf}, "above 0"),
        ({"image_id": strings("a", "b", "a")}, "every image once, got 'a' again in row 2"),
        ({"image_id": strings("a", "", "c")}, "`image_id` in every row, got an empty one in row 1"),
        ({"observation_id": strings("a", "b", "")}, "`observation_id` in every row, got an empty one in row 2"),
        ({"view": strings("", "Leaf", "Leaf")}, "`view` in every row, got an empty one in row 0"),
        ({"view": strings("Leaf", "all", "Leaf")}, "'all', which stands for the total, in row 1"),
        ({"author": strings("a", "b")}, "one `author` per image, got 2 for 3 images"),
        ({"true_class": np.array([1, 2, 3])}, "`true_class` as one row of strings"),
        ({"classes": strings("9", "10")}, "got '10' after '9' at position 1"),
        ({"classes": strings("9", "9")}, "got '9' after '9' at position 1"),
        ({"classes": strings("", "9")}, "`classes` in every row"),
        ({"classes": strings("1", "2", "3")}, r"float32 of shape \(3, 3\)"),
        ({"probability": np.array(ROWS)}, "as float32 .* got float64"),
        ({"probability": np.array(ROWS[:2], dtype=np.float32)}, r"got float32 of shape \(2, 2\)"),
        ({"probability": np.array([*ROWS[:2], [math.nan, 1]], dtype=np.float32)}, "finite .* row 2 .*'blatt/20.jpg'"),
        ({"probability": np.array([[math.inf, 0], *ROWS[1:]], dtype=np.float32)}, "finite .* row 0 .*'30'"),
        ({"probability": np.array([ROWS[0], [1.25, -0.25], ROWS[2]], dtype=np.float32)}, "at least 0.* row 1"),
        ({"probability": np.array([ROWS[0], [0.5, 0.502], ROWS[2]], dtype=np.float32)}, "sum to 1 .* row 1"),
    ],
)
def test_every_broken_promise_is_refused(predictions: Predictions, change: dict[str, object], message: str) -> None:
    with pytest.raises(PredictionsError, match=message):
        replace(predictions, **change)


def test_equal_papers_are_kept_once(predictions: Predictions) -> None:
    other = replace(predictions, model="other", image_id=strings("1", "2", "3"), author=predictions.author.copy())
    shared = other.sharing(predictions)
    assert same(shared, other)
    assert shared.model == "other"
    assert np.shares_memory(shared.author, predictions.author)
    assert not np.shares_memory(shared.image_id, predictions.image_id)


def test_small_rounding_is_no_fault(predictions: Predictions) -> None:
    rows = np.array([[0.5, 0.5009], [0.4992, 0.5], [1, 0]], dtype=np.float32)
    assert replace(predictions, probability=rows).probability[0, 1] == np.float32(0.5009)


def damage(path: Path, dataset: str, row: int | tuple[int, int], value: object) -> None:
    with h5py.File(path, "r+") as file:
        file[dataset][row] = value


@pytest.mark.parametrize(
    ("dataset", "row", "value", "message"),
    [
        ("probability", (1, 0), math.nan, "finite"),
        ("probability", (1, 0), -1.0, "at least 0"),
        ("image_id", 2, "10", "every image once"),
        ("classes", 0, "99", "sorted"),
        ("image_id", 0, "", "empty one in row 0"),
    ],
)
def test_a_file_with_a_broken_row_is_named(
    tmp_path: Path, predictions: Predictions, dataset: str, row: int, value: object, message: str
) -> None:
    path = tmp_path / "test.predictions.h5"
    predictions.write(path)
    damage(path, dataset, row, value)
    with pytest.raises(PredictionsError, match=message) as refusal:
        Predictions.read(path)
    assert str(path) in str(refusal.value)
    assert "heads compare" in str(refusal.value) or "Sort" in str(refusal.value)


def test_unreadable_files_are_refused(tmp_path: Path, predictions: Predictions) -> None:
    path = tmp_path / "test.predictions.h5"
    with pytest.raises(PredictionsError, match="not a file"):
        Predictions.read(path)
    predictions.write(path)
    whole = path.read_bytes()
    for broken in (whole[: len(whole) // 2], b"", b"image_id,probability\n"):
        path.write_bytes(broken)
        with pytest.raises(PredictionsError, match=r"test\.predictions\.h5, which is damaged or of another kind"):
            Predictions.read(path)
        with pytest.raises(PredictionsError, match="damaged"):
            peek_split(path)


@pytest.mark.parametrize(("schema", "said"), [("predictions/0", "predictions/0"), (None, "none")])
def test_another_schema_says_what_rebuilds_the_file(
    tmp_path: Path, predictions: Predictions, schema: str | None, said: str
) -> None:
    path = tmp_path / "p.h5"
    predictions.write(path)
    with h5py.File(path, "r+") as file:
        del file.attrs["schema"]
        if schema:
            file.attrs["schema"] = schema
    with pytest.raises(PredictionsError, match=f"schema predictions/1, got {said} in .*heads compare"):
        Predictions.read(path)


def test_missing_and_mistyped_content_is_refused(tmp_path: Path, predictions: Predictions) -> None:
    path = tmp_path / "p.h5"
    changes = {
        "without author": lambda file: file.pop("author"),
        "attribute `model`": lambda file: file.attrs.pop("model"),
        "HDF5 string": lambda file: (file.pop("view"), file.create_dataset("view", data=[1, 2, 3])),
        "floating-point": lambda file: (file.pop("probability"), file.create_dataset("probability", data=[[1, 0]] * 3)),
        "damaged": lambda file: (file.pop("probability"), file.create_group("probability")),
        "kind": lambda file: file.attrs.__setitem__("provenance", "{"),
        "per image": lambda file: (file.pop("author"), file.create_dataset("author", data=["a"])),
    }
    for message, change in changes.items():
        predictions.write(path)
        with h5py.File(path, "r+") as file:
            change(file)
        with pytest.raises(PredictionsError, match=message) as refusal:
            Predictions.read(path)
        assert str(path) in str(refusal.value) or "attribute" in message


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, predictions: Predictions) -> None:
    path = tmp_path / "p.h5"
    predictions.write(path)
    not_text = replace(predictions, image_id=strings("1", "2", "caf\udce9.jpg"))
    with pytest.raises(PredictionsError, match="UTF-8"):
        not_text.write(path)
    assert same(Predictions.read(path), predictions)
    assert [file.name for file in tmp_path.iterdir()] == ["p.h5"]
