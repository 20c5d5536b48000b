"""A build end to end against the bare networks on batches in memory, and against one network at a time.

    python tests/benchmarks/bench_build.py --json build.json --photos FOLDER [--images 256] [--rounds 2]

All contenders take turns in one process with the same networks, already loaded: (a) the networks alone on batches in
memory; (b) `build_store` from files to a store, with regions of interest; (c) the article's way: the same photographs
decoded and cut anew for each network, one after the other. Weights are random: speed does not depend on them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from stand_in import memory_peak

from featstore.backbones import ARTICLE_BACKBONES, Network
from featstore.build.build import build_store
from featstore.build.prepare import Job, prepare
from featstore.build.settings import BuildSettings
from featstore.build.specs import load_networks, with_weights
from featstore.catalog import Catalog
from featstore.provenance import Json, provenance, write_text
from featstore.readers import read_dataset
from featstore.shell import print_table, say
from featstore.synth import SynthSettings, synthesise

GOAL = 0.95


def sample(dataset: Path, n_images: int, folder: Path) -> Path:
    """A table of about `n_images` photographs, spread over the views of a data set.

    Of each view whole batches: a large data set pads one in hundreds, a small sample would pad one in six.
    """
    catalog = read_dataset(dataset)
    frame = catalog.frame[catalog.frame["problem"] == ""]
    size = BuildSettings().batch_size
    per_view = max(size, n_images // frame["view"].nunique() // size * size)
    lines = ["image_id,path,class_id,view"]
    for view, of_view in frame.groupby("view"):
        n_whole = min(per_view, len(of_view)) // size * size
        for row in of_view.iloc[np.linspace(0, len(of_view) - 1, n_whole, dtype=int)].itertuples():
            target = folder / f"{row.Index}{Path(row.path).suffix}"
            target.symlink_to((catalog.root / row.path).resolve())
            lines.append(f"{row.Index},{target.name},1,{view}")
    (folder / "table.csv").write_text("\n".join(lines))
    return folder / "table.csv"


def bare(networks: dict[str, Network], batches: dict[int, list[np.ndarray]]) -> float:
    """Seconds of the networks alone."""
    started = time.perf_counter()
    for network in networks.values():
        for batch in batches[network.side_px]:
            network.features(batch)
    return time.perf_counter() - started


def one_by_one(dataset: Path, folder: Path, settings: BuildSettings) -> float:
    """Seconds of a build per network, nothing shared."""
    seconds = 0.0
    for name in settings.backbones:
        alone = BuildSettings((name,), settings.weights, engine=settings.engine, n_workers=settings.n_workers)
        seconds += build_store(dataset, folder / f"{name}.zarr", alone).stages["working"]
    return seconds


def peak_of_a_build(dataset: Path, settings: BuildSettings, store: Path) -> float:
    """Memory of a build in this process and its workers, MiB; apart, because looking costs time."""
    with memory_peak() as peak:
        build_store(dataset, store, settings)
    return peak[0]


def prepared_batches(catalog: Catalog, settings: BuildSettings, sides: set[int]) -> dict[int, list[np.ndarray]]:
    crops: dict[int, list[np.ndarray]] = {side: [] for side in sides}
    for row in catalog.frame.itertuples():
        job = Job(str(row.image_id), catalog.root / str(row.path), settings.recipe.of(str(row.view)), tuple(sides))
        for side, crop in prepare(job).crops.items():
            crops[side].append(crop)
    size = settings.batch_size
    return {side: [np.stack(of[n : n + size]) for n in range(0, len(of), size)] for side, of in crops.items()}


def benchmark(dataset: Path, n_rounds: int, engine: str, n_workers: int, folder: Path) -> dict[str, Json]:
    settings = BuildSettings(ARTICLE_BACKBONES, "random", engine=engine, n_workers=n_workers)
    networks = load_networks([with_weights(spec, ()) for spec in settings.specs()])
    catalog = read_dataset(dataset)
    batches = prepared_batches(catalog, settings, {network.side_px for network in networks.values()})
    n_images = len(catalog.frame)
    for network in networks.values():
        network.features(batches[network.side_px][0])
    rows: list[dict[str, Json]] = []
    for number in range(n_rounds):
        first = bare(networks, batches)
        summary = build_store(dataset, folder / f"all{number}.zarr", settings)
        second = bare(networks, batches)
        apart = one_by_one(dataset, folder / f"apart{number}", settings)
        assert summary.n_done == n_images
        alone = statistics.mean((first, second))
        working = summary.stages["working"]
        rows.append(
            {
                "bare_images_per_second": n_images / alone,
                "build_images_per_second": n_images / working,
                "of_bare": alone / working,
                "one_network_at_a_time_images_per_second": n_images / apart,
                "against_one_at_a_time": apart / working,
                "stages": dict(summary.stages),
            }
        )
        say(json.dumps(rows[-1]))
    return {
        "n_images": n_images,
        "engine": engine,
        "rounds": list(rows),
        "of_bare": statistics.mean(float(str(row["of_bare"])) for row in rows),
        "against_one_at_a_time": statistics.mean(float(str(row["against_one_at_a_time"])) for row in rows),
        "peak_mib": peak_of_a_build(dataset, settings, folder / "memory.zarr"),
    }


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--engine", default="keras")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args(argv)
    folder = Path(tempfile.mkdtemp())
    try:
        if options.photos is None:
            drawn = SynthSettings(n_species=10, n_observations=-(-options.images // 40), side_px=600, n_corrupt=0)
            synthesise(folder / "drawn", drawn)
        (folder / "sample").mkdir()
        table = sample(options.photos or folder / "drawn", options.images, folder / "sample")
        result = benchmark(table, options.rounds, options.engine, options.workers, folder)
    finally:
        shutil.rmtree(folder)
    print_table(
        f"{result['n_images']} photographs, four networks, {options.engine}; goal of (b)/(a): {GOAL}",
        ["round", "(a) bare, images/s", "(b) build", "(b)/(a)", "(c) one at a time", "(b)/(c)", "seconds by stage"],
        [[str(number + 1), f"{row['bare_images_per_second']:.2f}", f"{row['build_images_per_second']:.2f}",
          f"{row['of_bare']:.3f}", f"{row['one_network_at_a_time_images_per_second']:.2f}",
          f"{row['against_one_at_a_time']:.2f}",
          " ".join(f"{stage} {seconds:.1f}" for stage, seconds in row["stages"].items())]
         for number, row in enumerate(result["rounds"])],
    )  # fmt: skip
    if options.json:
        write_text(options.json, json.dumps({**result, "provenance": provenance()}, indent=2) + "\n")


if __name__ == "__main__":
    main()
