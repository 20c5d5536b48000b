"""What is installed, told without importing any of it; and what Keras says of its devices, asked of another process."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from featstore.backbones.sources import keras_home
from featstore.backbones.table import BACKBONES

DISTRIBUTION = "phytobench"
LIBRARIES = (
    "keras", "tensorflow", "jax", "torch", "numpy", "scipy", "scikit-learn", "lightgbm", "pandas", "zarr", "h5py",
    "pillow", "matplotlib", "openvino", "optuna", "obstore", "dask", "typer",
)  # fmt: skip
BACKENDS = {"tensorflow": "tensorflow", "jax": "jax", "torch": "torch", "openvino": "openvino"}
"""Keras' backends and their packages."""

_PATIENCE_S = 180.0
_ASK = """
import json, time
started = time.perf_counter()
from featstore.engine import load_engine
backend = load_engine()
import keras
try:
    devices = [str(device) for device in keras.distribution.list_devices()]
except Exception as error:
    devices, problem = [], f"{type(error).__name__}: {error}"
else:
    problem = ""
seconds = time.perf_counter() - started
print(json.dumps({"backend": backend, "devices": devices, "seconds": seconds, "problem": problem}))
"""
_REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)(?:\[([^\]]*)\])?")
_OF_EXTRA = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")


@dataclass(frozen=True)
class Engine:
    """What Keras computes with.

    Attributes
    ----------
    backend, installed
        Name of the backend that is chosen, and whether its package is there.
    devices
        What the backend sees, such as ``"gpu:0"``; None if it was not asked.
    seconds
        How long it took to start.
    problem
        Why it could not be asked, "" if it could.
    """

    backend: str
    installed: bool
    devices: tuple[str, ...] | None = None
    seconds: float = 0.0
    problem: str = ""

    @property
    def accelerators(self) -> tuple[str, ...]:
        """Devices other than processors."""
        return tuple(device for device in self.devices or () if not device.lower().startswith("cpu"))


@dataclass(frozen=True)
class Card:
    """A graphics card as its driver tells it, whether or not Keras can use it."""

    name: str
    memory: int
    driver: str


@dataclass(frozen=True)
class WeightFile:
    """ImageNet weights of a backbone in Keras' cache; `size` in bytes, None if they are not there."""

    backbone: str
    file: str
    size: int | None


def is_installed(name: str) -> bool:
    """Whether a distribution is installed."""
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def engine(backend: str, *, ask: bool, patience_s: float = _PATIENCE_S) -> Engine:
    """Tell what Keras computes with.

    Parameters
    ----------
    ask
        Start Keras in another process and ask for its devices; one that hangs or dies takes nothing along.
    """
    installed = is_installed(BACKENDS.get(backend, backend))
    if not (ask and installed):
        return Engine(backend, installed)
    try:
        done = subprocess.run(  # noqa: S603  # fixed words
            [sys.executable, "-c", _ASK], capture_output=True, text=True, timeout=patience_s, check=False
        )
    except subprocess.TimeoutExpired:
        return Engine(backend, installed, problem=f"no answer within {patience_s:.0f} s")
    try:
        told = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        last = next(reversed(done.stderr.strip().splitlines()), f"exit code {done.returncode}")
        return Engine(backend, installed, problem=last[:300])
    return Engine(str(told["backend"]), installed, tuple(told["devices"]), float(told["seconds"]), str(told["problem"]))


def graphics_cards() -> tuple[Card, ...]:
    """NVIDIA's cards, by their driver's own tool."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    query = [tool, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)  # noqa: S603  # fixed words
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return parse_cards(done.stdout) if done.returncode == 0 else ()


def parse_cards(text: str) -> tuple[Card, ...]:
    """Read ``name, MiB, driver`` line by line; lines of another form are left out."""
    cards = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) == 3:
            cards.append(Card(cells[0], int(cells[1]) << 20 if cells[1].isdigit() else 0, cells[2]))
    return tuple(cards)


def extras(distribution: str = DISTRIBUTION) -> dict[str, tuple[str, ...]]:
    """Packages that are missing for each extra, none where it is whole; empty for a bare checkout."""
    try:
        wanted = requires(distribution) or []
    except PackageNotFoundError:
        return {}
    names = dict.fromkeys(found.group(1) for line in wanted if (found := _OF_EXTRA.search(line)))
    return {name: tuple(sorted(set(_missing(distribution, name)))) for name in names}


def _missing(distribution: str, extra: str) -> Iterator[str]:
    """Packages that an extra of a distribution names and that are not installed."""
    for line in requires(distribution) or []:
        marker, requirement = _OF_EXTRA.search(line), _REQUIREMENT.match(line)
        if marker is None or marker.group(1) != extra or requirement is None:
            continue
        name, further = requirement.group(1), requirement.group(2)
        if not is_installed(name):
            yield name
        elif further:
            for one in further.split(","):
                yield from _missing(name, one.strip())


def weight_files() -> tuple[WeightFile, ...]:
    """The ImageNet weights of every backbone that has some; of several sides the one that is there."""
    found = []
    for backbone in BACKBONES.values():
        if not backbone.download:
            continue
        files = sorted((keras_home() / "models").glob(backbone.download.format(side="*")))
        file = files[0] if files else None
        name = file.name if file else backbone.download_name()
        found.append(WeightFile(backbone.name, name, file.stat().st_size if file else None))
    return tuple(found)


def shipped_weights() -> dict[str, int]:
    """Weights that come with the package: file and bytes."""
    package = Path(__file__).parents[1]
    return {path.relative_to(package).as_posix(): path.stat().st_size for path in sorted(package.rglob("*.h5"))}
