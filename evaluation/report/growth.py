"""Sections on gain: single models, augmented and merged; what another photograph or another model adds to S."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.gain.article import BEST, PUBLISHED_KIND, ArticleRow, ArticleTable
from evaluation.gain.contest import contest_of
from evaluation.gain.curves import ENOUGH_PLANTS, ImageCurve, ImageGain
from evaluation.gain.entries import Entries
from evaluation.gain.figures import Figure
from evaluation.gain.images import image_gain
from evaluation.gain.models import ModelGain, model_gain
from evaluation.gain.plan import GainPlan
from evaluation.gain.work import article_of
from evaluation.intervals import Difference
from evaluation.invariants import ALL_VIEWS
from evaluation.report.chart import Axis, Line, line_chart
from evaluation.report.grid import NOTHING, Cell, Column, count_cell, figure_cell, table
from evaluation.report.markup import Markup, breakable, element, joined
from evaluation.report.questions import Question

N_DRAWS = 10
"""Sets of photographs and models per point: enough for a picture, `evaluate gain` draws more."""
MAX_IMAGES = 6
SHIFT = 0.05
"""Lines stand so far apart that their intervals can be told from one another."""


@dataclass(frozen=True)
class Growth:
    """What more adds; nothing of it is measured where members saw images of their own.

    Attributes
    ----------
    images
        What photographs add to the best result; None where no plant has two.
    models
        What models add; None for a single one.
    article
        Models in the article's layout.
    warnings
        What is doubtful and was kept.
    """

    images: ImageGain | None = None
    models: ModelGain | None = None
    article: ArticleTable | None = None
    warnings: tuple[str, ...] = ()


def measure_growth(entries: Entries, best: Question, rule: str) -> Growth:
    """Measure the gain of photographs on the best result, and of models on all that are fused.

    Parameters
    ----------
    entries
        All runs; the order in which models are added is learnt on valid.
    best
        Whose photographs are counted, if its rule takes any number of them.
    rule
        How models are fused.
    """
    table, warnings = article_of(entries, rule)
    of_images = _image_gain(best) if best.recipe.plain else None
    of_models = None
    if len(entries.fused) > 1:
        of_models = model_gain(entries.contest, entries.order, entries.chosen_on, GainPlan(rule, n_draws=N_DRAWS))
    return Growth(of_images if of_images and of_images.curves else None, of_models, table, warnings)


def _image_gain(best: Question) -> ImageGain:
    names = [f"member {number}" for number in range(len(best.members))]
    plan = GainPlan(best.recipe.rule, max_images=MAX_IMAGES, n_draws=N_DRAWS)
    return image_gain(contest_of([member.loaded() for member in best.members], names), best.run, plan)


def article_section(growth: Growth) -> Markup:
    """Every model alone, with test-time augmentation, and several merged."""
    article = growth.article
    if article is None:
        return element("p", "Left out: the members saw photographs of their own.")
    columns = [
        Column("Run"),
        Column("Kind"),
        *(Column(title, numeric=True) for title in ("S", "95 % of S", "Top-1", "Top-3", "Top-5")),
        Column("S less best single", numeric=True),
        Column("95 % of it", numeric=True),
    ]
    notes = [
        article.choice,
        "+ TTA: test-time augmentation, every photograph also seen in varied copies. Merged: several models together.",
    ]
    rows = article.rows
    if article.comparable:
        notes.append(article.note)
    else:
        # On other plants the article's figures would only look like some to be beaten.
        rows = tuple(row for row in rows if row.kind != PUBLISHED_KIND)
    grid = table("Single, with augmentation, merged", columns, [_article_row(row) for row in rows])
    return joined([grid, element("p", " ".join(notes), class_="note")])


def _article_row(row: ArticleRow) -> list[Cell]:
    gain = row.difference if row.kind != BEST else None
    return [
        Cell(breakable(row.run)),
        Cell(row.kind),
        figure_cell(row.figures["S"].value, 4),
        _between(row.figures["S"], "{:.3f}-{:.3f}"),
        *(
            figure_cell(row.figures[name].value if name in row.figures else None)
            for name in ("top_1", "top_3", "top_5")
        ),
        Cell(f"{gain.value:+.4f}", gain.value) if gain else Cell(NOTHING, -math.inf),
        _between(gain, "{:+.3f} to {:+.3f}"),
    ]


def _between(figure: Figure | Difference | None, form: str) -> Cell:
    """The ends of an interval; a dash where there is none."""
    if figure is None or not math.isfinite(figure.low):
        return Cell(NOTHING, -math.inf)
    return Cell(form.format(figure.low, figure.high), figure.low)


def growth_section(growth: Growth) -> Markup:
    """Both curves, and the first one in figures."""
    charts = []
    if growth.images:
        charts.append(_image_chart(growth.images))
    if growth.models:
        charts.append(_model_chart(growth.models))
    if not charts:
        return element("p", "No plant has two photographs that all members saw, and there are no two models.")
    parts = [element("div", *charts, class_="plots")]
    note = "Every line follows the same plants from one photograph upwards, each judged with some of its own."
    parts.append(element("p", note if growth.images else None, class_="note"))
    if growth.images:
        parts.append(_image_table(growth.images))
    return joined(parts)


def _main_curves(gain: ImageGain) -> list[ImageCurve]:
    views = gain.views()
    # With one view, all of them together says nothing else.
    wanted = views if len(views) > 2 else [view for view in views if view == ALL_VIEWS]
    return [curve for view in wanted if (curve := gain.main(view))]


def _told_curves(gain: ImageGain) -> list[ImageCurve]:
    """The drawn curves, and behind each that of all plants of its view."""
    return [
        curve
        for drawn in _main_curves(gain)
        for curve in gain.curves
        if curve is drawn or (curve.view == drawn.view and curve.at_least is None)
    ]


def _image_chart(gain: ImageGain) -> Markup:
    curves = _main_curves(gain)
    lines = []
    for number, curve in enumerate(curves):
        at = [point.n_images + SHIFT * (number - (len(curves) - 1) / 2) for point in curve.points]
        scores = [point.score for point in curve.points]
        lines.append(
            Line(
                f"{_named(curve.view)}: {curve.n_observations:,} plants with {curve.population}",
                at,
                [score.value for score in scores],
                [score.low for score in scores],
                [score.high for score in scores],
            )
        )
    most = max(len(curve.points) for curve in curves)
    return line_chart("S by photographs per plant", _counts("photographs", most), _scores(lines), lines)


def _model_chart(gain: ModelGain) -> Markup:
    any_sets = Line(
        "any models, mean and spread (10 to 90 %)",
        [sets.n_models - SHIFT for sets in gain.any_sets],
        [sets.mean for sets in gain.any_sets],
        [sets.low for sets in gain.any_sets],
        [sets.high for sets in gain.any_sets],
    )
    steps = Line(
        "in the order learnt on valid, with 95 % interval" if gain.chosen_on else "in the order named, 95 % interval",
        [number + SHIFT for number in range(1, len(gain.steps) + 1)],
        [step.score.value for step in gain.steps],
        [step.score.low for step in gain.steps],
        [step.score.high for step in gain.steps],
        dashed=True,
    )
    lines = [any_sets, steps]
    return line_chart("S by models fused", _counts("models", len(gain.steps)), _scores(lines), lines)


def _image_table(gain: ImageGain) -> Markup:
    columns = [
        Column("View"),
        Column("Plants"),
        Column("Observations", numeric=True),
        Column("Photographs", numeric=True),
        Column("S with one", numeric=True),
        Column("S with all", numeric=True),
        Column("Gain", numeric=True),
        Column("95 % of gain", numeric=True),
    ]
    rows = []
    for curve in _told_curves(gain):
        first, last = curve.points[0], curve.points[-1]
        rows.append(
            [
                Cell(_named(curve.view)),
                Cell(f"all, {curve.population}" if curve.at_least is None else f"with {curve.population}"),
                count_cell(curve.n_observations),
                count_cell(last.n_images),
                figure_cell(first.score.value, 4),
                figure_cell(last.score.value, 4),
                Cell(f"{last.gain.value:+.4f}", last.gain.value),
                _between(last.gain, "{:+.3f} to {:+.3f}"),
            ]
        )
    caption = f"{gain.run}: S by photographs per plant; drawn is the longest line on {ENOUGH_PLANTS} plants or more"
    return table(caption, columns, rows)


def _named(view: str) -> str:
    return "all views" if view == ALL_VIEWS else view


def _counts(label: str, most: int) -> Axis:
    return Axis(label, 0.75, max(most, 2) + 0.25, whole=True)


def _scores(lines: Sequence[Line]) -> Axis:
    values = [value for line in lines for part in (line.y, line.low, line.high) for value in part]
    return Axis.around("S", values, (0.0, 1.0))
