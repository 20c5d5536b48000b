"""Figures of each class, against counting by hand."""

from __future__ import annotations

import numpy as np

from evaluation.classes import score_classes
from evaluation.invariants import ALL_VIEWS
from evaluation.predictions import Predictions
from evaluation.scores import rank_predictions


def test_each_class_is_scored_on_its_own_plants() -> None:
    rng = np.random.default_rng(0)
    n, classes = 200, np.array(["a", "b", "c"])
    truth = rng.choice(["a", "b", "c", "never listed", ""], n)
    probability = rng.dirichlet([1, 1, 1], n).astype(np.float32)
    said = Predictions(
        image_id=np.array([f"i{i}" for i in range(n)]),
        observation_id=np.array([f"o{i}" for i in range(n)]),
        author=np.full(n, "x"),
        view=np.full(n, "Leaf"),
        true_class=truth,
        classes=classes,
        probability=probability,
        model="m",
        split="test",
    )
    found = score_classes(rank_predictions(said)[ALL_VIEWS])
    assert found.class_id.tolist() == ["a", "b", "c", "never listed"]
    for name, count, mrr, top_1 in zip(found.class_id, found.n_observations, found.mrr, found.top_1, strict=True):
        rows = probability[truth == name]
        ranks = [1 + int((row > row["abc".index(name)]).sum()) if name in "abc" else np.inf for row in rows]
        assert count == len(rows)
        assert np.isclose(mrr, np.mean([1 / rank for rank in ranks]))
        assert np.isclose(top_1, np.mean([rank == 1 for rank in ranks]))
