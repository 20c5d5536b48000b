"""The baseline: what is known without looking at a photograph."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from heads.arrays import read_arrays, write_arrays
from heads.examples import Examples, Features
from heads.head import Head, Tell

FILE = "dummy.npz"


@dataclass(eq=False, kw_only=True)
class DummyHead(Head):
    """How frequent each class is among the photographs to learn from, whatever is shown; as scikit-learn's prior."""

    name: ClassVar[str] = "dummy"
    chooses: ClassVar[bool] = False

    def _fit(self, train: Examples, valid: Examples | None, tell: Tell) -> None:
        del valid, tell
        counts = np.bincount(np.searchsorted(self.classes_, train.labels), train.counts)
        self._prior = counts / counts.sum()

    def _probability(self, features: Features) -> NDArray[np.float64]:
        return np.tile(self._prior, (len(features), 1))

    def _save(self, folder: Path) -> None:
        write_arrays(folder / FILE, prior=self._prior, n_features=np.asarray(self.n_inputs_))

    def _load(self, folder: Path) -> None:
        self._prior, n_features = read_arrays(folder / FILE, "prior", "n_features")
        if int(n_features) != self.n_inputs_:
            raise ValueError(f"{int(n_features)} features in {FILE}, {self.n_inputs_} in the recipe")
