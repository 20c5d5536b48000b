"""Rows beside the best one: who is best, by which direction, and when nothing can be said."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evaluation.comparison import BEST, NOT_DISTINGUISHABLE, compare_rows
from evaluation.intervals import difference
from evaluation.ranking import Ranked
from evaluation.scores import METRICS

N = 60


def run(rank: np.ndarray, own: np.ndarray | None = None, plants: str = "o") -> Ranked:
    n = len(rank)
    likely = np.full(n, 0.5) if own is None else own
    return Ranked(
        np.array([f"{plants}{row}" for row in range(n)]), np.array(["a", "b"] * (n // 2)), rank.astype(np.float64),
        np.array([f"author {row // 2}" for row in range(n)]), np.empty(0), np.empty(0, dtype=np.intp), likely, likely,
    )  # fmt: skip


def test_rows_are_worse_or_not_distinguishable() -> None:
    rng = np.random.default_rng(0)
    good = rng.integers(1, 4, N)
    rows = {
        "equal": run(np.where(rng.random(N) < 0.1, 4 - good, good) + rng.permutation(N) // (N - 1)),
        "good": run(good),
        "bad": run(good + 2),
        "others": run(good, plants="p"),
    }
    found = {row.run: row for row in compare_rows(rows)}
    assert list(found) == list(rows)
    best = max(found.values(), key=lambda row: row.value).run
    assert [name for name, row in found.items() if row.is_best] == [best]
    assert found[best].words == BEST
    less = difference(METRICS["S"](rows["bad"]), METRICS["S"](rows[best]))
    assert found["bad"].less_best == less
    assert found["bad"].words == f"{less.value:+.4f}"
    assert found["bad"].p_value < 0.01
    (alike,) = {"equal", "good"} - {best}
    assert found[alike].words == NOT_DISTINGUISHABLE
    assert found[alike].p_value > 0.05
    assert found["others"].words == "-"
    assert found["others"].to_json()["less_best"] is None


def test_of_losses_the_lowest_is_best() -> None:
    rank = np.ones(N)
    rows = {"sure": run(rank, np.full(N, 0.9)), "unsure": run(rank, np.full(N, 0.2))}
    found = {row.run: row for row in compare_rows(rows, METRICS["log_loss"])}
    assert found["sure"].is_best
    assert found["unsure"].less_best.value == pytest.approx(math.log(0.9 / 0.2))
    assert found["unsure"].words.startswith("+")


def test_places_without_probabilities_have_no_loss() -> None:
    places = Ranked(*(getattr(run(np.ones(4)), name) for name in (
        "observation_id", "true_class", "rank", "author", "image_rank", "plant",
    )))  # fmt: skip
    (row,) = compare_rows({"places": places}, METRICS["log_loss"])
    assert (row.is_best, row.words, math.isnan(row.value)) == (False, "-", True)
    assert METRICS["calibration_error"](places) is None
