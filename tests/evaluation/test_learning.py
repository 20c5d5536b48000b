"""Learned weights equal brute force, and nothing is judged by what it taught."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import lsq_linear

from evaluation.learning import select_unseen, shared_answers
from evaluation.lessons import SEEN, find_lesson
from evaluation.members import load_members
from evaluation.metrics import average_ranks
from evaluation.predictions import Predictions
from evaluation.rules.evidence import Evidence, linear_loss
from evaluation.rules.learned import folds_of
from evaluation.rules.stacking import Stacking
from evaluation.rules.weighing import by_least_squares, by_log_loss, by_selection
from evaluation.runs import predictions_path
from featstore.errors import SettingsError


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    """Two sources with a row each, the first the better one."""
    rng = np.random.default_rng(4)
    number = rng.integers(0, 4, 80)
    rows = np.stack([rng.dirichlet(np.ones(4), 80) + lift * np.eye(4)[number] for lift in (0.45, 0.35)])
    rows = (rows / rows.sum(axis=2, keepdims=True)).astype(np.float32)
    own = rows[:, np.arange(80), number].T.astype(np.float64)
    logs = (np.log(rows) / 2).astype(np.float32)
    return Evidence(number, np.empty((0, 2), dtype=np.intp), np.ones((80, 2)), own, rows, logs)


def test_log_loss_weights_are_the_best_of_a_grid(evidence: Evidence) -> None:
    (found,) = by_log_loss(evidence, [0.0])
    tried = [linear_loss(np.array([share, 1 - share]), evidence).mean() for share in np.linspace(0.001, 0.999, 999)]
    assert linear_loss(found, evidence).mean() == pytest.approx(min(tried), abs=1e-6)
    assert found.mean() == pytest.approx(1)


def test_least_squares_equal_scipy_on_the_whole_matrix(evidence: Evidence) -> None:
    (found,) = by_least_squares(evidence, [0.0])
    assert evidence.sums is not None
    design = evidence.sums.reshape(2, -1).T.astype(np.float64)
    expected = lsq_linear(design, np.eye(4)[evidence.number].ravel(), bounds=(0, np.inf)).x
    np.testing.assert_allclose(found, expected / expected.mean(), rtol=1e-4, atol=1e-6)


def test_strength_leads_to_equal_weights(evidence: Evidence) -> None:
    for path in (by_log_loss(evidence, [1e6, 0.1, 0.0]), by_least_squares(evidence, [1e6, 0.1, 0.0])):
        np.testing.assert_allclose(path[0], 1, atol=1e-3)
        assert path[0][0] < path[1][0] < path[2][0]
    np.testing.assert_allclose(by_selection(evidence, [1.0], 0)[0], 1)


def test_greedy_selection_is_as_good_as_the_best_mixture(evidence: Evidence) -> None:
    assert evidence.sums is not None

    def score(weights: np.ndarray) -> float:
        pool = np.tensordot(weights, evidence.sums, 1)
        return float(np.mean(1 / average_ranks(pool, evidence.number)))

    (found,) = by_selection(evidence, [0.0], seed=0)
    mixtures = [np.array(pair) for pair in itertools.product(range(5), repeat=2) if any(pair)]
    assert score(found) >= max(score(mixture) for mixture in mixtures) - 0.02
    np.testing.assert_array_equal(by_selection(evidence, [0.0], seed=0)[0], found)


@pytest.mark.parametrize("stacking", [Stacking(), Stacking(bias=True), Stacking(bias=True, classwise=True)])
def test_the_slope_of_the_stacked_loss_is_right(stacking: Stacking, evidence: Evidence) -> None:
    loss = stacking._loss(evidence, 0.1)
    x = stacking._pack(evidence)
    x = x + np.random.default_rng(0).normal(0, 0.05, len(x))
    slope = loss(x)[1]
    for place in range(len(x)):
        step = 1e-2 * np.eye(len(x))[place]
        assert slope[place] == pytest.approx((loss(x + step)[0] - loss(x - step)[0]) / 2e-2, abs=2e-3)


def test_folds_keep_apart_what_shares_an_answer() -> None:
    number = np.repeat(np.arange(5), 20)
    shared = np.array([[0, 7], [50, 7], [3, 8], [4, 8]])
    sides = folds_of(number, shared, seed=0)
    np.testing.assert_array_equal(np.sum([asked for _, asked in sides], axis=0), 1)
    for known, asked in sides:
        assert not (known & asked).any()
        assert np.bincount(number[asked]).tolist() == [4] * 5
        for one, other in ((0, 50), (50, 0), (3, 4), (4, 3)):
            assert not (asked[one] and known[other])
    assert folds_of(number[:19], shared[:0], seed=0) == []


def write_members(folder: Path, n: int = 60, *, flagged: int = 0, out_of_fold: bool = False) -> list[Path]:
    """Two runs with n plants of one image in valid and test, and in train out of fold."""
    rng = np.random.default_rng(0)
    truth = np.arange(n) % 3
    for name in ("one", "two"):
        logits = 2 * np.eye(3)[truth] + rng.normal(0, 1, (n, 3))
        probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        whole = Predictions(
            model=name,
            split="valid",
            image_id=np.array([f"{row}" for row in range(n)]),
            observation_id=np.array([f"o{row}" for row in range(n)]),
            author=np.full(n, ""),
            view=np.full(n, "Leaf"),
            true_class=np.array([f"c{number}" for number in truth]),
            classes=np.array(["c0", "c1", "c2"]),
            probability=probability.astype(np.float32),
            unseen=np.arange(n) < flagged if flagged else None,
        )
        whole.write(predictions_path(folder / name, "valid"))
        replace(whole, split="test", unseen=None).write(predictions_path(folder / name, "test"))
        if out_of_fold:
            replace(whole, split="train", unseen=None).write(predictions_path(folder / name, "train", "oof"))
    return [folder / "one", folder / "two"]


def test_the_most_honest_plants_teach(tmp_path: Path) -> None:
    cases = {"seen": {}, "flagged": {"flagged": 30}, "few": {"flagged": 10}, "folds": {"out_of_fold": True}}
    found = {}
    for name, settings in cases.items():
        members = load_members(write_members(tmp_path / name, **settings)).fused
        found[name] = find_lesson(members, ["auto"], "image")
    n_plants = {name: len(lesson.aligned.observations[0].observation_id) for name, lesson in found.items()}
    assert n_plants == {"seen": 60, "flagged": 30, "few": 60, "folds": 60}
    assert {name: lesson.warnings for name, lesson in found.items()} == {
        "seen": (SEEN,), "flagged": (), "few": (SEEN,), "folds": (),
    }  # fmt: skip
    members = load_members(write_members(tmp_path / "tiny", 12)).fused
    assert "Only 12 plants to learn from" in find_lesson(members, ["valid"], "image").warnings[1]
    assert found["folds"].aligned.members[0].split == "train"
    assert select_unseen(found["seen"].aligned) is None


def test_lessons_that_are_not_there(tmp_path: Path) -> None:
    runs = write_members(tmp_path)
    members = load_members(runs).fused
    with pytest.raises(SettingsError, match=r"no .*train\.oof\.predictions\.h5 and 1 more"):
        find_lesson(members, ["oof"], "image")
    with pytest.raises(SettingsError, match=r"or one file per model \(2\), got a, b, c"):
        find_lesson(members, ["a", "b", "c"], "image")
    files = [str(predictions_path(run, "valid")) for run in runs]
    assert find_lesson(members, files, "image").source == "files"


def test_equal_answers_of_all_members_are_shared(tmp_path: Path) -> None:
    lesson = find_lesson(load_members(write_members(tmp_path)).fused, ["valid"], "image").aligned
    kept = np.arange(60)
    assert len(shared_answers(lesson, kept)) == 0
    first, second = lesson.members
    twice = first.probability.copy()
    twice[5] = twice[9]
    one = replace(first, probability=twice)
    assert len(shared_answers(replace(lesson, members=(one, second)), kept)) == 0
    pairs = shared_answers(replace(lesson, members=(one, one)), kept)
    plants = lesson.observations[0].observation_id[pairs[:, 0]]
    assert sorted(plants) == ["o5", "o9"]
    assert len(set(pairs[:, 1].tolist())) == 1
