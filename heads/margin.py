"""Heads with scores instead of probabilities: ridge regression and support vectors, at a chosen temperature."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.special import softmax

from evaluation.temperature import choose_temperature
from heads.effort import Size, Work
from heads.examples import Examples, Features
from heads.head import Head, Tell, require_setting
from heads.standardise import Affine
from heads.threads import threads_for


@dataclass(eq=False, kw_only=True)
class ScoringHead(Head):
    """A linear head whose scores become probabilities at a temperature that is chosen on valid.

    Attributes
    ----------
    temperature
        Scores are divided by it; with validation photographs it is chosen by their loss.
    """

    temperature: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        require_setting("temperature", self.temperature, low=1e-6)

    @abstractmethod
    def _scores(
        self, train: NDArray[np.float64], number: NDArray[np.int64], weight: NDArray[np.float64] | None
    ) -> tuple[NDArray[np.float64], ...]:
        """Weights (d, k) and offset (k,) on standardised features (n, d), rows counting as `weight`."""

    def _fit(self, train: Examples, valid: Examples | None, tell: Tell) -> None:
        del tell
        standardisation = self._statistics_of(train)
        number = np.searchsorted(self.classes_, train.labels)
        weights, offset = self._scores(standardisation.apply(train.features), number, train.weight)
        scores = standardisation.then(weights, offset)
        used = self.temperature
        if valid is not None:
            used = choose_temperature(scores.apply(valid.features), np.searchsorted(self.classes_, valid.labels))
            self.chosen_ = {"temperature": used}
        self._map = Affine(scores.weights / used, scores.offset / used)

    def _probability(self, features: Features) -> NDArray[np.float64]:
        return np.asarray(softmax(self._map.apply(features), axis=1), dtype=np.float64)

    def _save(self, folder: Path) -> None:
        self._map.write(folder / f"{self.name}.npz")

    def _load(self, folder: Path) -> None:
        self._map = Affine.read(folder / f"{self.name}.npz")


@dataclass(eq=False, kw_only=True)
class RidgeHead(ScoringHead):
    """Ridge regression on one column per class, +1 where it is and -1 elsewhere; scikit-learn's `RidgeClassifier`.

    Attributes
    ----------
    penalty
        scikit-learn's alpha: strength of the L2 penalty.
    """

    name: ClassVar[str] = "ridge"
    grid = MappingProxyType({"penalty": (1000.0, 100.0, 10_000.0), "unit_length": (False, True)})

    penalty: float = 1000.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_setting("penalty", self.penalty, low=1e-9)

    def _work(self, size: Size) -> Work:
        n_cells, width = float(size.n_images) * size.n_features, float(size.n_features)
        target = float(size.n_images) * size.n_classes
        return Work(
            4.0 * n_cells * (width + size.n_classes) + 2.0 * width**3, 16.0 * (n_cells + target) + 24.0 * width**2
        )

    def _scores(
        self, train: NDArray[np.float64], number: NDArray[np.int64], weight: NDArray[np.float64] | None
    ) -> tuple[NDArray[np.float64], ...]:
        n_classes = len(self.classes_)
        target = np.where(number[:, np.newaxis] == np.arange(n_classes), 1.0, -1.0)
        centre, level = np.average(train, axis=0, weights=weight), np.average(target, axis=0, weights=weight)
        train -= centre
        target -= level
        if weight is not None:
            train *= np.sqrt(weight)[:, np.newaxis]
            target *= np.sqrt(weight)[:, np.newaxis]
        with threads_for(train.shape, train.shape[1]):
            square = train.T @ train
            square.flat[:: len(square) + 1] += self.penalty
            weights = cho_solve(cho_factor(square, overwrite_a=True), train.T @ target)
        return np.asarray(weights), level - centre @ weights


@dataclass(eq=False, kw_only=True)
class SvmHead(ScoringHead):
    """Linear support vectors, each class against the others; scikit-learn's `LinearSVC` with its squared hinge.

    Attributes
    ----------
    inverse_penalty
        scikit-learn's C.
    max_iterations
        Of liblinear; a class that has not converged by then is told as a remark.
    """

    name: ClassVar[str] = "svm"
    grid = MappingProxyType({"inverse_penalty": (0.001, 0.0001, 0.01), "unit_length": (False, True)})

    inverse_penalty: float = 0.001
    max_iterations: int = 2000

    def __post_init__(self) -> None:
        super().__post_init__()
        require_setting("inverse_penalty", self.inverse_penalty, low=1e-12)
        require_setting("max_iterations", self.max_iterations, low=1)

    def _work(self, size: Size) -> Work:
        # Per class some 50 passes of coordinate descent over all features, on one thread.
        n_cells = float(size.n_images) * size.n_features
        return Work(5e4 * n_cells * size.n_classes, 24.0 * n_cells)

    def _scores(
        self, train: NDArray[np.float64], number: NDArray[np.int64], weight: NDArray[np.float64] | None
    ) -> tuple[NDArray[np.float64], ...]:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.svm import LinearSVC

        model = LinearSVC(C=self.inverse_penalty, max_iter=self.max_iterations, random_state=self.seed)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", ConvergenceWarning)
            model.fit(train, number, weight)
        if any(issubclass(warning.category, ConvergenceWarning) for warning in told):
            self.remarks_ = (f"svm had not converged after {self.max_iterations} iterations",)
        weights, offset = np.asarray(model.coef_.T, np.float64), np.asarray(model.intercept_, np.float64)
        if len(self.classes_) == 2:
            weights, offset = np.concatenate([-weights, weights], axis=1), np.concatenate([-offset, offset])
        return weights, offset
