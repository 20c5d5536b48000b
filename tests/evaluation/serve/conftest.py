"""Models that need no network, and a server around them: a real one, in a thread of this process."""

from __future__ import annotations

import io
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi")
pytest.importorskip("fastapi_offline")

import httpx
import uvicorn

from evaluation.identify.contract import Neighbour, Photograph
from evaluation.identify.doubting import Threshold
from evaluation.identify.fusing import Fusing
from evaluation.identify.names import Names
from evaluation.identify.opening import Panel
from evaluation.serve.app import ServeSettings, make_app
from evaluation.serve.running import config_of, listen
from featstore.errors import ImageError
from featstore.images import load_photograph

SPECIES = {
    "10": "Acer campestre L.",
    "7": '<img src=x onerror="document.title=1">',
    "8": "Bellis perennis L.",
    "9": "Daucus carota L.",
}
CLASSES = np.array(sorted(SPECIES))


class Greenness:
    """A model that looks at the mean colour: red is 10, green is 7, blue is 8, and nothing is 9."""

    model = "colours"
    classes = CLASSES
    species = SPECIES

    def __init__(self, training: Path) -> None:
        self._training = training
        self.before: Callable[[], object] = lambda: None
        self.n_asked = 0

    def probabilities(self, photographs: Sequence[Photograph]) -> tuple[np.ndarray, dict[str, str]]:
        self.n_asked += 1
        self.before()
        rows, failures = np.full((len(photographs), 4), np.nan, dtype=np.float32), {}
        for place, one in enumerate(photographs):
            try:
                colour = load_photograph(one.path).pixels.mean(axis=(0, 1))
            except ImageError as error:
                failures[one.image_id] = error.got
                continue
            scores = np.array([*colour, 20.0]) + 1
            rows[place] = scores / scores.sum()
        return rows, failures

    def nearest(self, photographs: Sequence[Photograph], n_neighbours: int) -> dict[str, list[Neighbour]]:
        known = [("t/1 é", "10", "red.jpg"), ("t2", "7", "green.jpg"), ("gone", "8", "gone.jpg")][:n_neighbours]
        return {
            one.image_id: [Neighbour(name, label, 0.9, str(self._training / file)) for name, label, file in known]
            for one in photographs
        }


def picture(colour: str = "red", size: tuple[int, int] = (64, 48), form: str = "JPEG", **options: Any) -> bytes:
    target = io.BytesIO()
    Image.new("RGB", size, colour).save(target, form, **options)
    return target.getvalue()


def bomb(side: int = 10_000) -> bytes:
    """A whole PNG of 13 kB and 100 megapixels, one bit each."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    pixels = zlib.compress(bytes((side // 8 + 1) * side))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.fixture
def training(tmp_path: Path) -> Path:
    folder = tmp_path / "training"
    folder.mkdir()
    for colour in ("red", "green"):
        (folder / f"{colour}.jpg").write_bytes(picture(colour, (600, 400)))
    return folder


@pytest.fixture
def colours(training: Path) -> Greenness:
    return Greenness(training)


def panel_of(model: Greenness, threshold: float | None = None) -> Panel:
    found = None if threshold is None else Threshold(threshold, "/secret/place/threshold.json")
    return Panel((model,), Fusing(), found, Names.of([model]), ("Told at the start: /secret/place.",))


@contextmanager
def running(panel: Panel, settings: ServeSettings) -> Iterator[str]:
    """A real server in a thread of this process; its address."""
    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(config_of(make_app(panel, settings), settings.limits.n_waiting))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield "http://{}:{}".format(*listener.getsockname()[:2])
    finally:
        server.should_exit = True
        thread.join(timeout=20)
        listener.close()


@pytest.fixture
def client_of(colours: Greenness) -> Iterator[Callable[..., httpx.Client]]:
    """A function that opens a client of a real server with some settings."""
    with ExitStack() as opened:

        def open_client(threshold: float | None = None, **settings: Any) -> httpx.Client:
            address = opened.enter_context(running(panel_of(colours, threshold), ServeSettings(**settings)))
            return opened.enter_context(httpx.Client(base_url=address, timeout=60, trust_env=False))

        yield open_client


def files(*contents: bytes | tuple[str, bytes]) -> list[tuple[str, tuple[str, bytes]]]:
    """The field `files` as httpx takes it."""
    named = [one if isinstance(one, tuple) else (f"{number}.jpg", one) for number, one in enumerate(contents)]
    return [("files", one) for one in named]
