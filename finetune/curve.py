"""The learning curve: loss, accuracy and rate by epoch, with the best epoch marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from featstore.provenance import replacing
from finetune.schedule import best_epoch

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_RATES = 6
# Blue and orange keep apart for colour-blind readers and in grey print (Okabe and Ito).
_TRAIN, _VALID, _MARK = "#0072B2", "#D55E00", "#555555"


def draw_curve(log: Sequence[Mapping[str, float]], path: Path, title: str) -> None:
    """Draw the curve of the epochs so far as a PNG, whole or not at all.

    Parameters
    ----------
    log
        One row per epoch from 0, the state before training: loss and accuracy (NaN for epoch 0), val_loss,
        val_accuracy and learning_rate.
    path
        The picture.
    title
        Its heading.
    """
    figure = Figure(figsize=(8, 8), layout="constrained")
    FigureCanvasAgg(figure)
    loss, accuracy, rate = figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 1.3))
    best = best_epoch(log)
    for axes, name, label in ((loss, "loss", "cross-entropy loss"), (accuracy, "accuracy", "accuracy per image")):
        _line(axes, log, name, _TRAIN, "training (augmented, with dropout)")
        _line(axes, log, f"val_{name}", _VALID, "validation")
        value = log[best][f"val_{name}"]
        axes.plot(best, value, "o", markersize=11, markerfacecolor="none", markeredgecolor=_MARK, markeredgewidth=1.5)
        axes.set_ylabel(label)
    loss.legend(loc="best", frameon=False)
    rates = [row["learning_rate"] for row in log]
    # A logarithmic axis has no 0, where a cosine may end: it is drawn a decade below all others, and labelled 0.
    lowest = min((value for value in rates if value > 0), default=1.0) / 10
    rate.step(range(len(log)), [max(value, lowest) for value in rates], where="mid", color=_MARK)
    rate.set_yscale("log")
    _label_rates(rate, {max(value, lowest): f"{value:.2g}" for value in rates})
    rate.set_ylabel("rate")
    rate.set_xlabel("epoch (0: before training)")
    rate.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    for axes in (loss, accuracy, rate):
        axes.axvline(best, color=_MARK, linestyle=":", linewidth=1)
        axes.grid(visible=True, alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    told = f"best epoch {best}: validation loss {log[best]['val_loss']:.4f}, accuracy {log[best]['val_accuracy']:.1%}"
    figure.suptitle(f"{title}\n{told}", fontsize=12)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)


def _label_rates(axes: Axes, labels: Mapping[float, str]) -> None:
    """Write the rates that occurred beside the axis instead of powers of ten, few enough and apart to be read."""
    rates = sorted(labels)
    low, high = rates[0] / 1.5, rates[-1] * 1.5
    # Labels need some room each; the highest and the lowest come first.
    apart = (high / low) ** (1 / _MOST_RATES)
    chosen: list[float] = []
    for rate in (rates[-1], rates[0], *rates[-2:0:-1]):
        if all(max(rate, other) >= apart * min(rate, other) for other in chosen):
            chosen.append(rate)
    axes.set_yticks(chosen, [labels[rate] for rate in chosen])
    axes.set_yticks([], minor=True)
    axes.set_ylim(low, high)


def _line(axes: Axes, log: Sequence[Mapping[str, float]], name: str, color: str, label: str) -> None:
    axes.plot(range(len(log)), [row[name] for row in log], marker=".", color=color, label=label)
