"""The section on gain: what another photograph of the plant, or another model, adds to S."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.gain.contest import contest_of
from evaluation.gain.curves import ENOUGH_PLANTS, ImageCurve, ImageGain
from evaluation.gain.images import image_gain
from evaluation.gain.models import ModelGain, greedy_order, model_gain
from evaluation.gain.plan import GainPlan
from evaluation.invariants import ALL_VIEWS
from evaluation.members import Member, load_members
from evaluation.report.chart import Axis, Line, line_chart
from evaluation.report.grid import Cell, Column, count_cell, figure_cell, table
from evaluation.report.markup import Markup, element, joined
from evaluation.report.results import Question
from evaluation.runs import splits_of

VALID = "valid"
N_DRAWS = 10
"""Sets of photographs and models per point: enough for a picture, `evaluate gain` draws more."""
MAX_MODELS = 8
"""Of more models no order is sought: the sets to fuse grow with their square."""
SHIFT = 0.05
"""Lines stand so far apart that their intervals can be told from one another."""


@dataclass(frozen=True)
class Growth:
    """What more adds.

    Attributes
    ----------
    images
        To the best result; None where members saw images of their own, or no plant has two.
    models
        None for a single model, and where members saw images of their own.
    """

    images: ImageGain | None = None
    models: ModelGain | None = None


def measure_growth(best: Question, fused: Sequence[Member], rule: str, align_by: str) -> Growth:
    """Measure the gain of photographs on the best result, and of models on all that are fused."""
    if align_by != "image":
        return Growth()
    names = [f"member {number}" for number in range(len(best.members))]
    of_images = image_gain(
        contest_of(best.members, names), best.run, GainPlan(best.recipe.rule, max_images=6, n_draws=N_DRAWS)
    )
    models = _model_gain(fused, rule) if len(fused) > 1 else None
    return Growth(of_images if of_images.curves else None, models)


def _model_gain(fused: Sequence[Member], rule: str) -> ModelGain:
    contest = contest_of([member.predictions for member in fused], [member.run for member in fused])
    order = _order_on_valid(fused, rule) if contest.split != VALID else None
    chosen_on = VALID if order else ""
    return model_gain(contest, order or range(len(fused)), chosen_on, GainPlan(rule, n_draws=N_DRAWS))


def _order_on_valid(fused: Sequence[Member], rule: str) -> Sequence[int] | None:
    """The order in which models help most on valid; None where some have no valid predictions, or there are many."""
    folders = [member.path.parent for member in fused if member.card and _has_valid(member.path.parent)]
    if len(folders) < len(fused) or len(set(folders)) < len(fused) or len(fused) > MAX_MODELS:
        return None
    members = load_members(folders, VALID).fused
    contest = contest_of([member.predictions for member in members], [member.run for member in members])
    return greedy_order(contest, range(len(members)), rule)


def _has_valid(folder: Path) -> bool:
    return VALID in splits_of(folder)


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
                Cell(f"{last.gain.low:+.3f} to {last.gain.high:+.3f}", last.gain.low),
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
