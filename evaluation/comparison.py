"""Comparison: which rows of a table differ from the best one, judged on the same plants and authors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.intervals import Difference, difference, swap_p_value
from evaluation.per_author import PerAuthor
from evaluation.ranking import Ranked
from evaluation.scores import METRICS, Metric
from evaluation.simplest import best_first
from featstore.provenance import Json

NOT_DISTINGUISHABLE = "n.d."
LESS_BEST = "S less best"
"""Title of the column of `words`."""
BEST = "best"


@dataclass(frozen=True)
class Compared:
    """One row beside the best.

    Attributes
    ----------
    run
        Its name.
    value
        Its figure, NaN where the metric has nothing to look at.
    less_best
        Its figure less the best one, with the interval of the difference; NaN for another set of plants, where
        nothing can be said.
    p_value
        Of the difference, by `evaluation.intervals.swap_p_value`; NaN where nothing can be said.
    is_best
        Whether it is the one that the others are compared with.
    """

    run: str
    value: float
    less_best: Difference
    p_value: float
    is_best: bool

    @property
    def words(self) -> str:
        """``best``, a difference that can be told apart from none, ``n.d.`` (not distinguishable), or ``-``."""
        return BEST if self.is_best else in_words(self.less_best)

    def to_json(self) -> dict[str, Json]:
        """Describe the row; NaN becomes null."""
        less = self.less_best
        figures = {
            "value": self.value, "less_best": less.value, "low": less.low, "high": less.high, "p_value": self.p_value,
        }  # fmt: skip
        return {
            "run": self.run,
            **{name: figure if math.isfinite(figure) else None for name, figure in figures.items()},
            "distinguishable": less.distinguishable,
            "best": self.is_best,
        }


def in_words(difference: Difference) -> str:
    """A difference as tables tell it: a figure only where it is one."""
    if not math.isfinite(difference.low):
        return "-"
    return f"{difference.value:+.4f}" if difference.distinguishable else NOT_DISTINGUISHABLE


def less_best_note(best: str) -> str:
    """What the column says, for the line below a table."""
    return f"{LESS_BEST}: S less that of {best}, where chance does not explain it; n.d.: not distinguishable from it."


def compare_rows(
    rows: Mapping[str, Ranked], metric: Metric = METRICS["S"], simplest_first: Sequence[str] = ()
) -> list[Compared]:
    """Compare every row with the best of them.

    Parameters
    ----------
    rows
        Name of a run -> the places it gave. Rows about other plants than the best one's get no difference.
    metric
        Which figure decides.
    simplest_first
        The runs in the order in which equals are preferred; none for that of `rows`.

    Returns
    -------
    list[Compared]
        In the order of `rows`. The best was chosen by the very figures that are compared, which flatters it a little
        where many rows are alike: choose on valid and read the comparison on test.
    """
    figures = {run: metric(ranked) for run, ranked in rows.items()}
    sign = 1 if metric.higher_is_better else -1
    judged = [run for run in simplest_first or rows if figures.get(run) is not None]
    best = next(iter(best_first(judged, lambda run: sign * _value(figures[run]))), None)
    return [
        _compared(run, figure, figures[best] if best is not None and _same(ranked, rows[best]) else None, run == best)
        for (run, ranked), figure in zip(rows.items(), figures.values(), strict=True)
    ]


def _compared(run: str, own: PerAuthor | None, best: PerAuthor | None, is_best: bool) -> Compared:
    if own is None or best is None:
        return Compared(run, _value(own), Difference(math.nan, math.nan, math.nan), math.nan, is_best=False)
    p_value = math.nan if is_best else swap_p_value(own, best)
    return Compared(run, own.value, difference(own, best), p_value, is_best)


def _value(figure: PerAuthor | None) -> float:
    return math.nan if figure is None else figure.value


def _same(first: Ranked, second: Ranked) -> bool:
    names = ("observation_id", "true_class", "author")
    return all(np.array_equal(getattr(first, name), getattr(second, name)) for name in names)
