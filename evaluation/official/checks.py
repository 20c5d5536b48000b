"""Checks: what the lines of a run file promise together - ranks 1 to n, every class once, known queries.

Each check is a few passes over whole columns; only faulty lines are ever looked at one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from evaluation.official.faults import Fault, Faults
from evaluation.official.layouts import AROUND
from evaluation.official.lines import Lines

N_PAIRS_MARKED = 1 << 28
"""Pairs of query and class that are marked off in a table of one byte each; beyond, they are sorted."""


@dataclass(frozen=True)
class Known:
    """What a run may name; None where that is not known.

    Parameters
    ----------
    queries
        (q,) observations, or photographs for an image run.
    classes
        (k,) all species of the contest, also those that no query shows.
    """

    queries: NDArray[np.str_] | None = None
    classes: NDArray[np.str_] | None = None


@dataclass(frozen=True, eq=False)
class Ordered:
    """The lines of a file, query by query and by rank within each.

    Parameters
    ----------
    lines
        As they stand in the file.
    """

    lines: Lines

    @cached_property
    def order(self) -> NDArray[np.intp] | None:
        """(n,) lines in their order, None when the file already is in it."""
        query, rank = self.lines.query, self.lines.rank
        new = query[1:] != query[:-1]
        # Names are numbered as they appear, so a file without a query listed twice apart is sorted by number.
        if np.all(new | (rank[1:] > rank[:-1])) and np.all(query[1:] >= query[:-1]):
            return None
        return np.lexsort((rank, query))

    def of(self, column: NDArray[np.generic]) -> NDArray[np.generic]:
        """A column in this order."""
        return column if self.order is None else column[self.order]

    @cached_property
    def number(self) -> NDArray[np.int64]:
        """(n,) line in the file."""
        return np.asarray(self.of(self.lines.number), dtype=np.int64)

    @cached_property
    def rank(self) -> NDArray[np.int32]:
        """(n,) rank."""
        return np.asarray(self.of(self.lines.rank), dtype=np.int32)

    @cached_property
    def score(self) -> NDArray[np.float64]:
        """(n,) score."""
        return np.asarray(self.of(self.lines.score), dtype=np.float64)

    @cached_property
    def first(self) -> NDArray[np.bool_]:
        """(n,) whether a line is its query's first."""
        query = self.of(self.lines.query)
        return np.concatenate([[True], query[1:] != query[:-1]])

    @cached_property
    def whole(self) -> NDArray[np.bool_] | None:
        """(n,) whether all ranks of a line's query could be read, None when all of the file could."""
        lines = self.lines
        below = lines.rank < 1
        if not lines.torn and not below.any():
            return None
        intact = ~np.isin(lines.queries, sorted(lines.torn))
        intact[lines.query[below]] = False
        return np.asarray(intact[np.asarray(self.of(lines.query), dtype=np.intp)], dtype=np.bool_)

    def of_whole_queries(self, wrong: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Positions of wrong lines, without those of queries with ranks that are none."""
        return np.flatnonzero(wrong if self.whole is None else wrong & self.whole)


def check(lines: Lines, known: Known | None = None) -> Faults:
    """Find all faults of a run file.

    Parameters
    ----------
    known
        The queries and species of the contest; without them every name is accepted.
    """
    found = list(lines.faults)
    if len(lines.query):
        ordered, known = Ordered(lines), known or Known()
        for one in CHECKS:
            found += one(ordered, known)
    return Faults.of(lines.path, found)


def _texts(ordered: Ordered, _: Known) -> Iterator[Fault]:
    lines = ordered.lines
    for what, names, codes in (("query", lines.queries, lines.query), ("class", lines.classes, lines.class_index)):
        odd = np.array([name != name.strip(AROUND) or not name for name in names.tolist()])
        for line, _count, name in _first_lines(lines, names, codes, odd):
            yield Fault(line, "text", f"{what} {name!r}")


def _ranks(ordered: Ordered, _: Known) -> Iterator[Fault]:
    rank, first = ordered.rank, ordered.first
    before = np.zeros_like(rank)
    before[1:] = rank[:-1]
    before[first] = 0
    step = rank - before
    if np.all(step == 1):
        return
    for at in np.flatnonzero(rank < 1).tolist():
        yield Fault(int(ordered.number[at]), "rank", f"{rank[at]}")
    for at in np.flatnonzero((step == 0) & (rank > 0)).tolist():
        yield Fault(int(ordered.number[at]), "rank-twice", f"rank {rank[at]} again in {_query(ordered, at)}")
    for at in ordered.of_whole_queries(step > 1).tolist():
        after = f"after {before[at]}" if before[at] else "as the first"
        yield Fault(int(ordered.number[at]), "rank-gap", f"rank {rank[at]} {after} of {_query(ordered, at)}")


def _scores(ordered: Ordered, _: Known) -> Iterator[Fault]:
    lines, score = ordered.lines, ordered.score
    finite = np.isfinite(lines.score)
    for at in np.flatnonzero(~finite).tolist():
        yield Fault(int(lines.number[at]), "score", f"{lines.score[at]}")
    if lines.layout.probabilities:
        for at in np.flatnonzero(finite & ((lines.score < 0) | (lines.score > 1))).tolist():
            yield Fault(int(lines.number[at]), "outside", f"{lines.score[at]:g}")
    kind = "order" if lines.layout.probabilities else "order-2014"
    rises = np.concatenate([[False], score[1:] > score[:-1]]) & ~ordered.first & np.isfinite(score)
    for at in ordered.of_whole_queries(rises).tolist():
        got = f"{score[at]:g} at rank {ordered.rank[at]}, {score[at - 1]:g} before, in {_query(ordered, at)}"
        yield Fault(int(ordered.number[at]), kind, got)


def _classes_once(ordered: Ordered, _: Known) -> Iterator[Fault]:
    lines = ordered.lines
    n_pairs = len(lines.queries) * len(lines.classes)
    pair = lines.query.astype(np.int64) * len(lines.classes) + lines.class_index
    if n_pairs <= N_PAIRS_MARKED:
        marked = np.zeros(n_pairs, dtype=np.bool_)
        marked[pair] = True
        if np.count_nonzero(marked) == len(pair):
            return
    order = np.argsort(pair, kind="stable")
    again = np.sort(order[1:][pair[order[1:]] == pair[order[:-1]]])
    for at in again.tolist():
        got = f"{lines.classes[lines.class_index[at]]} again in {lines.queries[lines.query[at]]}"
        yield Fault(int(lines.number[at]), "class-twice", got)


def _queries_once(ordered: Ordered, _: Known) -> Iterator[Fault]:
    lines = ordered.lines
    begins = np.flatnonzero(np.concatenate([[True], lines.query[1:] != lines.query[:-1]]))
    if len(begins) == len(lines.queries):
        return
    first = np.unique(lines.query[begins], return_index=True)[1]
    for at in np.delete(begins, first).tolist():
        yield Fault(int(lines.number[at]), "query-twice", f"{lines.queries[lines.query[at]]}")


def _known_names(ordered: Ordered, known: Known) -> Iterator[Fault]:
    lines = ordered.lines
    for kind, names, codes, right in (
        ("query-unknown", lines.queries, lines.query, known.queries),
        ("class-unknown", lines.classes, lines.class_index, known.classes),
    ):
        if right is None:
            continue
        for line, count, name in _first_lines(lines, names, codes, ~np.isin(names, right)):
            yield Fault(line, kind, f"{name} ({count:,} lines)")


def _not_too_many(ordered: Ordered, known: Known) -> Iterator[Fault]:
    lines = ordered.lines
    limits = [lines.layout.max_lines, None if known.classes is None else len(known.classes)]
    limit = min((limit for limit in limits if limit is not None), default=None)
    if limit is None:
        return
    count = np.bincount(lines.query, minlength=len(lines.queries))
    for query in np.flatnonzero(count > limit).tolist():
        at = np.flatnonzero(lines.query == query)[limit]
        yield Fault(int(lines.number[at]), "too-many", f"{count[query]} for {lines.queries[query]}, at most {limit}")


CHECKS: tuple[Callable[[Ordered, Known], Iterator[Fault]], ...] = (
    _texts,
    _queries_once,
    _known_names,
    _ranks,
    _scores,
    _classes_once,
    _not_too_many,
)


def _first_lines(
    lines: Lines, names: NDArray[np.str_], codes: NDArray[np.int32], odd: NDArray[np.bool_]
) -> Iterator[tuple[int, int, str]]:
    """First line, number of lines and name of each odd name."""
    if not odd.any():
        return
    count = np.bincount(codes, minlength=len(names))
    _, first = np.unique(codes, return_index=True)
    # A name that lies only in lines taken out has no line here.
    place = dict(zip(np.unique(codes).tolist(), first.tolist(), strict=True))
    for code in np.flatnonzero(odd).tolist():
        if code in place:
            yield int(lines.number[place[code]]), int(count[code]), str(names[code])


def _query(ordered: Ordered, at: int) -> str:
    lines = ordered.lines
    row = at if ordered.order is None else int(ordered.order[at])
    return str(lines.queries[lines.query[row]])
