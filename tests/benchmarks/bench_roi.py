"""Regions of interest: milliseconds per image and view on one core at 800 x 600, beside scikit-image's contour.

    python tests/benchmarks/bench_roi.py --json roi.json [--photos FOLDER] [--images 24] [--rounds 5]

Decoding is left out: photographs are brought to 800 x 600 (or 600 x 800) first. A view that FOLDER lacks is drawn.
Every image is found and cut by every recipe, and found by scikit-image, before the next one's turn; the best of several
rounds counts for each image. It is CPU time of this one-threaded process, so that time given to others does not count;
a busy machine still slows every contender alike.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage import filters, segmentation

from featstore.catalog import VIEWS, Catalog
from featstore.errors import ImageError
from featstore.images import load_photograph
from featstore.provenance import Json, provenance, write_text
from featstore.readers import read_dataset
from featstore.roi import RECIPES, ViewRecipe, cut, find_box
from featstore.roi.channels import CHANNELS
from featstore.roi.organs import _small_copy
from featstore.shell import print_table
from featstore.synth import SynthSettings, synthesise

LIMIT_MS = 6.0
NAMES = ("article", "ibm", "lab", "none")

Pixels = NDArray[np.uint8]


def find_and_cut(image: Pixels, recipe: ViewRecipe) -> None:
    cut(image, find_box(image, recipe).box, recipe)


def by_scikit_image(image: Pixels, recipe: ViewRecipe) -> None:
    """What the article's recipe cost with scikit-image's threshold and contour; the same copy, grey and blur."""
    height, width = image.shape[:2]
    top, left = int(recipe.inset_height * height), int(recipe.inset_width * width)
    copy = _small_copy(image[top : height - top, left : width - left], recipe.side_px)
    values = ndimage.gaussian_filter(CHANNELS[recipe.channel](copy), recipe.sigma_px)
    light = values > filters.threshold_otsu(values)
    rim = np.concatenate([light[0], light[-1], light[1:-1, 0], light[1:-1, -1]])
    start = light if rim.mean() < 0.5 else ~light
    segmentation.morphological_chan_vese(values, recipe.n_iterations, init_level_set=start, smoothing=recipe.smoothing)


def contenders(view: str) -> dict[str, Callable[[Pixels], None]]:
    ours = {name: RECIPES[name].of(view) for name in NAMES}
    found = {name: lambda image, recipe=recipe: find_and_cut(image, recipe) for name, recipe in ours.items()}
    if ours["article"].method == "contour":
        found["article by scikit-image"] = lambda image: by_scikit_image(image, ours["article"])
    return found


def measured(view: str, images: list[Pixels], n_rounds: int) -> dict[str, float]:
    """Milliseconds per image of every contender, in turn on each image."""
    run = contenders(view)
    best = {name: np.full(len(images), np.inf) for name in run}
    for _ in range(n_rounds):
        for number, image in enumerate(images):
            for name, treat in run.items():
                start = time.process_time()
                treat(image)
                best[name][number] = min(best[name][number], time.process_time() - start)
    return {name: float(seconds.mean() * 1000) for name, seconds in best.items()}


def images_of(catalog: Catalog, view: str, n: int) -> list[Pixels]:
    """Up to `n` photographs of a view, spread over the catalogue, 800 x 600 or 600 x 800."""
    paths = catalog.frame.loc[catalog.frame["view"] == view, "path"].tolist()
    images = []
    for path in paths[:: max(1, len(paths) // n)][:n]:
        try:
            image = Image.fromarray(load_photograph(catalog.root / path).pixels)
        except ImageError:
            continue
        size = (800, 600) if image.width >= image.height else (600, 800)
        images.append(np.asarray(image.resize(size, Image.Resampling.BICUBIC)))
    return images


def benchmark(photos: Path | None, n_images: int, n_rounds: int) -> dict[str, dict[str, Json]]:
    real = None if photos is None else read_dataset(photos)
    results: dict[str, dict[str, Json]] = {}
    with tempfile.TemporaryDirectory() as folder:
        synthesise(Path(folder) / "drawn", SynthSettings(n_species=6, n_observations=10, side_px=600, n_corrupt=0))
        drawn = read_dataset(Path(folder) / "drawn")
        for view in VIEWS:
            images = [] if real is None else images_of(real, view, n_images)
            source = "photographs" if images else "drawn"
            images = images or images_of(drawn, view, n_images)
            if images:
                results[view] = {"source": source, "n_images": len(images), **measured(view, images, n_rounds)}
    return results


def tell(results: Mapping[str, Mapping[str, Json]]) -> None:
    columns = ("view", "source", *NAMES, "article by scikit-image", "limit")
    rows = []
    for view, row in results.items():
        times = [row.get(name) for name in columns[2:-1]]
        cells = ["-" if ms is None else f"{ms:.2f}" for ms in times]
        rows.append([view, f"{row['n_images']} {row['source']}", *cells, f"{LIMIT_MS:.1f}"])
    print_table("ms per image at 800 x 600, one core, decoding aside", columns, rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    results = benchmark(options.photos, options.images, options.rounds)
    slowest = max(float(str(row[name])) for row in results.values() for name in NAMES)
    report = provenance(
        benchmark="roi",
        unit="ms per image",
        size_px=[800, 600],
        limit_ms=LIMIT_MS,
        slowest_ms=slowest,
        views=dict(results),
    )
    write_text(options.json, json.dumps(report, indent=2) + "\n")
    tell(results)
    return 0 if slowest <= LIMIT_MS else 1


if __name__ == "__main__":
    sys.exit(main())
