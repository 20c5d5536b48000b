"""Heads equal scikit-learn's own on the same arrays, and temperatures are where the loss is lowest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from evaluation.temperature import choose_temperature
from featstore.errors import SettingsError
from heads.baseline import DummyHead
from heads.choice import HeadChoice
from heads.discriminant import CHOOSE, LdaHead
from heads.examples import Examples
from heads.margin import RidgeHead, SvmHead
from heads.registry import load_head
from heads.similarity import KnnHead, PrototypeHead

D, CLASSES = 20, np.array(["10", "9", "a", "b", "c"])


def data(seed: int, n: int) -> tuple[NDArray[np.float32], NDArray[np.str_]]:
    """Five overlapping classes of unequal size, columns of unequal scale."""
    centres = np.random.default_rng(1).normal(size=(5, D))
    rng = np.random.default_rng(seed)
    number = rng.choice(5, n, p=[0.4, 0.3, 0.15, 0.1, 0.05])
    features = centres[number] + rng.normal(0, 1.5, (n, D))
    return (features * np.linspace(0.1, 30, D) + 5).astype(np.float32), CLASSES[number]


(TRAIN, LABELS), (TEST, TRUTH) = data(2, 300), data(3, 120)
SCALER = StandardScaler().fit(TRAIN.astype(np.float64))
SCALED, SCALED_TEST = SCALER.transform(TRAIN.astype(np.float64)), SCALER.transform(TEST.astype(np.float64))


def unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("shrinkage", [0.0, 0.1, 0.9])
def test_lda_is_scikit_learns(shrinkage: float) -> None:
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage or None).fit(SCALED, LABELS)
    ours = LdaHead(shrinkage=shrinkage).fit(TRAIN, LABELS)
    np.testing.assert_allclose(ours.predict_proba(TEST), theirs.predict_proba(SCALED_TEST), atol=1e-5)


def test_ldas_shrinkage_is_estimated_once_on_the_pooled_rest() -> None:
    from sklearn.covariance import LedoitWolf

    head = LdaHead().fit(TRAIN, LABELS)
    rest = SCALED - np.stack([SCALED[label == LABELS].mean(axis=0) for label in LABELS])
    assert head.shrinkage_ == pytest.approx(LedoitWolf(assume_centered=True).fit(rest).shrinkage_, abs=1e-6)
    same = LdaHead(shrinkage=head.shrinkage_).fit(TRAIN, LABELS)
    np.testing.assert_allclose(head.predict_proba(TEST), same.predict_proba(TEST), atol=1e-6)
    with pytest.raises(SettingsError):
        LdaHead(shrinkage=-0.5)
    assert head.shrinkage == CHOOSE


def test_ldas_shrinkage_can_be_estimated_whatever_valid_would_choose(tmp_path: Path) -> None:
    choice = HeadChoice.parse("lda:shrinkage=auto")
    assert choice.settings == {"shrinkage": "auto"}
    with pytest.raises(SettingsError, match="shrinkage of lda as a number or auto, got 'much'"):
        HeadChoice.parse("lda:shrinkage=much")
    estimated, valid = LdaHead().fit(TRAIN, LABELS), Examples(TEST, TRUTH)
    head = choice.create(0).fit(TRAIN, LABELS, valid=valid)
    assert head.shrinkage_ == estimated.shrinkage_ != LdaHead().fit(TRAIN, LABELS, valid=valid).shrinkage_
    assert set(head.chosen_) == {"temperature"}
    # Fitted again on other photographs, it is estimated on these.
    again = head.for_refit().fit(np.concatenate([TRAIN, TEST]), np.concatenate([LABELS, TRUTH]))
    both = LdaHead().fit(np.concatenate([TRAIN, TEST]), np.concatenate([LABELS, TRUTH]))
    assert again.shrinkage_ == both.shrinkage_ != head.shrinkage_
    head.save(tmp_path)
    opened = load_head(tmp_path)
    assert opened.settings()["shrinkage"] == "auto"
    np.testing.assert_array_equal(opened.predict_proba(TEST), head.predict_proba(TEST))
    with pytest.raises(SettingsError, match="`shrinkage` as a number or auto"):
        LdaHead(shrinkage="much")


@pytest.mark.parametrize("penalty", [0.1, 100.0])
def test_ridge_is_scikit_learns(penalty: float) -> None:
    theirs = RidgeClassifier(alpha=penalty).fit(SCALED, LABELS)
    ours = RidgeHead(penalty=penalty, temperature=0.5).fit(TRAIN, LABELS)
    expected = softmax(theirs.decision_function(SCALED_TEST) / 0.5, axis=1)
    np.testing.assert_allclose(ours.predict_proba(TEST), expected, atol=1e-5)


def test_svm_is_scikit_learns() -> None:
    theirs = LinearSVC(C=0.01, random_state=0).fit(SCALED, np.searchsorted(np.sort(CLASSES), LABELS))
    ours = SvmHead(inverse_penalty=0.01, temperature=1.0).fit(TRAIN, LABELS)
    expected = softmax(theirs.decision_function(SCALED_TEST), axis=1)
    np.testing.assert_allclose(ours.predict_proba(TEST), expected, atol=1e-4)


def test_svm_says_when_it_has_not_converged() -> None:
    head = SvmHead(inverse_penalty=10.0, max_iterations=1).fit(TRAIN, LABELS)
    assert head.remarks_ == ("svm had not converged after 1 iterations",)


def test_knn_is_scikit_learns() -> None:
    theirs = KNeighborsClassifier(
        7, algorithm="brute", metric="euclidean", weights=lambda distance: np.exp((1 - distance**2 / 2) / 0.2)
    ).fit(unit(SCALED), LABELS)
    ours = KnnHead(n_neighbours=7, temperature=0.2, smoothing=1e-9).fit(TRAIN, LABELS)
    np.testing.assert_allclose(ours.predict_proba(TEST), theirs.predict_proba(unit(SCALED_TEST)), atol=2e-3)


def test_prototype_is_the_cosine_to_the_mean_direction() -> None:
    means = unit(np.stack([unit(SCALED)[label == LABELS].mean(axis=0) for label in np.sort(CLASSES)]))
    ours = PrototypeHead(temperature=0.3).fit(TRAIN, LABELS)
    expected = softmax(unit(SCALED_TEST) @ means.T / 0.3, axis=1)
    np.testing.assert_allclose(ours.predict_proba(TEST), expected, atol=1e-5)


def test_dummy_is_scikit_learns() -> None:
    theirs = DummyClassifier(strategy="prior").fit(SCALED, LABELS)
    np.testing.assert_allclose(DummyHead().fit(TRAIN, LABELS).predict_proba(TEST), theirs.predict_proba(SCALED_TEST))


@pytest.mark.parametrize("true_temperature", [0.02, 1.0, 30.0])
def test_the_temperature_that_drew_the_labels_is_found(true_temperature: float) -> None:
    rng = np.random.default_rng(4)
    scores = rng.normal(0, 2 * true_temperature, (4000, 6))
    number = np.array([rng.choice(6, p=row) for row in softmax(scores / true_temperature, axis=1)])
    found = choose_temperature(scores, number)
    assert found == pytest.approx(true_temperature, rel=0.1)

    def loss(temperature: float) -> float:
        return float(-log_softmax(scores / temperature, axis=1)[np.arange(4000), number].mean())

    assert all(loss(found) <= loss(other) + 1e-7 for other in found * np.geomspace(0.5, 2, 21))


@pytest.mark.parametrize("head", [PrototypeHead(), KnnHead(), RidgeHead(), SvmHead()])
def test_a_chosen_temperature_lowers_the_loss_on_valid(head: PrototypeHead | KnnHead | RidgeHead | SvmHead) -> None:
    valid = Examples(TEST, TRUTH)
    number = np.searchsorted(np.sort(CLASSES), TRUTH)

    def loss(probability: NDArray[np.float32]) -> float:
        return float(-np.log(probability[np.arange(len(number)), number]).mean())

    before = loss(head.fit(TRAIN, LABELS).predict_proba(TEST))
    assert head.chosen_ == {}
    after = loss(head.fit(TRAIN, LABELS, valid=valid).predict_proba(TEST))
    assert after <= before + 1e-6
    assert set(head.chosen_) == {"temperature"}
