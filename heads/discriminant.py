"""Linear discriminant analysis: classes as clouds of one shape, their common covariance shrunk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh, solve
from scipy.special import log_softmax, softmax

from evaluation.temperature import choose_temperature
from featstore.errors import SettingsError
from heads.covariance import TINY, Scatter
from heads.effort import Size, Work
from heads.examples import Examples, Features
from heads.head import Head, Tell, require_setting
from heads.standardise import Affine
from heads.threads import threads_for

FILE = "lda.npz"
CHOOSE = -1.0
AUTO = "auto"
GRID = (0.01, 0.03, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
_TEMPERATURES = (0.5, 1.0, 2.0, 4.0, 8.0)
_MOST_JUDGED = 4000


@dataclass(eq=False, kw_only=True)
class LdaHead(Head):
    """Linear discriminant analysis with a shrunk covariance, on standardised features.

    As scikit-learn's `LinearDiscriminantAnalysis(solver="lsqr")` with the same fixed shrinkage. `AUTO`, and `CHOOSE`
    without validation photographs, take Ledoit and Wolf's estimate, made once on all photographs less the mean of their
    class; scikit-learn makes one per class, which costs as many times as there are classes and sees few photographs
    each time. With validation photographs `CHOOSE` takes the shrinkage of `GRID`, or the estimate, and the temperature
    that have the lowest loss on them: with many columns and few photographs per class the estimate keeps directions of
    noise, and the probabilities are far too sure.

    Attributes
    ----------
    shrinkage
        0 keeps the covariance, 1 keeps its mean variance alone; `CHOOSE` (-1) chooses, `AUTO` ("auto") estimates it
        anew in every fit.
    temperature
        The logarithms of the posterior odds are divided by it; with validation photographs it is chosen by their loss.
    shrinkage_
        What was used.
    """

    name: ClassVar[str] = "lda"
    grid = MappingProxyType({"unit_length": (False, True)})
    words = MappingProxyType({"shrinkage": (AUTO,)})

    shrinkage: float | Literal["auto"] = CHOOSE
    temperature: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.shrinkage, str):
            if self.shrinkage != AUTO:
                raise SettingsError(f"`shrinkage` as a number or {AUTO}", repr(self.shrinkage), "Correct this setting.")
        elif self.shrinkage != CHOOSE:
            require_setting("shrinkage", self.shrinkage, low=0, high=1)
        require_setting("temperature", self.temperature, low=1e-6)

    def _fit(self, train: Examples, valid: Examples | None, tell: Tell) -> None:
        del tell
        standardisation = self._statistics_of(train)
        number = np.searchsorted(self.classes_, train.labels)
        scatter = Scatter.of(standardisation.apply(train.features), number, train.counts)
        fixed = isinstance(self.shrinkage, float | int) and self.shrinkage != CHOOSE
        self.shrinkage_ = float(self.shrinkage) if fixed else scatter.estimated_shrinkage
        with threads_for(scatter.within.shape, len(scatter.within)):
            if valid is not None and self.shrinkage == CHOOSE:
                self.shrinkage_ = self._choose(scatter, standardisation.apply(valid.features), valid)
            weights = np.asarray(solve(scatter.shrunk(self.shrinkage_), scatter.means.T, assume_a="pos"))
        offset = np.log(scatter.share) - 0.5 * np.einsum("kd,dk->k", scatter.means, weights)
        scores, used = standardisation.then(weights, offset), self.temperature
        if valid is not None:
            used = choose_temperature(scores.apply(valid.features), np.searchsorted(self.classes_, valid.labels))
            self.chosen_ = {"temperature": used}
            if self.shrinkage != AUTO:
                self.chosen_["shrinkage"] = self.shrinkage_
        self._map = Affine(scores.weights / used, scores.offset / used)

    def _choose(self, scatter: Scatter, features: NDArray[np.float64], valid: Examples) -> float:
        """The shrinkage under which, at its best temperature, the labels of valid are likeliest."""
        # One draw for all seeds: which photographs judge is no property of the head.
        judged = np.random.default_rng(0).permutation(len(features))[:_MOST_JUDGED]
        rows, number = np.arange(len(judged)), np.searchsorted(self.classes_, valid.labels[judged])
        # In the directions of the covariance every shrinkage is a division.
        variances, directions = eigh(scatter.within)
        means, features = scatter.means @ directions, features[judged] @ directions
        grid = sorted({*GRID, scatter.estimated_shrinkage})
        losses = []
        for shrinkage in grid:
            scaled = means / ((1 - shrinkage) * variances + shrinkage * scatter.mean_variance + TINY)
            scores = features @ scaled.T + np.log(scatter.share) - 0.5 * np.einsum("kd,kd->k", means, scaled)
            losses.append(min(-log_softmax(scores / t, axis=1)[rows, number].mean() for t in _TEMPERATURES))
        return float(grid[int(np.argmin(losses))])

    def _work(self, size: Size) -> Work:
        n_cells, width = float(size.n_images) * size.n_features, float(size.n_features)
        # As measured from 3,000 to 47,815 photographs and from 1,024 to 4,096 features.
        chosen = 22.0 * n_cells * width if size.n_valid and self.shrinkage == CHOOSE else 2.0 * width**3
        return Work(8.0 * n_cells * width + chosen, 24.0 * n_cells + 32.0 * width**2)

    def _probability(self, features: Features) -> NDArray[np.float64]:
        return np.asarray(softmax(self._map.apply(features), axis=1), dtype=np.float64)

    def _save(self, folder: Path) -> None:
        self._map.write(folder / FILE)

    def _load(self, folder: Path) -> None:
        self._map = Affine.read(folder / FILE)
