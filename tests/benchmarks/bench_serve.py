"""Serving under load: requests per second, latency, failed requests and memory of a real server process.

    python tests/benchmarks/bench_serve.py RUN PHOTOS [--weights WEIGHTS] [--seconds 20] [--json serve.json]

Each client sends the photographs of one plant after the other, two JPEGs of PHOTOS a plant, without a pause. All of
them run in this one process, beside the server on the same machine.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
import numpy as np
import psutil

from featstore.provenance import provenance, write_text
from featstore.shell import print_table

CLIENTS = (1, 4, 16)
PER_PLANT = 2
N_PHOTOGRAPHS = 200


@dataclass(frozen=True)
class Load:
    """What so many clients found."""

    clients: int
    requests: int
    failed: int
    per_second: float
    p50_s: float
    p95_s: float
    cpu_s: float
    rss_before_mb: float
    rss_after_mb: float


@contextmanager
def server(run: Path, weights: str | None) -> Iterator[tuple[str, psutil.Process]]:
    command = [sys.executable, "-m", "evaluation.cli", "serve", "--model", str(run), "--port", "0"]
    process = subprocess.Popen(
        [*command, *(["--weights", weights] if weights else [])], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if found := re.match(r"(http://\S+/) identifies", line):
                yield found.group(1), psutil.Process(process.pid)
                break
        else:
            raise SystemExit("The server did not start.")
    finally:
        process.terminate()
        process.communicate(timeout=60)


async def load(address: str, plants: list[list[bytes]], n_clients: int, seconds: float) -> tuple[list[float], int]:
    """Latencies in seconds, and how many requests failed, of clients that ask for some time."""
    turn = itertools.cycle(plants)
    latencies, failed = [], 0
    end = time.perf_counter() + seconds

    async def client() -> None:
        nonlocal failed
        async with httpx.AsyncClient(base_url=address, timeout=120, trust_env=False) as one:
            while time.perf_counter() < end:
                plant = [("files", (f"{number}.jpg", data)) for number, data in enumerate(next(turn))]
                start = time.perf_counter()
                try:
                    answer = await one.post("/api/identify", files=plant)
                    good = answer.status_code == 200 and bool(answer.json()["ranking"])
                except (httpx.HTTPError, ValueError):
                    good = False
                latencies.append(time.perf_counter() - start)
                failed += not good

    await asyncio.gather(*(client() for _ in range(n_clients)))
    return latencies, failed


def measured(address: str, process: psutil.Process, plants: list[list[bytes]], n_clients: int, seconds: float) -> Load:
    before, cpu = process.memory_info().rss, sum(process.cpu_times()[:2])
    start = time.perf_counter()
    latencies, failed = asyncio.run(load(address, plants, n_clients, seconds))
    took = time.perf_counter() - start
    p50, p95 = np.quantile(latencies, [0.5, 0.95]).tolist()
    after, cpu = process.memory_info().rss, sum(process.cpu_times()[:2]) - cpu
    return Load(
        n_clients,
        len(latencies),
        failed,
        len(latencies) / took,
        p50,
        p95,
        cpu / len(latencies),
        before / 1e6,
        after / 1e6,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--weights")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    paths = sorted(options.photos.rglob("*.jpg"))
    chosen = paths[:: max(1, len(paths) // N_PHOTOGRAPHS)][:N_PHOTOGRAPHS]
    photographs = [path.read_bytes() for path in chosen]
    plants = [photographs[at : at + PER_PLANT] for at in range(0, len(photographs), PER_PLANT)]
    with server(options.run, options.weights) as (address, process):
        # The first answers trace the network.
        asyncio.run(load(address, plants, 1, 3))
        found = [measured(address, process, plants, n, options.seconds) for n in CLIENTS]
    columns = (
        "clients",
        "requests",
        "failed",
        "requests/s",
        "p50 s",
        "p95 s",
        "CPU s each",
        "RSS before MB",
        "RSS after MB",
    )
    rows = [
        [f"{value:.3f}" if isinstance(value, float) else str(value) for value in asdict(one).values()] for one in found
    ]
    size = np.mean([len(data) for data in photographs]) / 1e3
    print_table(f"{options.run.name}, {PER_PLANT} photographs of {size:.0f} kB a request", columns, rows)
    if options.json:
        content = {**provenance(), "photograph_kb": size, "loads": [asdict(one) for one in found]}
        write_text(options.json, json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
