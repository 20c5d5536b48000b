"""Whatever README, docs and help tell a reader to type can be typed: each command runs in a small world."""

from __future__ import annotations

import csv
import importlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from featstore.backbones import BACKBONES
from featstore.backbones.table import Backbone
from featstore.build import specs
from featstore.system import software


def _beside(path: str) -> object:
    """A module of the tests, which are no package."""
    file = Path(__file__).parent / path
    found = importlib.util.spec_from_file_location(f"documented_tests.{file.stem}", file)
    assert found is not None
    assert found.loader is not None
    module = sys.modules[found.name] = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


documented = _beside("documented.py")
HELP = documented.in_help()
PAGES = {**documented.in_pages(), **HELP}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What pages presume: photographs, a store of two networks, runs of heads and networks, fused, and small files.

    The networks have two convolutions each, so that a page costs seconds.
    """
    network = _beside("../finetune/small_backbone.py")
    # Networks stay loaded by name; other tests of this process have had real ones under these.
    specs._loaded.cache_clear()
    folder = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("mobilenet", "mobilenet_v2"):
            patch.setitem(BACKBONES, name, Backbone(name, "small", network.__name__, 32, 8, 24, "small.h5"))
        # Keras starts in a process of its own to be asked for its devices; once is enough.
        patch.setattr(software, "engine", cache(software.engine))
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
        (folder / "recipe.toml").write_text("epochs = 1\nbatch_size = 8\n")
        write_tables(folder)
        for name, photograph in zip("abc", sorted((folder / "photos").rglob("*.jpg"))[:3], strict=True):
            shutil.copy(photograph, folder / f"{name}.jpg")
        yield folder
    specs._loaded.cache_clear()


def write_tables(folder: Path) -> None:
    from featstore.store import Store

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


def run(words: list[str]) -> int:
    """Run a command in this process as its program would, and give its exit code."""
    main = importlib.import_module(documented.APPS[words[0]]).main
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as ended:
            main(words[1:])
    return int(ended.value.code or 0)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_tells_to_type_runs(
    world: Path, tmp_path: Path, page: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The commands of a page in their order, in a copy of the world; all that do not run are told at once.

    Those of the help, which has each command, print JSON: one document, which says its schema.
    """
    shutil.copytree(world, tmp_path / "world")
    monkeypatch.chdir(tmp_path / "world")
    faults = []
    for command in PAGES[page]:
        if command.tool == "make":
            continue
        try:
            words = documented.words_here(command)
            documented.parse(words)
        except (documented.NotUnderstood, KeyError) as error:
            faults.append(f"{command.where} is not understood: {error}")
            continue
        if command.only_parsed:
            continue
        as_json = page in HELP and "--json" in documented.option_names(words)
        capfd.readouterr()
        code = run([*words, "--json"] if as_json else words)
        expected = documented.ENDS.get(command.text, 0)
        told = capfd.readouterr()
        if as_json and not re.fullmatch(r"[a-z0-9-]+/\d+", str(json.loads(told.out).get("schema"))):
            faults.append(f"{command.where} --json has no schema: {told.out[:300]}")
        if code != expected:
            last = told.err.strip()[-600:]
            faults.append(f"{command.where} needs an entry in documented.py: it ended with {code} as "
                          f"`{' '.join(words)}`: {last}")  # fmt: skip
    assert not faults, "\n\n".join(faults)


@pytest.mark.parametrize("command", [command for page in PAGES.values() for command in page if command.tool == "make"])
def test_make_knows_its_documented_targets(command: object) -> None:
    words = ["make", "--dry-run", *command.text.split()[1:]]
    asked = subprocess.run(words, cwd=documented.ROOT, capture_output=True, text=True, check=False)
    assert asked.returncode == 0, f"{command.where}: {asked.stderr}"


def test_no_entry_is_left_over() -> None:
    """Entries of commands that no page tells any more go with them."""
    told = {command.text for page in PAGES.values() for command in page}
    assert set(documented.ENDS) <= told
    assert all(any(part in text for text in told) for part in documented.ONLY_PARSED)
