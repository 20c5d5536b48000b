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
    best, split, chosen_on = material.best, material.answers.fused.split, material.chosen_on
    if material.n_tied > 1:
        tied = f"the simplest of {material.n_tied} that score highest on {chosen_on}"
        told = f"{best.run}, {tied}, has S {best.s.value:.3f} on {split}"
    elif chosen_on != split:
        told = f"{best.run}, the best on {chosen_on}, has S {best.s.value:.3f} on {split}"
    else:
        told = f"{best.run} scores highest on {split}, S {best.s.value:.3f}"
    if math.isfinite(best.s.low):
        told += f" ({best.s.low:.3f} to {best.s.high:.3f})"
    return f"{told}{_beside_the_next(material)}."


def _beside_the_next(material: Material) -> str:
    lead = material.lead
    if lead is None:
        return ""
    second = f"{material.results[1].run}, the next"
    if not math.isfinite(lead.low):
        told = f", {'ahead of' if lead.value > 0 else 'not ahead of'} {second}"
        return f"{told}; with a single author nothing can be said about chance"
    if lead.distinguishable:
        return f", and is distinguishably {'better' if lead.value > 0 else 'worse'} than {second}"
    return f", but is not distinguishable from {second}"


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
    told += f". The sections on species and mistakes look into {material.best.run}"
    if material.chosen_on == material.answers.fused.split and len(material.results) > 1:
        told += f". The order is that of {material.chosen_on} itself, which flatters the first"
    return f"{told}."


def leaderboard(material: Material) -> Markup:
    """Every result with its interval drawn as a dot on a bar."""
    scores = [result.s for result in material.results]
    axis = _axis(scores)
    chosen_elsewhere = material.chosen_on != material.answers.fused.split
    columns = [
        Column("Result"),
        *([Column(f"S {material.chosen_on}", numeric=True)] if chosen_elsewhere else []),
        Column("S", numeric=True),
        Column(scale(axis), wide=True),
        Column("95 % of S", numeric=True),
        *(Column(title, numeric=True) for title in list(TITLES.values())[1:]),
        Column("Kind"),
        Column("images/s", numeric=True),
    ]
    rows = [_standing(result, axis, with_valid=chosen_elsewhere) for result in material.results]
    order = f"All results, highest S on {material.chosen_on} first"
    if chosen_elsewhere:
        order += f"; every other figure is of {material.answers.fused.split}"
    note = (
        f"The bar is the 95 % interval of S: {_drawn(material)}; an arrow points to one too low for the axis. "
        "Overlapping bars do not decide whether two "
        f"results differ; the sentence at the top does, for the first two. {SPEED_NOTE}"
    )
    fusions = [result.question for result in material.results if result.question.kind == "fusion"]
    members = [element("li", f"{question.run}: {question.models}") for question in fusions]
    return joined(
        [
            table(order, columns, rows, best=0),
            element("p", note, class_="note"),
            element("ul", *members, class_="note") if members else None,
        ]
    )


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


def _standing(result: Result, axis: Axis, *, with_valid: bool) -> list[Cell]:
    score = result.s
    others = [result.score(metric) for metric in list(TITLES)[1:]]
    return [
        Cell(breakable(result.run)),
        *([figure_cell(result.on_valid, 4)] if with_valid else []),
        figure_cell(score.value, 4),
        *_interval_cells(score, axis),
        *(figure_cell(other.value if other else None) for other in others),
        Cell(element("span", KINDS.get(result.question.kind, result.question.kind), class_="nowrap")),
        speed_cell(result.images_per_second),
    ]


def views_of(result: Result) -> list[str]:
    """Views that have a figure of their own; with one of them alone it is that of all views."""
    return [score.view for score in result.scores if score.metric == "S" and score.view != ALL_VIEWS]


def view_tables(material: Material) -> Markup:
    """The best result view by view, and S of every result in every view."""
    best = material.best
    views = views_of(best)
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
