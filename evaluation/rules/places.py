"""Rules on places alone: how sure a row is does not matter, only in which order it puts the species.

Equal probabilities share the average of their places, as in every score.

References
----------
.. [1] T. Ho, J. Hull, S. Srihari, "Decision Combination in Multiple Classifier Systems", IEEE Transactions on Pattern
   Analysis and Machine Intelligence 16 (1), 1994: the Borda count.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evaluation.rules.block import Block, normalised


def borda_rule(block: Block) -> NDArray[np.float64]:
    """Points by place, of k species k for the first and 1 for the last, added up and scaled to sum to 1.

    The ranking is what it is for: its probabilities are all but even.
    """
    points = block.rows.shape[1] + 1 - block.ranks
    return normalised(block.total(points))


def reciprocal_rank_rule(block: Block) -> NDArray[np.float64]:
    """Points by place, 1 / rank, added up and scaled to sum to 1: the first places decide, as in the score S."""
    # Thirds add up differently in another order of rows; equal points must stay equal.
    return normalised(np.round(block.total(1 / block.ranks), 12))


def majority_rule(block: Block) -> NDArray[np.float64]:
    """Each row votes for its likeliest species; among equally many votes the mean probability decides.

    Of n rows the result is votes / n and the mean, mixed ``n + 1 : 1``, so that no probability outweighs a vote. A row
    with several likeliest species divides its vote among them.
    """
    n_rows = block.n_rows[:, np.newaxis]
    first = (block.rows == block.rows.max(axis=1, keepdims=True)).astype(np.float64)
    votes = block.total(first / first.sum(axis=1, keepdims=True)) / n_rows
    return (votes * (n_rows + 1) + normalised(block.total(block.rows))) / (n_rows + 2)
