"""Picture of calibration: how often a run is right, by how sure it was, before and after its temperature."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from evaluation.canvas import BLUE, GREY, RED, save
from featstore.provenance import Json
from heads.entry import Entry

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_RUNS, COLUMNS = 12, 4
FEW = 10


def draw_reliability(entries: Sequence[Entry], out: Path) -> list[Path]:
    """Draw ``calibration.png``: a panel for each of the first runs, on test or, without test, on valid.

    Returns
    -------
    The picture; none where nothing was known.
    """
    told = [(entry, entry.calibrated.reliability) for entry in entries if entry.calibrated is not None]
    split = "test" if any("test" in found for _, found in told) else "valid"
    shown = [(entry, found[split]) for entry, found in told if {"before", "after"} <= set(found.get(split, ()))]
    shown = shown[:MOST_RUNS]
    if not shown:
        return []
    n_lines = math.ceil(len(shown) / COLUMNS)
    size = (2.7 * COLUMNS, 0.9 + 2.6 * n_lines)
    return [save(out / "calibration.png", size, lambda figure: _panels(figure, shown, n_lines, split))]


def _panels(
    figure: Figure, shown: Sequence[tuple[Entry, Mapping[str, Mapping[str, Json]]]], n_lines: int, split: str
) -> None:
    grid = figure.subplots(n_lines, COLUMNS, squeeze=False, sharex=True, sharey=True)
    for number, axes in enumerate(grid.flat):
        if number >= len(shown):
            axes.set_visible(False)
            continue
        entry, found = shown[number]
        errors = [cast("float", found[when]["error"]) for when in ("before", "after")]
        axes.plot([0, 1], [0, 1], color="#bbbbbb", linewidth=1, zorder=0)
        _curve(axes, found["before"], RED, hollow=True)
        _curve(axes, found["after"], BLUE, hollow=False)
        axes.set_title(entry.trial.name, fontsize=8, loc="left")
        axes.text(0.97, 0.05, f"error {errors[0]:.3f} \u2192 {errors[1]:.3f}", ha="right", fontsize=8, color=GREY)
        axes.set(xlim=(0, 1), ylim=(0, 1.02), aspect="equal")
        axes.spines[["top", "right"]].set_visible(False)
        if number + COLUMNS >= len(shown):
            axes.tick_params(labelbottom=True)
    axes = grid[0, 0]
    axes.plot([], [], "o-", color=RED, markerfacecolor="white", label="as fitted")
    axes.plot([], [], "o-", color=BLUE, label="at the chosen temperature")
    figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=9)
    figure.supxlabel(
        f"probability of the first species, photographs of {split} (pale dots: fewer than {FEW} of them)", fontsize=9
    )
    figure.supylabel("share that is right", fontsize=9)


def _curve(axes: Axes, told: Mapping[str, Json], colour: str, *, hollow: bool) -> None:
    sure, right, count = (np.asarray(told[name], dtype=np.float64) for name in ("confidence", "accuracy", "count"))
    # A share of a handful of photographs is luck: small dots, and no line through them.
    many = count >= FEW
    axes.plot(sure[many], right[many], color=colour, linewidth=1.2)
    size = 6 + 90 * np.sqrt(count / count.sum())
    axes.scatter(sure[many], right[many], s=size[many], color=colour, facecolor="white" if hollow else colour, zorder=3)
    axes.scatter(sure[~many], right[~many], s=5, color=colour, alpha=0.35, linewidth=0)
