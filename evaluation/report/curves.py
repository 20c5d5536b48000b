"""Sections of curves: reliability, and how training went."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.calibration import Reliability, reliability
from evaluation.members import Member
from evaluation.report.chart import Axis, Line, line_chart
from evaluation.report.grid import Cell, Column, count_cell, figure_cell, table
from evaluation.report.markup import Markup, breakable, element, joined
from evaluation.report.material import Material

LOG = "log.csv"
LOSSES = {"loss": "training", "val_loss": "validation"}
N_RELIABLE = 6
"""Models whose reliability is drawn; the table below has them all."""


def reliability_section(material: Material) -> Markup:
    """How often the first species is right, by how sure it was said to be: photograph by photograph."""
    answers = material.answers.images
    measured: dict[str, Reliability] = {}
    own = reliability(answers)
    if own:
        measured[material.best.run] = own
    for member in material.members:
        found = None if member.run in measured else reliability(member.predictions)
        if found:
            measured[member.run] = found
    if not measured:
        return element("p", "No photograph's class is known to the models.")
    shown = list(measured.items())[:N_RELIABLE]
    charts = [_reliability_chart(run, found) for run, found in shown]
    note = (
        "On the dashed line probabilities mean what they say; below it the model is surer than it is right. Each mark "
        "stands for the photographs whose highest probability lies in one fifteenth of the scale, its area for how "
        "many they are; the error is their mean distance from the line."
    )
    return joined(
        [
            element("div", *charts, class_="plots"),
            element("p", note, class_="note"),
            _reliability_table(measured),
        ]
    )


def _reliability_table(measured: Mapping[str, Reliability]) -> Markup:
    columns = [
        Column("Result"),
        Column("Calibration error", numeric=True),
        Column("Mean confidence", numeric=True),
        Column("Right", numeric=True),
        Column("Photographs", numeric=True),
    ]
    rows = [
        [
            Cell(breakable(run)),
            figure_cell(found.error),
            figure_cell(_mean(found.confidence.tolist(), found.count.tolist())),
            figure_cell(_mean(found.accuracy.tolist(), found.count.tolist())),
            count_cell(int(found.count.sum())),
        ]
        for run, found in measured.items()
    ]
    return table("Calibration of single photographs", columns, rows)


def _reliability_chart(run: str, found: Reliability) -> Markup:
    filled = [place for place, count in enumerate(found.count.tolist()) if count]
    line = Line(
        run,
        [float(found.confidence[at]) for at in filled],
        [float(found.accuracy[at]) for at in filled],
        weights=[float(found.count[at]) for at in filled],
    )
    return line_chart(run, Axis("confidence", 0, 1), Axis("share right", 0, 1), [line], diagonal=True)


def _mean(values: Sequence[float], weights: Sequence[int]) -> float:
    pairs = [(value, weight) for value, weight in zip(values, weights, strict=True) if weight]
    return sum(value * weight for value, weight in pairs) / sum(weight for _, weight in pairs)


@dataclass(frozen=True)
class TrainingLog:
    """How one training went, epoch by epoch.

    Attributes
    ----------
    epochs
        Their numbers, rising.
    losses
        Name in `LOSSES` -> one loss per epoch, NaN where none was measured.
    """

    epochs: tuple[float, ...]
    losses: Mapping[str, tuple[float, ...]]

    @property
    def best(self) -> int | None:
        """Place of the epoch with the lowest validation loss; None where none was measured."""
        losses = [loss if math.isfinite(loss) else math.inf for loss in self.losses["val_loss"]]
        low = min(losses, default=math.inf)
        return losses.index(low) if math.isfinite(low) else None


def read_log(path: Path) -> TrainingLog | None:
    """Read the epochs of a ``log.csv``; None where there is none, or no epoch with a loss in it."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        epochs = tuple(float(row["epoch"]) for row in rows)
        losses = {name: tuple(float(row[name]) for row in rows) for name in LOSSES}
    except (OSError, KeyError, TypeError, ValueError):
        return None
    return TrainingLog(epochs, losses) if epochs else None


def learning_section(material: Material) -> Markup:
    """Losses of every run that trained a network; fine-tuned ones first."""
    folders = {member.path.parent: member for member in material.members if member.card}
    members = sorted(folders.values(), key=_not_finetuned)
    charts, unreadable = [], []
    for member in members:
        path = member.path.parent / LOG
        log = read_log(path)
        if log:
            charts.append(_learning_chart(member.predictions.model, log))
        elif path.is_file():
            unreadable.append(member.run)
    parts = [element("div", *charts, class_="plots")] if charts else []
    if charts:
        note = (
            "The ring marks the epoch with the lowest validation loss. Training losses are measured under dropout, "
            "and on varied photographs, so they may lie above validation ones."
        )
        parts.append(element("p", note, class_="note"))
    else:
        parts.append(element("p", "No run of this report trained a network epoch by epoch."))
    if unreadable:
        parts.append(element("p", f"{LOG} cannot be read: {', '.join(unreadable)}.", class_="note"))
    return joined(parts)


def _not_finetuned(member: Member) -> bool:
    return member.card is not None and member.card.kind != "finetuned"


def _learning_chart(run: str, log: TrainingLog) -> Markup:
    lines = []
    for name, title in LOSSES.items():
        marked = [log.best] if name == "val_loss" and log.best is not None else []
        lines.append(Line(title, log.epochs, log.losses[name], dashed=name == "loss", marked=marked))
    x = Axis("epoch", log.epochs[0], max(log.epochs[-1], log.epochs[0] + 1), whole=True)
    values = [0.0, *(loss for losses in log.losses.values() for loss in losses)]
    return line_chart(run, x, Axis.around("loss", values, (0, math.inf)), lines)
