"""How much each photograph counts in a fit: by its class and by its vote."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

LOWEST_VOTE = 0.5
"""What a vote of less counts as: every photograph that is learnt from counts for something."""


def well_voted(papers: pd.DataFrame, min_vote: float | None) -> NDArray[np.bool_]:
    """Which photographs have a vote of at least `min_vote`, or an unknown one; all if it is None."""
    if min_vote is None:
        return np.ones(len(papers), dtype=np.bool_)
    # Written so that an unknown vote, NaN, stays.
    good: NDArray[np.bool_] = ~(papers["vote"].to_numpy(np.float64) < min_vote)
    return good


def vote_weights(votes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights in proportion to the votes of the contributors, mean 1.

    Parameters
    ----------
    votes
        (n,) NaN where unknown: such photographs count as much as the mean of the known. Votes below `LOWEST_VOTE` count
        as that.
    """
    known = ~np.isnan(votes)
    if not known.any():
        return np.ones(len(votes))
    counted = np.maximum(votes, LOWEST_VOTE)
    counted[~known] = counted[known].mean()
    return np.asarray(counted / counted.mean(), dtype=np.float64)
