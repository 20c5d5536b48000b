"""What can be known of a graphics card without one: the processor's part, and what rounded factors would do.

    python tests/benchmarks/bench_card.py --json card.json --photos FOLDER --weights FOLDER

*The processor's part*: photographs are enlarged to 800 x 600 px and prepared as `featstore build` prepares them, by
view, on one core, best of several rounds. No card can be fed faster. (`bench_augment.py` has that of fine-tuning.)

*Rounded factors*: NVIDIA's cards since Ampere multiply float32 with factors of 10 bits (TF32) where a library lets
them. Here the factors of every convolution and matrix product are rounded so by hand: how far features move from those
of full products, and the probabilities of a logistic head that was fitted on half of the photographs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import keras
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from featstore.backbones import build_backbone, preprocess
from featstore.build.prepare import Job, prepare
from featstore.catalog import Catalog
from featstore.engine import load_engine
from featstore.images import load_photograph, resize
from featstore.provenance import Json, provenance, write_json
from featstore.readers import read_dataset
from featstore.roi import load_recipe
from featstore.shell import print_table

N_PIXELS = 800 * 600
NETWORKS, SIDE_PX = ("mobilenet", "mobilenet_v2"), 224
PRODUCTS = ("conv", "depthwise_conv", "matmul")
_LOST_BITS = 13
"""Of the 23 bits behind the point, TF32 has 10."""


def processors_part(catalog: Catalog, n_images: int, n_rounds: int) -> dict[str, float]:
    """Milliseconds of one core to prepare a photograph, by view: the best of all rounds."""
    recipe, found = load_recipe("article"), {}
    with tempfile.TemporaryDirectory() as folder:
        for view, photographs in catalog.frame.groupby("view"):
            few = photographs.iloc[:: max(1, len(photographs) // n_images)]
            jobs = []
            for image_id, path in zip(few["image_id"], few["path"], strict=True):
                copy = Path(folder) / f"{image_id}.jpg"
                enlarge(catalog.root / path, copy)
                jobs.append(Job(image_id, copy, recipe.of(str(view)), (224, 299)))
            found[str(view)] = min(seconds_for(jobs) for _ in range(n_rounds)) * 1e3 / len(jobs)
    return found


def seconds_for(jobs: Sequence[Job]) -> float:
    started = time.process_time()
    for job in jobs:
        prepare(job)
    return time.process_time() - started


def enlarge(source: Path, target: Path) -> None:
    with Image.open(source) as image:
        factor = (N_PIXELS / (image.width * image.height)) ** 0.5
        size = round(image.width * factor), round(image.height * factor)
        image.convert("RGB").resize(size, Image.Resampling.LANCZOS).save(target, quality=90)


@contextmanager
def rounded_factors() -> Iterator[None]:
    """Keras' products with both factors rounded to 10 bits, as TF32 does."""

    def rounded(numbers: Any) -> Any:
        bits = keras.ops.convert_to_numpy(numbers).view(np.int32)
        half = np.int32(1 << (_LOST_BITS - 1))
        return keras.ops.convert_to_tensor((((bits + half) >> _LOST_BITS) << _LOST_BITS).view(np.float32))

    def product(exact: Callable[..., Any], left: Any, right: Any, *others: Any, **named: Any) -> Any:
        return exact(rounded(left), rounded(right), *others, **named)

    module = sys.modules["keras.src.ops"]
    exact = {name: getattr(module, name) for name in PRODUCTS}
    with patch.multiple(module, **{name: partial(product, exact[name]) for name in PRODUCTS}):
        yield


def moved(name: str, weights: str, images: NDArray[np.uint8], labels: Sequence[str]) -> tuple[float, float, float]:
    """How far rounding moves features (median and most, by norm) and the probabilities of a head (most)."""
    network = build_backbone(name, weights)
    batches = np.split(preprocess(name, images), range(16, len(images), 16))

    def features() -> NDArray[np.float32]:
        # Called directly: nothing that was compiled before is used again.
        return np.concatenate([keras.ops.convert_to_numpy(network(batch, training=False)) for batch in batches])

    full = features()
    with rounded_factors():
        off = features()
    norms = np.linalg.norm(off - full, axis=1) / np.linalg.norm(full, axis=1)
    head = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(full[::2], labels[::2])
    difference = np.abs(head.predict_proba(off) - head.predict_proba(full)).max()
    return float(np.median(norms)), float(norms.max()), float(difference)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--weights", default="random", help=f"a folder of weights of {' and '.join(NETWORKS)}")
    parser.add_argument("--images", type=int, default=240)
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args()

    load_engine()
    catalog = read_dataset(options.photos)
    parts = processors_part(catalog, 40, options.rounds)
    print_table(
        "To prepare a photograph of 800 x 600 px, one core",
        ["view", "ms", "photographs/s"],
        [[view, f"{ms:.1f}", f"{1e3 / ms:.0f}"] for view, ms in parts.items()],
    )
    few = catalog.frame.iloc[np.linspace(0, len(catalog.frame) - 1, options.images).astype(int)]
    images = np.stack([resize(load_photograph(catalog.root / path).pixels, SIDE_PX) for path in few["path"]])
    rounding = {name: moved(name, options.weights, images, few["class_id"].tolist()) for name in NETWORKS}
    print_table(
        "What factors of 10 bits move, relative to full ones",
        ["network", "features, median", "features, most", "probability, most"],
        [[name, *(f"{share:.4f}" for share in shares)] for name, shares in rounding.items()],
    )
    found: dict[str, Json] = {name: list(shares) for name, shares in rounding.items()}
    report = provenance(benchmark="card", n_images=len(images), prepare_ms=dict(parts), moved=found)
    write_json(options.json, report)


if __name__ == "__main__":
    main()
