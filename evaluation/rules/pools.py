"""Pools: rules with weights, given by a person or learnt.

References
----------
.. [1] C. Genest, J. Zidek, "Combining Probability Distributions: A Critique and an Annotated Bibliography", Statistical
   Science 1 (1), 1986: the linear and the logarithmic opinion pool.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from evaluation.rules.block import Block, normalised, softmax_of


def _even() -> NDArray[np.float64]:
    return np.ones(1)


@dataclass(frozen=True, eq=False)
class WeightedMean:
    """Arithmetic mean in which each row counts by the weight of its source: the linear pool.

    Where the weights of a group are all 0, its rows count alike.

    Attributes
    ----------
    weights
        (s,) at least 0; a single one serves every source, and makes this the mean.
    """

    weights: NDArray[np.float64] = field(default_factory=_even)

    def __call__(self, block: Block) -> NDArray[np.float64]:
        """(m, k), one row per group."""
        if len(self.weights) == 1:
            return normalised(block.total(block.rows))
        share = block.by_source(self.weights)
        silent = np.repeat(block.total(share) == 0, block.n_rows, axis=0)
        return normalised(block.total(block.rows * np.where(silent, 1.0, share)))


@dataclass(frozen=True, eq=False)
class LogPool:
    """Softmax of the mean of weighted logarithms plus a bias of each class: the logarithmic pool.

    Attributes
    ----------
    weights
        (s,) of each source, or (s, k) of each source and species; a single 1 makes this the product rule.
    bias
        (k,) added for each species; a single one for all changes nothing.
    """

    weights: NDArray[np.float64] = field(default_factory=_even)
    bias: NDArray[np.float64] = field(default_factory=_even)

    def __call__(self, block: Block) -> NDArray[np.float64]:
        """(m, k), one row per group."""
        weights = block.by_source(self.weights) if len(self.weights) > 1 else self.weights.reshape(1, -1)
        return softmax_of(block.total(block.logs * weights) / block.n_rows[:, np.newaxis] + self.bias)
