"""Reading: everything against `np.load` of the same array, and one row, by chunk size and codec.

    python tests/benchmarks/bench_reading.py --json reading.json [--rows 16384] [--dimension 2048] [--rounds 7]

All contenders take turns in one process on a warm cache; the best of several rounds counts. Features are like those
of a network behind ReLU and average pooling: mostly small, some zero.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec

from featstore.catalog import make_catalog
from featstore.provenance import Json, provenance, write_text
from featstore.roi import RECIPES
from featstore.shell import print_table
from featstore.store import Store
from featstore.store.column import Column
from featstore.store.identity import Identity
from featstore.store.place import open_place
from featstore.store.records import Fact, FeatureRows, Record
from featstore.store.rows import Grid, digest
from featstore.table import load_table

Features = NDArray[np.float32]


def features_like_a_networks(n_rows: int, dimension: int) -> Features:
    rng = np.random.default_rng(0)
    return np.maximum(rng.gamma(0.5, 0.8, (n_rows, dimension)) - 0.05, 0).astype(np.float32)


def write_store(path: Path, features: Features, grid: Grid) -> Store:
    """A whole store of one view, as a build writes it."""
    keys = [f"{n:06}" for n in range(len(features))]
    rows = [
        {"image_id": key, "path": f"{key}.jpg", "observation_id": key, "class_id": "1", "view": "Leaf"} for key in keys
    ]
    store = Store.create(open_place(path), make_catalog(rows, path.parent, "bench"), grid)
    store.write_catalog(make_catalog(rows, path.parent, "bench"))
    identity = Identity("net", "w", "", "w", 224, "avg", "p", "keep", "float32", 16, "keras-x", {})
    dimension = features.shape[1]
    store.set_column("net", Column(RECIPES["none"], dimension, {"Leaf": 0}, {"Leaf": (0,)}), [identity])
    store.row_keys.write("Leaf", keys)
    store.rows.prepare("Leaf", "net", dimension)
    for unit in range(-(-len(features) // grid.unit_rows)):
        block, of_unit = features[grid.unit(unit)], keys[grid.unit(unit)]
        shas = [key.ljust(64, "0") for key in of_unit]
        facts = [
            Fact(key, sha, "done", "", 1, 1, {"keep": ((0, 0, 9, 9), "")})
            for key, sha in zip(of_unit, shas, strict=True)
        ]
        vouched = FeatureRows([0] * len(block), shas, digest(block))
        store.commit("Leaf", unit, facts, Record(), {"net": (block, vouched)})
    return store


def size_mb(path: Path) -> float:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) / 1e6


def timed(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def benchmark(n_rows: int, dimension: int, n_rounds: int, folder: Path) -> dict[str, Json]:
    features = features_like_a_networks(n_rows, dimension)
    np.save(folder / "features.npy", features)
    stores = {
        "ours, 128-row chunks": write_store(folder / "ours128.zarr", features, Grid()),
        "ours, 64-row chunks": write_store(folder / "ours64.zarr", features, Grid(64, 64)),
        "ours, 256-row chunks": write_store(folder / "ours256.zarr", features, Grid(256, 256)),
        "ours, shards of 4,096": write_store(folder / "shards.zarr", features, Grid(128, 4096)),
    }
    plain = {}
    for label, rows, codec in (
        ("zarr, zstd 1, 64", 64, BloscCodec(cname="zstd", clevel=1)),
        ("zarr, zstd 1, 512", 512, BloscCodec(cname="zstd", clevel=1)),
        ("zarr, crc32c, 64", 64, Crc32cCodec()),
        ("zarr, no codec, 64", 64, None),
    ):
        path = folder / f"plain{len(plain)}.zarr"
        array = zarr.create_array(
            path, shape=features.shape, chunks=(rows, dimension), dtype="float32", compressors=codec
        )
        array[:] = features
        plain[label] = path
    places = np.random.default_rng(1).integers(0, n_rows, 200)
    everything: dict[str, list[float]] = {"np.load": []}
    lookup: dict[str, list[float]] = {}
    for _ in range(n_rounds):
        everything["np.load"].append(timed(lambda: np.load(folder / "features.npy")))
        for label, store in stores.items():
            everything.setdefault(label, []).append(timed(lambda store=store: store.rows.read("Leaf", "net")))
            key = f"{places[len(everything[label])]:06}"
            store.index  # noqa: B018  # an open store knows its rows
            lookup.setdefault(label, []).append(timed(lambda store=store, key=key: store.row("Leaf", key, "net")))
        for label, path in plain.items():
            array = zarr.open_array(path, mode="r")
            everything.setdefault(label, []).append(timed(lambda array=array: array[:]))
            place = int(places[len(everything[label])])
            lookup.setdefault(label, []).append(timed(lambda array=array, place=place: array[place]))
        table = "ours, load_table (papers and features)"
        everything.setdefault(table, []).append(timed(lambda: load_table(stores["ours, 128-row chunks"], ["net"])))
    np.testing.assert_array_equal(load_table(stores["ours, 128-row chunks"], ["net"]).features, features)
    base = min(everything["np.load"])
    disk = {label: size_mb(Path(store.location)) for label, store in stores.items()}
    disk |= {label: size_mb(path) for label, path in plain.items()}
    return {
        "n_rows": n_rows,
        "dimension": dimension,
        "rows": [
            {"what": label, "ms": min(times) * 1e3, "of_np_load": base / min(times),
             "lookup_ms": float(np.median(lookup[label])) * 1e3 if label in lookup else None, "mb": disk.get(label)}
            for label, times in everything.items()
        ],
    }  # fmt: skip


def cell(value: object, digits: int) -> str:
    return f"{value:.{digits}f}" if isinstance(value, float) else "-"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rows", type=int, default=16_384)
    parser.add_argument("--dimension", type=int, default=2_048)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args(argv)
    folder = Path(tempfile.mkdtemp())
    try:
        result = benchmark(options.rows, options.dimension, options.rounds, folder)
    finally:
        shutil.rmtree(folder)
    cells = [
        [
            str(row["what"]),
            cell(row["ms"], 1),
            cell(row["of_np_load"], 2),
            cell(row["lookup_ms"], 2),
            cell(row["mb"], 0),
        ]
        for row in result["rows"]
    ]
    columns = ["what", "all, ms", "of np.load", "one row, ms", "MB on disk"]
    print_table(f"Reading {options.rows:,} x {options.dimension:,} float32, warm", columns, cells)
    if options.json:
        write_text(options.json, json.dumps({**result, "provenance": provenance()}, indent=2) + "\n")


if __name__ == "__main__":
    main()
