"""Growth: time per image and memory of a build at 1,000 to 100,000 photographs, and a build with nothing to do.

    python tests/benchmarks/bench_growth.py --json growth.json [--picture growth.png] [--sizes 1000 10000 100000]

The four networks of the article are replaced by ones that cost nothing, so that everything else is seen. Photographs
are tiny and hard links to 64 files; each has an XML record of its own, as in a PlantCLEF package. The run with nothing
to do is the real command in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from stand_in import many_photographs, memory_peak, stand_in_for_networks

from featstore.build.build import build_store
from featstore.build.settings import BuildSettings
from featstore.provenance import Json, provenance, write_text
from featstore.shell import print_table, say
from featstore.store import Store
from featstore.table import load_table

CATALOGUE = 47_815
"""Photographs of PlantCLEF 2014's training set."""


def measured(folder: Path, n_images: int, n_workers: int) -> dict[str, Json]:
    package = many_photographs(folder, n_images)
    store = folder / "f.zarr"
    settings = BuildSettings(weights="random", n_workers=n_workers, roi="none")
    with memory_peak() as peak:
        started = time.perf_counter()
        summary = build_store(package, store, settings)
        seconds = time.perf_counter() - started
    assert summary.n_done == n_images
    started = time.perf_counter()
    again = subprocess.run(
        [sys.executable, "-m", "featstore.cli", "build", package, "--store", store, "--weights", "random",
         "--roi", "none", "--json"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    nothing = time.perf_counter() - started
    assert json.loads(again.stdout)["decoded"] == 0
    started = time.perf_counter()
    table = load_table(Store.open(store), ["resnet50"])
    reading = time.perf_counter() - started
    assert len(table) == n_images
    sizes = Store.open(store).place.sizes("")
    return {
        "n_images": n_images,
        "seconds": seconds,
        "ms_per_image": seconds / n_images * 1e3,
        "peak_mib": peak[0],
        "nothing_to_do_s": nothing,
        "load_table_s": reading,
        "files": len(sizes),
        "mb": sum(sizes.values()) / 1e6,
    }


def draw(rows: Sequence[dict[str, Json]], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    sizes = [row["n_images"] for row in rows]
    panels = (
        ("ms_per_image", "Time per image, ms"),
        ("peak_mib", "Peak memory of all processes, MiB"),
        ("nothing_to_do_s", "Build with nothing to do, s"),
    )
    for axes, (key, title) in zip(figure.subplots(1, 3), panels, strict=True):
        values = [float(row[key]) for row in rows]  # type: ignore[arg-type]
        axes.plot(sizes, values, "o-", color="#0072B2")
        for size, value in zip(sizes, values, strict=True):
            axes.annotate(
                f"{value:,.1f}" if value < 100 else f"{value:,.0f}",
                (size, value),
                (4, 8),
                textcoords="offset points",
            )
        axes.set(xlim=(0, max(sizes) * 1.1), ylim=(0, max(values) * 1.3), xlabel="photographs")
        axes.set_title(title, loc="left", fontsize=11)
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, CATALOGUE, 100_000])
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args(argv)
    stand_in_for_networks()
    rows = []
    for n_images in options.sizes:
        folder = Path(tempfile.mkdtemp())
        try:
            rows.append(measured(folder, n_images, options.workers))
        finally:
            shutil.rmtree(folder)
        say(json.dumps(rows[-1]))
    columns = list(rows[0])
    cells = [
        [f"{row[key]:,.2f}" if isinstance(row[key], float) else f"{row[key]:,}" for key in columns] for row in rows
    ]
    print_table("Growth, networks aside", columns, cells)
    if options.picture:
        draw(rows, options.picture)
    if options.json:
        write_text(options.json, json.dumps({"rows": rows, "provenance": provenance()}, indent=2) + "\n")


if __name__ == "__main__":
    main()
