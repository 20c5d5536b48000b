"""Pictures of a comparison: S with its intervals, S against the time of a fit, and S of each view."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evaluation.canvas import BLUE as _VALID
from evaluation.canvas import COLOURS, MARKS, save
from evaluation.canvas import GREY as _GREY
from evaluation.canvas import RED as _TEST
from evaluation.invariants import ALL_VIEWS
from heads.class_picture import draw_classes
from heads.entry import DECISIVE, Entry
from heads.reliability_picture import draw_reliability

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PICTURES = ("leaderboard.png", "speed.png", "views.png", "classes.png", "calibration.png")
"""What `draw_comparison` may draw."""
MOST_ROWS = 40
"""Runs in one picture; the best ones."""


def draw_comparison(entries: Sequence[Entry], best: Entry | None, species: Mapping[str, str], out: Path) -> list[Path]:
    """Draw the runs that did not fail, the highest S on valid first.

    Parameters
    ----------
    entries
        Sorted.
    best
        With whom the others are compared.
    species
        Names of classes, "" where they are unknown.

    Returns
    -------
    Those of `PICTURES` in `out` for which there are figures; none without a run.
    """
    shown = [entry for entry in entries if not entry.error][:MOST_ROWS]
    if best is None or not shown:
        return []
    height = 1.3 + 0.32 * len(shown)
    return [
        save(out / "leaderboard.png", (9, height), lambda figure: _intervals(figure, shown, best)),
        save(out / "speed.png", (9, 5), lambda figure: _speed(figure, shown)),
        *(
            [save(out / "views.png", (9, height), lambda figure: _views(figure, shown))]
            if len(_views_of(shown)) > 1
            else []
        ),
        *draw_classes(shown, species, out),
        *draw_reliability(shown, out),
    ]


def _rows(axes: Axes, entries: Sequence[Entry]) -> None:
    axes.set_yticks(range(len(entries)), [entry.trial.name for entry in entries])
    axes.set_ylim(len(entries) - 0.4, -0.6)
    axes.grid(axis="x", color="#dddddd", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _intervals(figure: Figure, entries: Sequence[Entry], best: Entry) -> None:
    """A line per run and split: the interval of S, hollow where the run cannot be told from the best."""
    axes = figure.subplots()
    _rows(axes, entries)
    left = _zoom(axes, [end for entry in entries for split in ("valid", "test") for end in entry.interval(split)])
    for row, entry in enumerate(entries):
        for split, colour, shift in (("valid", _VALID, -0.14), ("test", _TEST, 0.14)):
            value, (low, high) = entry.value(split), entry.interval(split)
            if value is None:
                continue
            if value < left:
                axes.text(left, row + 1.4 * shift, f"\u25c2 {value:.3f}", color=colour, fontsize=7.5, va="center")
                continue
            same = entry is not best and not entry.less(best, split).distinguishable
            axes.plot([low, high], [row + shift] * 2, color=colour, linewidth=1.6, solid_capstyle="butt")
            axes.plot(
                [value], [row + shift], "o", color=colour, markerfacecolor="white" if same else colour, markersize=6
            )
    for split, colour in (("valid", _VALID), ("test", _TEST)):
        if any(entry.value(split) is not None for entry in entries):
            axes.plot([], [], "o-", color=colour, label=split)
    axes.plot([], [], "o", color=_GREY, markerfacecolor="white", label=f"not distinguishable from {best.trial.name}")
    axes.set_xlabel("S (contest's observation score), 95 % interval over authors")
    figure.legend(loc="outside upper left", ncols=3, frameon=False, fontsize=9)


def _zoom(axes: Axes, ends: Sequence[float]) -> float:
    """Show the range where most runs are; give its lower end."""
    finite = sorted(end for end in ends if math.isfinite(end))
    if not finite:
        return 0.0
    middle = finite[len(finite) // 2]
    near = [end for end in finite if end > middle - 3 * (finite[-1] - middle) - 0.05]
    left = max(0.0, near[0] - 0.01)
    axes.set_xlim(left, min(1.003, finite[-1] + 0.01))
    return left


def _speed(figure: Figure, entries: Sequence[Entry]) -> None:
    """S on valid against the seconds of the fit, heads by colour, networks by mark; the upper left is best."""
    axes = figure.subplots()
    values = sorted(entry.value("valid") or 0.0 for entry in entries)
    floor = values[len(values) // 2] - 0.15
    shown = [entry for entry in entries if (entry.value("valid") or 0.0) > floor]
    labels = list(dict.fromkeys(entry.trial.choice.label for entry in shown))
    inputs = list(dict.fromkeys(entry.trial.input for entry in shown))
    for entry in shown:
        axes.plot(
            [max(entry.fit_seconds or 0.0, 0.01)], [entry.value("valid") or 0.0],
            MARKS[inputs.index(entry.trial.input) % len(MARKS)], markersize=8, markeredgecolor="white",
            color=COLOURS[labels.index(entry.trial.choice.label) % len(COLOURS)],
        )  # fmt: skip
    for number, label in enumerate(labels):
        axes.plot([], [], "s", color=COLOURS[number % len(COLOURS)], label=label)
    for number, name in enumerate(inputs):
        axes.plot([], [], MARKS[number % len(MARKS)], color=_GREY, label=name)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    if len(shown) < len(entries):
        axes.set_title("runs far below are not drawn", color=_GREY, fontsize=8, loc="left")
    axes.set(xlabel="seconds to fit on train", ylabel="S on valid")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#eeeeee", linewidth=0.8)
    axes.set_axisbelow(True)
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)


def _split_of_views(entries: Sequence[Entry]) -> str:
    return "test" if any(score.split == "test" for score in entries[0].scores) else "valid"


def _views_of(entries: Sequence[Entry]) -> list[str]:
    """Views with a figure of their own; with one of them alone it is that of all views."""
    split = _split_of_views(entries)
    scores = [score for entry in entries for score in entry.scores if (score.split, score.metric) == (split, DECISIVE)]
    return sorted({score.view for score in scores} - {ALL_VIEWS})


def _views(figure: Figure, entries: Sequence[Entry]) -> None:
    """S on test (valid where there is none) of each view as a table in shades."""
    split = _split_of_views(entries)
    of = [{s.view: s for s in entry.scores if (s.split, s.metric) == (split, DECISIVE)} for entry in entries]
    views = [ALL_VIEWS, *_views_of(entries)]
    values = [[found[view].value if view in found else math.nan for view in views] for found in of]
    axes = figure.subplots()
    axes.imshow(values, aspect="auto", cmap="Blues", vmin=0, vmax=1.15)
    axes.set_yticks(range(len(entries)), [entry.trial.name for entry in entries])
    n_plants = {view: max(found[view].n_observations for found in of if view in found) for view in views}
    axes.set_xticks(range(len(views)), [f"{view}\n{n_plants[view]:,} plants" for view in views])
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for row, line in enumerate(values):
        for column, value in enumerate(line):
            text = "-" if math.isnan(value) else f"{value:.3f}"
            axes.text(
                column, row, text, ha="center", va="center", fontsize=9, color="white" if value > 0.6 else "black"
            )
    axes.set_xlabel(f"S on {split}, from the photographs of one view alone")
