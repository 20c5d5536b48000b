"""What `finetune` shows on screen."""

from __future__ import annotations

import csv
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from evaluation.cells import write_csv
from evaluation.runs import CARD, RunCard
from evaluation.table import COLUMNS, SECONDARY, SPEED, SPEED_NOTE
from featstore import shell
from featstore.errors import PhytobenchError, PredictionsError, counted
from finetune.model_card import FILE
from finetune.report import LESS_START, STAR, Judged, Kept, Report, base_of, beside_start, few_told
from finetune.start import ENDING
from finetune.train import LOG
from heads.display import value_in_words

CSV_COLUMNS = (
    "run", "split", "S", "low", "high", "less_start", "less_start_low", "less_start_high", "top_1", "top_3", "top_5",
    "images", "observations", "images_per_second",
)  # fmt: skip

_OF_FINISHED: Mapping[Kept, str] = {
    "nothing": "",
    "weights": "; a finished run, which was not trained again but predicted anew",
    "everything": "; a finished run of the same settings, nothing was computed",
}


def show_reports(reports: Sequence[Report], rows: Sequence[Judged], failed: Mapping[str, PhytobenchError]) -> None:
    """Tables of all networks, split by split, and what became of each."""
    shown: list[str] = []
    for split in dict.fromkeys(row.split for row in rows):
        title, lines = f"Scores on {split}, all views together", beside_start(rows, split)
        shown += shell.print_table(title, (*COLUMNS, LESS_START), lines, secondary=SECONDARY)
        shown += [line[-1] for line in lines]
    # A legend is for what is there.
    if any(text.endswith(STAR) for text in shown):
        shell.say("*: better or worse beyond its 95 % interval; runs without it cannot be told from their start.")
    if SPEED in shown:
        shell.say(SPEED_NOTE)
    for text in few_told(rows):
        shell.warn(text)
    for report in reports:
        kept = f"epoch {report.best_epoch}" if report.best_epoch else "the start (no epoch was better on valid)"
        shell.say(
            f"{report.folder}: {counted(report.epochs_run, 'epoch')} run, kept: {kept}{_OF_FINISHED[report.kept]}"
        )
        if report.failures:
            lost = counted(len(report.failures), "photograph") + " could not be used"
            shell.warn_of_each(lost, report.failures.items(), f"{report.folder / CARD} lists all")
    for name, error in failed.items():
        shell.warn(f"{name} was not fine-tuned: {error}")
    if any(report.random_weights for report in reports):
        shell.warn("random weights: these figures show that everything runs and say nothing about plants.")


def write_comparison(rows: Sequence[Judged], path: Path) -> None:
    """Write the same table as CSV, and keep the lines of networks that an earlier call trained into the folder."""
    lines = _earlier(path, {row.network for row in rows})
    for row in rows:
        less, figures = row.less(base_of(rows, row)), row.line.figures
        numbers = [
            figures.get("S", math.nan), row.line.low, row.line.high, less.value, less.low, less.high,
            *(figures.get(name, math.nan) for name in ("top_1", "top_3", "top_5")),
        ]  # fmt: skip
        counts = [str(row.line.n_images), str(row.line.n_observations)]
        lines.append([row.line.run, row.split, *map(_cell, numbers), *counts, _cell(row.line.images_per_second)])
    write_csv(path, CSV_COLUMNS, lines)


def _earlier(path: Path, new: Collection[str]) -> list[list[str]]:
    """Lines of networks whose folders are still there and which are not told anew; no fusions."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *lines = csv.reader(file)
    except (OSError, ValueError):
        return []
    if tuple(header) != CSV_COLUMNS:
        return []
    networks = {line[0].removesuffix(ENDING) for line in lines if line[0].endswith(ENDING)}
    # All lines of a network go together: its variants may be others now.
    there = {name for name in networks if name not in new and (path.parent / f"{name}{ENDING}").is_dir()}
    return [line for line in lines if _network_of(line[0], networks) in there]


def _network_of(run: str, networks: Collection[str]) -> str:
    """The network that a line of the table is about: of two, one named like the beginning of the other, the longer."""
    return max((name for name in networks if run.startswith(f"{name}-")), key=len, default="")


def _epochs(path: Path) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a log."""
    lines: list[list[str]] = []
    got = "none, or rows of different lengths"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = [*csv.reader(file)]
    except (OSError, ValueError, csv.Error) as error:
        got = str(error)
    if len({len(line) for line in lines}) != 1:
        raise PredictionsError(f"a table of epochs in {path}", got, "Restore the file, or ask with --json.")
    return lines[0], lines[1:]


def show_run(folder: Path, card: RunCard, rows: Sequence[Judged]) -> None:
    """What a run is, how it was made, its epochs and its figures."""
    facts = [["network", ", ".join(card.backbones)], ["classes", str(len(card.classes))]]
    hidden = {"made_from", "files", "recipe"}
    facts += [[name, value_in_words(value)] for name, value in card.details.items() if name not in hidden]
    shell.print_table(card.model, ["what", "value"], [fact for fact in facts if fact[1]])
    header, epochs = _epochs(folder / LOG)
    shell.print_table("Epochs", header, [[_short(cell) for cell in line] for line in epochs])
    for split in dict.fromkeys(row.split for row in rows):
        lines = [row.line.cells() for row in rows if row.split == split]
        shell.print_table(f"Scores on {split}, all views together", COLUMNS, lines, secondary=SECONDARY)
    if (folder / FILE).is_file():
        shell.say(f"{folder / FILE}: the same beside its starting head, for whoever finds the network")


def _cell(value: float) -> str:
    return "" if math.isnan(value) else str(value)


def _short(cell: str) -> str:
    try:
        value = float(cell)
    except ValueError:
        return cell
    return "-" if math.isnan(value) else f"{value:.4g}"
