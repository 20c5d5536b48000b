"""Measurement: a few photographs through every network, and what that says about the heads; in a process of its own.

A process that has run a network may keep a whole graphics card to itself, so the study's own process runs none.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from featstore import shell
from featstore.provenance import write_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heads.effort import Size

BATCH = 16
REFUSED = ".refused"
_ENOUGH_S = 1.0
_MOST_BATCHES = 8


@dataclass(frozen=True)
class Request:
    """What is to be measured.

    Attributes
    ----------
    root, photographs
        Some photographs: path below the root, and view.
    recipes
        Regions of interest to be found in them.
    weights
        Network -> where its weights are; they are loaded, and downloaded where that is asked for.
    side_px
        Network -> side of its input.
    heads
        Heads to be forecast, each for every network's features.
    size
        n_images, n_classes and n_valid that they learn from.
    """

    root: str
    photographs: Sequence[tuple[str, str]]
    recipes: Sequence[str]
    weights: Mapping[str, str]
    side_px: Mapping[str, int]
    heads: Sequence[str]
    size: tuple[int, int, int]


@dataclass(frozen=True)
class Speeds:
    """What was measured on this machine.

    Attributes
    ----------
    start_s
        Seconds until a process has loaded Keras.
    decode_s
        Recipe -> seconds of one processor to decode a photograph, find its region and resize it.
    images_per_second
        Network -> photographs that go through it, in batches of `BATCH`.
    weight_bytes
        Network -> size of its weights.
    head_s
        Network -> seconds to fit all heads on its features once, as `heads compare` forecasts them.
    """

    start_s: float
    decode_s: Mapping[str, float]
    images_per_second: Mapping[str, float]
    weight_bytes: Mapping[str, int]
    head_s: Mapping[str, float]

    @classmethod
    def read(cls, path: Path) -> Speeds:
        """Read what `main` wrote."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))


def main(argv: Sequence[str]) -> None:
    """Read a request from one file and write speeds to another, or to one that ends in `REFUSED` why it cannot."""
    from featstore.errors import PhytobenchError

    asked, answer = argv
    try:
        request = Request(**json.loads(Path(asked).read_text(encoding="utf-8")))
        write_json(Path(answer), asdict(measure(request)))
    except PhytobenchError as error:
        write_json(Path(answer + REFUSED), {"error": [error.expected, error.got, error.remedy]})
        raise SystemExit(error.exit_code) from error


def measure(request: Request) -> Speeds:
    """Load every network and show it some photographs.

    Raises
    ------
    WeightsError
        If weights are missing or cannot be downloaded.
    """
    started = time.perf_counter()
    from featstore.engine import load_engine

    load_engine()
    start_s = time.perf_counter() - started
    from heads.effort import Size

    decode_s = {recipe: _decoding(request, recipe) for recipe in request.recipes}
    size = Size(request.size[0], 0, request.size[1], request.size[2])
    speed: dict[str, float] = {}
    n_bytes: dict[str, int] = {}
    head_s: dict[str, float] = {}
    for name, weights in request.weights.items():
        speed[name], n_bytes[name], n_features = _network(name, weights, request.side_px[name])
        head_s[name] = _heads(request.heads, replace(size, n_features=n_features))
    return Speeds(start_s, decode_s, speed, n_bytes, head_s)


def _decoding(request: Request, recipe: str) -> float:
    """Seconds for one photograph; those that cannot be read take their time, too."""
    from featstore.build.prepare import Job, prepare
    from featstore.roi import load_recipe

    views, sides = load_recipe(recipe), tuple(sorted(set(request.side_px.values())))
    jobs = [Job(path, Path(request.root, path), views.of(view), sides) for path, view in request.photographs]
    # The first one pays for imports.
    prepare(jobs[0])
    started = time.perf_counter()
    for job in jobs:
        prepare(job)
    return (time.perf_counter() - started) / len(jobs)


def _network(name: str, weights: str, side_px: int) -> tuple[float, int, int]:
    """Photographs per second, bytes of its weights, and number of its features."""
    import numpy as np

    from featstore.backbones import Network, build_backbone

    shell.say(f"measuring {name} ({weights})")
    model = build_backbone(name, weights, side_px)
    n_bytes = 4 * int(model.count_params())
    network = Network(name, model, BATCH)
    images: NDArray[np.uint8] = np.random.default_rng(0).integers(0, 255, (BATCH, side_px, side_px, 3), dtype=np.uint8)
    # The first batch compiles the network.
    network.features(images)
    n_batches, started = 0, time.perf_counter()
    while n_batches < _MOST_BATCHES and time.perf_counter() - started < _ENOUGH_S:
        network.features(images)
        n_batches += 1
    return n_batches * BATCH / (time.perf_counter() - started), n_bytes, network.dimension


def _heads(names: Sequence[str], size: Size) -> float:
    from heads.effort import estimate
    from heads.registry import create_head

    return sum(estimate(create_head(name), size).seconds for name in names)
