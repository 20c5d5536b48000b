"""Labels beside lines keep their distance and move no further than they must."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from evaluation.gain.pictures import spread

heights = st.lists(st.integers(0, 20).map(float), min_size=1, max_size=5)


@given(heights)
def test_labels_keep_their_distance_and_order(values: list[float]) -> None:
    moved = np.array(spread(values, 2.0))
    order = np.argsort(values, kind="stable")
    assert np.all(np.diff(moved[order]) >= 2.0 - 1e-9)


@pytest.mark.parametrize("values", [[0.0, 0.0], [0.0, 1.0, 9.0], [5.0, 5.0, 5.5, 0.0], [3.0]])
def test_no_placing_moves_less(values: list[float]) -> None:
    """Least squares under the same distances, by a general solver."""
    order = np.argsort(values, kind="stable")
    gaps = [{"type": "ineq", "fun": lambda y, a=a, b=b: y[b] - y[a] - 2.0} for a, b in pairwise(order)]
    best = minimize(lambda y: np.sum((y - values) ** 2), np.array(values), constraints=gaps, method="SLSQP")
    assert spread(values, 2.0) == pytest.approx(best.x, abs=1e-4)
