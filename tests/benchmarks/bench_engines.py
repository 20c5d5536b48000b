"""Engines: images/s of each network, beside plain Keras and beside what the machine's matrix multiplication allows.

    python tests/benchmarks/bench_engines.py --json engines.json [--backbones resnet50 ...] [--rounds 8] [--cpu-time]

Weights are random; time does not depend on them. In each round every contender computes one batch, then 3000 x 3000
float32 matrices are multiplied, by NumPy and by Keras' backend: the faster is the limit. The best round of each counts.
Compare the ratios of one run only. Where other work shares the machine, pin it to one core and count its own time:
``taskset -c 1 python tests/benchmarks/bench_engines.py --cpu-time ...``.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from featstore.backbones import ARTICLE_BACKBONES, BACKBONES, ENGINES, Network, build_backbone, preprocess
from featstore.engine import load_engine
from featstore.provenance import Json, library_versions, provenance, write_json
from featstore.shell import print_table

if TYPE_CHECKING:
    import keras

SIDE = 3000
PLAIN = "plain keras"
Work = Callable[[], object]


def gflop_per_image(model: keras.Model) -> float:
    """Multiplications and additions of all convolutions and dense layers; 1 GFLOP is 1e9 of either."""
    total = 0
    for layer in model.layers:
        kernels = sum(int(np.prod(weight.shape)) for weight in layer.weights if len(weight.shape) > 1)
        if kernels:
            total += 2 * kernels * int(np.prod(layer.output.shape[1:-1]))
    return total / 1e9


def contenders(name: str, model: keras.Model, batch_size: int) -> dict[str, Work]:
    """Compute the same batch by plain Keras and by each engine that is installed."""
    side = int(model.input_shape[1])
    images = np.random.default_rng(0).integers(0, 256, (batch_size, side, side, 3), dtype=np.uint8)

    def by(network: Network) -> Work:
        return lambda: network.features(images)

    engines = [engine for engine in ENGINES if importlib.util.find_spec(engine)]
    plain = {PLAIN: lambda: np.asarray(model.predict_on_batch(preprocess(name, images)))}
    return plain | {engine: by(Network(name, model, batch_size, engine)) for engine in engines}


def multiplications() -> dict[str, Work]:
    import keras

    a = np.random.default_rng(0).normal(size=(SIDE, SIDE)).astype(np.float32)
    b = keras.ops.convert_to_tensor(a)
    return {
        "sgemm numpy": lambda: a @ a,
        "sgemm backend": lambda: keras.ops.convert_to_numpy(keras.ops.matmul(b, b)[:1]),
    }


def best_seconds(works: Mapping[str, Work], n_rounds: int, clock: Callable[[], float]) -> dict[str, float]:
    for work in works.values():
        work()
    best = dict.fromkeys(works, np.inf)
    for _ in range(n_rounds):
        for name, work in works.items():
            start = clock()
            work()
            best[name] = min(best[name], clock() - start)
    return best


def measure(name: str, batch_size: int, n_rounds: int, clock: Callable[[], float]) -> dict[str, Json]:
    model = build_backbone(name, "random")
    works = contenders(name, model, batch_size)
    expected = np.asarray(works[PLAIN]())
    seconds = best_seconds(works | multiplications(), n_rounds, clock)
    gflops = 2 * SIDE**3 / 1e9 / min(seconds.pop("sgemm numpy"), seconds.pop("sgemm backend"))
    gflop = gflop_per_image(model)
    engines: dict[str, Json] = {
        engine: {
            "images_per_s": batch_size / time_s,
            "share_of_limit": batch_size / time_s * gflop / gflops,
            "against_plain": seconds[PLAIN] / time_s,
            "error": float(np.abs(np.asarray(works[engine]()) - expected).max() / np.abs(expected).max()),
        }
        for engine, time_s in seconds.items()
    }
    return {"gflop_per_image": gflop, "sgemm_gflop_per_s": gflops, "limit": gflops / gflop, "engines": engines}


def show(results: Mapping[str, Mapping[str, Json]]) -> None:
    columns = ["network", "GFLOP", "limit/s", "engine", "images/s", "of limit", "x plain", "relative error"]
    rows = []
    for name, result in results.items():
        network = [name, f"{result['gflop_per_image']:.2f}", f"{result['limit']:.1f}"]
        for engine, row in result["engines"].items():
            shares = [f"{row[key]:.2f}" for key in ("share_of_limit", "against_plain")]
            rows.append([*network, engine, f"{row['images_per_s']:.1f}", *shares, f"{row['error']:.0e}"])
    print_table("Engines", columns, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--backbones", nargs="+", choices=list(BACKBONES), default=list(ARTICLE_BACKBONES))
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--cpu-time", action="store_true", help="count this process's own time; pin it to one core")
    options = parser.parse_args()
    load_engine()
    clock = time.process_time if options.cpu_time else time.perf_counter
    results: dict[str, Json] = {
        name: measure(name, options.batch_size, options.rounds, clock) for name in options.backbones
    }
    about = provenance(
        n_cores=len(os.sched_getaffinity(0)),
        cpu_time=options.cpu_time,
        batch_size=options.batch_size,
        n_rounds=options.rounds,
        engines=dict(library_versions(("keras", "tensorflow", "openvino"))),
    )
    write_json(options.json, {"about": about, "networks": results})
    show(results)


if __name__ == "__main__":
    main()
