"""Streaming: the rows of a few observations at a time, from every member, so that memory does not grow with them.

One pass reads every row once; whatever is wanted of a portion is taken from it while it is there. As many threads work
as there are processors; a portion's result depends on its own rows alone, so neither threads nor sizes show in it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from evaluation.rows import CELLS_AT_ONCE, Matrix
from evaluation.rules import Block, Rule

LEFT_OUT = -1
"""The group of a row that is not looked at."""

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Portion:
    """All rows of some consecutive groups.

    Attributes
    ----------
    low, high
        Groups ``low <= g < high``.
    parts
        One per matrix: (p, k) its rows of these groups, in the order of groups, then of the matrix.
    group
        One per matrix: (p,) group of each of them, counted from `low`.
    position
        One per matrix: (p,) which of the matrix's rows each of them is.
    source
        One per matrix: (p,) number of the source of each of them.
    """

    low: int
    high: int
    parts: tuple[NDArray[np.floating], ...]
    group: tuple[NDArray[np.intp], ...]
    position: tuple[NDArray[np.intp], ...]
    source: tuple[NDArray[np.intp], ...]

    @cached_property
    def order(self) -> NDArray[np.intp]:
        """(n,) the rows of all parts, one part after the other, in the order of groups; then of parts."""
        return np.argsort(np.concatenate(self.group), kind="stable")

    @cached_property
    def starts(self) -> NDArray[np.intp]:
        """(m,) first of `rows` of each group."""
        return np.searchsorted(np.concatenate(self.group)[self.order], np.arange(self.high - self.low))

    @cached_property
    def rows(self) -> NDArray[np.float64]:
        """(n, k) float64, in `order`."""
        place = np.empty_like(self.order)
        place[self.order] = np.arange(len(place))
        found = np.empty((len(place), self.parts[0].shape[1]))
        first = 0
        for part in self.parts:
            found[place[first : first + len(part)]] = part
            first += len(part)
        return found

    @cached_property
    def block(self) -> Block:
        """What rules are given: made once, so that they share what they sort and count."""
        return Block(self.rows, self.starts, np.concatenate(self.source)[self.order])

    @cached_property
    def by_position(self) -> Block:
        """The same rows, every position a group of its own, where all parts have the same ones: image by image."""
        (n_rows,) = {len(part) for part in self.parts}
        place = np.empty_like(self.order)
        place[self.order] = np.arange(len(place))
        order = place.reshape(len(self.parts), n_rows).T.ravel()
        return self.block.regrouped(order, np.arange(n_rows) * len(self.parts))

    def after(self, rule: Rule) -> Portion:
        """Combine the rows of each group within each part, once for each rule: every part has one row per group.

        Every group needs a row in every part. Positions are then groups, and sources are parts.
        """
        if rule not in self._after:
            self._after[rule] = self._combined(rule)
        return self._after[rule]

    @cached_property
    def _after(self) -> dict[Rule, Portion]:
        return {}

    @cached_property
    def _alone(self) -> tuple[Portion, ...]:
        """Each part as a portion of its own."""
        each = zip(self.parts, self.group, self.position, self.source, strict=True)
        return tuple(
            Portion(self.low, self.high, (part,), (group,), (position,), (source,))
            for part, group, position, source in each
        )

    def _combined(self, rule: Rule) -> Portion:
        n_groups, n_parts = self.high - self.low, len(self.parts)
        every = np.arange(n_groups)
        parts = tuple(rule(part.block) for part in self._alone)
        source = tuple(np.full(n_groups, number) for number in range(n_parts))
        return Portion(self.low, self.high, parts, (every,) * n_parts, (every + self.low,) * n_parts, source)


@dataclass(frozen=True, eq=False)
class Stream:
    """Matrices whose rows belong to groups, to be gone through a portion of groups at a time.

    Parameters
    ----------
    matrices
        Each (n_i, k).
    groups
        Each (n_i,): the group of every row, in [0, n_groups), or `LEFT_OUT`. Every group has a row in some matrix.
    n_groups
        Number of groups.
    sources
        Each (n_i,): number of every row's source, for rules that weigh; the number of its matrix by default.
    """

    matrices: Sequence[Matrix]
    groups: Sequence[NDArray[np.intp]]
    n_groups: int
    sources: Sequence[NDArray[np.intp]] | None = None

    def map(self, work: Callable[[Portion], T]) -> Iterator[T]:
        """Give the result of `work` for every portion, in the order of groups.

        `work` is called by several threads. What it returns should be small: results wait for their turn.
        """
        spans = self._spans()
        if len(spans) == 1 or n_threads() == 1:
            yield from map(work, map(self._portion, spans))
            return
        with ThreadPoolExecutor(n_threads()) as threads:
            yield from threads.map(lambda span: work(self._portion(span)), spans)

    def run(self, work: Callable[[Portion], object]) -> None:
        """Do `work` for every portion, which itself puts the result where it belongs."""
        for _ in self.map(work):
            pass

    @cached_property
    def n_portions(self) -> int:
        """How many results `map` gives."""
        return len(self._spans())

    @cached_property
    def _sorted(self) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Per matrix, its rows in the order of groups, and their groups."""
        orders = [np.argsort(group, kind="stable")[np.count_nonzero(group == LEFT_OUT) :] for group in self.groups]
        return [(order, group[order]) for order, group in zip(orders, self.groups, strict=True)]

    def _spans(self) -> list[tuple[int, int]]:
        n_rows = sum(len(order) for order, _ in self._sorted)
        rows_at_once = CELLS_AT_ONCE // self.matrices[0].shape[1]
        step = max(1, self.n_groups * rows_at_once // max(1, n_rows))
        return [(low, min(low + step, self.n_groups)) for low in range(0, self.n_groups, step)]

    def _portion(self, span: tuple[int, int]) -> Portion:
        slices = [slice(*np.searchsorted(group, span)) for _, group in self._sorted]
        position = tuple(order[own] for (order, _), own in zip(self._sorted, slices, strict=True))
        if self.sources is None:
            source = tuple(np.full(len(rows), number) for number, rows in enumerate(position))
        else:
            source = tuple(its[rows] for its, rows in zip(self.sources, position, strict=True))
        return Portion(
            low=span[0],
            high=span[1],
            parts=tuple(matrix[rows] for matrix, rows in zip(self.matrices, position, strict=True)),
            group=tuple(group[own] - span[0] for (_, group), own in zip(self._sorted, slices, strict=True)),
            position=position,
            source=source,
        )


def n_threads() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
