"""Preview: a row per group, the photographs of the store as training would vary them, and what cannot be drawn."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from featstore.build.build import build_store
from featstore.build.settings import BuildSettings
from featstore.errors import SettingsError, TrainingError
from featstore.synth import SynthSettings, synthesise
from finetune.augment import group_shares
from finetune.cli import main
from finetune.preview import _TOLD, draw_preview
from finetune.settings import AugmentSettings, TrainSettings
from finetune.transforms import GROUPS, NAMES, TRANSFORMS

SETTINGS = TrainSettings(side_px=48)
pytestmark = pytest.mark.usefixtures("painted")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("preview")
    synthesise(folder / "photos", SynthSettings(n_species=2, n_observations=6, side_px=64, n_corrupt=0))
    build_store(folder / "photos", folder / "f.zarr", BuildSettings(("small",), "random", side_px=32, n_workers=0))
    return folder


def drawn(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_a_sheet_has_a_row_per_group_and_one_as_in_training(photos: Path, tmp_path: Path) -> None:
    path = tmp_path / "new" / "sheet.png"
    preview = draw_preview(photos / "f.zarr", SETTINGS, path, n=3)
    assert preview.path == path
    assert list(path.parent.iterdir()) == [path]
    assert len(preview.photographs) == len(GROUPS) + 1
    assert len(set(preview.photographs)) == len(preview.photographs)
    assert not preview.failures
    without = replace(SETTINGS, augment=AugmentSettings(noise=0.0))
    fewer = draw_preview(photos / "f.zarr", without, tmp_path / "fewer.png", n=3)
    assert len(fewer.photographs) == len(GROUPS)
    assert drawn(fewer.path).shape[0] < drawn(path).shape[0]
    assert drawn(fewer.path).shape[1] == drawn(path).shape[1]


def test_the_same_seed_draws_the_same_sheet(photos: Path, tmp_path: Path) -> None:
    first = draw_preview(photos / "f.zarr", SETTINGS, tmp_path / "a.png", n=2)
    again = draw_preview(photos / "f.zarr", SETTINGS, tmp_path / "b.png", n=2)
    other = draw_preview(photos / "f.zarr", replace(SETTINGS, seed=1), tmp_path / "c.png", n=2)
    np.testing.assert_array_equal(drawn(first.path), drawn(again.path))
    assert first.photographs == again.photographs != other.photographs


def test_without_augmentation_every_picture_is_the_photograph(photos: Path, tmp_path: Path) -> None:
    nothing = replace(SETTINGS, augment=AugmentSettings(probability=0.0))
    preview = draw_preview(photos / "f.zarr", nothing, tmp_path / "a.png", n=2)
    assert len(preview.photographs) == 1
    sheet = drawn(preview.path)
    panel = 192 + 2
    rows = slice(24 + 64 + 40, 24 + 64 + 40 + panel)
    panels = [sheet[rows, 24 + column * (panel + 10) :][:, :panel] for column in range(3)]
    assert panels[0].std() > 5
    np.testing.assert_array_equal(panels[0], panels[1])
    np.testing.assert_array_equal(panels[0], panels[2])


def test_photographs_that_are_gone_are_replaced_by_others_and_told(photos: Path, tmp_path: Path) -> None:
    moved = tmp_path / "photos"
    shutil.copytree(photos / "photos", moved)
    whole = draw_preview(photos / "f.zarr", SETTINGS, tmp_path / "a.png", n=2, photos=moved)
    lost = whole.photographs[0]
    for path in moved.rglob(f"{lost}.*"):
        path.unlink()
    preview = draw_preview(photos / "f.zarr", SETTINGS, tmp_path / "a.png", n=2, photos=moved)
    assert list(preview.failures) == [lost]
    assert lost not in preview.photographs
    with pytest.raises(TrainingError, match="--photos"):
        draw_preview(photos / "f.zarr", SETTINGS, tmp_path / "a.png", n=2, photos=tmp_path / "nowhere")


def test_too_many_pictures_are_refused(photos: Path, tmp_path: Path) -> None:
    for n in (0, 21):
        with pytest.raises(SettingsError, match="1 to 20"):
            draw_preview(photos / "f.zarr", SETTINGS, tmp_path / "a.png", n=n)


def test_every_transform_can_be_told() -> None:
    rng = np.random.default_rng(0)
    assert set(_TOLD) == set(NAMES)
    for name, transform in TRANSFORMS.items():
        assert _TOLD[name](transform.strength(rng)).startswith(name)
    assert _TOLD["shift"](np.array([-0.1, 0.05, 0], dtype=np.float32)) == "shift 10% left, 5% down"


def test_shares_of_the_groups() -> None:
    shares = group_shares(AugmentSettings(probability=0.5, geometry=1, light=0.5, colour=0, sharpness=0, noise=0))
    assert shares == pytest.approx({"geometry": 0.5, "light": 0.25, "colour": 0, "sharpness": 0, "noise": 0})
    assert (
        sum(group_shares(AugmentSettings(probability=0, geometry=0, light=0, colour=0, sharpness=0, noise=0)).values())
        == 0
    )


def test_the_command_reads_settings_and_tells_what_it_drew(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "recipe.toml"
    config.write_text("seed = 5\n[augment]\nlight = 0.0\ncolour = 0.0\n")
    out = tmp_path / "sheet.png"
    command = [
        "preview",
        str(photos / "f.zarr"),
        "--out",
        str(out),
        "--config",
        str(config),
        "--per-row",
        "2",
        "--side",
        "40",
    ]
    with pytest.raises(SystemExit) as caught:
        main([*command, "--json"])
    assert not caught.value.code
    document = json.loads(capsys.readouterr().out)
    assert document["sheet"] == str(out)
    assert len(document["photographs"]) == 4
    same = replace(SETTINGS, side_px=40, seed=5, augment=AugmentSettings(light=0.0, colour=0.0))
    assert document["photographs"] == list(draw_preview(photos / "f.zarr", same, tmp_path / "b.png", n=2).photographs)
    np.testing.assert_array_equal(drawn(out), drawn(tmp_path / "b.png"))


def test_the_command_takes_settings_one_by_one(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "recipe.toml"
    config.write_text("[finetune.run]\nset = ['augment.light=0.0', 'seed=4']\n[finetune.preview]\nper-row = 2\n")
    out = tmp_path / "sheet.png"
    words = ["preview", str(photos / "f.zarr"), "--out", str(out), "--config", str(config), "--side", "40", "--json"]
    with pytest.raises(SystemExit, match="0"):
        main([*words, "--set", "augment.colour=0", "--set", "seed=5"])
    told = json.loads(capsys.readouterr().out)
    same = replace(SETTINGS, side_px=40, seed=5, augment=AugmentSettings(light=0.0, colour=0.0))
    assert told["photographs"] == list(draw_preview(photos / "f.zarr", same, tmp_path / "b.png", n=2).photographs)
    np.testing.assert_array_equal(drawn(out), drawn(tmp_path / "b.png"))
