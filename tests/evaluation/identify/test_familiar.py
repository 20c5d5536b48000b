"""Photographs of views that a model never learnt: how it looks at them, and what is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from evaluation.identify.contract import Neighbour, Photograph
from evaluation.identify.identify import identify

OPEN = {"Unknown": False}
CUT = {"Entire": False, "Flower": True}


@dataclass
class ByView:
    """A model whose answer depends on the view alone, and which remembers the views that it was asked with."""

    views: Mapping[str, bool]
    model: str = "m"
    classes: np.ndarray = field(default_factory=lambda: np.array(["1", "2", "3"]))
    species: Mapping[str, str] = field(default_factory=lambda: {"1": "", "2": "", "3": ""})
    asked: list[list[str]] = field(default_factory=list)

    def probabilities(self, photographs: Sequence[Photograph]) -> tuple[np.ndarray, dict[str, str]]:
        self.asked.append([one.view for one in photographs])
        rows = [np.random.default_rng([*map(ord, one.view)]).dirichlet(np.ones(3)) for one in photographs]
        return np.array(rows, dtype=np.float32), {}

    def nearest(self, photographs: Sequence[Photograph], n_neighbours: int) -> dict[str, list[Neighbour]]:
        self.asked.append([one.view for one in photographs])
        return {one.image_id: [Neighbour("i", "1", 0.9, "i.jpg")] for one in photographs}


def photograph(view: str, name: str = "a.jpg") -> Photograph:
    return Photograph(name, Path(name), view)


def test_a_view_that_was_never_learnt_is_open_to_a_model_of_whole_photographs() -> None:
    model = ByView(OPEN)
    named, opened = (identify([photograph(view)], [model]) for view in ("Flower", "Unknown"))
    assert model.asked == [["Unknown"]] * 4, "similar photographs are looked for with the same eyes"
    assert named.ranking == opened.ranking
    assert named.photographs[0].view == "Flower", "the answer says what was asked"
    assert named.remarks == (
        "m learnt photographs without a view only: a.jpg is treated as without a view, not as Flower.",
    )
    assert named.to_json()["remarks"] == list(named.remarks)
    assert opened.remarks == ()


def test_an_open_view_is_told_where_it_makes_a_difference() -> None:
    model = ByView(CUT)
    (told,) = identify([photograph("Unknown"), photograph("Flower", "b.jpg")], [model]).remarks
    assert "cut by what they show (Entire, Flower): name the view of a.jpg for" in told
    assert model.asked[0] == ["Unknown", "Flower"]
    # Recipe none: an open view is cut as all were.
    assert identify([photograph("Unknown")], [ByView(dict.fromkeys(CUT, False))]).remarks == ()


def test_a_view_that_a_model_of_named_views_lacks_is_cut_as_named_and_told() -> None:
    model = ByView(CUT)
    (told,) = identify([photograph("Fruit")], [model]).remarks
    assert "m learnt photographs of Entire, Flower only: the answer is less sure for a.jpg" in told
    assert model.asked[0] == ["Fruit"]


def test_known_views_change_nothing() -> None:
    for views in ({**OPEN, **CUT}, {}):
        model = ByView(views)
        assert identify([photograph("Flower"), photograph("Unknown", "b.jpg")], [model]).remarks == ()
        assert model.asked[0] == ["Flower", "Unknown"]


def test_each_model_looks_in_its_own_way() -> None:
    whole, cut, silent = ByView(OPEN, "whole"), ByView(CUT, "cut"), ByView({}, "silent")
    del silent.views  # a plug-in of before
    found = identify([photograph("Flower")], [whole, cut, silent])
    assert [one.asked[0] for one in (whole, cut, silent)] == [["Unknown"], ["Flower"], ["Flower"]]
    rows = [one.probabilities([photograph(one.asked[0][0])])[0][0] for one in (whole, cut, silent)]
    assert found.ranking[0].probability == pytest.approx(np.mean(rows, axis=0).max(), rel=1e-6)
    assert [text.split()[0] for text in found.remarks] == ["whole"]
    both = identify([photograph("Flower")], [ByView(OPEN, "one"), ByView(OPEN, "other")])
    assert [text.split(" learnt")[0] for text in both.remarks] == ["one and other"]
