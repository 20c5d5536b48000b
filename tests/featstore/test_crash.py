"""Builds that are killed: whatever the moment, what was completed is kept, and the end is the same bit for bit."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from featstore.store import Store
from featstore.table import load_table

# The whole program, but for the networks: two stand-ins whose rows depend on their pixels alone, and which work
# slowly enough for a kill to hit any stage.
PROGRAM = """
import sys, time
import numpy as np
import featstore.build.specs as specs
from featstore.build import build

class Network:
    def __init__(self, name):
        self.name, self.side_px, self.dimension, self.batch_size = name, 32, specs.BACKBONES[name].dimension, 8
    def features(self, images):
        time.sleep(0.004)
        rng = np.random.default_rng(len(self.name))
        return (images.reshape(len(images), -1)[:, :64] @ rng.normal(size=(64, self.dimension))).astype(np.float32)

specs._loaded = lambda backbone, *_: (Network(backbone), "0" * 64)
from featstore.cli import main
print("ready", flush=True)
main(sys.argv[1:])
"""

N_IMAGES = 600


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of 600 small photographs in three views, two of them damaged."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("photos")
    lines = ["path,class_id,view,observation_id"]
    for n in range(N_IMAGES):
        corners = np.random.default_rng(n).integers(0, 256, (2, 3, 3), dtype=np.uint8)
        Image.fromarray(corners).resize((40, 30), Image.Resampling.BICUBIC).save(folder / f"{n}.jpg")
        lines.append(f"{n}.jpg,{n // 2 % 5},{('Flower', 'Leaf', 'Entire')[n % 3]},o{n // 2}")
    for n in (7, 400):
        (folder / f"{n}.jpg").write_bytes((folder / f"{n}.jpg").read_bytes()[:-200])
    (folder / "table.csv").write_text("\n".join(lines))
    return folder / "table.csv"


def arguments(photos: Path, store: Path) -> list[str]:
    words = ["build", str(photos), "--store", str(store), "--weights", "random", "--side", "32", "--batch-size", "8"]
    words += ["--backbone", "mobilenet", "--backbone", "vgg16", "--workers", "1", "--max-failures", "2", "--json"]
    return words


def start(photos: Path, store: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments(photos, store), *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def finish(photos: Path, store: Path, *options: str) -> dict[str, object]:
    process = start(photos, store, *options)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return dict(json.loads(out.partition("ready\n")[2]))


def same_bits(one: Path, other: Path) -> None:
    first, second = (load_table(Store.open(path), ["mobilenet", "vgg16"]) for path in (one, other))
    assert first.papers.drop(columns=["file_mtime_ns"]).equals(second.papers.drop(columns=["file_mtime_ns"]))
    np.testing.assert_array_equal(first.features, second.features)


@pytest.fixture(scope="module")
def undisturbed(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("undisturbed") / "f.zarr"
    summary = finish(photos, store)
    assert (summary["found"], summary["done"], summary["failed"]) == (N_IMAGES, N_IMAGES - 2, 2)
    return store


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="kills processes as POSIX does")
@pytest.mark.parametrize("n_kills", [5, pytest.param(16, marks=pytest.mark.exhaustive)])
def test_killed_at_random_moments_a_build_ends_with_the_same_bits(
    photos: Path, undisturbed: Path, tmp_path: Path, n_kills: int
) -> None:
    store, rng = tmp_path / "f.zarr", random.Random(1)
    done = n_kept = 0
    for _ in range(n_kills):
        process = start(photos, store)
        assert process.stdout is not None
        process.stdout.readline()
        # Until the store is there, and then at any moment of its making.
        while process.poll() is None and not list(store.glob("records/*/*.json")):
            if rng.random() < 0.002:
                break
            time.sleep(0.02)
        time.sleep(rng.uniform(0.0, 0.4))
        # The parent alone: its workers have to end by themselves.
        process.send_signal(signal.SIGKILL)
        process.wait()
        if (store / "zarr.json").exists() and Store.open(store).attrs["catalog"]:
            papers = Store.open(store).papers
            finished = int((papers["status"] == "done").sum())
            assert finished >= done, "what was completed is kept"
            n_kept += finished > done
            done = finished
        wait_for_orphans(process.pid)
    assert n_kept, "no kill came while there was something to keep"
    summary = finish(photos, store)
    assert (summary["done"], summary["failed"]) == (N_IMAGES - 2, 2)
    same_bits(store, undisturbed)
    assert not [path for path in store.rglob("*") if ".partial" in path.name], "leftovers are swept"
    assert finish(photos, store)["decoded"] == 0


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="kills processes as POSIX does")
@pytest.mark.parametrize("n_kills", [1, pytest.param(4, marks=pytest.mark.exhaustive)])
def test_killed_with_a_real_network_a_build_ends_with_the_same_bits(photos: Path, tmp_path: Path, n_kills: int) -> None:
    """The program as it is, with Keras' MobileNet: fewer kills, because each start takes seconds."""

    def real(store: Path) -> subprocess.Popen[str]:
        words = ["build", str(photos), "--store", str(store), "--weights", "random", "--side", "32", "--workers", "1"]
        words += ["--backbone", "mobilenet", "--batch-size", "8", "--max-failures", "2", "--json"]
        code = "import sys; from featstore.cli import main; main(sys.argv[1:])"
        return subprocess.Popen(
            [sys.executable, "-c", code, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip

    store, whole, rng = tmp_path / "f.zarr", tmp_path / "whole.zarr", random.Random(2)
    for kill in range(n_kills):
        process = real(store)
        n_records = len(list(store.glob("records/*/*.json")))
        while process.poll() is None and len(list(store.glob("records/*/*.json"))) == n_records:
            time.sleep(0.01)
        time.sleep(rng.uniform(0.0, 0.3))
        process.kill()
        process.wait()
        wait_for_orphans(process.pid)
        assert (Store.open(store).papers["status"] == "done").sum() >= min(kill + 1, 3), "what was completed is kept"
    for path in (store, whole):
        out, told = real(path).communicate(timeout=120)
        assert (json.loads(out)["done"], json.loads(out)["failed"]) == (N_IMAGES - 2, 2), told
    first, second = (load_table(Store.open(path), ["mobilenet"]) for path in (store, whole))
    assert first.papers["image_id"].equals(second.papers["image_id"])
    np.testing.assert_array_equal(first.features, second.features)


def wait_for_orphans(group: int) -> None:
    """Workers end with their parent: within seconds nobody is left in its process group."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError("workers outlive their parent")


# A file, because the processes that decode read it as well.
KILLER = """
import os, signal, sys
from pathlib import Path
import featstore.build.prepare as prepare

real = prepare.decode
def decode(data, name):
    if name in os.environ["DEADLY"].split():
        os.kill(os.getpid(), signal.SIGKILL)
    return real(data, name)
prepare.decode = decode

if __name__ == "__main__":
"""


def run_with_deadly(photos: Path, store: Path, names: str, program: str = KILLER) -> subprocess.CompletedProcess[str]:
    file = store.with_suffix(".py")
    file.write_text(program + "".join(f"    {line}\n" for line in PROGRAM.splitlines()))
    words = [sys.executable, str(file), *arguments(photos, store), "--workers", "2"]
    environment = {**os.environ, "DEADLY": names}
    return subprocess.run(words, capture_output=True, text=True, timeout=300, check=False, env=environment)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills processes as POSIX does")
def test_photographs_that_kill_their_decoders_fail_alone(photos: Path, undisturbed: Path, tmp_path: Path) -> None:
    store = tmp_path / "f.zarr"
    ended = run_with_deadly(photos, store, "3.jpg 6.jpg 599.jpg")
    assert ended.returncode == 3, ended.stderr
    summary = json.loads(ended.stdout.partition("ready\n")[2])
    assert (summary["done"], summary["failed"], summary["pending"]) == (N_IMAGES - 5, 5, 0)
    reasons = {failure["image_id"]: failure["reason"] for failure in summary["failures"]}
    for name in ("3.jpg", "6.jpg", "599.jpg"):
        assert "its decoder was killed" in reasons[name]
    # Where there is memory enough, they are like any others.
    assert finish(photos, store)["decoded"] == 3
    same_bits(store, undisturbed)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills processes as POSIX does")
def test_decoders_that_are_killed_whatever_they_decode_stop_the_build(photos: Path, tmp_path: Path) -> None:
    ended = run_with_deadly(photos, tmp_path / "f.zarr", " ".join(f"{n}.jpg" for n in range(N_IMAGES)))
    assert ended.returncode == 1
    assert "8 that were killed one after the other" in ended.stderr
    never = "import os\nif __name__ != '__main__':\n    os._exit(1)\nif True:\n"
    ended = run_with_deadly(photos, tmp_path / "g.zarr", "", never)
    assert ended.returncode == 1
    assert "killed before it had anything to do" in ended.stderr


def test_a_dead_ones_lease_is_taken_over_and_a_living_ones_refused(photos: Path, tmp_path: Path) -> None:
    store = tmp_path / "f.zarr"
    first = start(photos, store)
    deadline = time.monotonic() + 60
    while not list(store.glob("locks/part-*.json")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    second = start(photos, store)
    _, told = second.communicate(timeout=60)
    if first.poll() is None:
        assert second.returncode == 1
        assert f"process {first.pid} on" in told
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert finish(photos, store)["done"] == N_IMAGES - 2


def test_parts_started_at_once_make_the_same_store(photos: Path, undisturbed: Path, tmp_path: Path) -> None:
    store = tmp_path / "f.zarr"
    parts = [start(photos, store, "--part", f"{part}/3") for part in (1, 2, 3)]
    for process in parts:
        _, told = process.communicate(timeout=120)
        assert process.returncode == 0, told
    summary = finish(photos, store)
    assert (summary["done"], summary["decoded"], summary["pending"]) == (N_IMAGES - 2, 0, 0)
    same_bits(store, undisturbed)


def test_parts_of_another_plan_are_refused(photos: Path, tmp_path: Path) -> None:
    from featstore.store.lease import Claim, hold
    from featstore.store.place import open_place

    with hold(open_place(tmp_path / "f.zarr"), Claim("another", 1, 4)):
        process = start(photos, tmp_path / "f.zarr", "--part", "2/4")
        _, told = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "part 1/4" in told


@pytest.mark.parametrize("n_writes", [3, 20, 60])
def test_a_full_disk_loses_nothing(
    photos: Path, undisturbed: Path, tmp_path: Path, write_limit: Callable[[int], str], n_writes: int
) -> None:
    store = tmp_path / "f.zarr"
    program = PROGRAM.replace('print("ready"', write_limit(n_writes) + '\nprint("ready"')
    words = arguments(photos, store)
    process = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, timeout=120, check=False
    )
    assert process.returncode == 1
    assert "room on the disk" in process.stderr
    assert finish(photos, store)["done"] == N_IMAGES - 2
    same_bits(store, undisturbed)


@pytest.fixture
def write_limit() -> Callable[[int], str]:
    """Code after which the disk is full from the n-th whole file on."""

    def code(n_writes: int) -> str:
        return f"""
import errno, os, pathlib
real, count = pathlib.Path.replace, [0]
def replace(self, target):
    count[0] += 1
    if count[0] > {n_writes}:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
    return real(self, target)
pathlib.Path.replace = replace
"""

    return code
