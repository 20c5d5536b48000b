"""What settings do to fine-tuning on real photographs: the curves of several, and S on valid beside the start.

    python tests/benchmarks/bench_settings.py STORE --from RUNS --out FOLDER --backbone mobilenet [--backbone ...]

Every setting is a run of its own in FOLDER/<setting>/; finished ones are not run again. Choices are made on valid; test
is told for the setting with the highest S on valid alone, once per network.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from featstore.provenance import replacing
from featstore.shell import print_table, say
from finetune.display import told
from finetune.memory import keep_freed_memory
from finetune.report import Report, base_of
from finetune.run import finetune
from finetune.settings import AugmentSettings, TrainSettings
from finetune.start import Request

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GENTLE = TrainSettings(epochs=8)
QUICKER = replace(GENTLE, rate=1e-4, tta=0)
SETTINGS: Mapping[str, TrainSettings] = {
    "default": GENTLE,
    "rate 1e-4": QUICKER,
    "by stage": replace(QUICKER, layer_decay=0.7, label_smoothing=0.1, schedule="cosine"),
    "batch statistics": replace(QUICKER, layer_decay=0.7, batch_norm="train"),
    "top alone": replace(QUICKER, rate=3e-4, augment=AugmentSettings(probability=0.5)),
}
TOP = {"mobilenet": "conv_dw_12", "mobilenet_v2": "block_14"}
"""Where the top begins, for "top alone"."""
STYLES = {
    "default": ("#0072B2", "o"),
    "rate 1e-4": ("#CC79A7", "D"),
    "by stage": ("#D55E00", "s"),
    "batch statistics": ("#555555", "v"),
    "top alone": ("#009E73", "^"),
}
"""Colour and mark of a setting, the same in every panel."""
COLUMNS = ("network", "setting", "loss before", "lowest", "at epoch", "S on valid", "less the start")


def settings_for(name: str, backbone: str) -> TrainSettings:
    settings = SETTINGS[name]
    return replace(settings, train_from=TOP.get(backbone, "")) if name == "top alone" else settings


def tuned(report: Report, split: str) -> tuple[str, str]:
    """S of the network itself, and how much it is above the start."""
    row = next(row for row in report.rows if row.split == split and row.line.run.endswith("-finetuned"))
    return f"{row.line.figures['S']:.4f}", told(row.less(base_of(report.rows, row)))


def curve_of(report: Report) -> list[float]:
    with (report.folder / "log.csv").open(newline="", encoding="utf-8") as file:
        return [float(row["val_loss"]) for row in csv.DictReader(file)]


def draw(reports: Mapping[str, Mapping[str, Report]], path: Path) -> None:
    """Draw validation loss by epoch, one panel per network."""
    figure = Figure(figsize=(5.2 * len(reports), 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels: list[Axes] = list(figure.subplots(1, len(reports), squeeze=False)[0])
    for axes, (backbone, found) in zip(panels, reports.items(), strict=True):
        for name, report in found.items():
            losses, (colour, mark) = curve_of(report), STYLES[name]
            axes.plot(range(len(losses)), losses, color=colour, marker=mark, markersize=4, label=name)
        axes.axhline(losses[0], color="#999999", linestyle=":", linewidth=1)
        axes.set_title(backbone)
        axes.set_xlabel("epoch (0: before training)")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(visible=True, alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("validation loss (cross-entropy)")
    fullest = max(range(len(panels)), key=lambda number: len(panels[number].lines))
    panels[fullest].legend(frameon=False)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store")
    parser.add_argument("--from", dest="runs", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--backbone", action="append", required=True)
    parser.add_argument("--setting", action="append", choices=list(SETTINGS))
    options = parser.parse_args()
    keep_freed_memory()
    reports: dict[str, dict[str, Report]] = {}
    lines, best = [], []
    for backbone in options.backbone:
        found = reports.setdefault(backbone, {})
        for name in options.setting or SETTINGS:
            say(f"== {backbone}, {name}")
            settings = settings_for(name, backbone)
            out = options.out / name.replace(" ", "-")
            found[name] = finetune(Request(options.store, options.runs, settings, backbone, out))
            losses = curve_of(found[name])
            figures = [f"{losses[0]:.3f}", f"{min(losses):.3f}", str(losses.index(min(losses)))]
            lines.append([backbone, name, *figures, *tuned(found[name], "valid")])
        chosen = max(found, key=lambda name: tuned(found[name], "valid")[0])
        best.append([backbone, chosen, *tuned(found[chosen], "test")])
    print_table("Fine-tuning by setting", COLUMNS, lines)
    print_table("The best on valid, on test", ("network", "setting", "S on test", "less the start"), best)
    draw(reports, options.out / "curves.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
