"""Pictures of gains: S by images per observation, by number of models, and by what they cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evaluation.canvas import BLUE, COLOURS, GREY, MARKS, RED, save
from evaluation.gain.curves import ENOUGH_PLANTS, ImageCurve, ImageGain
from evaluation.gain.models import ModelGain, ModelSet
from evaluation.invariants import ALL_VIEWS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

MOST_COLOURED = 5
"""More runs than these are drawn grey, with the fusion before them."""
COLUMNS = 3
FONT = 8


def draw_images(gains: Sequence[ImageGain], path: Path) -> Path:
    """Draw one panel for all views together and one for every view with `ENOUGH_PLANTS` plants.

    One run shows S and Top-1, several show S: each alone, and the fusion of all with its interval.
    """
    panels = [view for view in gains[-1].views() if _worth_a_panel(gains[-1], view)]
    n_rows = math.ceil(len(panels) / COLUMNS)
    n_columns = min(len(panels), COLUMNS)

    def draw(figure: Canvas) -> None:
        grid = figure.subplots(n_rows, n_columns, squeeze=False, sharey=True)
        for axes, view in zip(grid.flat, panels, strict=False):
            _image_panel(axes, gains, view)
        for axes in grid.flat[len(panels) :]:
            axes.set_visible(False)
        for row in grid:
            row[0].set_ylabel("S" if len(gains) > 1 else "S and Top-1")

    return save(path, (4.6 * n_columns + 0.4, 3.4 * n_rows + 0.2), draw)


def _worth_a_panel(gain: ImageGain, view: str) -> bool:
    curve = gain.main(view)
    return curve is not None and (view == ALL_VIEWS or curve.n_observations >= ENOUGH_PLANTS)


def _image_panel(axes: Axes, gains: Sequence[ImageGain], view: str) -> None:
    curves = {gain.run: curve for gain in gains if (curve := gain.main(view)) is not None}
    shown = curves[gains[-1].run]
    labels: list[tuple[float, str, str]] = []
    if len(gains) == 1:
        labels += [_line(axes, shown, "S", BLUE, "o", band=True)]
        labels += [_line(axes, shown, "Top-1", RED, "s", band=True)]
    else:
        labels += _several(axes, curves)
    axes.margins(y=0.12)
    _label_ends(axes, len(shown.points), labels)
    what = "All views" if view == ALL_VIEWS else view
    last = shown.points[-1]
    gained = "gain in S" if len(gains) == 1 else f"gain in S of {gains[-1].run}"
    axes.set_title(
        f"{what}: the {shown.n_observations:,} observations with {shown.population} images\n"
        f"{gained}: {last.gain.value:+.3f}{_ends(last.gain.low, last.gain.high)}",
        fontsize=FONT + 1,
        loc="left",
    )
    axes.set_xticks(range(1, len(shown.points) + 1))
    axes.set_xlabel("images per observation that are looked at")
    _bare(axes)


def _several(axes: Axes, curves: dict[str, ImageCurve]) -> list[tuple[float, str, str]]:
    *runs, fusion = curves
    few = len(runs) <= MOST_COLOURED
    labels = []
    for number, run in enumerate(runs):
        colour = COLOURS[number] if few else "#bbbbbb"
        labels.append(_line(axes, curves[run], run, colour, MARKS[number] if few else "", band=False))
    labels = labels if few else [(float(np.median([y for y, _, _ in labels])), f"{len(runs)} runs alone", GREY)]
    return [*labels, _line(axes, curves[fusion], fusion, "#000000", "X", band=True)]


def _line(axes: Axes, curve: ImageCurve, label: str, colour: str, mark: str, *, band: bool) -> tuple[float, str, str]:
    """Draw S, or Top-1 where the label says so, and tell where its label belongs."""
    figures = [point.top_1 if label == "Top-1" else point.score for point in curve.points]
    x = [point.n_images for point in curve.points]
    axes.plot(x, [figure.value for figure in figures], color=colour, marker=mark, markersize=5, linewidth=1.6)
    if band:
        ends = [figure.low for figure in figures], [figure.high for figure in figures]
        axes.fill_between(x, *ends, color=colour, alpha=0.13, linewidth=0)
    return figures[-1].value, label, colour


def draw_models(gain: ModelGain, path: Path) -> Path:
    """Draw S by the number of models and, where speeds are known, by seconds per image."""
    with_cost = any(not math.isnan(found.seconds) for found in (*gain.steps, *gain.singles))

    def draw(figure: Canvas) -> None:
        left, *right = figure.subplots(1, 2 if with_cost else 1, squeeze=False, sharey=True)[0]
        _size_panel(left, gain)
        for axes in right:
            _cost_panel(axes, gain)
            figure.legend(*axes.get_legend_handles_labels(), loc="outside lower right", ncols=3, fontsize=FONT)

    return save(path, (10.5 if with_cost else 5.4, 4.2), draw)


def _size_panel(axes: Axes, gain: ModelGain) -> None:
    x = np.arange(1, len(gain.steps) + 1)
    sets = gain.any_sets
    spread = [found.low for found in sets], [found.high for found in sets]
    axes.vlines(x, *spread, color=GREY, linewidth=5, alpha=0.3)
    axes.plot(x, [found.mean for found in sets], color=GREY, marker="s", markersize=5, linestyle="--", linewidth=1.2)
    score = [step.score for step in gain.steps]
    axes.plot(x, [figure.value for figure in score], color=BLUE, marker="o", linewidth=1.6)
    axes.fill_between(
        x, [figure.low for figure in score], [figure.high for figure in score], color=BLUE, alpha=0.13, linewidth=0
    )
    order = f"order learned on {gain.chosen_on}" if gain.chosen_on else "in the order they were named"
    ends = [(score[-1].value, order, BLUE), (sets[-1].mean, "any set of as many:\nmean, 10 to 90 %", GREY)]
    _label_ends(axes, len(x), ends)
    axes.set_title(f"S by number of models ({gain.split})", fontsize=FONT + 1, loc="left")
    axes.set_xticks(x)
    axes.set_xlabel("models fused")
    axes.set_ylabel("S")
    _bare(axes)


def _cost_panel(axes: Axes, gain: ModelGain) -> None:
    singles = [found for found in gain.singles if not math.isnan(found.seconds)]
    steps = [found for found in gain.steps[1:] if not math.isnan(found.seconds)]
    axes.set_xscale("log")
    axes.plot(*_places(singles), "o", color=GREY, markersize=6, label="one model")
    axes.plot(*_places(steps), "D", color=BLUE, markersize=6, label="several, by the order on the left")
    front = sorted({(found.seconds, found.score.value) for found in (*singles, *steps) if found.on_front})
    axes.step(*zip(*front, strict=True), where="post", color=RED, linewidth=1.2, zorder=0)
    axes.plot(
        *zip(*front, strict=True),
        "o",
        color=RED,
        markersize=11,
        fillstyle="none",
        label="none as good is cheaper",
    )
    for found in {found.models: found for found in (*singles, *steps) if found.on_front}.values():
        text = found.models[0] if len(found.models) == 1 else f"{len(found.models)} models"
        place = (found.seconds, found.score.value)
        # Below a single lies what it beats; steps stand close together.
        offset = (8, -12) if len(found.models) == 1 else (0, 9)
        axes.annotate(text, place, offset, textcoords="offset points", fontsize=FONT)
    axes.margins(x=0.4, y=0.08)
    axes.margins(x=0.2)
    axes.set_title("S by cost", fontsize=FONT + 1, loc="left")
    axes.set_xlabel("seconds per image, all models one after another")
    _bare(axes)


def _places(sets: Sequence[ModelSet]) -> tuple[list[float], list[float]]:
    return [found.seconds for found in sets], [found.score.value for found in sets]


def _label_ends(axes: Axes, x: float, labels: Sequence[tuple[float, str, str]]) -> None:
    """Write labels beside the last point, pushed apart where they would cover each other."""
    low, high = axes.get_ylim()
    for (_, text, colour), y in zip(labels, spread([y for y, _, _ in labels], (high - low) * 0.075), strict=True):
        label = axes.annotate(text, (x, y), (8, 0), textcoords="offset points", va="center", annotation_clip=False)
        label.set(color=colour, fontsize=FONT)


def spread(values: Sequence[float], gap: float) -> list[float]:
    """Move values as little as needed to lie at least `gap` apart, in their order."""
    order = np.argsort(values, kind="stable")
    steps = np.arange(len(values)) * gap
    # Values less their places must rise: pools of those that do not share their mean (isotonic regression).
    pools: list[list[float]] = []
    for value in np.asarray(values)[order] - steps:
        pools.append([float(value)])
        while len(pools) > 1 and np.mean(pools[-2]) > np.mean(pools[-1]):
            pools[-2:] = [pools[-2] + pools[-1]]
    placed = np.concatenate([np.full(len(pool), np.mean(pool)) for pool in pools]) + steps
    moved = np.empty(len(values))
    moved[order] = placed
    return [float(value) for value in moved]


def _ends(low: float, high: float) -> str:
    return "" if math.isnan(low) else f" ({low:+.3f} to {high:+.3f})"


def _bare(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=FONT)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
