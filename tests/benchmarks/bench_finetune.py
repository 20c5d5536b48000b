"""Fine-tuning: the steps of an epoch beside Keras' own `fit` on the same batches, augmented beforehand, in memory.

    python tests/benchmarks/bench_finetune.py --json finetune.json [--photos FOLDER] [--backbone mobilenet]

Both take turns, epoch by epoch, on the same network in one process. Ours reads cut photographs from disk and augments
them while it trains; `fit` is handed arrays. What the first epoch compiles is not counted. The cost of the augmentation
is measured by itself, on one thread, in the same turns. Peak memory is that of processes of their own, over the first
steps of an epoch that draws from few and from many photographs in the cache, all of them in random order; without the
pages of the cache, which the system takes back at will. Weights are random: speed does not depend on them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from featstore.backbones import BACKBONES, build_backbone, preprocess
from featstore.images import load_photograph, resize
from featstore.provenance import Json, provenance, write_text
from featstore.readers import read_dataset
from featstore.shell import print_table, say
from featstore.synth import SynthSettings, synthesise
from finetune.batches import TrainingBatches
from finetune.crops import Crops
from finetune.memory import keep_freed_memory
from finetune.model import join
from finetune.settings import TrainSettings
from finetune.train import make_ready, run_steps

GOAL, N_CLASSES = 0.95, 39
FEW, MANY = 256, 8192


def crops_of(photos: Path | None, n_images: int, side_px: int, folder: Path) -> Crops:
    """A cache of `n_images` cut photographs, repeated where there are not as many."""
    if photos is None:
        photos = folder / "drawn"
        synthesise(photos, SynthSettings(n_species=8, n_observations=8, side_px=320, n_corrupt=0))
    catalog = read_dataset(photos)
    paths = catalog.frame["path"].tolist()
    paths = paths[:: max(1, len(paths) // min(n_images, 320))][: min(n_images, 320)]
    pixels = np.lib.format.open_memmap(
        folder / f"pixels-{n_images}.npy", mode="w+", dtype=np.uint8, shape=(n_images, side_px, side_px, 3)
    )
    few = [resize(load_photograph(catalog.root / path).pixels, side_px) for path in paths]
    for row in range(n_images):
        pixels[row] = few[row % len(few)]
    pixels.flush()
    papers = pd.DataFrame({"image_id": [str(row) for row in range(n_images)], "view": "Flower"})
    return Crops(papers, pixels, np.arange(n_images), np.zeros(n_images, dtype=np.bool_))


def network_of(backbone: str, settings: TrainSettings) -> keras.Model:
    body = build_backbone(backbone, "random", settings.side_px)
    layers = [keras.Input(body.output_shape[1:])]
    for _ in range(3):
        layers += [keras.layers.Dense(512, activation="selu"), keras.layers.Dropout(0.5)]
    head = keras.Sequential([*layers, keras.layers.Dense(N_CLASSES, activation="softmax", dtype="float32")])
    network = join(body, head)
    make_ready(network, settings, 1)
    return network


def batches_of(
    crops: Crops, backbone: str, settings: TrainSettings, kind: type[TrainingBatches] = TrainingBatches
) -> TrainingBatches:
    rows = np.arange(len(crops.papers))
    target = np.eye(N_CLASSES, dtype=np.float32)[rows % N_CLASSES]
    return kind(crops, rows, target, partial(preprocess, backbone), settings)


def measured(crops: Crops, backbone: str, settings: TrainSettings, n_epochs: int) -> dict[str, Json]:
    """Images per second of both, epoch by epoch."""
    network, batches = network_of(backbone, settings), batches_of(crops, backbone, settings)
    n_images = len(batches) * settings.batch_size
    rows: list[Json] = []
    for epoch in range(1, n_epochs + 1):
        started = time.perf_counter()
        made = [call() for call in batches.of(epoch)]
        augmentation = time.perf_counter() - started
        images, target = (np.concatenate([getattr(batch, name) for batch in made]) for name in ("images", "target"))
        started = time.perf_counter()
        network.fit(images, target, batch_size=settings.batch_size, shuffle=False, epochs=1, verbose=0)
        bare = time.perf_counter() - started
        del images, target, made
        started = time.perf_counter()
        _, waiting, _ = run_steps(network, batches, epoch)
        ours = time.perf_counter() - started
        row: dict[str, Json] = {
            "epoch": epoch, "bare": n_images / bare, "ours": n_images / ours, "ratio": bare / ours, "waiting": waiting,
            "augmentation_ms": 1000 * augmentation / n_images,
        }  # fmt: skip
        say(f"epoch {epoch}: {row}")
        rows.append(row)
    told = [row for row in rows[1:] if isinstance(row, dict)]
    middle = {name: statistics.median(float(str(row[name])) for row in told) for name in told[0]}
    return {"n_images": n_images, "epochs": rows, **{k: v for k, v in middle.items() if k != "epoch"}}


def own_memory_mib() -> float:
    """Memory of this process that is not a file's."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    return float("nan")


class FirstBatches(TrainingBatches):
    """The first `FEW` photographs of an epoch, drawn from all of them."""

    def __len__(self) -> int:
        return min(super().__len__(), FEW // self._batch_size)


def peak_of_steps(n_images: int, backbone: str, settings: TrainSettings, photos: Path | None) -> float:
    """Peak memory over the first steps of an epoch of `n_images` photographs, MiB."""
    peak, ended = [0.0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.1):
            peak[0] = max(peak[0], own_memory_mib())

    with tempfile.TemporaryDirectory() as folder:
        crops = crops_of(photos, n_images, settings.side_px or 224, Path(folder))
        network, batches = network_of(backbone, settings), batches_of(crops, backbone, settings, FirstBatches)
        threading.Thread(target=watch, daemon=True).start()
        run_steps(network, batches, 1)
        ended.set()
    return peak[0]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--backbone", default="mobilenet")
    parser.add_argument("--images", type=int, default=320)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--side", type=int)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--peak-of", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    side_px = options.side or BACKBONES[options.backbone].side_px
    # As the command does; for both contenders.
    keep_freed_memory()
    keras.config.set_dtype_policy(options.precision)
    settings = TrainSettings(batch_size=options.batch_size, side_px=side_px, precision=options.precision)
    if options.peak_of:
        sys.stdout.write(f"{peak_of_steps(options.peak_of, options.backbone, settings, options.photos)}\n")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        crops = crops_of(options.photos, options.images, side_px, Path(folder))
        found = measured(crops, options.backbone, settings, options.epochs)
    peaks: dict[str, Json] = {}
    for n_images in (FEW, MANY):
        command = [sys.executable, __file__, *sys.argv[1:], "--peak-of", str(n_images)]
        told = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks[str(n_images)] = float(told.stdout.split()[-1])
    ratio = float(str(found["ratio"]))
    report = provenance(
        benchmark="finetune", backbone=options.backbone, backend=keras.backend.backend(), side_px=side_px,
        batch_size=options.batch_size, precision=options.precision, goal=GOAL, peak_mib=peaks, **found,
    )  # fmt: skip
    if options.json:
        write_text(options.json, json.dumps(report, indent=2) + "\n")
    columns = (
        "network",
        "fit on arrays, images/s",
        "ours, images/s",
        "ratio",
        "goal",
        "waiting",
        "augmentation, ms/image",
    )
    cells = [f"{float(str(found[name])):.2f}" for name in ("bare", "ours", "ratio")]
    line = [
        options.backbone, *cells, f"{GOAL:.2f}", f"{float(str(found['waiting'])):.1%}",
        f"{float(str(found['augmentation_ms'])):.2f}",
    ]  # fmt: skip
    print_table(
        f"median of epochs 2 to {options.epochs}, batches of {options.batch_size}, {side_px} px", columns, [line]
    )
    memory = [[n_images, f"{float(str(peak)):.0f}"] for n_images, peak in peaks.items()]
    print_table(f"Peak memory of {FEW // options.batch_size} steps", ("photographs in the cache", "MiB"), memory)
    return 0 if ratio >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
