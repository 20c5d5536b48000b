"""How the heads grow with photographs, features and species: seconds of a fit and peak memory, drawn.

    python tests/benchmarks/bench_heads_growth.py [--json growth.json] [--picture heads-growth.png] [--heads logistic]

One size varies at a time, the others stay at the middle; photographs are drawn as in bench_heads.py, each fit runs in a
process of its own, one after the other.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench_heads import in_a_process

from evaluation.canvas import COLOURS, MARKS
from featstore.provenance import Json, provenance, replacing, write_text
from featstore.shell import print_table, say
from heads.registry import HEADS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MIDDLE = {"images": 12_000, "features": 1_024, "species": 200}
SIZES = {
    "images": (3_000, 6_000, 12_000, 24_000, 47_815),
    "features": (256, 512, 1_024, 2_048, 4_096),
    "species": (20, 50, 200, 500, 1_000),
}
TITLES = {"images": "photographs", "features": "features", "species": "species"}


def measured(heads: Sequence[str], path: Path | None, *, go_on: bool) -> list[dict[str, Json]]:
    """Measure head by head, the slow ones last; `path` has what was measured so far, to go on from."""
    known: list[dict[str, Json]] = json.loads(path.read_text())["rows"] if go_on and path and path.exists() else []
    done = {(row["head"], *(row[name] for name in MIDDLE)): row for row in known}
    rows: list[dict[str, Json]] = []
    for head in sorted(heads, key=lambda name: name == "lightgbm"):
        for varied, value in ((varied, value) for varied, sizes in SIZES.items() for value in sizes):
            size = MIDDLE | {varied: value}
            key = (head, *size.values())
            if key not in done:
                words = [word for name, number in size.items() for word in (f"--{name}", str(number))]
                found = in_a_process(["--alone", "head", "--heads", head, *words])
                done[key] = {**size, "head": head, **found}
                say(json.dumps(done[key]))
            rows.append({"varied": varied, **{name: cell for name, cell in done[key].items() if name != "varied"}})
            if path:
                content = {"rows": rows, "cores": len(os.sched_getaffinity(0)), "provenance": provenance()}
                write_text(path, json.dumps(content, indent=2) + "\n")
    return rows


def draw(rows: Sequence[dict[str, Json]], heads: Sequence[str], path: Path) -> None:
    """Seconds above, memory below, one column per size that varies; both scales are logarithmic.

    Memory is the peak of the process, the photographs and drawing them included: the least that a fit can show.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6.4), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(2, 3, sharex="col", sharey="row")
    for line, (key, title) in enumerate((("fit_s", "seconds to fit"), ("peak_mib", "peak of the process, MiB"))):
        for column, varied in enumerate(SIZES):
            axes: Axes = grid[line, column]
            for head, colour, mark in zip(heads, COLOURS, MARKS, strict=False):
                found = [row for row in rows if (row["varied"], row["head"]) == (varied, head) and key in row]
                axes.plot(
                    [row[varied] for row in found],
                    [max(float(str(row[key])), 0.05) for row in found],
                    color=colour, marker=mark, markersize=5, linewidth=1.4, label=head,
                )  # fmt: skip
            axes.set(xscale="log", yscale="log")
            axes.set_xticks(SIZES[varied], [f"{size:,}" for size in SIZES[varied]])
            axes.minorticks_off()
            axes.grid(color="#e4e4e4", linewidth=0.8)
            axes.spines[["top", "right"]].set_visible(False)
            if line:
                axes.set_xlabel(TITLES[varied])
        grid[line, 0].set_ylabel(title)
        grid[line, 0].yaxis.set_major_formatter("{x:g}")
    others = {varied: [f"{MIDDLE[o]:,} {TITLES[o]}" for o in SIZES if o != varied] for varied in SIZES}
    for column, varied in enumerate(SIZES):
        grid[0, column].set_title(", ".join(others[varied]), loc="left", fontsize=9, color="#555555")
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper left", ncols=8, frameon=False, fontsize=9)
    with replacing(path) as temporary:
        figure.savefig(temporary)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--continue", dest="go_on", action="store_true", help="keep what --json holds already")
    chosen = [name for name, spec in HEADS.items() if not spec.costly and name not in {"dummy", "view_experts"}]
    parser.add_argument("--heads", nargs="+", choices=list(HEADS), default=chosen)
    options = parser.parse_args(argv)
    rows = measured(options.heads, options.json, go_on=options.go_on)
    columns = ("varied", "images", "features", "species", "head", "fit_s", "estimated_s", "peak_mib", "top_1")
    print_table("Growth of heads", columns, [
        [f"{row[key]:.2f}" if isinstance(row.get(key), float) else str(row.get(key, row.get("error")))
         for key in columns]
        for row in rows
    ])  # fmt: skip
    if options.picture:
        draw(rows, options.heads, options.picture)


if __name__ == "__main__":
    main()
