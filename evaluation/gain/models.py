"""S against the number of models, and against what they cost.

References
----------
.. [1] R. Caruana, A. Niculescu-Mizil, G. Crew, A. Ksikes, "Ensemble Selection from Libraries of Models", ICML 2004:
   members are added greedily by the score of the fused set; here each at most once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from evaluation.cells import finite
from evaluation.gain.contest import Contest
from evaluation.gain.figures import Figure, cells, figures
from evaluation.gain.plan import GainPlan
from evaluation.intervals import Difference, difference
from evaluation.metrics import observation_score, reciprocal_rank, top_k_score
from evaluation.per_author import PerAuthor
from evaluation.simplest import EQUAL, best_first
from featstore.provenance import Json


@dataclass(frozen=True)
class ModelSet:
    """Some models, fused.

    Attributes
    ----------
    models
        Names, in the order in which they were added.
    score, top_1
        S and Top-1 of the fused set.
    gain
        S less that of the first model of the order, with the same authors drawn.
    seconds
        Per image, all models one after another; NaN when one is unknown.
    on_front
        Whether no other single model or step is both as good and as cheap; False where `seconds` is unknown.
    """

    models: tuple[str, ...]
    score: Figure
    top_1: Figure
    gain: Difference
    seconds: float
    on_front: bool

    def to_json(self) -> dict[str, Json]:
        """One flat object, the models as a list."""
        return {
            "models": list(self.models),
            "n_models": len(self.models),
            **cells("S", self.score),
            **cells("top_1", self.top_1),
            **cells("S_gain", self.gain),
            "seconds_per_image": finite(self.seconds),
            "on_front": self.on_front,
        }


@dataclass(frozen=True)
class AnySet:
    """What m models are worth when nobody chooses them.

    Attributes
    ----------
    n_models, n_sets
        m, and how many sets of them were fused.
    every_set
        Whether these are all sets of m models.
    mean, low, high
        S averaged over the sets, and the 10th and 90th percentile: a spread over sets, no interval.
    """

    n_models: int
    n_sets: int
    every_set: bool
    mean: float
    low: float
    high: float

    def to_json(self) -> dict[str, Json]:
        """One flat object."""
        return dict(vars(self))


@dataclass(frozen=True)
class ModelGain:
    """What more models add.

    Attributes
    ----------
    split, rule
        What is reported, and how models are fused.
    chosen_on
        Split that taught the order of the steps, ``""`` when they are in the order in which they were named.
    steps
        The first model, the first two, ... of the order.
    any_sets
        By number of models.
    singles
        Every model alone, augmented ones included.
    """

    split: str
    rule: str
    chosen_on: str
    steps: tuple[ModelSet, ...]
    any_sets: tuple[AnySet, ...]
    singles: tuple[ModelSet, ...]

    def to_json(self) -> dict[str, Json]:
        """Give all sets."""
        return {
            "split": self.split,
            "rule": self.rule,
            "chosen_on": self.chosen_on or None,
            "steps": [step.to_json() for step in self.steps],
            "any_sets": [sets.to_json() for sets in self.any_sets],
            "singles": [single.to_json() for single in self.singles],
        }


def greedy_order(contest: Contest, candidates: Sequence[int], rule: str = "mean") -> tuple[int, ...]:
    """Order models by what each adds to S: the best one first, then the one that helps it most, to the last.

    Of equals the first of `candidates` is taken. The order is a choice: learn it on valid.
    """
    order: list[int] = []
    left = list(candidates)
    while left:
        scores = {number: _score(contest, [*order, number], rule).value for number in left}
        order.append(best_first(left, scores.__getitem__)[0])
        left.remove(order[-1])
    return tuple(order)


def greedy_scores(contest: Contest, order: Sequence[int], rule: str = "mean") -> list[float]:
    """S of the first model of an order, of the first two, and so on."""
    return [_score(contest, order[:m], rule).value for m in range(1, len(order) + 1)]


def model_gain(contest: Contest, order: Sequence[int], chosen_on: str = "", plan: GainPlan | None = None) -> ModelGain:
    """Fuse the first, the first two, ... models of an order, and sets of each size that nobody chose.

    Parameters
    ----------
    contest
        All models: those of the order, and others (augmented predictions) that are shown alone.
    order
        Positions in `contest`, each once, at least one.
    chosen_on
        Split that taught the order, ``""`` for none.
    plan
        Rule, number of sets per size and seed.
    """
    plan = plan or GainPlan()
    steps = [tuple(order[:m]) for m in range(1, len(order) + 1)]
    singles = [(number,) for number in range(len(contest.names))]
    judged = _judge(contest, [*steps, *singles], plan.rule)
    any_sets = tuple(_any_set(contest, order, m, plan) for m in range(1, len(order) + 1))
    return ModelGain(contest.split, plan.rule, chosen_on, judged[: len(steps)], any_sets, judged[len(steps) :])


def _judge(contest: Contest, sets: Sequence[tuple[int, ...]], rule: str) -> tuple[ModelSet, ...]:
    author = contest.plants.author
    ranks = [contest.ranks(chosen, rule) for chosen in sets]
    scores = [observation_score(reciprocal_rank(rank), author) for rank in ranks]
    ends = figures(scores)
    hits = figures([top_k_score(rank, 1, author) for rank in ranks])
    seconds = [contest.cost(chosen) for chosen in sets]
    front = pareto_front(seconds, [score.value for score in scores])
    return tuple(
        ModelSet(
            models=tuple(contest.names[number] for number in chosen),
            score=ends[row],
            top_1=hits[row],
            gain=difference(scores[row], scores[0]),
            seconds=seconds[row],
            on_front=front[row],
        )
        for row, chosen in enumerate(sets)
    )


def pareto_front(seconds: Sequence[float], score: Sequence[float]) -> list[bool]:
    """Say of each whether none is better without costing more, or cheaper without being worse; equals stay together."""
    known = [pair for pair in zip(seconds, score, strict=True) if not math.isnan(pair[0])]
    return [
        not math.isnan(cost)
        and not any((c <= cost and s > own + EQUAL) or (c < cost and s >= own - EQUAL) for c, s in known)
        for cost, own in zip(seconds, score, strict=True)
    ]


def _any_set(contest: Contest, order: Sequence[int], m: int, plan: GainPlan) -> AnySet:
    every = math.comb(len(order), m) <= plan.n_draws
    if every:
        sets = list(combinations(order, m))
    else:
        rng = np.random.default_rng([plan.seed, len(order), m])
        # In the order of their names: the sets do not depend on what was chosen on valid.
        drawn = [rng.choice(np.sort(order), m, replace=False).tolist() for _ in range(plan.n_draws)]
        sets = [tuple(chosen) for chosen in drawn]
    values = [_score(contest, chosen, plan.rule).value for chosen in sets]
    low, high = np.quantile(values, [0.1, 0.9]).tolist()
    return AnySet(m, len(sets), every, float(np.mean(values)), low, high)


def _score(contest: Contest, chosen: Sequence[int], rule: str) -> PerAuthor:
    return observation_score(reciprocal_rank(contest.ranks(chosen, rule)), contest.plants.author)
