"""Rejection scores in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.special import softmax
from scipy.stats import entropy as shannon
from sklearn.covariance import LedoitWolf
from sklearn.neighbors import NearestNeighbors

from evaluation.predictions import Predictions
from evaluation.unknown.closeness import N_NEIGHBOURS, Learnt
from evaluation.unknown.evidence import REJECTIONS, Evidence, chosen_scores
from featstore.errors import SettingsError


@pytest.fixture
def logits() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 2, (6, 4))


@pytest.fixture
def evidence(logits: np.ndarray) -> Evidence:
    return Evidence.of(
        Predictions(
            model="m",
            split="test",
            image_id=np.array(list("fedcba")),
            observation_id=np.array(["2", "1", "2", "3", "1", "2"]),
            author=np.array([""] * 6),
            view=np.array(["Leaf"] * 6),
            true_class=np.array(["a"] * 6),
            classes=np.array(["a", "b", "c", "d"]),
            probability=softmax(logits, axis=1).astype(np.float32),
            log_sum_exp=np.log(np.exp(logits).sum(axis=1)).astype(np.float32),
        ),
        {"neighbours": np.arange(6.0)},
    )


def test_scores_in_closed_form(evidence: Evidence, logits: np.ndarray) -> None:
    rows = [[1, 4], [0, 2, 5], [3]]
    mean = [softmax(logits, axis=1)[own].mean(axis=0) for own in rows]
    ordered = np.sort(mean, axis=1)
    expected = {
        "max_probability": ordered[:, -1],
        "entropy": [-shannon(row) for row in mean],
        "margin": ordered[:, -1] - ordered[:, -2],
        "energy": [np.log(np.exp(logits[own]).sum(axis=1)).mean() for own in rows],
        "neighbours": [2.5, 7 / 3, 3],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(REJECTIONS[name](evidence), values, atol=1e-6, err_msg=name)
    assert REJECTIONS["mahalanobis"](evidence) is None


def test_a_model_without_logits_has_no_energy(evidence: Evidence) -> None:
    assert REJECTIONS["energy"](Evidence(evidence.fused, evidence.plant)) is None


def test_scores_are_named() -> None:
    assert chosen_scores(()) == chosen_scores(("all",)) == tuple(REJECTIONS)
    assert chosen_scores(("margin", "energy", "margin")) == ("margin", "energy")
    with pytest.raises(SettingsError, match="Did you mean entropy"):
        chosen_scores(("entrpy",))


def learnt_features() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    features = (rng.normal(size=(60, 5)) * [1, 100, 0.01, 1, 0] + [5, -3, 0, 1, 2]).astype(np.float32)
    view = np.array(["Leaf"] * 50 + ["Flower"] * 8 + ["Stem"] * 2)
    asked = (rng.normal(size=(9, 5)) * [1, 100, 0.01, 1, 0] + [5, -3, 0, 1, 2]).astype(np.float32)
    return features, view, np.array(["a", "b", "c"] * 20), asked


def standardised(features: np.ndarray, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scale = features.std(axis=0)
    scale[4] = 1
    return (features - features.mean(axis=0)) / scale, (asked - features.mean(axis=0)) / scale


def test_neighbours_are_scikit_learns_within_the_view() -> None:
    features, view, class_id, asked = learnt_features()
    asked_view = np.array(["Leaf"] * 4 + ["Flower"] * 3 + ["Stem", "Fruit"])
    found = Learnt.of(features, view, class_id).neighbours(asked, asked_view)
    own, others = standardised(features, asked)
    for row, name in enumerate(asked_view):
        among = own[view == name] if name in {"Leaf", "Flower"} else own
        nearest = NearestNeighbors(n_neighbors=N_NEIGHBOURS, metric="cosine").fit(among)
        distance, _ = nearest.kneighbors(others[[row]])
        assert found[row] == pytest.approx(1 - distance[0, -1], abs=1e-5)


def test_mahalanobis_is_scipys() -> None:
    features, view, class_id, asked = learnt_features()
    own, others = standardised(features, asked)
    means = np.stack([own[class_id == name].mean(axis=0) for name in "abc"])
    within = own - means[np.arange(60) % 3]
    precision = np.linalg.inv(LedoitWolf(assume_centered=True).fit(within).covariance_)
    expected = -cdist(others, means, "mahalanobis", VI=precision).min(axis=1)
    found = Learnt.of(features, view, class_id).mahalanobis(asked)
    np.testing.assert_allclose(found, expected, rtol=1e-3)
