"""Picture of the classes that are hardest, run by run: where heads and networks differ, and where none helps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evaluation.canvas import save
from heads.entry import Entry

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_CLASSES, MOST_RUNS = 30, 14
KNOWN = 0.995


def draw_classes(entries: Sequence[Entry], species: Mapping[str, str], out: Path) -> list[Path]:
    """Draw ``classes.png``: the mean reciprocal rank of the hardest classes under the first runs.

    Parameters
    ----------
    entries
        Sorted, none of them failed. Judged by test, or by valid where there is no test.
    species
        Names of classes, "" where they are unknown.

    Returns
    -------
    The picture; none where nothing was scored.
    """
    split = "test" if any("test" in entry.by_class for entry in entries) else "valid"
    shown = [entry for entry in entries if split in entry.by_class][:MOST_RUNS]
    if not shown:
        return []
    of = [dict(zip(s.class_id.tolist(), s.mrr.tolist(), strict=True)) for s in (e.by_class[split] for e in shown)]
    first = shown[0].by_class[split]
    n_plants = dict(zip(first.class_id.tolist(), first.n_observations.tolist(), strict=True))
    mean = {name: float(np.mean([found.get(name, math.nan) for found in of])) for name in n_plants}
    hardest = sorted(n_plants, key=lambda name: mean[name])
    # Classes that all runs know need no line, unless there are no others.
    hardest = [name for name in hardest if mean[name] < KNOWN][:MOST_CLASSES] or hardest[:MOST_CLASSES]
    values = np.array([[found.get(name, math.nan) for found in of] for name in hardest])
    names = [f"{species.get(name) or name}  ({n_plants[name]})" for name in hardest]
    title = f"Mean reciprocal rank on {split} of the {len(hardest)} hardest of {len(n_plants)} classes (plants)"
    unjudged = len(set(species) - set(n_plants))
    title += f"; {unjudged} more without a plant there" if unjudged else ""
    size = (4.2 + 0.62 * len(shown), 2.4 + 0.27 * len(hardest))
    return [save(out / "classes.png", size, lambda figure: _table(figure, values, names, shown, title))]


def _table(figure: Figure, values: np.ndarray, names: list[str], entries: Sequence[Entry], title: str) -> None:
    axes = figure.subplots()
    axes.imshow(values, aspect="auto", cmap="Blues", vmin=0, vmax=1.15)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_xticks(range(len(entries)), [entry.trial.name for entry in entries], rotation=40, ha="left", fontsize=8)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for row, line in enumerate(values):
        for column, value in enumerate(line):
            colour = "white" if value > 0.6 else "black"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7.5, color=colour)
    axes.set_xlabel(title, fontsize=9)
