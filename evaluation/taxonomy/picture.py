"""A picture of the ranks that are answered at each threshold, and how often rightly."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evaluation.canvas import save
from evaluation.taxonomy.answering import NO_ANSWER
from evaluation.taxonomy.taxa import RANKS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from evaluation.taxonomy.judge import TaxonomyReport

SHADES = ("#0072B2", "#56B4E9", "#cfe8f7", "#eeeeee")
"""From species to no answer: ever lighter, so that a grey print tells them apart."""


def draw(report: TaxonomyReport, path: Path) -> Path:
    """Draw shares by threshold, a panel for each split."""

    def paint(figure: Figure) -> None:
        grid = figure.subplots(1, len(report.ladders), squeeze=False, sharey=True)
        for axes, split in zip(grid[0], report.ladders, strict=True):
            _panel(axes, report, split)
        grid[0, 0].set_ylabel("share of plants")
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
        figure.suptitle(f"{report.run}: the rank that is answered, for {report.precision:g} right")

    return save(path, (5 * len(report.ladders) + 0.5, 4.4), paint)


def _panel(axes: Axes, report: TaxonomyReport, split: str) -> None:
    ladder, grid = report.ladders[split], np.linspace(0, 1, 201)
    answered = [ladder.answered(threshold) for threshold in grid]
    shares = np.stack([[np.mean(one == number) for one in answered] for number in range(NO_ANSWER + 1)])
    labels = [*(f"answered: {rank}" for rank in RANKS), "no answer"]
    axes.stackplot(grid, shares, colors=SHADES, labels=labels)
    precision = [
        np.count_nonzero(ladder.rightly(one)) / count if (count := np.count_nonzero(one < NO_ANSWER)) else np.nan
        for one in answered
    ]
    axes.plot(grid, precision, color="black", linewidth=1.6, label="right of all answers")
    axes.axvline(report.threshold, color="#D55E00", linestyle="--", label=f"threshold {report.threshold:.3f}")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xlabel("probability from which a rank is answered")
    axes.set_title(split, loc="left", fontsize=10)
