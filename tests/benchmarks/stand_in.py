"""What the benchmarks share: cheap networks in place of the real ones, many photographs out of a few, memory seen."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from featstore.backbones import BACKBONES
from featstore.build import specs

VIEWS = ("Branch", "Entire", "Flower", "Fruit", "Leaf", "LeafScan", "Stem")


class StandIn:
    """A network that costs nothing: features are a fixed mix of a few pixels, of the real network's dimension."""

    def __init__(self, name: str, side_px: int, batch_size: int) -> None:
        self.name, self.side_px, self.batch_size = name, side_px, batch_size
        self.dimension = BACKBONES[name].dimension
        self._mix = np.random.default_rng(self.dimension).normal(size=(16, self.dimension)).astype(np.float32)

    def features(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return images.reshape(len(images), -1)[:, :16].astype(np.float32) @ self._mix


def stand_in_for_networks() -> None:
    """Let builds of this process run without real networks."""
    specs._loaded = lambda name, _weights, side_px, _pooling, _engine, batch_size, _source: (
        StandIn(name, side_px, batch_size),
        "0" * 64,
    )


def many_photographs(folder: Path, n_images: int, n_files: int = 64) -> Path:
    """A PlantCLEF package of many photographs: hard links to a few small files, and an XML record each."""
    source = folder / "files"
    source.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for n in range(n_files):
        corners = rng.integers(0, 256, (2, 3, 3), dtype=np.uint8)
        Image.fromarray(corners).resize((96, 72), Image.Resampling.BICUBIC).save(source / f"{n}.jpg")
    for n in range(n_images):
        place = folder / "package" / "train" / f"{n // 5000:03}"
        place.mkdir(parents=True, exist_ok=True)
        os.link(source / f"{n % n_files}.jpg", place / f"{n}.jpg")
        observation = n // 4
        (place / f"{n}.xml").write_text(
            f"<Image><ObservationId>{observation}</ObservationId><FileName>{n}.jpg</FileName><MediaId>{n}</MediaId>"
            f"<Vote>{1 + n % 5}</Vote><Content>{VIEWS[n % 7]}</Content><ClassId>{observation % 500}</ClassId>"
            f"<Species>Species {observation % 500}</Species><Author>author {observation % 1608}</Author></Image>",
            encoding="utf-8",
        )
    return folder / "package"


@contextmanager
def memory_peak() -> Iterator[list[float]]:
    """Peak resident memory of this process and all its children, MiB, as the only item of the list it gives."""
    peak, ended = [0.0], threading.Event()

    def watch() -> None:
        while not ended.is_set():
            peak[0] = max(peak[0], _resident_mib())
            time.sleep(0.5)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        ended.set()
        watcher.join()


def _resident_mib() -> float:
    total, own = 0, os.getpid()
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if int(path.name) == own or parent == own:
                # Proportional: what processes share counts once.
                for line in (path / "smaps_rollup").read_text().splitlines():
                    if line.startswith("Pss:"):
                        total += int(line.split()[1])
        except (OSError, ValueError):
            continue
    return total / 1024
