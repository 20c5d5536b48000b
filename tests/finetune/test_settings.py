"""Settings: ranges, the TOML file and what overrides it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from featstore.errors import SettingsError
from finetune.config import load_settings
from finetune.settings import AugmentSettings, TrainSettings


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_file_then_options_override_the_defaults(tmp_path: Path) -> None:
    text = "epochs = 3\nrate = 5e-5\nmin_vote = 2\nclass_weight = 'balanced'\n[augment]\nnoise = 0\n"
    path = write(tmp_path, text)

    settings = load_settings(path, {"epochs": 7, "seed": None, "tta": 0})

    assert settings == TrainSettings(
        epochs=7, rate=5e-5, min_vote=2, class_weight="balanced", tta=0, augment=AugmentSettings(noise=0)
    )


def test_whole_numbers_are_the_same_settings_however_they_are_told(tmp_path: Path) -> None:
    text = "rate = 1\nmin_vote = 2\nclip_norm = 1\n[augment]\nnoise = 0\n"
    whole = load_settings(write(tmp_path, text), {})
    told = load_settings(None, {"rate": 1.0, "min_vote": 2.0}, ["clip_norm=1.0", "augment.noise=0.0"])
    # As text, by which an interrupted run is known again.
    assert json.dumps(whole.as_json()) == json.dumps(told.as_json())
    assert json.dumps(whole.as_json()) == json.dumps(dataclasses.replace(told, rate=1).as_json())


def test_every_setting_can_stand_in_the_file(tmp_path: Path) -> None:
    settings = TrainSettings(min_vote=2.5, clip_norm=1.0, side_px=96)
    lines = []
    for name, value in settings.as_json().items():
        if not isinstance(value, dict):
            lines.append(f"{name} = {value!r}")
    lines.append("[augment]")
    lines += [f"{name} = {value!r}" for name, value in dataclasses.asdict(settings.augment).items()]

    assert load_settings(write(tmp_path, "\n".join(lines)), {}) == settings


def test_an_empty_table_says_nothing(tmp_path: Path) -> None:
    assert load_settings(write(tmp_path, "[augment]\n# noise = 0\n"), {}) == TrainSettings()


def test_no_file_gives_the_defaults() -> None:
    assert load_settings(None, {}) == TrainSettings()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("epoch = 3", "Did you mean `epochs`?"),
        ("learning_rate = 3", "Did you mean `rate`?"),
        ("optimiser = 'adam'", "There are epochs, batch_size, accumulate, rate,"),
        ("[augment]\ncolor = 0.5", "Did you mean `augment.colour`?"),
        ("epochs = 2.5", "`epochs`"),
        ("epochs = true", "`epochs`"),
        ("rate = 'small'", "int or float, got 'small'"),
        ("augment = 0.8", "a table"),
        ("class_weight = 'even'", "none, balanced"),
        ("rate = ", "readable TOML"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(SettingsError, match="Expected") as caught:
        load_settings(write(tmp_path, text), {})
    assert told in str(caught.value)


def test_an_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.toml"):
        load_settings(tmp_path / "nowhere.toml", {})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", -1),
        ("batch_size", 0),
        ("rate", 0.0),
        ("rate", -1e-4),
        ("rate", 1.5),
        ("rate", float("nan")),
        ("momentum", 1.0),
        ("plateau_patience", 0),
        ("plateau_factor", 1.0),
        ("min_rate", 1.0),
        ("patience", 0),
        ("min_vote", float("nan")),
        ("class_weight", "even"),
        ("tta", -1),
        ("seed", -1),
        ("seed", 2**63),
        ("accumulate", 0),
        ("head_warmup", -1),
        ("head_warmup_rate", 0.0),
        ("layer_decay", 0.0),
        ("layer_decay", 1.1),
        ("label_smoothing", 1.0),
        ("weight_decay", -0.1),
        ("clip_norm", 0.0),
        ("clip_norm", float("nan")),
        ("clip_norm", float("inf")),
        ("side_px", 31),
        ("schedule", "step"),
        ("batch_norm", "on"),
        ("precision", "float16"),
        ("sampling", "even"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(name: str, value: float | str) -> None:
    with pytest.raises(SettingsError, match=f"`{name}`"):
        load_settings(None, {name: value})


@pytest.mark.parametrize("chances", [{"noise": 1.5}, {"probability": -0.1}])
def test_chances_are_probabilities(chances: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match=r"augment\."):
        AugmentSettings(**chances)


def test_augmentation_without_any_group_is_refused() -> None:
    with pytest.raises(SettingsError, match="a group with a chance above 0"):
        AugmentSettings(geometry=0, light=0, colour=0, sharpness=0, noise=0)
    AugmentSettings(probability=0, geometry=0, light=0, colour=0, sharpness=0, noise=0)


def test_two_ways_to_balance_are_refused() -> None:
    with pytest.raises(SettingsError, match="does the same"):
        TrainSettings(sampling="balanced", class_weight="balanced")


def test_assignments_have_the_last_word(tmp_path: Path) -> None:
    path = write(tmp_path, "layer_decay = 0.9\nepochs = 4\n[augment]\nnoise = 0.1\nlight = 0.1\n")
    told = ["layer_decay=0.5", "schedule = cosine", "train_from=conv4", "augment.noise=0", "clip_norm=1"]
    settings = load_settings(path, {"epochs": 2}, told)
    assert (settings.layer_decay, settings.schedule, settings.train_from) == (0.5, "cosine", "conv4")
    assert (settings.epochs, settings.clip_norm) == (2, 1)
    assert (settings.augment.noise, settings.augment.light) == (0, 0.1)
    assert load_settings(None, {}, ["augment.noise=0"]) == TrainSettings(augment=AugmentSettings(noise=0))


def test_assignments_add_to_those_of_the_file_and_override_them_by_name(tmp_path: Path) -> None:
    text = "[finetune.run]\nset = ['layer_decay=0.9', 'augment.noise=0.1']\n[finetune.preview]\nset = 'momentum=0.5'\n"
    path = write(tmp_path, text)
    settings = load_settings(path, {}, ["layer_decay=0.5", "augment.light=0.2"])
    assert (settings.layer_decay, settings.augment.noise, settings.augment.light) == (0.5, 0.1, 0.2)
    assert settings.momentum == TrainSettings().momentum
    # What a preview is told in its own table, it is told besides.
    shown = load_settings(path, {}, (), "preview")
    assert (shown.layer_decay, shown.augment.noise, shown.momentum) == (0.9, 0.1, 0.5)
    with pytest.raises(SettingsError, match=r"`set` in \[finetune.run\].* to list NAME=VALUE, got \{'momentum': 0.5\}"):
        load_settings(write(tmp_path, "[finetune.run.set]\nmomentum = 0.5\n"), {}, (), "preview")


@pytest.mark.parametrize(
    ("told", "answer"),
    [
        ("rate", "NAME=VALUE"),
        ("=3", "NAME=VALUE"),
        ("rate=", "NAME=VALUE"),
        ("rates=3", "Did you mean `rate`?"),
        ("augment.noises=0", "Did you mean `augment.noise`?"),
        ("model.rate=3", "There is no `model`"),
        ("rate=small", "int or float"),
        ("rate=2", "`rate`"),
    ],
)
def test_a_wrong_assignment_is_refused(told: str, answer: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(None, {}, [told])
    assert answer in str(caught.value)


@pytest.mark.parametrize(
    ("change", "learns", "predicts"),
    [
        ({}, True, True),
        ({"tta": 3}, True, False),
        ({"rate": 1e-4}, False, True),
        ({"seed": 1}, False, True),
        ({"augment": AugmentSettings(noise=0)}, False, True),
    ],
)
def test_what_decides_the_weights_is_told_from_what_is_predicted_with_them(
    change: dict[str, object], learns: bool, predicts: bool
) -> None:
    written = json.loads(json.dumps(TrainSettings().as_json()))
    settings = dataclasses.replace(TrainSettings(), **change)  # type: ignore[arg-type]  # fields of TrainSettings
    assert (not settings.unlike(written), settings.predicts_as(written)) == (learns, predicts)
    # A run of a version that did not know a setting had its default.
    del written["clip_norm"]
    assert (not settings.unlike(written)) == learns
    assert "clip_norm 1.0 instead of None" in dataclasses.replace(settings, clip_norm=1.0).unlike(written)
    assert settings.unlike(None)


def test_settings_that_differ_are_named_as_set_takes_them() -> None:
    settings = TrainSettings(rate=0.01, augment=AugmentSettings(noise=0.5))
    before = AugmentSettings().noise
    assert settings.unlike(TrainSettings().as_json()) == [
        "rate 0.01 instead of 3e-05",
        f"augment.noise 0.5 instead of {before}",
    ]
