"""Heads that compare: with the nearest photographs, or with the mean of each class, by the angle between features."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from evaluation.temperature import choose_temperature
from heads.arrays import read_arrays, write_arrays
from heads.covariance import class_sums
from heads.effort import Size, Work
from heads.examples import Examples, Features
from heads.head import Head, Tell, require_setting
from heads.preparation import PASS
from heads.standardise import Standardisation
from heads.threads import threads_for

if TYPE_CHECKING:
    from sklearn.neighbors import NearestNeighbors

_BLOCK_ROWS = 2048


def directions(features: Features, statistics: Standardisation) -> NDArray[np.float32]:
    """Standardised features at unit length, (n, d); a row without any signal stays 0."""
    units = np.empty_like(features)
    for rows in _blocks(len(features)):
        block = statistics.apply(features[rows])
        units[rows] = block / np.maximum(np.linalg.norm(block, axis=1, keepdims=True), 1e-12)
    return units


def _blocks(n_rows: int) -> Iterator[slice]:
    for start in range(0, n_rows, _BLOCK_ROWS):
        yield slice(start, start + _BLOCK_ROWS)


@dataclass(eq=False, kw_only=True)
class PrototypeHead(Head):
    """The class whose mean direction is nearest.

    Features are standardised and brought to unit length; a class is the mean of its photographs, at unit length again;
    the cosines become probabilities at a temperature that is chosen on valid.

    Attributes
    ----------
    temperature
        Cosines are divided by it; with validation photographs it is chosen by their loss.
    """

    name: ClassVar[str] = "prototype"
    grid = MappingProxyType({"standardise": (True, False), "reduction": ("pca", "lda"), "components": (0, 64, 128)})

    temperature: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        require_setting("temperature", self.temperature, low=1e-6)

    def _fit(self, train: Examples, valid: Examples | None, tell: Tell) -> None:
        del tell
        self._statistics = self._statistics_of(train)
        number = np.searchsorted(self.classes_, train.labels)
        units = directions(train.features, self._statistics)
        means = class_sums(units, number, train.counts)
        self._means = (means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)).astype(np.float32)
        self._used = self.temperature
        if valid is not None:
            cosines = self._cosines(valid.features)
            self._used = choose_temperature(cosines, np.searchsorted(self.classes_, valid.labels))
            self.chosen_ = {"temperature": self._used}

    def _work(self, size: Size) -> Work:
        n_cells = float(size.n_images) * size.n_features
        return Work(3.0 * PASS * n_cells, 4.0 * n_cells)

    def _cosines(self, features: Features) -> NDArray[np.float32]:
        with threads_for(features[:_BLOCK_ROWS].shape, len(self._means)):
            return np.asarray(directions(features, self._statistics) @ self._means.T)

    def _probability(self, features: Features) -> NDArray[np.float64]:
        return np.asarray(softmax(self._cosines(features).astype(np.float64) / self._used, axis=1), dtype=np.float64)

    def _save(self, folder: Path) -> None:
        statistics = {"mean": self._statistics.mean, "scale": self._statistics.scale}
        write_arrays(folder / "prototype.npz", means=self._means, used=np.asarray(self._used), **statistics)

    def _load(self, folder: Path) -> None:
        self._means, used, mean, scale = read_arrays(folder / "prototype.npz", "means", "used", "mean", "scale")
        self._statistics, self._used = Standardisation(mean, scale), float(used)


@dataclass(eq=False, kw_only=True)
class KnnHead(Head):
    """The classes of the nearest photographs, nearer ones counting more.

    Features are standardised and brought to unit length. Each of the k nearest photographs votes for its class with
    the weight ``exp(cosine / temperature)``; a share `smoothing` of the probability goes to all classes alike, so that
    a class without a vote is improbable and not impossible. As scikit-learn's `KNeighborsClassifier` on such features
    with these weights, before smoothing.

    Attributes
    ----------
    n_neighbours
        k; fewer where there are fewer photographs.
    temperature
        With validation photographs it is chosen by their loss.
    smoothing
        In (0, 1).
    """

    name: ClassVar[str] = "knn"
    grid = MappingProxyType({"n_neighbours": (10, 3, 30), "standardise": (True, False), "components": (0, 128)})

    n_neighbours: int = 10
    temperature: float = 0.1
    smoothing: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        require_setting("n_neighbours", self.n_neighbours, low=1)
        require_setting("temperature", self.temperature, low=1e-6)
        require_setting("smoothing", self.smoothing, low=1e-9, high=0.999)

    def _fit(self, train: Examples, valid: Examples | None, tell: Tell) -> None:
        del tell
        self._statistics = self._statistics_of(train)
        # Half precision halves a file that would be as large as the features; directions lose 1e-4 of a cosine.
        self._units = directions(train.features, self._statistics).astype(np.float16)
        self._number = np.searchsorted(self.classes_, train.labels).astype(np.int32)
        self._log_weight = np.log(train.counts)
        self._search = self._open_search()
        self._used = self.temperature
        if valid is not None:
            cosines, nearest = self._votes(valid.features)
            self._used = self._choose(cosines, nearest, np.searchsorted(self.classes_, valid.labels))
            self.chosen_ = {"temperature": self._used}

    def _work(self, size: Size) -> Work:
        n_cells = float(size.n_images) * size.n_features
        compared = float(size.n_valid) * size.n_images
        return Work(3.0 * PASS * n_cells + compared * (4.0 * size.n_features + 10 * PASS), 8.0 * n_cells)

    def _open_search(self) -> NearestNeighbors:
        from sklearn.neighbors import NearestNeighbors

        k = min(self.n_neighbours, len(self._number))
        return NearestNeighbors(n_neighbors=k, algorithm="brute").fit(self._units.astype(np.float32))

    def _votes(self, features: Features) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Cosine and row of the nearest photographs, (n, k) each."""
        found = [
            self._search.kneighbors(directions(features[rows], self._statistics)) for rows in _blocks(len(features))
        ]
        distance = np.concatenate([distance for distance, _ in found]).astype(np.float64)
        return 1 - distance**2 / 2, np.concatenate([row for _, row in found])

    def _tally(
        self, cosines: NDArray[np.float64], nearest: NDArray[np.int64], temperature: float
    ) -> NDArray[np.float64]:
        weight = softmax(cosines / temperature + self._log_weight[nearest], axis=1)
        n_rows, n_classes = len(nearest), len(self.classes_)
        cell = np.arange(n_rows)[:, np.newaxis] * n_classes + self._number[nearest]
        share = np.bincount(cell.ravel(), weight.ravel(), n_rows * n_classes).reshape(n_rows, n_classes)
        return np.asarray((1 - self.smoothing) * share + self.smoothing / n_classes, dtype=np.float64)

    def _choose(self, cosines: NDArray[np.float64], nearest: NDArray[np.int64], number: NDArray[np.int64]) -> float:
        grid = [float(f"{value:.3g}") for value in np.geomspace(0.003, 3, 31)]
        rows = np.arange(len(number))
        losses = [-np.log(self._tally(cosines, nearest, value)[rows, number]).mean() for value in grid]
        return grid[int(np.argmin(losses))]

    def _probability(self, features: Features) -> NDArray[np.float64]:
        return self._tally(*self._votes(features), self._used)

    def _save(self, folder: Path) -> None:
        statistics = {"mean": self._statistics.mean, "scale": self._statistics.scale}
        write_arrays(
            folder / "knn.npz",
            units=self._units,
            number=self._number,
            log_weight=self._log_weight,
            used=np.asarray(self._used),
            **statistics,
        )

    def _load(self, folder: Path) -> None:
        names = ("units", "number", "log_weight", "used", "mean", "scale")
        self._units, self._number, self._log_weight, used, mean, scale = read_arrays(folder / "knn.npz", *names)
        self._statistics, self._used = Standardisation(mean, scale), float(used)
        self._search = self._open_search()
