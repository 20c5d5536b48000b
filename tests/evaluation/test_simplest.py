"""The best of equals: what rounding alone tells apart is equal, and of equals the simplest is chosen everywhere."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from evaluation.comparison import compare_rows
from evaluation.gain.contest import contest_of
from evaluation.gain.models import greedy_order, pareto_front
from evaluation.intervals import Difference, difference
from evaluation.per_author import PerAuthor
from evaluation.predictions import Predictions
from evaluation.ranking import Ranked
from evaluation.runs import RunCard
from evaluation.simplest import EQUAL, Needs, best_first, n_best, needs_of


def card(*networks: str, kind: str = "head", **features: int) -> RunCard:
    return RunCard("-".join((*networks, kind)), kind, networks, "mlp", {"1": ""}, {"features": features})


def test_heads_share_a_frozen_network_and_not_a_trained_one() -> None:
    a, b, ab = card("a", a=10), card("b", b=20), card("a", "b", a=10, b=20)
    trained = card("a", kind="finetuned", a=10)
    assert needs_of("n", [(a, False)]) == Needs(1, False, 10, 0, 1, "n")
    assert needs_of("n", [(a, False), (a, False)]) == Needs(1, False, 10, 0, 2, "n")
    assert needs_of("n", [(ab, False), (b, True)]) == Needs(2, True, 30, 0, 2, "n")
    assert needs_of("n", [(a, False), (trained, False)]) == Needs(2, False, 20, 1, 2, "n")
    # Of a file, or a card that does not tell, the features are not known; several files are several networks.
    assert needs_of("n", [(None, False), (None, False)]) == Needs(2, False, math.inf, 0, 2, "n")
    assert needs_of("n", [(card("a"), False)]).features == math.inf


def test_fewer_networks_come_before_fewer_features_and_these_before_the_rest() -> None:
    rising = [
        Needs(1, False, 10, 0, 1, "z"), Needs(1, False, 10, 0, 2, "a"), Needs(1, False, 10, 1, 1, "a"),
        Needs(1, False, 20, 0, 1, "a"), Needs(1, False, math.inf, 0, 1, "a"), Needs(1, True, 10, 0, 1, "a"),
        Needs(2, False, 5, 0, 1, "a"),
    ]  # fmt: skip
    for order in itertools.islice(itertools.permutations(rising), 0, 5040, 97):
        assert sorted(order) == rising


def test_rounding_is_no_difference_and_more_is_one() -> None:
    values = {"simple": 0.9, "large": 0.9 + EQUAL / 2, "better": 0.9 + 3 * EQUAL, "bad": -math.inf, "worse": -math.inf}
    assert best_first(values, values.__getitem__) == ["better", "simple", "large", "bad", "worse"]
    # However they are given, a figure never stands above one that is higher by more than rounding.
    assert best_first(reversed(values), values.__getitem__) == ["better", "large", "simple", "worse", "bad"]
    assert best_first([], float) == []
    assert n_best([0.9, 0.9 - 1e-16, 0.8]) == 2
    assert n_best([]) == 0


def test_a_difference_by_rounding_is_none() -> None:
    one = PerAuthor(np.array([0.1, 0.2, 0.3]), np.ones(3))
    other = PerAuthor(np.array([0.1, 0.2, 0.3 + 1e-16]) + 1e-16, np.ones(3))
    assert difference(one, other).value == 0.0
    assert not difference(one, other).distinguishable
    assert not Difference(0.0, 1e-17, 1e-16).distinguishable
    assert Difference(0.1, 1e-6, 0.2).distinguishable


def test_the_table_of_a_fusion_takes_the_simplest_of_equals_for_the_best() -> None:
    ranked = Ranked(
        np.array(["o1", "o2"]), np.array(["a", "b"]), np.array([1.0, 2.0]), np.array(["x", "y"]), np.empty(0),
        np.empty(0, dtype=np.intp),
    )  # fmt: skip
    rows = {"large": ranked, "simple": ranked, "bad": replace(ranked, rank=np.array([2.0, 2.0]))}
    assert [row.run for row in compare_rows(rows) if row.is_best] == ["large"]
    simplest_first = ["bad", "simple", "large", "unscored"]
    found = compare_rows(rows, simplest_first=simplest_first)
    assert [row.run for row in found] == list(rows)
    assert [row.run for row in found if row.is_best] == ["simple"]


def test_models_are_added_by_the_simplest_of_equals() -> None:
    def model(name: str) -> Predictions:
        plants = np.array(["o1", "o2"])
        return Predictions(
            name, "valid", np.array(["i1", "i2"]), plants, plants, np.full(2, "Leaf"), np.array(["a", "b"]),
            np.array(["a", "b"]), np.eye(2, dtype=np.float32), 1.0,
        )  # fmt: skip

    contest = contest_of([model("large"), model("simple")], ["large", "simple"])
    assert greedy_order(contest, [1, 0]) == (1, 0)
    assert greedy_order(contest, [0, 1]) == (0, 1)


@pytest.mark.parametrize("rounding", [0.0, 1e-16, -1e-16])
def test_what_costs_more_for_the_same_is_on_no_front(rounding: float) -> None:
    assert pareto_front([1.0, 2.0], [0.9, 0.9 + rounding]) == [True, False]
