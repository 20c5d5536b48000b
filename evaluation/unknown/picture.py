"""A picture of rejection: what is gained for known species at what price in unknown ones, and accuracy by coverage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evaluation.canvas import COLOURS, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from evaluation.unknown.report import Judged, UnknownReport

MOST_RUNS = 6
"""Rows of the picture; the others are in the tables."""
_DASHES = ("-", "--", ":", "-", "--", ":")


def draw(report: UnknownReport, path: Path) -> Path:
    """Draw the curves of the first `MOST_RUNS` runs, one row each: open-set rate, and accuracy by coverage."""
    runs = list(dict.fromkeys(one.run for one in report.judged))[:MOST_RUNS]
    panels = [_accuracy] if all(not one.accepted.n_unknown[0] for one in report.judged) else [_open_set, _accuracy]

    def paint(figure: Figure) -> None:
        grid = figure.subplots(max(len(runs), 1), len(panels), squeeze=False)
        names = list(dict.fromkeys(one.score for one in report.judged))
        for row, run in zip(grid, runs, strict=True):
            for axes, panel in zip(row, panels, strict=True):
                for one in (one for one in report.judged if one.run == run):
                    _line(axes, panel, one, names.index(one.score))
                axes.set_title(run, loc="left", fontsize=10)
                axes.spines[["top", "right"]].set_visible(False)
                axes.grid(visible=True, alpha=0.3)
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
        figure.suptitle(f"Rejecting unknown species on {report.split}; dots: the thresholds ({report.target})")

    return save(path, (5.2 * len(panels), 3.6 * max(len(runs), 1) + 0.9), paint)


Panel = Callable[["Axes", "Judged"], "tuple[np.ndarray, np.ndarray]"]


def _line(axes: Axes, panel: Panel, one: Judged, number: int) -> None:
    colour, dashes = COLOURS[number], _DASHES[number]
    across, up = panel(axes, one)
    label = one.score.replace("_", " ")
    axes.plot(across, up, color=colour, linestyle=dashes, label=label, linewidth=1.6)
    if one.threshold is not None:
        last = np.flatnonzero(one.accepted.threshold >= one.threshold)[-1:]
        axes.plot(across[last], up[last], "o", color=colour, markersize=6)


def _open_set(axes: Axes, one: Judged) -> tuple[np.ndarray, np.ndarray]:
    axes.set_xlabel("share of unknown species accepted")
    axes.set_ylabel("share of known species\naccepted and rightly named")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    accepted = one.accepted
    return accepted.unknown[0] / max(accepted.n_unknown[0], 1), accepted.right[0] / max(accepted.n_known[0], 1)


def _accuracy(axes: Axes, one: Judged) -> tuple[np.ndarray, np.ndarray]:
    axes.set_xlabel("coverage: share of all plants accepted")
    axes.set_ylabel("rightly named among them")
    axes.set_xlim(0, 1)
    accepted = one.accepted
    covered = accepted.known[0] + accepted.unknown[0]
    return covered / covered[-1], accepted.right[0] / covered
