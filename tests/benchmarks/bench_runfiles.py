"""Run files of the size of LifeCLEF 2014: seconds to check and score one, and to write it, beside pandas' reading.

    python tests/benchmarks/bench_runfiles.py --json runfiles.json [--rounds 5] [--species 500]

Two files are drawn with a seed: 8,163 observations x 500 species in layout 2014 and 13,146 photographs x 500 in layout
2014-image, with softmax-like scores of 16 digits. Every round writes, reads with `pandas.read_csv` and scores (reading,
all checks, figures, 2,000 draws of authors) in turn; the best round counts. Truth is in memory: its reading is a matter
of XML, not of runs. CPU seconds of all threads tell what a busy machine hides; its load stands beside them.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from evaluation.official.layouts import LAYOUTS
from evaluation.official.scoring import score_run
from evaluation.official.standings import N_IMAGES, N_OBSERVATIONS
from evaluation.official.truth import Truth, image_queries
from evaluation.official.writing import write_lines
from featstore.provenance import Json, provenance, write_text
from featstore.shell import print_table

LIMIT_SECONDS = 3.0
N_AUTHORS = 500


def draw_truth(classes: np.ndarray, seed: int) -> Truth:
    """As many plants, photographs and authors as in 2014."""
    rng = np.random.default_rng(seed)
    plant = np.concatenate([np.arange(N_OBSERVATIONS), rng.integers(N_OBSERVATIONS, size=N_IMAGES - N_OBSERVATIONS)])
    nobody = np.empty(0, dtype=np.str_)
    return Truth(
        split="test",
        observation_id=np.sort([str(10_000 + number) for number in range(N_OBSERVATIONS)]),
        author=np.array([f"author {number}" for number in rng.integers(N_AUTHORS, size=N_OBSERVATIONS)]),
        true_class=rng.choice(classes, N_OBSERVATIONS),
        image_id=np.array([str(50_000 + number) for number in range(N_IMAGES)]),
        view=rng.choice(["Leaf", "Flower", "Stem", "Fruit", "Branch", "Entire", "LeafScan"], N_IMAGES),
        plant=plant,
        classes=classes,
        left_out=nobody,
        left_out_images=nobody,
    )


def draw_probability(n_queries: int, n_classes: int, seed: int) -> np.ndarray:
    """Shares as a network gives them: few high ones, a long tail."""
    logits = np.random.default_rng(seed).normal(scale=3, size=(n_queries, n_classes))
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock and of the processor."""
    start, start_cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - start_cpu


def measured(layout: str, truth: Truth, folder: Path, n_rounds: int) -> dict[str, Json]:
    """Best seconds of several rounds."""
    form, path = LAYOUTS[layout], folder / f"{layout}.run"
    queries = image_queries(truth.image_id) if form.by_image else truth.observation_id
    assert truth.classes is not None
    probability = draw_probability(len(queries), len(truth.classes), seed=1)
    work: dict[str, Callable[[], object]] = {
        "write": lambda: write_lines(queries, truth.classes, probability, path, form),
        "pandas": lambda: pd.read_csv(path, sep=";", header=None),
        "score": lambda: score_run(path, truth, layout),
    }
    rounds = [{name: timed(run) for name, run in work.items()} for _ in range(n_rounds)]
    best = {name: min(found[name] for found in rounds) for name in work}
    cpu = {name: min(found[name][1] for found in rounds) for name in work}
    return {
        "layout": layout,
        "n_lines": len(queries) * len(truth.classes),
        "megabytes": path.stat().st_size / 1e6,
        "write_seconds": best["write"][0],
        "pandas_seconds": best["pandas"][0],
        "score_seconds": best["score"][0],
        "score_cpu_seconds": cpu["score"],
        "pandas_cpu_seconds": cpu["pandas"],
        "score_to_pandas": best["score"][0] / best["pandas"][0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--species", type=int, default=500)
    options = parser.parse_args()
    classes = np.sort([str(number) for number in range(1000, 1000 + options.species)])
    truth = draw_truth(classes, seed=0)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        rows = [measured(layout, truth, Path(folder), options.rounds) for layout in ("2014", "2014-image")]
    content: dict[str, Json] = {
        "limit_seconds": LIMIT_SECONDS,
        "n_cores": len(os.sched_getaffinity(0)),
        "arrow_threads": pa.cpu_count(),
        "load_before": load,
        "load_after": os.getloadavg()[0],
        "rows": list(rows),
        "provenance": provenance(),
    }
    write_text(options.json, json.dumps(content, indent=2) + "\n")
    names = list(rows[0])
    cells = [[f"{value:,.2f}" if isinstance(value, float) else str(value) for value in row.values()] for row in rows]
    print_table(f"{content['n_cores']} cores, load {load:.1f}", names, cells)


if __name__ == "__main__":
    main()
