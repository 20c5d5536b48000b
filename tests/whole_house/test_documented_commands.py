"""Whatever README, docs and help tell a reader to type can be typed: each command runs in a small world."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from evaluation.predictions import Predictions
from featstore.build import specs
from featstore.store import Store
from featstore.system import software
from featstore.table import load_table
from finetune.study import runner, work

from . import documented, machines, pages
from .installing import make_checkout
from .own_parts import ADDED, follow_pages
from .small_world import make_networks_small, run
from .terminal import Shared, Terminal

HELP = pages.in_help()
PAGES = {**pages.in_pages(), "make help": pages.in_make(), **HELP}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What pages presume: photographs, a store of two networks, runs of heads and networks, fused, and small files.

    The networks have two convolutions each, so that a page costs seconds.
    """
    # Networks stay loaded by name; other tests of this process have had real ones under these.
    specs._loaded.cache_clear()
    folder = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        make_networks_small(patch)
        # Keras starts in a process of its own to be asked for its devices; once is enough.
        patch.setattr(software, "engine", cache(software.engine))
        # Steps of whole studies run in this process, too: another would not know the small networks.
        for module in (runner, work):
            patch.setattr(module, "call", call_here)
        patch.chdir(folder)
        patch.setenv("COLUMNS", "120")
        networks, build = documented.NETWORKS, "--weights random --side 32 --workers 0"
        here("featstore synth photos --species 3 --observations 6 --side 64 --corrupt 0")
        here("featstore synth new-photos --species 3 --observations 4 --side 64 --corrupt 0 --seed 1")
        here(f"featstore build photos --store features.zarr {networks} {build}")
        here(f"featstore build photos --store features.zarr --backbone mobilenet_v2 --as mobilenet_v2-448 {build}")
        here(f"featstore build new-photos --store new.zarr {networks} {build}")
        heads = "--head mlp:epochs=5,n_layers=1 --head logistic --head lda --head ridge"
        here(f"heads compare features.zarr {networks} {heads} --no-concat --out runs")
        here(f"finetune run features.zarr --from runs {networks} --epochs 1 --tta 1")
        here("evaluate fuse runs/mobilenet-mlp runs/mobilenet_v2-mlp --out runs")
        here("evaluate write-run runs/mobilenet-mlp --out ours.run")
        here("featstore export features.zarr dino.npz --backbone mobilenet")
        here("featstore export features.zarr bioclip.parquet --backbone mobilenet")
        (folder / "mine.toml").write_text('[Flower]\nchannel = "a_star"\n')
        options = pages.block("docs/commands.md", "# phytobench.toml")
        (folder / "phytobench.toml").write_text(documented.text_here(options))
        (folder / "list.csv").write_text("image_id\n11\n")
        (folder / "recipe.toml").write_text("epochs = 1\nbatch_size = 8\n")
        write_tables(folder)
        write_scores(folder)
        write_lines(folder / "my-photos", folder / "photos")
        for name, photograph in zip("abc", sorted((folder / "photos").rglob("*.jpg"))[:3], strict=True):
            shutil.copy(photograph, folder / f"{name}.jpg")
        yield folder
    specs._loaded.cache_clear()


def write_lines(folder: Path, photos: Path) -> None:
    """A data set of JSON lines, the form that a page adds."""
    folder.mkdir()
    paths = sorted(photos.rglob("*.jpg"))
    lines = [{"path": str(path), "class_id": f"c{number % 2}", "view": "Leaf"} for number, path in enumerate(paths)]
    (folder / "photos.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")


def write_scores(folder: Path) -> None:
    """Scores of two networks, one per organ, of train and test."""
    for organ, network in (("leaf", "mobilenet"), ("flower", "mobilenet_v2")):
        (folder / organ).mkdir()
        for split, taken in (("train", "valid"), ("test", "test")):
            scores = Predictions.read(folder / "runs" / f"{network}-mlp" / f"{taken}.predictions.h5")
            replace(scores, split=split, model=organ).write(folder / organ / f"{split}.predictions.h5")


def write_tables(folder: Path) -> None:
    with (folder / "photos.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image_id", "path", "class_id", "view", "observation_id"])
        for row in Store.open(folder / "features.zarr").papers.itertuples():
            table.writerow([row.image_id, f"photos/{row.path}", row.class_id or "1", row.view, row.observation_id])
    with (folder / "new.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "class_id", "view", "observation_id"])
        for row in Store.open(folder / "new.zarr").papers.itertuples():
            table.writerow([f"new-photos/{row.path}", "", row.view, row.observation_id])


def here(command: str) -> None:
    ended = run(command.split())
    assert ended == 0, f"the world of the tests cannot be made: `{command}` ended with {ended}"


def call_here(arguments: list[str], log: Path) -> tuple[int, str]:
    """Run a step of a study as `finetune.study.runner.call` does, in this process."""
    with redirect_stdout(sys.stderr):
        return run(arguments), "in this process"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    cluster = machines.Cluster(tmp_path_factory.mktemp("cluster"))
    copy = machines.Copy(lambda: follow_pages(tmp_path_factory.mktemp("house")))
    yield Shared(make_checkout(tmp_path_factory.mktemp("checkout")), cluster, copy)
    cluster.stop()
    copy.stop()


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_tells_to_type_runs(
    world: Path,
    shared: Shared,
    tmp_path: Path,
    page: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The commands of a page in their order, in a copy of the world; all that do not run are told at once.

    Those of the help, which has each command, print JSON: one document, which says its schema.
    """
    shutil.copytree(world, tmp_path / "world")
    monkeypatch.chdir(tmp_path / "world")
    monkeypatch.setenv("HOME", str(tmp_path))
    # Completion is installed for the shell above this process, which has none in a script's background.
    monkeypatch.setattr("shellingham.detect_shell", lambda: ("bash", "/bin/bash"))
    # Only the copy has the parts that these pages add.
    runner = shared.copy.run if Path(page).stem in ADDED else run
    terminal = Terminal(shared, monkeypatch, capfd, runner, shows_json=page in HELP)
    faults = terminal.type_all(PAGES[page])
    assert not faults, "\n\n".join(faults)
    if terminal.lacking:
        pytest.skip(f"the rest of the page needs {', '.join(sorted(terminal.lacking))}")


def test_an_added_reader_is_found_and_an_added_backbone_makes_features(
    shared: Shared, tmp_path: Path, write_photo: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        write_photo(tmp_path / "photos" / f"{number}.jpg", seed=number)
    write_lines(tmp_path / "mine", tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    words = ["featstore", "build", "mine", "--store", "f.zarr", "--backbone", "leafnet", "--weights", "random"]
    assert shared.copy.run(words) == 0
    table = load_table(Store.open(tmp_path / "f.zarr"), ["leafnet"])
    assert table.features.shape == (6, 64)
    assert set(table.papers["view"]) == {"Leaf"}
    assert table.features.std(axis=0).max() > 0


@pytest.mark.slow
@pytest.mark.exhaustive
def test_the_demo_with_the_networks_of_the_article(tmp_path: Path) -> None:
    """The one line that asks for other networks than are small above, by itself: real ones, each step in a process."""
    [line] = {command.text for page in PAGES.values() for command in page if command.text.startswith("make demo NETW")}
    sizes = ["SPECIES=3", "OBSERVATIONS=6", "EPOCHS=1", f"DEMO={tmp_path}", f"BIN={Path(sys.executable).parent}"]
    done = subprocess.run(
        [*line.split(), *sizes, "--old-file", ".venv/.ready"],
        cwd=pages.ROOT, env={**os.environ, "PYTHONPATH": str(pages.ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "report.html").is_file()


def test_no_line_is_of_an_unknown_program() -> None:
    """Blocks hold commands alone, or say by their language that they hold none."""
    assert pages.strange_lines() == []


def test_no_entry_is_left_over() -> None:
    """Entries of commands that no page tells any more go with them."""
    told = {command.text for page in PAGES.values() for command in page}
    assert set(documented.ENDS) <= told
    recipes = (pages.ROOT / "Makefile").read_text(encoding="utf-8").replace("$(BIN)", ".venv/bin").splitlines()
    for entry in documented.LEFT:
        assert any(line.strip().startswith(entry) for line in [*told, *recipes]), entry
