"""Rows that stay in their file are those that were written, whatever the layout, and none that breaks the format."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from evaluation import rows as rows_module
from evaluation.predictions import STRINGS, Predictions
from evaluation.rows import row_blocks, same_rows
from featstore.errors import PredictionsError

N_IMAGES, N_CLASSES = 60, 7
LAYOUTS = {
    "contiguous": {},
    "chunked": {"chunks": (7, 3)},
    "compressed": {"compression": "gzip", "shuffle": True},
    "double": {"dtype": np.float64},
    "big-endian": {"dtype": ">f4"},
}


@pytest.fixture
def predictions() -> Predictions:
    rng = np.random.default_rng(4)
    return Predictions(
        model="net",
        split="test",
        image_id=np.array([f"i{n:02}" for n in range(N_IMAGES)]),
        observation_id=np.array([f"o{n // 3}" for n in range(N_IMAGES)]),
        author=np.full(N_IMAGES, ""),
        view=np.full(N_IMAGES, "Leaf"),
        true_class=np.full(N_IMAGES, "c0"),
        classes=np.array([f"c{n}" for n in range(N_CLASSES)]),
        probability=rng.dirichlet(np.ones(N_CLASSES), N_IMAGES).astype(np.float32),
    )


def written(path: Path, predictions: Predictions, layout: dict[str, object]) -> Path:
    predictions.write(path)
    with h5py.File(path, "r+") as file:
        del file["probability"]
        file.create_dataset("probability", data=predictions.probability, **layout)
    return path


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_every_row(tmp_path: Path, predictions: Predictions, layout: str) -> None:
    path = written(tmp_path / "p.h5", predictions, LAYOUTS[layout])
    stored = Predictions.open(path).probability
    order = np.random.default_rng(1).permutation(N_IMAGES)
    np.testing.assert_array_equal(stored[order], predictions.probability[order])
    np.testing.assert_array_equal(stored[order < 5], predictions.probability[order < 5])
    np.testing.assert_array_equal(stored[3:9], predictions.probability[3:9])
    np.testing.assert_array_equal(np.asarray(stored), predictions.probability)
    np.testing.assert_array_equal(Predictions.read(path).probability, predictions.probability)
    assert (stored.shape, len(stored), stored.dtype) == ((N_IMAGES, N_CLASSES), N_IMAGES, np.float32)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("cells", [1, 10 * N_CLASSES])
def test_a_broken_row_in_any_block_is_named(
    tmp_path: Path, predictions: Predictions, layout: str, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows_module, "CELLS_AT_ONCE", cells)
    path = written(tmp_path / "p.h5", predictions, LAYOUTS[layout])
    with h5py.File(path, "r+") as file:
        file["probability"][43, 2] = np.nan
    for opened in (Predictions.open, Predictions.read):
        with pytest.raises(PredictionsError, match=r"finite probabilities, got row 43 \(image 'i43'.*p\.h5"):
            opened(path)


def test_taken_rows_stay_in_the_file(tmp_path: Path, predictions: Predictions) -> None:
    order = np.random.default_rng(2).permutation(N_IMAGES)[:20]
    stored = Predictions.open(written(tmp_path / "p.h5", predictions, {})).take(order)
    assert not isinstance(stored.probability, np.ndarray)
    loaded, expected = stored.take(np.arange(19, -1, -1)).loaded(), predictions.take(order[::-1])
    for name in (*STRINGS, "probability"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(expected, name))


def test_stored_predictions_can_be_written_again(tmp_path: Path, predictions: Predictions) -> None:
    Predictions.open(written(tmp_path / "p.h5", predictions, {})).write(tmp_path / "copy.h5")
    np.testing.assert_array_equal(Predictions.read(tmp_path / "copy.h5").probability, predictions.probability)


def test_what_was_proved_is_what_is_read(tmp_path: Path, predictions: Predictions) -> None:
    path = written(tmp_path / "p.h5", predictions, {})
    stored = Predictions.open(path)
    other = predictions.probability[::-1]
    replace(predictions, probability=other).write(path)
    np.testing.assert_array_equal(stored.loaded().probability, predictions.probability)
    path.unlink()
    np.testing.assert_array_equal(stored.probability[[5]], predictions.probability[[5]])


def test_a_matrix_of_another_shape_is_refused(tmp_path: Path, predictions: Predictions) -> None:
    path = written(tmp_path / "p.h5", predictions, {"chunks": (7, 3)})
    for matrix in (predictions.probability[1:], predictions.probability[:, 1:], predictions.probability[:0]):
        with h5py.File(path, "r+") as file:
            del file["probability"]
            file.create_dataset("probability", data=matrix)
        with pytest.raises(PredictionsError, match=rf"float32 of shape \({N_IMAGES}, {N_CLASSES}\).*p\.h5"):
            Predictions.open(path)


def test_equal_matrices_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "CELLS_AT_ONCE", 6)
    first = np.arange(30.0).reshape(10, 3)
    second = first.copy()
    assert same_rows(first, second)
    second[9, 2] = 0
    assert not same_rows(first, second)
    assert not same_rows(first, first[:9])
    assert [block.stop - block.start for block in row_blocks((5, 3))] == [2, 2, 1]
    assert [block.stop for block in row_blocks((2, 100))] == [1, 2], "at least a row at a time"
