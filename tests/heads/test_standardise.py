from __future__ import annotations

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from heads.standardise import Affine, Standardisation


def test_it_equals_scikit_learns_scaler() -> None:
    """Over more rows than one block holds, and scales from 1e-5 to 1e5."""
    rng = np.random.default_rng(0)
    features = (rng.normal(3, 2, (9000, 7)) * 10.0 ** np.arange(-5, 9, 2)).astype(np.float32)
    scaler = StandardScaler().fit(features.astype(np.float64))
    found = Standardisation.fit(features)
    np.testing.assert_allclose(found.mean, scaler.mean_, rtol=1e-9)
    np.testing.assert_allclose(found.scale, scaler.scale_, rtol=1e-9)
    np.testing.assert_allclose(found.apply(features), scaler.transform(features.astype(np.float64)), atol=1e-6)


def test_a_column_that_does_not_vary_keeps_its_scale() -> None:
    noise = 1 + 1e-6 * np.random.default_rng(0).uniform(-1, 1, 500)
    columns = [np.zeros(500), np.full(500, 7.3), 2e4 * noise, -1e-3 * noise, 1 + 100 * (noise - 1)]
    found = Standardisation.fit(np.stack(columns, axis=1).astype(np.float32))
    assert found.scale[:4].tolist() == [1, 1, 1, 1]
    assert 1e-5 < found.scale[4] < 1e-4, "a column that varies by more than rounding is no constant"


def test_a_map_after_standardisation_is_one_map() -> None:
    rng = np.random.default_rng(1)
    features = (rng.normal(5, 3, (5000, 6)) * 10.0 ** np.arange(-3, 3)).astype(np.float32)
    weights, offset = rng.normal(size=(6, 4)), rng.normal(size=4)
    standardisation = Standardisation.fit(features)
    together = standardisation.then(weights, offset)
    np.testing.assert_allclose(
        together.apply(features), standardisation.apply(features) @ weights + offset, atol=1e-9, rtol=1e-9
    )


def test_a_map_whose_parts_do_not_fit_cannot_exist() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        Affine(np.zeros((3, 4)), np.zeros(3))
