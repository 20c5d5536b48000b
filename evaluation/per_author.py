"""Per author: a score as a function of sums over users, so that it can be computed for other draws of users."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack

Sums: TypeAlias = "NDArray[np.float64] | csr_array[np.float64]"
"""What users add: (u,) or (u, q); sparse where there are many species, of which each user has few."""
_MOST_CELLS = 20_000


def ratio(totals: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """One column over one column; NaN for a draw that weighs nothing."""
    with np.errstate(invalid="ignore"):
        return np.asarray(totals[:, 0] / weights[:, 0])


def mean_of_ratios(totals: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the columns of column over column; a column that weighs nothing in a draw is left out of it."""
    present = weights > 0
    each = np.divide(totals, weights, out=np.zeros_like(totals), where=present)
    return np.asarray(each.sum(axis=1) / present.sum(axis=1))


def sum_of_distances(totals: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of the columns' absolute values over one column."""
    return ratio(np.abs(totals).sum(axis=1, keepdims=True), weights)


@dataclass(frozen=True, eq=False)
class PerAuthor:
    """A score as a function of sums over users, from which it can be computed for other draws of users.

    Parameters
    ----------
    total, weight
        (u,), or (u, q) for a score that is made of several sums: what each user adds above and below the line.
    combine
        (totals (b, q), weights (b, q)) of b draws -> (b,) scores.
    noise_adds
        Whether chance alone pushes the score up, never down, as it does an error made of distances: drawn scores then
        lie above the score as far as the score lies above the truth, which `evaluation.intervals` undoes.
    parts_drop_out
        Whether a draw of users may lack parts of the score, such as species; drawn scores are then about other parts,
        and `evaluation.intervals` centres them at the score.
    """

    total: Sums
    weight: Sums
    combine: Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]] = ratio
    noise_adds: bool = False
    parts_drop_out: bool = False

    @property
    def value(self) -> float:
        """The score, in the range and direction of its metric."""
        everyone = np.hstack([self.total.sum(axis=0), self.weight.sum(axis=0)]).astype(np.float64)
        return float(self.of(everyone[np.newaxis])[0])

    @property
    def n_authors(self) -> int:
        """Number u of users."""
        return int(self.total.shape[0])

    @property
    def n_columns(self) -> int:
        """Number of sums that the score is made of."""
        return _width(self.total) + _width(self.weight)

    @cached_property
    def sums(self) -> Sums:
        """(u, columns) totals, then weights."""
        return side_by_side([self.total, self.weight])

    @property
    def alone(self) -> NDArray[np.float64]:
        """(u,) the score of each user's plants alone."""
        return self.of(self.sums if isinstance(self.sums, np.ndarray) else self.sums.toarray())

    def of(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Score (b, columns) sums over users, in the order of `sums`: (b,)."""
        n_totals = _width(self.total)
        return self.combine(sums[:, :n_totals], sums[:, n_totals:])


def _width(sums: Sums) -> int:
    return 1 if sums.ndim == 1 else int(sums.shape[1])


def side_by_side(parts: Sequence[Sums]) -> Sums:
    """Join sums of the same users; sparse as soon as one of them is."""
    dense = [part for part in parts if isinstance(part, np.ndarray)]
    if len(dense) == len(parts):
        return np.column_stack(dense)
    columns = [csr_array(np.atleast_2d(part.T).T) if isinstance(part, np.ndarray) else part for part in parts]
    joined: csr_array[np.float64] = hstack(columns, format="csr")
    return joined


def by_user_and_column(
    user: NDArray[np.intp], column: NDArray[np.intp], value: NDArray[np.float64], n_columns: int
) -> Sums:
    """Add up values by user and column; sparse where most of many cells would be empty."""
    shape = (int(user.max()) + 1, n_columns)
    if shape[0] * shape[1] > _MOST_CELLS:
        return csr_array((value, (user, column)), shape=shape)
    flat = np.bincount(user * n_columns + column, weights=value, minlength=shape[0] * shape[1])
    return flat.astype(np.float64).reshape(shape)


def by_user(user: NDArray[np.intp], value: NDArray[np.float64]) -> NDArray[np.float64]:
    """Add up values (n,) by user."""
    return np.bincount(user, weights=value).astype(np.float64)
