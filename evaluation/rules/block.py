"""What a rule is given: some rows, group after group, and what several rules would otherwise compute anew."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

PRODUCT_FLOOR = float(np.finfo(np.float32).tiny)
"""1.2e-38, the smallest normal float32: a softmax that underflowed to 0 outvotes, but does not silence the others."""


@dataclass(frozen=True, eq=False)
class Block:
    """Rows of a few groups.

    Attributes
    ----------
    rows
        (n, k) at least 0, the rows of a group one after another.
    starts
        (m,) first row of each group; no group is empty.
    source
        (n,) number of each row's source, for example its model, for rules that weigh by it; 0 by default.
    origin
        A block with the same rows, and which of them each row is, (n,): what is counted of a row is counted once.
    """

    rows: NDArray[np.float64]
    starts: NDArray[np.intp]
    source: NDArray[np.intp] | None = None
    origin: tuple[Block, NDArray[np.intp]] | None = None

    @cached_property
    def n_rows(self) -> NDArray[np.intp]:
        """(m,) rows of each group."""
        return np.diff(self.starts, append=len(self.rows))

    @cached_property
    def logs(self) -> NDArray[np.float64]:
        """(n, k) logarithms; entries below `PRODUCT_FLOOR` count as the floor."""
        if self.origin is not None:
            block, order = self.origin
            return block.logs[order]
        return np.asarray(np.log(np.maximum(self.rows, PRODUCT_FLOOR)))

    @cached_property
    def ranks(self) -> NDArray[np.float64]:
        """(n, k) place of each species in its row, 1 for the highest; equal ones share the average of their places."""
        if self.origin is not None:
            block, order = self.origin
            return block.ranks[order]
        order = np.argsort(-self.rows, axis=1)
        places = np.arange(1.0, self.rows.shape[1] + 1)
        ranks = np.empty(self.rows.shape)
        np.put_along_axis(ranks, order, np.broadcast_to(places, ranks.shape), axis=1)
        falling = np.take_along_axis(self.rows, order, axis=1)
        tied = np.flatnonzero((falling[:, 1:] == falling[:, :-1]).any(axis=1))
        for row in tied:
            _, number, count = np.unique(-self.rows[row], return_inverse=True, return_counts=True)
            ranks[row] = (np.cumsum(count) - (count - 1) / 2)[number]
        return ranks

    def regrouped(self, order: NDArray[np.intp], starts: NDArray[np.intp]) -> Block:
        """The same rows in the order `order` (n,), in groups that start at `starts`."""
        source = None if self.source is None else self.source[order]
        return Block(self.rows[order], starts, source, (self, order))

    def by_source(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, 1 or k) that entry of `values` (s,) or (s, k) which belongs to each row's source."""
        source = np.zeros(len(self.rows), dtype=np.intp) if self.source is None else self.source
        return np.asarray(values.reshape(len(values), -1)[source])

    def total(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum values (n, ...) over the rows of each group."""
        return np.asarray(np.add.reduceat(values, self.starts, axis=0))


class Rule(Protocol):
    """Rows of a group -> one row that sums to 1.

    Promised by every rule, and checked of every one in the tables: the order of rows does not matter, species that
    change places change them in the result, one row alone keeps its ranking, and nothing becomes NaN.
    """

    def __call__(self, block: Block, /) -> NDArray[np.float64]:
        """(m, k), one row per group."""
        ...


def normalised(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale rows (m, k) of at least 0 to sum to 1; a row of zeros, which says nothing, becomes even."""
    total = rows.sum(axis=1, keepdims=True)
    silent = total == 0
    if silent.any():
        rows = np.where(silent, 1.0, rows)
        total = rows.sum(axis=1, keepdims=True)
    return np.asarray(rows / total)


def softmax_of(logs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Exponentials of rows (m, k), scaled to sum to 1."""
    return normalised(np.exp(logs - logs.max(axis=1, keepdims=True)))
