"""Closeness: how near a photograph's stored features are to those that the model has learnt from.

Every column is brought to mean 0 and variance 1 on the photographs learnt from, as the heads do.

References
----------
.. [1] Y. Sun, Y. Ming, X. Zhu, Y. Li, "Out-of-Distribution Detection with Deep Nearest Neighbors", ICML 2022.
.. [2] K. Lee, K. Lee, H. Lee, J. Shin, "A Simple Unified Framework for Detecting Out-of-Distribution Samples and
   Adversarial Attacks", NeurIPS 2018, eq. 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.predictions import Predictions
from evaluation.runs import SPLIT_FILE
from featstore.errors import PredictionsError, listed
from featstore.store import Store
from featstore.table import FeatureTable, load_table

N_NEIGHBOURS = 5
_BLOCK = 512
_CONSTANT = 1e-5


@dataclass(frozen=True, eq=False)
class Learnt:
    """The features that a model has learnt from, standardised.

    Parameters
    ----------
    features
        (n, d) float32.
    view, class_id
        (n,) of each photograph.
    mean, scale
        (d,) what standardised them.
    """

    features: NDArray[np.float32]
    view: NDArray[np.str_]
    class_id: NDArray[np.str_]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def of(cls, features: NDArray[np.float32], view: NDArray[np.str_], class_id: NDArray[np.str_]) -> Learnt:
        """Standardise raw features; a column that does not vary keeps its scale."""
        mean = features.mean(axis=0, dtype=np.float64)
        scale = features.std(axis=0, dtype=np.float64)
        scale = np.where(scale > _CONSTANT * np.abs(features).max(axis=0), scale, 1.0)
        return cls(_standardised(features, mean, scale), view, class_id, mean, scale)

    def neighbours(self, features: NDArray[np.float32], view: NDArray[np.str_]) -> NDArray[np.float64]:
        """(n,) cosine of each photograph with the `N_NEIGHBOURS`-th nearest learnt one of its view [1]_, in [-1, 1].

        Photographs of a view with fewer learnt ones are compared with those of all views.
        """
        asked, own = _unit(_standardised(features, self.mean, self.scale)), _unit(self.features)
        found = np.empty(len(asked))
        for name in np.unique(view).tolist():
            rows, among = np.flatnonzero(view == name), self.view == name
            if np.count_nonzero(among) < N_NEIGHBOURS:
                among = np.ones(len(own), dtype=np.bool_)
            found[rows] = _kth_highest(asked[rows], own[among], min(N_NEIGHBOURS, len(own)))
        return found

    def mahalanobis(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n,) negative Mahalanobis distance to the nearest class mean [2]_, at most 0.

        All classes share one covariance, shrunk by Ledoit and Wolf's rule: with more columns than photographs the
        plain one has no inverse.
        """
        from scipy.linalg import cholesky, solve_triangular
        from sklearn.covariance import ledoit_wolf

        classes, number = np.unique(self.class_id, return_inverse=True)
        means = np.stack([self.features[number == one].mean(axis=0, dtype=np.float64) for one in range(len(classes))])
        covariance, _ = ledoit_wolf(self.features - means[number], assume_centered=True)
        root = cholesky(covariance, lower=True)
        asked = solve_triangular(root, _standardised(features, self.mean, self.scale).T, lower=True).T
        centres = solve_triangular(root, means.T, lower=True).T
        square = (asked**2).sum(axis=1)[:, np.newaxis] - 2 * asked @ centres.T + (centres**2).sum(axis=1)
        return np.asarray(-np.sqrt(np.maximum(square.min(axis=1), 0)), dtype=np.float64)


def read_learnt(store: Store, backbones: Sequence[str], run: Path, classes: NDArray[np.str_]) -> Learnt:
    """Read the features of the photographs that a run has learnt from: train of the split beside it, of its classes.

    Raises
    ------
    PredictionsError
        If there is no split beside the run, or none of its photographs is in the store.
    StoreError
        If the store lacks the features.
    """
    import pandas as pd

    path = run.parent / SPLIT_FILE
    if not path.is_file():
        remedy = "Name a run folder where `heads compare` or `finetune run` wrote it."
        raise PredictionsError(f"the split that {run} was fitted on", f"no {path}", remedy)
    split = pd.read_csv(path, dtype=str, keep_default_na=False)
    train = load_table(store, backbones, image_ids=split.loc[split["split"] == "train", "image_id"].tolist())
    class_id = train.papers["class_id"].to_numpy(np.str_)
    learnt = np.isin(class_id, classes)
    if not learnt.any():
        raise PredictionsError(f"photographs of the classes of {run} in the store", "none", "Name the run's own store.")
    view = train.papers["view"].to_numpy(np.str_)
    return Learnt.of(train.features[learnt], view[learnt], class_id[learnt])


def closeness_of(predictions: Predictions, learnt: Learnt, table: FeatureTable) -> dict[str, NDArray[np.float64]]:
    """Every score from features, (n,) in the order of the predictions.

    Parameters
    ----------
    table
        Features of the same photographs and more, in any order.

    Raises
    ------
    PredictionsError
        If a photograph has no features.
    """
    stored = table.papers["image_id"].to_numpy(np.str_)
    order = np.argsort(stored)
    place = order[np.minimum(np.searchsorted(stored[order], predictions.image_id), len(stored) - 1)]
    lost = predictions.image_id[stored[place] != predictions.image_id].tolist()
    if lost:
        got = f"none of {len(lost)} ({listed(lost)})"
        raise PredictionsError("features of every photograph that was predicted", got, "Name the run's own store.")
    features = table.features[place]
    return {
        "neighbours": learnt.neighbours(features, predictions.view),
        "mahalanobis": learnt.mahalanobis(features),
    }


def _standardised(
    features: NDArray[np.float32], mean: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.float32]:
    return ((features - mean) / scale).astype(np.float32)


def _unit(features: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.maximum(length, np.finfo(np.float32).tiny), dtype=np.float32)


def _kth_highest(asked: NDArray[np.float32], own: NDArray[np.float32], k: int) -> NDArray[np.float64]:
    """(n,) k-th highest product of each row with those of `own`, a few hundred rows at a time."""
    blocks = (asked[start : start + _BLOCK] @ own.T for start in range(0, len(asked), _BLOCK))
    return np.concatenate([np.partition(block, -k, axis=1)[:, -k].astype(np.float64) for block in blocks])
