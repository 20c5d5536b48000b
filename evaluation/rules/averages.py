"""Rules on the probabilities themselves: sums, products, extremes and middles.

References
----------
.. [1] J. Kittler, M. Hatef, R. Duin, J. Matas, "On Combining Classifiers", IEEE Transactions on Pattern Analysis
   and Machine Intelligence 20 (3), 1998: the sum, max, median, product and majority vote rules.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evaluation.rules.block import Block, normalised, softmax_of


def mean_rule(block: Block) -> NDArray[np.float64]:
    """Arithmetic mean of the rows of each group: the article's way, and the sum rule of the literature."""
    return normalised(block.total(block.rows))


def max_rule(block: Block) -> NDArray[np.float64]:
    """Take the highest value of each species within the group, scaled to sum to 1: the most certain row decides."""
    return normalised(np.maximum.reduceat(block.rows, block.starts, axis=0))


def product_rule(block: Block) -> NDArray[np.float64]:
    """Geometric mean of the rows of each group, scaled to sum to 1.

    It ranks as the plain product does. The root keeps a plant with many rows from underflowing to ties, and
    its probabilities from growing with the number of rows. Entries below `PRODUCT_FLOOR` count as the floor.
    """
    return softmax_of(block.total(block.logs) / block.n_rows[:, np.newaxis])


def median_rule(block: Block) -> NDArray[np.float64]:
    """Middle value of each species within the group, of two the mean of both, scaled to sum to 1.

    Where every middle value is 0, as of three rows that are each certain of another species, the mean speaks.
    """
    middle = np.empty((len(block.starts), block.rows.shape[1]))
    for size in np.unique(block.n_rows):
        group = np.flatnonzero(block.n_rows == size)
        rows = block.rows[block.starts[group][:, np.newaxis] + np.arange(size)]
        # Of one or two rows the median is the mean; sorting is for more.
        ordered = np.sort(rows, axis=1)[:, (size - 1) // 2 : size // 2 + 1] if size > 2 else rows
        middle[group] = ordered.mean(axis=1)
    silent = ~middle.any(axis=1)
    if silent.any():
        middle[silent] = block.total(block.rows)[silent]
    return normalised(middle)
