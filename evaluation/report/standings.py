"""Sections about figures: the finding in one sentence, the leaderboard, the views."""

from __future__ import annotations

import math
from collections.abc import Sequence

from evaluation.invariants import ALL_VIEWS
from evaluation.report.chart import Axis, dot_and_bar, scale
from evaluation.report.grid import NOTHING, Cell, Column, count_cell, figure_cell, speed_cell, table
from evaluation.report.markup import Markup, breakable, element, joined
from evaluation.report.material import Material
from evaluation.report.results import Result
from evaluation.scores import Score
from evaluation.table import SPEED_NOTE, TITLES

KINDS = {"head": "head", "finetuned": "fine-tuned", "fusion": "fusion", "file": "file"}
ORGANS = "all views"


def headline(material: Material) -> str:
    """Say in one sentence which result is best, how sure that is, and whether it stands clear of the next."""
    best = material.best
    told = f"{best.run} scores highest on {material.answers.fused.split}, S {best.s.value:.3f}"
    if math.isfinite(best.s.low):
        told += f" ({best.s.low:.3f} to {best.s.high:.3f})"
    if material.lead is None:
        return f"{told}."
    second = material.results[1].run
    if not math.isfinite(material.lead.low):
        return f"{told}, ahead of {second}; with a single author nothing can be said about chance."
    if material.lead.distinguishable:
        return f"{told}, and is distinguishable from {second}, the next."
    return f"{told}, but is not distinguishable from {second}, the next."


def footing(material: Material) -> str:
    """Say what the headline stands on."""
    best, lead = material.best.s, material.lead
    told = f"S is the contest's observation score, here over {best.n_observations:,} observations"
    told += f" and {len(material.answers.images.image_id):,} photographs"
    if math.isfinite(best.low):
        told += "; in brackets its 95 % interval"
    if lead is not None:
        told += f". The difference to the next is {lead.value:+.3f}"
        told += f" ({lead.low:+.3f} to {lead.high:+.3f})" if math.isfinite(lead.low) else ""
    return f"{told}. The sections on species and mistakes look into {material.best.run}."


def leaderboard(material: Material) -> Markup:
    """Every result with its interval drawn as a dot on a bar."""
    scores = [result.s for result in material.results]
    axis = _axis(scores)
    columns = [
        Column("Result"),
        Column("S", numeric=True),
        Column(scale(axis), wide=True),
        Column("95 % of S", numeric=True),
        *(Column(title, numeric=True) for title in list(TITLES.values())[1:]),
        Column("Kind"),
        Column("images/s", numeric=True),
    ]
    rows = [_standing(result, axis) for result in material.results]
    note = (
        f"The bar is the 95 % interval of S: {_drawn(material)}; an arrow points to one too low for the axis. "
        "Overlapping bars do not decide whether two "
        f"results differ; the sentence at the top does, for the first two. {SPEED_NOTE}"
    )
    return joined([table("All results, highest S first", columns, rows, best=0), element("p", note, class_="note")])


def _drawn(material: Material) -> str:
    """What the intervals draw: authors, or observations where none has an author."""
    if (material.answers.fused.author != "").any():
        return (
            "authors are drawn anew, each with everything that they photographed, so an interval tells how far the "
            "score would move with other authors"
        )
    return (
        "no author is known, so observations are drawn anew, and an interval tells how far the score would move with "
        "other observations"
    )


def _standing(result: Result, axis: Axis) -> list[Cell]:
    score = result.s
    others = [result.score(metric) for metric in list(TITLES)[1:]]
    return [
        Cell(breakable(result.run)),
        figure_cell(score.value, 4),
        *_interval_cells(score, axis),
        *(figure_cell(other.value if other else None) for other in others),
        Cell(element("span", KINDS.get(result.question.kind, result.question.kind), class_="nowrap")),
        speed_cell(result.images_per_second),
    ]


def view_tables(material: Material) -> Markup:
    """The best result view by view, and S of every result in every view."""
    best = material.best
    views = [score.view for score in best.scores if score.metric == "S" and score.view != ALL_VIEWS]
    return joined([_views_of_best(best, views), _views_of_all(material.results, views)])


def _views_of_best(best: Result, views: Sequence[str]) -> Markup:
    shown = [best.s, *(score for view in views if (score := best.score("S", view)))]
    axis = _axis(shown)
    columns = [
        Column("View"),
        Column("Observations", numeric=True),
        Column("S", numeric=True),
        Column(scale(axis), wide=True),
        Column("95 % of S", numeric=True),
        Column("Top-1", numeric=True),
        Column("Top-5", numeric=True),
    ]
    rows = []
    for score in shown:
        tops = [best.score(metric, score.view) for metric in ("top_1", "top_5")]
        rows.append(
            [
                Cell(ORGANS if score.view == ALL_VIEWS else score.view),
                count_cell(score.n_observations),
                figure_cell(score.value, 4),
                *_interval_cells(score, axis),
                *(figure_cell(top.value if top else None) for top in tops),
            ]
        )
    return table(f"{best.run}, by view: the images of that view alone", columns, rows)


def _views_of_all(results: Sequence[Result], views: Sequence[str]) -> Markup:
    columns = [Column("Result"), *(Column(view, numeric=True) for view in (ORGANS, *views))]
    rows = [
        [
            Cell(breakable(result.run)),
            *(figure_cell(found.value if (found := result.score("S", view)) else None) for view in (ALL_VIEWS, *views)),
        ]
        for result in results
    ]
    return table("S of every result in every view", columns, rows, filtered="results")


def _interval_cells(score: Score, axis: Axis) -> list[Cell]:
    """The interval drawn, and in figures."""
    drawn = Cell(dot_and_bar(score.value, score.low, score.high, axis), score.value)
    if not math.isfinite(score.low):
        return [drawn, Cell(NOTHING, -math.inf)]
    return [drawn, Cell(f"{score.low:.3f}-{score.high:.3f}", score.low)]


def _axis(scores: Sequence[Score]) -> Axis:
    highs = [(score.low, value) for score in scores for value in (score.value, score.high) if math.isfinite(value)]
    return Axis.around_best("S", highs, (0.0, 1.0))
