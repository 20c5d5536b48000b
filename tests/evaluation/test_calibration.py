from __future__ import annotations

import numpy as np
import pytest

from evaluation.calibration import ANY_VIEW, cross_calibrated, fit_calibration, reliability
from evaluation.predictions import Predictions
from evaluation.unknown.detection import unknown_auroc


def overconfident(n: int = 4000, sharpness: float = 3.0) -> Predictions:
    """Labels drawn from known probabilities, which are then told `sharpness` times as surely."""
    rng = np.random.default_rng(5)
    logits = rng.normal(0, 1.5, (n, 4))
    honest = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = np.array([rng.choice(4, p=row) for row in honest])
    told = np.exp(sharpness * logits)
    ids = np.array([f"{row}" for row in range(n)])
    return Predictions(
        "m", "valid", ids, ids, ids, np.where(np.arange(n) % 2, "Leaf", "Flower"), np.array(list("abcd"))[truth],
        np.array(list("abcd")), (told / told.sum(axis=1, keepdims=True)).astype(np.float32),
    )  # fmt: skip


def test_the_temperature_undoes_what_was_done() -> None:
    found = fit_calibration(overconfident(), by_view=True)
    assert set(found.temperatures) == {ANY_VIEW, "Flower", "Leaf"}
    for temperature in found.temperatures.values():
        assert temperature == pytest.approx(3.0, rel=0.1)


def test_the_error_falls_and_rankings_stay() -> None:
    told = overconfident()
    after = cross_calibrated(told, by_view=False, seed=0)
    before, now = reliability(told), reliability(after)
    assert before is not None
    assert now is not None
    assert before.error > 0.15
    assert now.error < 0.03
    np.testing.assert_array_equal(told.probability.argmax(axis=1), after.probability.argmax(axis=1))


def test_the_error_is_that_of_its_definition() -> None:
    told = overconfident(300)
    found = reliability(told, 10)
    sure = told.probability.max(axis=1).astype(float)
    right = told.classes[told.probability.argmax(axis=1)] == told.true_class
    expected = 0.0
    for part in range(10):
        rows = (sure > part / 10) & (sure <= (part + 1) / 10)
        if rows.any():
            expected += rows.mean() * abs(sure[rows].mean() - right[rows].mean())
    assert found is not None
    assert found.error == pytest.approx(expected, abs=1e-6)


def test_unknown_species_are_told_by_low_probabilities() -> None:
    told = overconfident(200)
    truth = told.true_class.copy()
    sure = told.probability.max(axis=1)
    truth[sure < np.median(sure)] = "z"
    strange = Predictions(
        "m", "test", told.image_id, told.observation_id, told.author, told.view, truth, told.classes, told.probability
    )
    assert unknown_auroc(strange) == pytest.approx(1.0, abs=0.01)
    assert unknown_auroc(told) is None
