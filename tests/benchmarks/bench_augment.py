"""Augmentation: CPU milliseconds per photograph, by transform and overall, beside Keras' own layers.

    python tests/benchmarks/bench_augment.py --json augment.json [--photos FOLDER] [--images 64] [--rounds 5]

Every transform changes every photograph of a batch; so do Keras' layers, compiled as tf.data would run them and with
ranges like ours. "As in training" is what a run does: a fifth untouched, a group by its chance. Keras' blur takes as
long as its other layers together, so it stands apart. All contenders take turns on each batch in one process on one
core; the best of several rounds counts for each. CPU time is told, because training needs the cores at the same time.
Ours gives 8-bit photographs, Keras 32-bit ones; neither is scaled for a network.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

if hasattr(os, "sched_setaffinity"):
    # Before TensorFlow counts the cores.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import keras
import tensorflow as tf  # type: ignore[import-untyped]  # published without types

from featstore.errors import ImageError
from featstore.images import load_photograph, resize
from featstore.provenance import Json, provenance, write_text
from featstore.readers import read_dataset
from featstore.shell import print_table
from featstore.synth import SynthSettings, synthesise
from finetune.augment import augment, draw_one
from finetune.settings import AugmentSettings
from finetune.transforms import NAMES, TRANSFORMS, Draws, apply

LIMIT_MS = 1.5
BATCHES = (16, 64)
EACH_GROUP = ("rotation", "contrast", "saturation", "noise")
TRAINING, ONE_OF_EACH, ALL = "as in training", "one of each group but blur", "all layers but blur"

Pixels: TypeAlias = NDArray[np.uint8]
Contender: TypeAlias = Callable[[Pixels], object]


def ours() -> dict[str, Contender]:
    def alone(images: Pixels, names: Sequence[str]) -> Pixels:
        index, white = np.arange(len(images)), np.zeros(len(images), dtype=np.bool_)
        draws = [draw_one(name, (0, 1), index, white) for name in names]
        strength = np.sum([one.strength for one in draws], axis=0)
        return apply(images, Draws(strength, draws[0].key, white))

    def as_in_training(images: Pixels) -> Pixels:
        white = np.zeros(len(images), dtype=np.bool_)
        return augment(images, AugmentSettings(), (0, 1), np.arange(len(images)), white)

    found: dict[str, Contender] = {name: partial(alone, names=(name,)) for name in NAMES}
    return {**found, ONE_OF_EACH: partial(alone, names=EACH_GROUP), TRAINING: as_in_training}


def layers(side_px: int) -> dict[str, list[keras.layers.Layer]]:
    """Keras' own, one or two for each of our transforms."""
    make, full = keras.layers, (0, 255)
    return {
        "flip": [make.RandomFlip("horizontal")],
        "rotation": [make.RandomRotation(20 / 360, fill_mode="reflect")],
        "zoom": [make.RandomZoom((-0.2, 0.15), fill_mode="reflect")],
        "shift": [make.RandomTranslation(0.1, 0.1, fill_mode="reflect")],
        "crop": [make.RandomCrop(side_px * 4 // 5, side_px * 4 // 5), make.Resizing(side_px, side_px)],
        "brightness": [make.RandomBrightness(0.15, value_range=full)],
        "contrast": [make.RandomContrast(0.25, value_range=full)],
        "saturation": [make.RandomSaturation((0.33, 0.67), value_range=full)],
        "hue": [make.RandomHue(5 / 180, value_range=full)],
        "blur": [make.RandomGaussianBlur(kernel_size=9, sigma=(0.5, 1.5), value_range=full)],
        "noise": [make.GaussianNoise(6 / 255)],  # takes no more than 1; the cost is the same
    }


def of_keras(side_px: int) -> dict[str, Contender]:
    def compiled(chain: Sequence[keras.layers.Layer]) -> Contender:
        def run(images: tf.Tensor) -> tf.Tensor:
            images = tf.cast(images, tf.float32)
            for layer in chain:
                images = layer(images, training=True)
            return images

        graph = tf.function(run)
        return lambda images: graph(tf.constant(images)).numpy()

    made = layers(side_px)
    found = {name: compiled(chain) for name, chain in made.items()}
    found[ONE_OF_EACH] = compiled([layer for name in EACH_GROUP for layer in layers(side_px)[name]])
    found[ALL] = compiled([layer for name in NAMES if name != "blur" for layer in layers(side_px)[name]])
    return found


def measured(images: Pixels, batch_size: int, n_rounds: int) -> dict[str, dict[str, float]]:
    """CPU milliseconds per photograph, of ours and of Keras, by transform."""
    contenders = {"ours": ours(), "keras": of_keras(images.shape[1])}
    batches = [images[start : start + batch_size] for start in range(0, len(images), batch_size)]
    best = {(who, name): np.full(len(batches), np.inf) for who, known in contenders.items() for name in known}
    for name in (*NAMES, ONE_OF_EACH, TRAINING, ALL):
        for known in contenders.values():
            if name in known:
                known[name](batches[0])  # what Keras compiles is not counted
    for _ in range(n_rounds):
        for number, batch in enumerate(batches):
            for (who, name), seconds in best.items():
                start = time.process_time()
                contenders[who][name](batch)
                seconds[number] = min(seconds[number], time.process_time() - start)
    result: dict[str, dict[str, float]] = {who: {} for who in contenders}
    for (who, name), seconds in best.items():
        result[who][name] = float(seconds.sum() / len(images) * 1000)
    return result


def photographs(folder: Path | None, n: int, side_px: int) -> tuple[Pixels, str]:
    """Up to `n` photographs (n, s, s, 3), spread over a data set, or drawn ones; and which they are."""
    with tempfile.TemporaryDirectory() as drawn:
        if folder is None:
            synthesise(Path(drawn) / "p", SynthSettings(n_species=4, n_observations=8, side_px=side_px, n_corrupt=0))
        catalog = read_dataset(folder or Path(drawn) / "p")
        paths = catalog.frame["path"].tolist()
        found = []
        for path in paths[:: max(1, len(paths) // n)][:n]:
            try:
                found.append(resize(load_photograph(catalog.root / path).pixels, side_px))
            except ImageError:
                continue
    # Whole batches alone, so that Keras compiles once.
    whole = [found[number % len(found)] for number in range(n)]
    return np.stack(whole), "drawn" if folder is None else "photographs"


def tell(results: Mapping[int, Mapping[str, Mapping[str, float]]]) -> None:
    columns = ["transform", "group"]
    columns += [f"{who}, {size}" for size in results for who in ("ours", "keras")]
    rows = []
    for name in (*NAMES, ONE_OF_EACH, TRAINING, ALL):
        cells = [result[who].get(name) for result in results.values() for who in ("ours", "keras")]
        group = TRANSFORMS[name].group if name in TRANSFORMS else ""
        rows.append([name, group, *("-" if ms is None else f"{ms:.2f}" for ms in cells)])
    print_table("CPU ms per photograph, by batch size", columns, rows)


def main() -> int:
    tf.get_logger().setLevel("ERROR")  # it warns of one graph per contender
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    images, source = photographs(options.photos, max(BATCHES) * -(-options.images // max(BATCHES)), options.side)
    results = {size: measured(images, size, options.rounds) for size in BATCHES}
    slowest = max(result["ours"][TRAINING] for result in results.values())
    batches: dict[str, Json] = {
        str(size): {who: dict(ms) for who, ms in result.items()} for size, result in results.items()
    }
    report = provenance(
        benchmark="augment",
        unit="CPU ms per photograph",
        side_px=options.side,
        n_images=len(images),
        source=source,
        limit_ms=LIMIT_MS,
        slowest_ms=slowest,
        batches=batches,
    )
    write_text(options.json, json.dumps(report, indent=2) + "\n")
    tell(results)
    return 0 if slowest <= LIMIT_MS else 1


if __name__ == "__main__":
    sys.exit(main())
