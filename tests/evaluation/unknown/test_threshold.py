"""Thresholds reach what they are chosen for, and survive being written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.unknown.detection import Plants
from evaluation.unknown.threshold import Chosen, Target, Thresholds, choose_threshold, read_chosen, read_threshold
from featstore.errors import PredictionsError, SettingsError

REACHED = {"valid": {"coverage": 0.95}, "test": {"coverage": 0.9, "unknown_rejected": 0.25}}


@given(st.integers(0, 10**6), st.sampled_from([0.3, 0.8, 0.95, 1.0]))
def test_the_best_threshold_of_all_that_there_are(seed: int, level: float) -> None:
    rng = np.random.default_rng(seed)
    known = rng.random(30) < 0.7
    known[0] = True
    right = known & (rng.random(30) < 0.7)
    plants = Plants(known, right, right * 1.0, np.full(30, ""))
    score = rng.integers(0, 12, 30) / 12
    covering = [t for t in np.unique(score) if (score >= t)[known].mean() >= level - 1e-9]
    assert choose_threshold(plants, score, Target("coverage", level)) == max(covering)
    precise = [t for t in np.unique(score) if right[score >= t].mean() >= level - 1e-9]
    found = choose_threshold(plants, score, Target("precision", level))
    assert found == (min(precise) if precise else None)


def test_a_target_out_of_range_is_refused() -> None:
    for level in (0.0, 1.1):
        with pytest.raises(SettingsError, match="coverage above 0"):
            Target("coverage", level)


def test_thresholds_are_read_as_they_were_written(tmp_path: Path) -> None:
    written = Thresholds("m", "valid", "ab" * 32, Target(), {"margin": 0.1 + 0.2}, {"margin": REACHED})
    path = written.write(tmp_path)
    assert read_threshold(path, "margin") == 0.1 + 0.2
    assert read_chosen(path, "margin") == Chosen(0.1 + 0.2, "ab" * 32, {"test": 0.25})
    with pytest.raises(PredictionsError, match="threshold for energy, got those for margin"):
        read_threshold(path, "energy")
    path.write_text('{"schema": "threshold/9"}', encoding="utf-8")
    with pytest.raises(PredictionsError, match=r"schema threshold/2, got 'threshold/9'"):
        read_threshold(path)
    with pytest.raises(PredictionsError, match="not there"):
        read_threshold(tmp_path / "none.json")
