"""Evidence: what a learned rule is fitted on, plant by plant and source by source."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Evidence:
    """What each source says about plants whose class is known and listed.

    A source is a model, a view, or a model on a view.

    Attributes
    ----------
    number
        (m,) column of the right class.
    shared
        (r, 2) pairs (plant, answer) of answers that several plants have in common: exactly equal ones, as of one
        photograph under two plants. No plant is judged by what was learnt on an answer of its own.
    count
        (m, s) rows of each source.
    own
        (m, s) sum of the right class's probability over these rows.
    sums
        (s, m, k) float32, sum of all probabilities; None for learners that do without.
    logs
        (s, m, k) float32, sum of the logarithms over the rows, divided by the plant's number of rows; None likewise.
    """

    number: NDArray[np.intp]
    shared: NDArray[np.intp]
    count: NDArray[np.float64]
    own: NDArray[np.float64]
    sums: NDArray[np.float32] | None = None
    logs: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.number)

    @property
    def n_sources(self) -> int:
        """Number s of sources."""
        return int(self.count.shape[1])

    def select(self, mask: NDArray[np.bool_]) -> Evidence:
        """Keep the plants for which `mask` (m,) is true."""
        return replace(
            self,
            number=self.number[mask],
            shared=renumbered(self.shared, mask),
            count=self.count[mask],
            own=self.own[mask],
            sums=None if self.sums is None else self.sums[:, mask],
            logs=None if self.logs is None else self.logs[:, mask],
        )

    def shares(self) -> NDArray[np.float32]:
        """(s, m, k) mean row of each source; a source without rows says 0."""
        if self.sums is None:
            raise ValueError("this learner asked for no sums")
        return np.asarray(self.sums / np.maximum(self.count.T, 1)[:, :, np.newaxis].astype(np.float32))


def renumbered(shared: NDArray[np.intp], mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Pairs (plant, answer) of the plants for which `mask` (m,) is true, numbered as those alone."""
    kept = shared[mask[shared[:, 0]]]
    return np.stack([(np.cumsum(mask) - 1)[kept[:, 0]], kept[:, 1]], axis=1)


def linear_loss(weights: NDArray[np.float64], evidence: Evidence) -> NDArray[np.float64]:
    """(m,) -log of the right class's probability in the mean weighted by source.

    The rows of every source sum to 1, so the pool is scaled by the weights of its rows and no other class is needed.
    """
    silent = evidence.count @ weights == 0
    own = np.where(silent, evidence.own.sum(axis=1), evidence.own @ weights)
    total = np.where(silent, evidence.count.sum(axis=1), evidence.count @ weights)
    return np.asarray(-np.log(np.maximum(own / total, TINY)))


TINY = 1e-12
"""A probability below counts as this one, so that a loss is finite."""
