"""A picture of what priors change, with intervals."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from evaluation.canvas import BLUE, GREY, RED, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from evaluation.prior.judge import PriorReport

TITLES = {"S": "S", "top_1": "Top-1", "log_loss": "log loss (lower is better)"}


def draw(report: PriorReport, path: Path) -> Path:
    """Draw the differences from the run without priors, a panel for each metric."""

    def paint(figure: Figure) -> None:
        grid = figure.subplots(1, len(TITLES), sharey=True)
        names = list(dict.fromkeys(effect.prior for effect in report.effects))
        splits = list(dict.fromkeys(effect.split for effect in report.effects))
        for axes, (metric, title) in zip(grid, TITLES.items(), strict=True):
            for effect in (one for one in report.effects if one.metric == metric):
                number = splits.index(effect.split)
                place = names.index(effect.prior) + 0.2 * (number - (len(splits) - 1) / 2)
                ends = [[effect.difference - effect.low], [effect.high - effect.difference]]
                axes.errorbar(effect.difference, place, xerr=None if math.isnan(effect.low) else ends,
                              fmt="os"[number], color=(BLUE, RED)[number], capsize=3,
                              label=effect.split if effect.prior == names[0] else None)  # fmt: skip
            axes.axvline(0, color=GREY, linewidth=1)
            axes.locator_params(axis="x", nbins=5)
            axes.set_title(title, loc="left", fontsize=10)
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(visible=True, axis="x", alpha=0.3)
        grid[0].set_yticks(range(len(names)), names)
        grid[0].set_ylim(len(names) - 0.5, -0.5)
        handles, labels = grid[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
        figure.suptitle(f"{report.run}: with a prior less without (95 %)")

    return save(path, (11, 3.2), paint)
