"""A file that is written part by part is the one that is written at once, or it is not there."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from evaluation.filing import OPTIONAL, STRINGS, RowWriter, open_writer
from evaluation.predictions import Predictions
from featstore.errors import PredictionsError

N, K = 40, 3


def predictions() -> Predictions:
    rng = np.random.default_rng(5)
    return Predictions(
        model="net",
        split="test",
        image_id=np.array([f"i{row:02}" for row in range(N)]),
        observation_id=np.array([f"o{row // 2}" for row in range(N)]),
        author=np.full(N, "Zoë"),
        view=np.full(N, "Leaf"),
        true_class=np.full(N, "a"),
        classes=np.array(["a", "b", "c"]),
        probability=rng.dirichlet(np.ones(K), N).astype(np.float32),
        unseen=rng.random(N) < 0.5,
        log_sum_exp=rng.normal(size=N).astype(np.float32),
    )


def strings(said: Predictions) -> dict[str, np.ndarray]:
    return {name: getattr(said, name) for name in (*STRINGS, "classes")}


def test_parts_in_any_order_from_threads_make_the_whole(tmp_path: Path) -> None:
    said = predictions()
    said.write(tmp_path / "whole.h5")
    optional = {name: getattr(said, name) for name in OPTIONAL}
    lows = np.random.default_rng(1).permutation(np.arange(0, N, 7)).tolist()
    with open_writer(tmp_path / "parts.h5", {"model": "net", "split": "test"}, strings(said), optional) as write:
        assert not (tmp_path / "parts.h5").exists()
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda low: write(low, said.probability[low : low + 7].astype(np.float64)), lows))
    for path in (tmp_path / "whole.h5", tmp_path / "parts.h5"):
        for found in (Predictions.read(path), Predictions.open(path).loaded()):
            for name in (*STRINGS, "classes", "probability", *OPTIONAL):
                np.testing.assert_array_equal(getattr(found, name), getattr(said, name))


def write_all(write: RowWriter, *parts: np.ndarray) -> None:
    low = 0
    for rows in parts:
        write(low, rows)
        low += len(rows)


def test_a_row_that_is_no_distribution_leaves_no_file(tmp_path: Path) -> None:
    said, path = predictions(), tmp_path / "new" / "p.h5"
    rows = said.probability.copy()
    rows[9, 1] = np.nan
    with (
        pytest.raises(PredictionsError, match=r"row 9 \(image 'i09'"),
        open_writer(path, {"model": "net", "split": "test"}, strings(said), {}) as write,
    ):
        write_all(write, rows[:5], rows[5:])
    assert list(path.parent.iterdir()) == []


def test_what_is_known_of_images_goes_where_they_go(tmp_path: Path) -> None:
    said = predictions()
    said.write(tmp_path / "p.h5")
    rows = np.random.default_rng(2).permutation(N)[:11]
    for one in (said, Predictions.open(tmp_path / "p.h5")):
        moved = one.take(rows).sharing(one)
        for name in (*STRINGS, *OPTIONAL):
            np.testing.assert_array_equal(getattr(moved, name), getattr(said, name)[rows])
        np.testing.assert_array_equal(moved.probability[:], said.probability[rows])
