"""Temperature: how sharp probabilities are for scores that are none, chosen where labels are known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

LOWEST, HIGHEST = 1e-4, 1e4


def choose_temperature(scores: NDArray[np.floating], number: NDArray[np.integer]) -> float:
    """The temperature at which the labels are likeliest under ``softmax(scores / temperature)``.

    Parameters
    ----------
    scores
        (n, k), higher is likelier; of photographs that the scores were not learnt from.
    number
        (n,) column of each row's class.

    Returns
    -------
    Between `LOWEST` and `HIGHEST`; rounded to four digits, so that it reads well and is the same after writing.

    References
    ----------
    .. [1] C. Guo, G. Pleiss, Y. Sun, K. Weinberger, "On Calibration of Modern Neural Networks", ICML 2017.
    """
    rows = np.arange(len(number))
    wide = np.asarray(scores, dtype=np.float64)

    def loss(exponent: float) -> float:
        return float(-log_softmax(wide / np.exp(exponent), axis=1)[rows, number].mean())

    # The loss has one valley in the logarithm of the temperature, but is flat far from it.
    low, high = float(np.log(LOWEST)), float(np.log(HIGHEST))
    grid = np.linspace(low, high, 41)
    best = float(grid[np.argmin([loss(exponent) for exponent in grid])])
    step = float(grid[1] - grid[0])
    found = minimize_scalar(loss, bounds=(max(low, best - step), min(high, best + step)), method="bounded")
    return float(f"{np.exp(found.x):.4g}")
