from __future__ import annotations

from pathlib import Path

import lightgbm
import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from featstore.errors import SettingsError
from heads.boosted import BoostedHead
from heads.examples import Examples


def data(seed: int, n: int) -> Examples:
    centres = np.random.default_rng(50).normal(size=(3, 20))
    rng = np.random.default_rng(seed)
    number = np.arange(n) % 3
    return Examples(
        (centres[number] + rng.normal(0, 1.5, (n, 20))).astype(np.float32), np.array(["b", "a", "c"])[number]
    )


TRAIN, VALID = data(0, 150), data(1, 90)


@pytest.fixture(scope="module")
def fitted() -> BoostedHead:
    return BoostedHead(patience=7, components=6).fit(TRAIN.features, TRAIN.labels, valid=VALID)


def test_it_sees_the_principal_components_of_standardised_features(fitted: BoostedHead) -> None:
    pipeline = make_pipeline(StandardScaler(), PCA(6)).fit(TRAIN.features.astype(np.float64))
    expected = pipeline.transform(VALID.features.astype(np.float64))
    found = fitted._preparation.apply(VALID.features)
    # The sign of a component is free.
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-4)


def test_the_round_with_the_lowest_validation_loss_is_kept(fitted: BoostedHead) -> None:
    losses = [row["val_multi_logloss"] for row in fitted.log_]
    best = int(np.argmin(losses))
    assert fitted.chosen_ == {"rounds": best + 1}
    assert len(losses) == best + 1 + 7, "boosting ends `patience` rounds after the best"
    assert log_loss(VALID.labels, fitted.predict_proba(VALID.features)) == pytest.approx(losses[best], rel=1e-5)


def test_only_the_rounds_that_count_are_saved(fitted: BoostedHead, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    saved = lightgbm.Booster(model_file=str(tmp_path / "booster.txt"))
    assert saved.current_iteration() == fitted.chosen_["rounds"]
    assert saved.num_model_per_iteration() == 3


def test_the_seed_draws_thresholds_and_components() -> None:
    first, second = (
        BoostedHead(seed=seed, rounds=5).fit(TRAIN.features, TRAIN.labels).predict_proba(VALID.features)
        for seed in (0, 1)
    )
    assert np.abs(first - second).max() > 0.01


def test_the_number_of_threads_does_not_matter(fitted: BoostedHead, monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = BoostedHead._parameters
    monkeypatch.setattr(BoostedHead, "_parameters", lambda self: parameters(self) | {"num_threads": 3})
    together = BoostedHead(patience=7, components=6).fit(TRAIN.features, TRAIN.labels, valid=VALID)
    np.testing.assert_array_equal(together.predict_proba(VALID.features), fitted.predict_proba(VALID.features))


def test_a_fit_still_improving_at_the_end_says_so() -> None:
    head = BoostedHead(rounds=3).fit(TRAIN.features, TRAIN.labels, valid=VALID)
    assert head.remarks_ == ("lightgbm was still improving after 3 rounds",)


@pytest.mark.parametrize("setting", [{"rounds": 0}, {"n_leaves": 1}, {"learning_rate": 2}, {"component_share": 0}])
def test_settings_out_of_range_are_refused(setting: dict[str, int]) -> None:
    with pytest.raises(SettingsError, match=next(iter(setting))):
        BoostedHead(**setting)
