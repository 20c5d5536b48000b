"""Places: where the right species of every query stands in a run file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from evaluation.official.lines import Lines


@dataclass(frozen=True, eq=False)
class Places:
    """The places that the right species of each query took in a run file.

    Parameters
    ----------
    rank
        (q,) as it stands in the file; infinity where the species, or the whole query, is not listed.
    average_rank
        (q,) the same by falling score, species of one score sharing the average of their places.
    n_sharing
        (q,) species that have the score of the right one, itself among them; 0 where it is not listed.
    answered
        (q,) whether the run has any line for the query.
    """

    rank: NDArray[np.float64]
    average_rank: NDArray[np.float64]
    n_sharing: NDArray[np.int64]
    answered: NDArray[np.bool_]


TIES: Mapping[str, Callable[[Places], NDArray[np.float64]]] = MappingProxyType(
    {"rank": lambda places: places.rank, "average": lambda places: places.average_rank}
)
"""What decides: the rank in the file, as in the contest; or the score, equal ones sharing the average place."""


def find_places(lines: Lines, queries: NDArray[np.str_], true_class: NDArray[np.str_]) -> Places:
    """Look up the right species of every query.

    Parameters
    ----------
    lines
        Every query listed once, every class once in it.
    queries, true_class
        (q,) what is asked, each once, and the answer.
    """
    truth_of_query, position = _lookup(lines.queries, queries)
    class_number, _ = _lookup(true_class, lines.classes)
    n_lines = np.bincount(lines.query, minlength=len(lines.queries))
    # For each query of the file the number of its right class there, -1 where there is none.
    wanted = np.where(truth_of_query >= 0, class_number[truth_of_query], -1)
    right = np.flatnonzero(lines.class_index == wanted[lines.query])
    of = lines.query[right]
    own = np.full(len(lines.queries), np.nan)
    own[of] = lines.score[right]
    against = own[lines.query]
    # Nothing is greater than NaN or equal to it.
    n_greater = np.bincount(lines.query[lines.score > against], minlength=len(own))
    n_sharing = np.bincount(lines.query[lines.score == against], minlength=len(own))
    at = truth_of_query[of]
    rank, average_rank = np.full(len(queries), np.inf), np.full(len(queries), np.inf)
    rank[at] = lines.rank[right]
    average_rank[at] = n_greater[of] + (n_sharing[of] + 1) / 2
    sharing = np.zeros(len(queries), dtype=np.int64)
    sharing[at] = n_sharing[of]
    answered = position >= 0
    answered[answered] = n_lines[position[answered]] > 0
    return Places(rank, average_rank, sharing, answered)


def _lookup(names: NDArray[np.str_], among: NDArray[np.str_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Position of each name among others, and of each of those among the names; -1 where it is absent."""
    place = {name: number for number, name in enumerate(among.tolist())}
    back = {name: number for number, name in enumerate(names.tolist())}
    forward = np.array([place.get(name, -1) for name in names.tolist()], dtype=np.intp)
    return forward, np.array([back.get(name, -1) for name in among.tolist()], dtype=np.intp)
