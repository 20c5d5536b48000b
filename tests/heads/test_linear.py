from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from featstore.errors import SettingsError
from heads.linear import LogisticHead


@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("inverse_penalty", [0.01, 1.0])
def test_it_equals_scikit_learns_pipeline(n_classes: int, inverse_penalty: float) -> None:
    rng = np.random.default_rng(n_classes)
    number = rng.integers(0, n_classes, 200)
    features = (rng.normal(size=(n_classes, 30))[number] + rng.normal(0, 2, (200, 30))).astype(np.float32)
    labels = np.char.mod("c%d", number)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=inverse_penalty, max_iter=1000))
    expected = pipeline.fit(features.astype(np.float64), labels).predict_proba(features.astype(np.float64))
    head = LogisticHead(inverse_penalty=inverse_penalty).fit(features, labels)
    np.testing.assert_allclose(head.predict_proba(features), expected, atol=2e-5)
    assert head.classes_.tolist() == pipeline.classes_.tolist()
    scores = pipeline.decision_function(features.astype(np.float64))
    logits = np.stack([np.zeros_like(scores), scores], axis=1) if n_classes == 2 else scores
    np.testing.assert_allclose(head.log_sum_exp(features), np.log(np.exp(logits).sum(axis=1)), atol=1e-3)


def test_a_fit_that_did_not_converge_says_so() -> None:
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(60, 8)).astype(np.float32), np.array(["a", "b", "c"] * 20)
    head = LogisticHead(max_iterations=2).fit(features, labels)
    assert head.remarks_ == ("logistic had not converged after 2 iterations",)
    assert LogisticHead().fit(features, labels).remarks_ == ()


@pytest.mark.parametrize("setting", [{"inverse_penalty": 0.0}, {"max_iterations": 0}, {"seed": -1}])
def test_settings_out_of_range_are_refused(setting: dict[str, int]) -> None:
    with pytest.raises(SettingsError, match=next(iter(setting))):
        LogisticHead(**setting)
