"""Linear heads: multinomial logistic regression on standardised features."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from heads.effort import Size, Work
from heads.examples import Examples, Features
from heads.head import Head, Tell, require_setting
from heads.standardise import Affine
from heads.threads import threads_for

FILE = "logistic.npz"


@dataclass(eq=False, kw_only=True)
class LogisticHead(Head):
    """Multinomial logistic regression, as scikit-learn's `LogisticRegression` (lbfgs) behind a `StandardScaler`.

    Standardisation and `inverse_penalty` 1 were chosen by four-fold cross-validation over observations of real
    photographs with features of two networks. From 0.1 to 10, Top-1 moved by less than its own error; the
    cross-entropy, which fusion lives on, was lowest at 1 (docs/heads.md).

    Attributes
    ----------
    inverse_penalty
        scikit-learn's C: inverse strength of the L2 penalty.
    max_iterations
        After this many steps of lbfgs the fit ends, with a remark if it has not converged.
    """

    name: ClassVar[str] = "logistic"
    chooses: ClassVar[bool] = False
    grid = MappingProxyType({"inverse_penalty": (1.0, 0.01, 0.1, 10.0), "unit_length": (False, True)})

    inverse_penalty: float = 1.0
    max_iterations: int = 1000

    def __post_init__(self) -> None:
        super().__post_init__()
        require_setting("inverse_penalty", self.inverse_penalty, low=1e-12)
        require_setting("max_iterations", self.max_iterations, low=1)

    def _fit(self, train: Examples, valid: Examples | None, tell: Tell) -> None:
        # Imported late: it takes half a second that opening a saved head does not need.
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        del valid, tell
        standardisation = self._statistics_of(train)
        model = LogisticRegression(C=self.inverse_penalty, max_iter=self.max_iterations)
        with warnings.catch_warnings(), threads_for(train.features.shape, len(self.classes_)):
            # Told as a remark below.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(standardisation.apply(train.features), train.labels, train.weight)
        if int(model.n_iter_.max()) >= self.max_iterations:
            self.remarks_ = (f"logistic had not converged after {self.max_iterations} iterations",)
        weights, offset = np.asarray(model.coef_.T, np.float64), np.asarray(model.intercept_, np.float64)
        if len(self.classes_) == 2:
            # Of two classes scikit-learn keeps one score: the logit of the second against a first of 0.
            weights = np.concatenate([np.zeros_like(weights), weights], axis=1)
            offset = np.concatenate([np.zeros_like(offset), offset])
        self._map = standardisation.then(weights, offset)

    def _work(self, size: Size) -> Work:
        # As if 25 steps, each two products of the features with one column per class, in float64: what was measured.
        steps = min(25, self.max_iterations)
        n_cells, n_scores = float(size.n_images) * size.n_features, float(size.n_images) * size.n_classes
        return Work(steps * (4 * 2.5 * n_cells * size.n_classes + 1000 * n_scores), 16 * n_cells + 32 * n_scores)

    def _probability(self, features: Features) -> NDArray[np.float64]:
        return np.asarray(softmax(self._logits(features), axis=1), dtype=np.float64)

    def _logits(self, features: Features) -> NDArray[np.floating]:
        return self._map.apply(features)

    def _save(self, folder: Path) -> None:
        self._map.write(folder / FILE)

    def _load(self, folder: Path) -> None:
        self._map = Affine.read(folder / FILE)
