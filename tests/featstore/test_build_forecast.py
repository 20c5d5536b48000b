"""`featstore build --dry-run`: it says what the build then does, and writes nothing."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from featstore.build import forecast
from featstore.build.build import build_store
from featstore.build.forecast import BuildForecast, foresee_build
from featstore.build.settings import BuildSettings
from featstore.cli import main
from featstore.errors import StoreError
from featstore.readers import read_dataset
from featstore.synth import SynthSettings, synthesise

SETTINGS = BuildSettings(backbones=("mobilenet",), weights="random", side_px=32, n_workers=0, batch_size=4)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_foreseen_is_what_is_done(tmp_path: Path) -> None:
    photos, store = tmp_path / "photos", tmp_path / "f.zarr"
    synthesise(photos, SynthSettings(n_species=2, n_observations=4, side_px=64, n_corrupt=1))
    ahead = foresee_build(photos, str(store), SETTINGS)
    assert not store.exists()
    assert ahead.seconds > ahead.start_s > 0
    done = build_store(photos, store, SETTINGS)
    # The damaged one is decoded like the others; only then it is known to be damaged.
    assert ahead.n_images == done.n_decoded == ahead.rows["mobilenet"]
    assert ahead.n_bytes == ahead.n_images * 4 * 1024
    by_view = read_dataset(photos).frame["view"].value_counts()
    assert ahead.n_computed == {"mobilenet": sum(4 * math.ceil(n / 4) for n in by_view)}
    before = contents(store)
    again = foresee_build(photos, str(store), SETTINGS)
    assert (again.n_images, again.rows, again.seconds, again.n_bytes) == (0, {"mobilenet": 0}, 0.0, 0)

    both = replace(SETTINGS, backbones=("mobilenet", "colour"))
    more = foresee_build(photos, str(store), both)
    assert (more.n_images, more.rows) == (done.n_done, {"mobilenet": 0, "colour": done.n_done})

    changed = next(path for path in sorted(photos.rglob("*.jpg")) if path.name != f"{done.failures[0][0]}.jpg")
    changed.write_bytes(changed.read_bytes() + b"\0")
    assert foresee_build(photos, str(store), SETTINGS).n_images == 1
    other = replace(SETTINGS, side_px=40)
    with pytest.raises(StoreError, match="--replace"):
        foresee_build(photos, str(store), other)
    assert foresee_build(photos, str(store), replace(other, replace=True)).n_images == done.n_done
    assert contents(store) == before


def test_parts_are_foreseen_as_parts(tmp_path: Path) -> None:
    photos, store = tmp_path / "photos", tmp_path / "f.zarr"
    synthesise(photos, SynthSettings(n_species=2, n_observations=4, side_px=64, n_corrupt=0))
    whole = foresee_build(photos, str(store), SETTINGS)
    parts = [foresee_build(photos, str(store), replace(SETTINGS, part=n, n_parts=2)) for n in (1, 2)]
    # Rounded up in each view.
    assert whole.n_images <= sum(part.n_images for part in parts) <= whole.n_images + 2 * 8


@pytest.mark.parametrize("expected", [{"mobilenet": 1}, {"mobilenet": 1, "colour": 4}, {"colour": 4}])
def test_a_photograph_of_another_view_now_is_foreseen(
    tmp_path: Path, write_photo: Callable[..., Path], expected: dict[str, int]
) -> None:
    """Its row in the view that it was of before is still there."""
    table, store = tmp_path / "catalog.csv", tmp_path / "f.zarr"

    def describe(*views: str) -> None:
        rows = (f"{n}.jpg,{n % 2},{view}\n" for n, view in enumerate(views))
        table.write_text("path,class_id,view\n" + "".join(rows))

    for n in range(4):
        write_photo(tmp_path / f"{n}.jpg", seed=n)
    describe("Leaf", "Leaf", "Leaf", "Flower")
    build_store(table, store, SETTINGS)
    describe("Flower", "Leaf", "Leaf", "Flower")
    settings = replace(SETTINGS, backbones=tuple(expected))
    ahead = foresee_build(table, str(store), settings)
    done = build_store(table, store, settings)
    assert ahead.rows == expected
    assert (ahead.n_images, sum(ahead.rows.values())) == (done.n_decoded, done.n_rows)


def test_time_adds_up_networks_and_decoding() -> None:
    rows, computed, seconds = {"a": 100, "b": 50}, {"a": 112, "b": 64}, {"a": 0.1, "b": 0.4}
    ahead = BuildForecast("f", "d", 100, 0, 100, rows, 1, None, 0.2, seconds, 2, 4, computed, 0.0)
    assert ahead.seconds == pytest.approx(112 * 0.1 + 64 * 0.4 + 100 * 0.2 / 4)
    assert replace(ahead, start_s=7.0).seconds == pytest.approx(ahead.seconds + 7)
    # One process that decodes slowly holds everything up.
    slow = replace(ahead, decoding_s=2.0, n_workers=1)
    assert slow.seconds == pytest.approx(200.0)


def test_the_time_to_load_and_compile_a_network_is_foreseen(
    tmp_path: Path,
    write_photo: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A handful of photographs takes as long as the start, which is told by itself, too."""

    class Slow:
        def __init__(self) -> None:
            self.n_calls = 0

        def features(self, images: np.ndarray) -> None:
            self.n_calls += 1
            time.sleep(0.6 if self.n_calls == 1 else 0.0)

    def load(_: object) -> Slow:
        time.sleep(0.6)
        return Slow()

    monkeypatch.setattr(forecast, "load_untrained", load)
    write_photo(tmp_path / "photos" / "rosa" / "1.jpg")
    words = ["build", str(tmp_path / "photos"), "--store", str(tmp_path / "f.zarr"), "--backbone", "mobilenet"]
    with pytest.raises(SystemExit, match="0"):
        main([*words, "--backbone", "vgg16", "--dry-run", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["seconds"] >= told["seconds_to_start"] > 2.4
    with pytest.raises(SystemExit, match="0"):
        main([*words, "--dry-run"])
    assert re.search(r"About \d s on this machine .* \d s of it to load the networks", capsys.readouterr().out)
