"""Any head as a scikit-learn estimator: for pipelines, searches and cross-validation of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from heads.registry import head_class

if TYPE_CHECKING:
    from featstore.provenance import Json

LARGEST = float(np.finfo(np.float32).max)


class HeadClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn publishes no types
    """A head of `heads.registry.HEADS` under scikit-learn's contract.

    Takes what scikit-learn's estimators take - any numbers, any labels - where heads themselves insist on float32 and
    raw class ids. What a head would choose on valid it takes from its settings.

    Parameters
    ----------
    head
        Name in `heads.registry.HEADS`.
    settings
        Settings other than the defaults, by name.
    seed
        Seed of everything random.

    Attributes
    ----------
    classes_
        (k,) labels, sorted.
    head_
        The fitted head; its classes are the positions in `classes_`.

    Examples
    --------
    >>> from sklearn.model_selection import GroupKFold, cross_val_score
    >>> from heads.estimator import HeadClassifier
    >>> def score(features, labels, observations):
    ...     return cross_val_score(HeadClassifier("lda"), features, labels, groups=observations, cv=GroupKFold(4))
    """

    def __init__(self, head: str = "logistic", settings: Mapping[str, Json] | None = None, seed: int = 0) -> None:
        self.head = head
        self.settings = settings
        self.seed = seed

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:  # noqa: N803  # scikit-learn's names
        """Learn from features (n, d) and labels (n,), rows counting as `sample_weight` (n,), which may be 0.

        Raises
        ------
        ValueError
            If the data cannot be learnt from, one class for example.
        SettingsError
            If head or settings are unknown.
        """
        features, labels = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=2)
        check_classification_targets(labels)
        weight = None
        if sample_weight is not None:
            weight = _check_sample_weight(sample_weight, features, dtype=np.float64, ensure_non_negative=True)
            features, labels, weight = features[weight > 0], labels[weight > 0], weight[weight > 0]
        self.classes_, number = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"Expected at least two classes, got one class: {self.classes_.tolist()}.")
        # Heads sort class ids as text; positions with leading zeros sort as numbers do.
        ids = np.array([f"{position:09d}" for position in range(len(self.classes_))])[number]
        head = head_class(self.head)(seed=self.seed, **(self.settings or {}))  # type: ignore[arg-type]  # its own check
        self.head_ = head.fit(_narrowed(features), ids, weight=weight)
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:  # noqa: N803  # scikit-learn's name
        """Probability of each class of `classes_` for each row, (n, k); rows sum to 1."""
        check_is_fitted(self)
        features = validate_data(self, X, dtype=np.float64, reset=False)
        probability = self.head_.predict_proba(_narrowed(features)).astype(np.float64)
        return np.asarray(probability / probability.sum(axis=1, keepdims=True))

    def predict(self, X: ArrayLike) -> NDArray[np.generic]:  # noqa: N803  # scikit-learn's name
        """The likeliest class of each row, (n,)."""
        check_is_fitted(self)
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])


def _narrowed(features: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.clip(features, -LARGEST, LARGEST).astype(np.float32)
