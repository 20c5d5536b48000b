"""Effects: what priors do to the figures of a run, with paired intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields

import numpy as np
from numpy.typing import NDArray

from evaluation.fusion import FusedObservations
from evaluation.intervals import difference
from evaluation.metrics import average_ranks, log_loss, observation_score, reciprocal_rank, top_k_score
from evaluation.per_author import PerAuthor
from evaluation.prior.strength import with_prior
from featstore.provenance import Json


def _score(rank: NDArray[np.float64], own: NDArray[np.float64], author: NDArray[np.str_]) -> PerAuthor:
    del own
    return observation_score(reciprocal_rank(rank), author)


def _top_1(rank: NDArray[np.float64], own: NDArray[np.float64], author: NDArray[np.str_]) -> PerAuthor:
    del own
    return top_k_score(rank, 1, author)


def _log_loss(rank: NDArray[np.float64], own: NDArray[np.float64], author: NDArray[np.str_]) -> PerAuthor:
    """Mean over the plants whose class is listed; another plant has no probability that could be judged."""
    return log_loss(own, np.isfinite(rank), author)


METRICS = {"S": _score, "top_1": _top_1, "log_loss": _log_loss}
"""Name -> figure from the rank and the probability of the right species of each plant, and its author."""


@dataclass(frozen=True)
class Effect:
    """What priors do to one figure.

    Parameters
    ----------
    run, split
        What it is about.
    prior
        Aspects joined by "+", ``place+month`` for example.
    metric
        Name in `METRICS`.
    plain, with_prior
        The figure without and with.
    difference, low, high
        With less without, and its 95 % interval, drawn with the same authors.
    n_observations, n_touched
        Plants that are scored, and those of them of which the papers tell something.
    """

    run: str
    split: str
    prior: str
    metric: str
    plain: float
    with_prior: float
    difference: float
    low: float
    high: float
    n_observations: int
    n_touched: int

    def to_json(self) -> dict[str, Json]:
        """Every field by name; NaN becomes null."""
        return {
            name.name: None if isinstance(cell, float) and not math.isfinite(cell) else cell
            for name, cell in zip(fields(self), astuple(self), strict=True)
        }


@dataclass(frozen=True, eq=False)
class Part:
    """The plants of one split with what their papers say.

    Parameters
    ----------
    fused
        m plants, their images averaged.
    number
        (m,) column of each one's class, `evaluation.metrics.NOT_LISTED` where it has none.
    ratios
        Aspect -> (m, k) log ratios.
    """

    fused: FusedObservations
    number: NDArray[np.intp]
    ratios: Mapping[str, NDArray[np.float64]]

    def of(self, names: Sequence[str]) -> NDArray[np.float64]:
        """(a, m, k) log ratios of some aspects."""
        return np.stack([self.ratios[name] for name in names])


def effects_of(
    part: Part, names: tuple[str, ...], strength: NDArray[np.float64], labels: tuple[str, str]
) -> list[Effect]:
    """Compare the figures with and without priors.

    Parameters
    ----------
    names
        Aspects.
    strength
        (a,) of each, or (m, a) of each plant.
    labels
        Run and split.

    Returns
    -------
    One effect per metric; none without a plant of named class.
    """
    named = np.flatnonzero(part.fused.true_class != "")
    if not len(named):
        return []
    probability, ratios = part.fused.probability[named], part.of(names)[:, named]
    number, author = part.number[named], part.fused.author[named]
    better = with_prior(probability, ratios, strength[named] if strength.ndim > 1 else strength)
    n_touched = int((ratios != 0).any(axis=(0, 2)).sum())
    found = []
    for metric, of in METRICS.items():
        figures = []
        for one in (probability, better):
            own = one[np.arange(len(number)), number]
            figures.append(of(average_ranks(one, number), own, author))
        plain, other = figures
        if not plain.weight.sum():
            continue
        less = difference(other, plain)
        found.append(
            Effect(*labels, "+".join(names), metric, plain.value, other.value, less.value, less.low, less.high,
                   len(named), n_touched)
        )  # fmt: skip
    return found
