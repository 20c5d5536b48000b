"""Shards: a file of several chunks that is cut, lost or damaged is noticed, and the division of a store stays."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from featstore.build import specs
from featstore.build.build import build_store
from featstore.build.settings import BuildSettings
from featstore.care.verify import verify_store
from featstore.errors import StoreError
from featstore.store import Store
from featstore.store.records import Record
from featstore.table import load_table

SETTINGS = BuildSettings(
    ("mobilenet",), "random", side_px=32, batch_size=4, n_workers=0, roi="none", shard_rows=256
)  # fmt: skip
N_IMAGES = 300
CHUNK_BYTES = 128 * 1024 * 4 + 4


class StandIn:
    """A network whose rows tell which photograph they are of."""

    name, side_px, dimension, batch_size = "mobilenet", 32, 1024, 4

    def features(self, images: np.ndarray) -> np.ndarray:
        number = images[:, 16, 16, 0].astype(np.float32) * 256 + images[:, 16, 16, 1]
        return np.repeat(number[:, None], self.dimension, axis=1)


@pytest.fixture(autouse=True, scope="module")
def _stand_in() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(specs, "_loaded", lambda *_: (StandIn(), "0" * 64))
        yield


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 photographs of one view: a full shard of two chunks, and one with 44 rows."""
    folder = tmp_path_factory.mktemp("photos")
    lines = ["path,image_id,class_id,view"]
    for n in range(N_IMAGES):
        Image.fromarray(np.full((20, 20, 3), (n // 256, n % 256, 0), dtype=np.uint8)).save(folder / f"{n}.png")
        lines.append(f"{n}.png,{n:03d},{n % 5},Leaf")
    (folder / "table.csv").write_text("\n".join(lines))
    return folder / "table.csv"


@pytest.fixture(scope="module")
def whole(table: Path, _stand_in: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("whole") / "f.zarr"
    assert build_store(table, store, SETTINGS).n_rows == N_IMAGES
    return store


@pytest.fixture
def store(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "f.zarr"))


def shard(store: Path, unit: int) -> Path:
    return store / "Leaf" / "mobilenet" / "c" / str(unit) / "0"


def is_right(store: Path) -> bool:
    return load_table(Store.open(store), ["mobilenet"]).features[:, 0].astype(int).tolist() == list(range(N_IMAGES))


DAMAGE = {
    "lost": lambda _: None,
    "emptied": lambda _: b"",
    "half": lambda data: data[: len(data) // 2],
    "without its index": lambda data: data[: -(2 * 16 + 4)],
    "without its last chunk": lambda data: data[:-CHUNK_BYTES],
    "longer": lambda data: data + b"\0" * 99,
    "without its first chunk": lambda data: data[CHUNK_BYTES:],
}


@pytest.mark.parametrize("unit", [0, 1])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_cut_shard_is_told_and_made_again(
    table: Path, store: Path, unit: int, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = shard(store, unit)
    damaged = DAMAGE[damage](path.read_bytes())
    path.unlink()
    if damaged is not None:
        path.write_bytes(damaged)
    capsys.readouterr()
    summary = build_store(table, store, SETTINGS)
    assert f"unit {unit} of Leaf/mobilenet is cut or lost" in capsys.readouterr().err
    assert summary.n_rows == (256, 44)[unit]
    assert is_right(store)
    assert verify_store(Store.open(store)).sound
    assert build_store(table, store, SETTINGS).n_decoded == 0


def test_a_whole_shard_is_left_alone(table: Path, store: Path) -> None:
    assert Store.open(store).rows.lost("Leaf", "mobilenet", [0, 1]) == []
    assert build_store(table, store, SETTINGS).n_decoded == 0


@pytest.mark.parametrize("shard_rows", [128, 512])
def test_another_division_than_the_stores_is_refused(table: Path, store: Path, shard_rows: int) -> None:
    other = BuildSettings(**{**vars_of(SETTINGS), "shard_rows": shard_rows})
    with pytest.raises(StoreError, match=rf"--shard-rows 256, as .*, got --shard-rows {shard_rows}"):
        build_store(table, store, other)
    kept = BuildSettings(**{**vars_of(SETTINGS), "shard_rows": 0})
    assert build_store(table, store, kept).n_decoded == 0


def vars_of(build: BuildSettings) -> dict[str, object]:
    return {name: getattr(build, name) for name in build.__dataclass_fields__}


def test_a_shard_with_a_flipped_byte_is_written_anew_when_one_of_its_rows_is(table: Path, store: Path) -> None:
    path = shard(store, 0)
    data = bytearray(path.read_bytes())
    data[99] ^= 1
    path.write_bytes(bytes(data))
    picture = table.parent / "5.png"
    before = picture.stat()
    os.utime(picture, ns=(1, 1))
    record = Store.open(store).records
    known = record.read("Leaf", 0)
    assert known is not None
    facts = [replace(fact, sha256="0" * 64) if fact and fact.image_id == "005" else fact for fact in known.facts]
    record.write("Leaf", 0, Record(facts, known.features))
    assert build_store(table, store, SETTINGS).n_rows == 256
    os.utime(picture, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert is_right(store)
