"""Census: how classes, views, votes, authors and images per observation are distributed in train and test."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from featstore.catalog import SPLITS, VIEWS
from featstore.provenance import replacing

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Blue, orange and vermilion of Okabe and Ito, told apart without colour vision by their lightness and hatching.
_COLOURS = {"train": "#0072B2", "valid": "#E69F00", "test": "#D55E00"}
_HATCHES = {"train": "", "valid": "..", "test": "///"}

Counts: TypeAlias = dict[str, NDArray[np.int64]]
"""Numbers by split."""


def draw_census(papers: pd.DataFrame, out: Path) -> list[Path]:
    """Draw one picture of up to six panels into a folder; what is unknown of every photograph is named instead.

    Parameters
    ----------
    papers
        As `featstore.store.Store.papers_of` gives them; failed photographs are left out.
    out
        Folder for ``census.png``.

    Returns
    -------
    The files written.
    """
    path = out / "census.png"
    with replacing(path) as temporary:
        _figure(papers[papers["status"] != "failed"]).savefig(temporary)
    return [path]


def _figure(usable: pd.DataFrame) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    splits = [split for split in SPLITS if (usable["split"] == split).any()]
    figure = Figure(figsize=(13, 8.5), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    title = "   ".join(_told(usable[usable["split"] == split], split) for split in splits)
    figure.suptitle(title or "No usable photographs", fontsize=12)
    if splits:
        _draw(figure, usable, splits)
    return figure


def _told(papers: pd.DataFrame, split: str) -> str:
    n_classes = papers.loc[papers["class_id"] != "", "class_id"].nunique()
    n_observations = papers["observation_id"].nunique()
    return f"{split}: {len(papers):,} photographs of {n_observations:,} observations, {n_classes:,} classes"


def _draw(figure: Figure, papers: pd.DataFrame, splits: Sequence[str]) -> None:
    named = papers["class_id"] != ""
    panels: tuple[tuple[str, bool, Callable[[Axes, pd.DataFrame, Sequence[str]], None]], ...] = (
        ("classes", bool(named.any()), _classes),
        ("views", bool((papers["view"] != "Unknown").any()), _views),
        ("observations", True, _observations),
        ("votes", bool(papers["vote"].notna().any()), _votes),
        ("authors", bool((papers["author"] != "").any()), _authors),
        ("classes in train", bool((named & (papers["split"] != "test")).any()), _plants),
    )
    drawn = [panel for _, is_known, panel in panels if is_known]
    axes = figure.subplots(min(2, len(drawn)), math.ceil(len(drawn) / 2), squeeze=False).ravel()
    for axis, panel in zip(axes, drawn, strict=False):
        panel(axis, papers, splits)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[len(drawn) :]:
        axis.remove()
    if unknown := [name for name, is_known, _ in panels if not is_known]:
        figure.supxlabel(f"unknown of every photograph: {', '.join(unknown)}", fontsize=10, color="0.35")


def _classes(axes: Axes, papers: pd.DataFrame, splits: Sequence[str]) -> None:
    _ranked(axes, papers[papers["class_id"] != ""], splits, "class_id", ("class", "classes"), "Photographs per class")


def _authors(axes: Axes, papers: pd.DataFrame, splits: Sequence[str]) -> None:
    _ranked(axes, papers[papers["author"] != ""], splits, "author", ("author", "authors"), "Photographs per author")


def _ranked(
    axes: Axes, papers: pd.DataFrame, splits: Sequence[str], column: str, words: tuple[str, str], title: str
) -> None:
    """Sizes in descending order: a long tail shows as a long foot."""
    from matplotlib.ticker import MaxNLocator

    axes.set_title(title, loc="left", fontsize=11)
    largest, smallest = 1, papers[[column, "split"]].value_counts().min()
    for split in splits:
        sizes = np.sort(papers.loc[papers["split"] == split, column].value_counts().to_numpy())[::-1]
        if not len(sizes):
            continue
        largest = max(largest, int(sizes[0]))
        line = axes.step(np.arange(1, len(sizes) + 1), sizes, where="mid", color=_COLOURS[split], linewidth=1.8)[0]
        line.set_linestyle("--" if split == "test" else "-")
        line.set_label(f"{split}: {len(sizes):,} {words[len(sizes) != 1]}, median {np.median(sizes):g}")
    axes.set(xlabel=f"{words[1]}, largest first", ylabel="photographs")
    if largest > max(50, 10 * smallest):
        _logarithmic(axes, "y")
    else:
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    if papers[column].nunique() > 300:
        _logarithmic(axes, "x")
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.legend(frameon=False, fontsize=9)


def _logarithmic(axes: Axes, which: Literal["x", "y"]) -> None:
    """A scale of counts with labels at 1, 2 and 5 of each power of ten; there may be one power alone, or none."""
    from matplotlib.ticker import LogLocator, NullFormatter

    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter("{x:,.0f}")
    axis.set_minor_formatter(NullFormatter())


def _views(axes: Axes, papers: pd.DataFrame, splits: Sequence[str]) -> None:
    views = [view for view in VIEWS if (papers["view"] == view).any()]
    counts = {
        split: np.array([((papers["split"] == split) & (papers["view"] == view)).sum() for view in views])
        for split in splits
    }
    axes.set_title("Share of each view", loc="left", fontsize=11)
    _bars(axes, counts, views)
    axes.tick_params(axis="x", rotation=30)


def _observations(axes: Axes, papers: pd.DataFrame, splits: Sequence[str]) -> None:
    most = 10
    counts: Counts = {}
    means = []
    for split in splits:
        sizes = papers.loc[papers["split"] == split, "observation_id"].value_counts().to_numpy()
        counts[split] = np.bincount(np.minimum(sizes, most), minlength=most + 1)[1:]
        means.append(f"{split} {sizes.mean():.1f}")
    longest = max(int(np.flatnonzero(count).max()) for count in counts.values() if count.any()) + 1
    labels = [str(n) if n < most else f"{most}+" for n in range(1, longest + 1)]
    axes.set_title(f"Per observation (mean: {', '.join(means)})", loc="left", fontsize=11)
    _bars(axes, {split: count[:longest] for split, count in counts.items()}, labels)
    axes.set_xlabel("photographs of one plant")
    axes.set_ylabel("share of observations")


def _votes(axes: Axes, papers: pd.DataFrame, splits: Sequence[str]) -> None:
    known = papers[papers["vote"].notna()]
    axes.set_title(f"Quality votes (unknown: {len(papers) - len(known):,})", loc="left", fontsize=11)
    edges = np.arange(np.floor(2 * known["vote"].min()) / 2 - 0.25, np.ceil(known["vote"].max()) + 0.75, 0.5)
    counts = {
        split: np.histogram(known.loc[known["split"] == split, "vote"], edges)[0]
        for split in splits
        if (known["split"] == split).any()
    }
    _bars(axes, counts, [f"{(low + high) / 2:g}" for low, high in itertools.pairwise(edges)])
    axes.set_xlabel("vote, to the nearest half")


def _plants(axes: Axes, papers: pd.DataFrame, splits: Sequence[str]) -> None:
    """Classes by the number of plants that there are to learn from."""
    from matplotlib.ticker import MaxNLocator

    train = papers[(papers["split"] != "test") & (papers["class_id"] != "")]
    plants = train.groupby("class_id")["observation_id"].nunique().to_numpy()
    axes.set_title("Plants per class to learn from", loc="left", fontsize=11)
    limits = [1, 2, 3, 4, 8, 16, 32, 64, 128, int(max(129, plants.max() + 1))]
    labels = ["1", "2", "3", "4-7", "8-15", "16-31", "32-63", "64-127", "128+"]
    counts = np.histogram(plants, limits)[0]
    bars = axes.bar(range(len(labels)), counts, color=_COLOURS["train"])
    axes.bar_label(bars, fontsize=9)
    axes.set_ylim(top=axes.get_ylim()[1] * 1.2)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xticks(range(len(labels)), labels, rotation=30)
    axes.set(xlabel="observations of the class", ylabel="classes")
    tested = set(papers.loc[(papers["split"] == "test") & (papers["class_id"] != ""), "class_id"])
    if "test" in splits and tested:
        untrained = tested - set(train["class_id"])
        _note(axes, f"test asks for {len(tested):,} classes,\n{len(untrained):,} of them without a training plant")


def _bars(axes: Axes, counts: Counts, labels: Sequence[str]) -> None:
    """Shares within each split, side by side."""
    from matplotlib.ticker import MaxNLocator

    width = 0.8 / len(counts)
    for position, (split, numbers) in enumerate(counts.items()):
        share = numbers / max(1, numbers.sum())
        places = np.arange(len(labels)) + (position - (len(counts) - 1) / 2) * width
        axes.bar(places, share, width, label=f"{split} ({int(numbers.sum()):,})", color=_COLOURS[split],
                 hatch=_HATCHES[split], edgecolor="white", linewidth=0.5)  # fmt: skip
    axes.set_xticks(range(len(labels)), labels)
    axes.yaxis.set_major_formatter("{x:.0%}")
    # Room for the legend above the bars; there is no share above the whole.
    top = axes.get_ylim()[1] * 1.2
    axes.set_ylim(top=top)
    axes.set_yticks([tick for tick in MaxNLocator(steps=[1, 2, 5, 10]).tick_values(0, top) if tick <= min(1, top)])
    axes.legend(frameon=False, fontsize=9)


def _note(axes: Axes, text: str) -> None:
    axes.text(0.98, 0.97, text, ha="right", va="top", transform=axes.transAxes, fontsize=9, color="0.25")
