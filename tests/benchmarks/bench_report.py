"""The HTML report of many observations: size, time and memory.

    python tests/benchmarks/bench_report.py STORE --json report.json [--observations 1000] [--models 4]

Observations of the store are answered at random, mostly wrongly, so that as many mistakes as asked for can be shown.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from evaluation.papers import read_papers
from evaluation.predictions import Predictions
from evaluation.runs import RunCard, predictions_path, write_run_card
from featstore.provenance import Json, provenance, write_text
from featstore.shell import print_table
from featstore.store import Store

WORST = (12, 1000)
RIGHT = 0.02
"""Share of the right species in what is otherwise chance."""


def write_runs(store: str, folder: Path, n_observations: int, n_models: int) -> tuple[list[Path], int]:
    """Models that share most of their mistakes; returns them and the number of images."""
    papers = read_papers(store)
    papers = papers[papers["class_id"] != ""]
    chosen = papers["observation_id"].drop_duplicates().sample(n_observations, random_state=0)
    papers = papers[papers["observation_id"].isin(chosen)]
    truth = papers["class_id"].to_numpy().astype(np.str_)
    classes = np.unique(truth)
    rng = np.random.default_rng(0)
    shared = rng.dirichlet(np.full(len(classes), 0.15), len(papers))
    backbone = Store.open(store).backbones[0]
    runs = []
    for number in range(n_models):
        own = rng.dirichlet(np.full(len(classes), 0.15), len(papers))
        probability = RIGHT * (truth[:, np.newaxis] == classes) + (1 - RIGHT) * (0.8 * shared + 0.2 * own)
        run = folder / f"model-{number}"
        Predictions.from_papers(
            papers, model=run.name, split="test", classes=classes, probability=probability.astype(np.float32)
        ).write(predictions_path(run, "test"))
        write_run_card(run, RunCard(run.name, "head", (backbone,), "none", dict.fromkeys(classes.tolist(), "")))
        runs.append(run)
    return runs, len(papers)


def measure(runs: list[Path], store: str, page: Path, n_worst: int) -> dict[str, Json]:
    command = [sys.executable, "-m", "evaluation.cli", "report", *map(str, runs), "--store", store]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    told = subprocess.run(
        [*command, "--html", str(page), "--worst", str(n_worst), "--json"], check=True, capture_output=True, text=True
    )
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = json.loads(told.stdout)
    return {
        "worst": n_worst,
        "photographs": found["photographs"],
        "bytes": found["bytes"],
        "seconds": round(seconds, 1),
        "processor_seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        # Of the largest child so far: the pages come in rising order.
        "peak_mb": round(after.ru_maxrss / 1024),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--observations", type=int, default=1000)
    parser.add_argument("--models", type=int, default=4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs, n_images = write_runs(options.store, Path(folder), options.observations, options.models)
        rows = [measure(runs, options.store, Path(folder) / "report.html", n_worst) for n_worst in WORST]
    title = f"Report on {options.observations:,} observations ({n_images:,} photographs), {options.models} models"
    print_table(title, list(rows[0]), [[str(cell) for cell in row.values()] for row in rows])
    content = {"observations": options.observations, "photographs": n_images, "rows": rows, "provenance": provenance()}
    write_text(options.json, json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
