"""Moves: photographs that come, go, change or get other names, in any order; the store says what a fresh one would."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from featstore.build import specs
from featstore.build.build import build_store
from featstore.build.settings import BuildSettings
from featstore.build.summary import BuildSummary
from featstore.care.verify import verify_store
from featstore.errors import StoreError
from featstore.store import Store
from featstore.table import load_table

SETTINGS = BuildSettings(("mobilenet",), "random", side_px=32, batch_size=4, n_workers=0, roi="none")
VIEWS = ("Flower", "Leaf")


class StandIn:
    """A network whose rows are the first pixel and nothing else, so that each tells which photograph it is of."""

    name, side_px, dimension, batch_size = "mobilenet", 32, 1024, 4

    def features(self, images: np.ndarray) -> np.ndarray:
        return np.repeat(images[:, 16, 16, :1].astype(np.float32), self.dimension, axis=1)


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(specs, "_loaded", lambda *_: (StandIn(), "0" * 64))


@dataclass
class Photographs:
    """A data set in the making, and what a store of it has to say."""

    root: Path
    colour: dict[str, int] = field(default_factory=dict)
    view: dict[str, str] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    n_colours: int = 0

    def write(self, name: str) -> None:
        """A photograph that no other is like; PNG keeps its colour exactly."""
        self.n_colours += 1
        self.colour[name] = self.n_colours % 256
        pixels = np.full((20, 20 + self.n_colours // 256, 3), self.colour[name], dtype=np.uint8)
        Image.fromarray(pixels).save(self.root / f"{name}.png")
        self.broken.discard(name)

    def add(self, name: str, view: str) -> None:
        self.write(name)
        self.view[name] = view

    def remove(self, name: str) -> None:
        (self.root / f"{name}.png").unlink()
        del self.colour[name], self.view[name]
        self.broken.discard(name)

    def rename(self, old: str, new: str) -> None:
        (self.root / f"{old}.png").rename(self.root / f"{new}.png")
        self.colour[new], self.view[new] = self.colour.pop(old), self.view.pop(old)
        if old in self.broken:
            self.broken.remove(old)
            self.broken.add(new)

    def cut(self, name: str) -> None:
        path = self.root / f"{name}.png"
        path.write_bytes(path.read_bytes()[:50])
        self.broken.add(name)

    def table(self) -> Path:
        lines = [f"{name},{name}.png,{view},c,o-{name}" for name, view in self.view.items()]
        path = self.root / "table.csv"
        path.write_text("\n".join(["image_id,path,view,class_id,observation_id", *lines]))
        return path

    def build(self, store: Path, **options: object) -> BuildSummary:
        return build_store(self.table(), store, BuildSettings(**{**vars_of(SETTINGS), **options}))

    def check(self, store: Path) -> None:
        """The store gives for every whole photograph its own features, and nothing else."""
        whole = {name: colour for name, colour in self.colour.items() if name not in self.broken}
        if not whole:
            with pytest.raises(StoreError):
                load_table(Store.open(store), ["mobilenet"])
            return
        table = load_table(Store.open(store), ["mobilenet"])
        found = dict(zip(table.papers["image_id"], table.features[:, 0].astype(int), strict=True))
        assert found == whole
        assert dict(zip(table.papers["image_id"], table.papers["view"], strict=True)) == {
            name: self.view[name] for name in whole
        }


def vars_of(build: BuildSettings) -> dict[str, object]:
    return {name: getattr(build, name) for name in build.__dataclass_fields__}


@pytest.fixture
def photographs(tmp_path: Path) -> Photographs:
    (tmp_path / "photos").mkdir()
    made = Photographs(tmp_path / "photos")
    for number in range(8):
        made.add(f"p{number}", VIEWS[number % 2])
    return made


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "f.zarr"


def test_a_renamed_photograph_keeps_its_row(photographs: Photographs, store: Path) -> None:
    photographs.build(store)
    photographs.rename("p3", "rose")
    summary = photographs.build(store)
    assert summary.moves.renamed == (("p3", "rose"),)
    assert (summary.n_decoded, summary.moves.gone, summary.moves.new) == (0, (), ())
    photographs.check(store)


def test_deleted_and_restored(photographs: Photographs, store: Path) -> None:
    photographs.build(store)
    path = photographs.root / "p2.png"
    content, status = path.read_bytes(), path.stat()
    colour = photographs.colour["p2"]
    photographs.remove("p2")
    assert photographs.build(store).moves.gone == ("p2",)
    photographs.check(store)
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    photographs.colour["p2"], photographs.view["p2"] = colour, "Flower"
    assert photographs.build(store).n_rows == 0
    photographs.check(store)


def test_two_that_change_names_with_each_other(photographs: Photographs, store: Path) -> None:
    photographs.build(store)
    photographs.rename("p0", "x")
    photographs.rename("p2", "p0")
    photographs.rename("x", "p2")
    photographs.build(store)
    photographs.check(store)


def test_another_view_makes_another_row(photographs: Photographs, store: Path) -> None:
    photographs.build(store)
    photographs.view["p1"] = "Flower"
    assert photographs.build(store).n_rows == 1
    photographs.check(store)


def test_content_sees_what_size_and_time_hide(photographs: Photographs, store: Path) -> None:
    """A program that keeps both: only the bytes tell."""
    photographs.build(store)
    path = photographs.root / "p4.png"
    before = path.stat()
    other = photographs.root / "p6.png"
    data = other.read_bytes()
    path.write_bytes(data.ljust(before.st_size, b"\0")[: max(before.st_size, len(data))])
    if path.stat().st_size != before.st_size:
        pytest.skip("PNG made files of other sizes of the two colours")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert photographs.build(store).n_changed == 0
    assert photographs.build(store, content=True).n_changed == 1
    photographs.colour["p4"] = photographs.colour["p6"]
    photographs.check(store)


@pytest.fixture(scope="module")
def scratch() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp())
    yield folder
    shutil.rmtree(folder)


STEP = st.tuples(
    st.sampled_from(["add", "remove", "change", "touch", "rename", "view", "cut", "build"]), st.integers(0, 10**6)
)


def take(step: str, number: int, photographs: Photographs) -> None:
    """One change of the data set; what cannot be done with it is left."""
    names = sorted(photographs.view)
    one = names[number % len(names)]
    match step:
        case "add":
            photographs.add(f"n{photographs.n_colours}", VIEWS[number % 2])
        case "remove" if len(names) > 1:
            photographs.remove(one)
        case "change":
            photographs.write(one)
        case "touch":
            os.utime(photographs.root / f"{one}.png", ns=(number, number))
        case "rename":
            photographs.rename(one, f"r{photographs.n_colours}-{number}")
        case "view":
            photographs.view[one] = VIEWS[number % 2]
        case "cut" if one not in photographs.broken:
            photographs.cut(one)


def shares_an_image(photographs: Photographs, store: Path) -> bool:
    """Whether the store still takes it for the same data set."""
    return bool(set(photographs.view) & set(Store.open(store).catalog["image_id"]))


STEPS = st.lists(STEP, min_size=3, max_size=14)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_a_sequence_of_changes_ends_as_a_fresh_store(scratch: Path, steps: list[tuple[str, int]]) -> None:
    ends_as_a_fresh_store(scratch, steps)


@pytest.mark.exhaustive
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_any_sequence_of_changes_ends_as_a_fresh_store(scratch: Path, steps: list[tuple[str, int]]) -> None:
    ends_as_a_fresh_store(scratch, steps)


def ends_as_a_fresh_store(scratch: Path, steps: list[tuple[str, int]]) -> None:
    """Change the photographs step by step, build, and ask the store for each."""
    folder = Path(tempfile.mkdtemp(dir=scratch))
    (folder / "photos").mkdir()
    photographs, store = Photographs(folder / "photos"), folder / "f.zarr"
    for number in range(4):
        photographs.add(f"p{number}", VIEWS[number % 2])
    photographs.build(store)
    for step, number in steps:
        take(step, number, photographs)
        if step == "build" and shares_an_image(photographs, store):
            photographs.build(store)
            photographs.check(store)
    if not shares_an_image(photographs, store):
        return
    summary = photographs.build(store)
    assert summary.n_found == summary.n_done + summary.n_failed
    assert summary.n_failed == len(photographs.broken)
    photographs.check(store)
    assert photographs.build(store).n_decoded == 0
    assert verify_store(Store.open(store)).sound
