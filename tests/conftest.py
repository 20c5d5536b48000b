"""Fixtures that several rooms share: real data where present, small photographs and packages made on the spot."""

from __future__ import annotations

import importlib.util
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

# A script's background has interrupts ignored, by all processes in it; tests send them.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is no failure: no test is timed.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

EXHAUSTIVE = os.environ.get("PHYTOBENCH_EXHAUSTIVE", "") not in {"", "0"}
SHARED = Path(__file__).resolve().parents[1].parent / "shared"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--every-photograph`."""
    parser.addoption(
        "--every-photograph", action="store_true", help="Compare on all real photographs where a sample does every day."
    )


_PAINT = Figure.savefig


def _one_pixel() -> bytes:
    target = io.BytesIO()
    Image.new("RGB", (1, 1), "white").save(target, "PNG")
    return target.getvalue()


@pytest.fixture(scope="session", autouse=True)
def _sketched() -> Iterator[None]:
    """Put what figures show together, but lay it out and colour it only for tests that are `painted`.

    A comparison of heads takes less time than its five pictures, which few tests look at.
    """
    pixel = _one_pixel()

    def sketch(_: Figure, path: Path, **__: object) -> None:
        path.write_bytes(pixel)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", sketch)
        yield


@pytest.fixture
def painted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let figures become the pictures that they are."""
    monkeypatch.setattr(Figure, "savefig", _PAINT)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, visibly, what is `exhaustive`: a sample of it stands beside it in every run. Let slow files go first.

    So no process is left alone with a long file at the end (`--dist loadfile --no-loadscope-reorder`).
    """
    if not EXHAUSTIVE:
        for item in items:
            if item.get_closest_marker("exhaustive"):
                item.add_marker(pytest.mark.skip(reason="exhaustive: make test-exhaustive runs it"))
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def every_photograph(request: pytest.FixtureRequest) -> bool:
    """Whether all real photographs shall be compared, not a sample."""
    return bool(request.config.getoption("--every-photograph"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real photographs, scores and weights; tests that need it skip where it is absent."""
    if not (SHARED / "data").is_dir():
        pytest.skip("needs the real data that lies beside the checkout")
    return SHARED


@pytest.fixture(scope="session")
def write_photo() -> Callable[..., Path]:
    """A function that writes a small JPEG of seeded colours and returns its path."""

    def write(path: Path, *, seed: int = 0, size: tuple[int, int] = (64, 48), **options: object) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Smooth colours: noise would not survive JPEG.
        corners = np.random.default_rng(seed).integers(0, 256, (2, 3, 3), dtype=np.uint8)
        Image.fromarray(corners).resize(size, Image.Resampling.BICUBIC).save(path, quality=95, **options)
        return path

    return write


@pytest.fixture(scope="session")
def write_record() -> Callable[..., Path]:
    """A function that writes one PlantCLEF XML record with the given tags."""

    def write(path: Path, **tags: object) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        body = "".join(f"<{tag}>{text}</{tag}>" for tag, text in tags.items())
        path.write_text(f'<?xml version="1.0" encoding="UTF-8"?>\n<Image>{body}</Image>\n', encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def small_backbone() -> Iterator[Path]:
    """Let `--backbone small` name a network of two convolutions: runs of it take seconds.

    Gives the script that is `finetune` with this network.
    """
    path = Path(__file__).parent / "finetune" / "small_backbone.py"
    found = importlib.util.spec_from_file_location("small_backbone", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, found.name, module)
        found.loader.exec_module(module)
        module.register(patch)
        yield path


@pytest.fixture
def scheduler() -> Iterator[str]:
    """Address of a Dask scheduler with two worker processes on this machine."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None, memory_limit=0
    ) as cluster:
        yield cluster.scheduler_address
