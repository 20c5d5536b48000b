"""The seedling: small, shipped with its card, trained on species that the demo has not, and better than no training."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from featstore.backbones import BACKBONES, build_backbone, preprocess, weights_source
from featstore.backbones import seedling as home
from featstore.backbones.seedling import train
from featstore.backbones.sources import meant
from featstore.build.settings import BuildSettings
from featstore.cli.building import _weights
from featstore.errors import SettingsError, WeightsError
from featstore.provenance import sha256_of_file
from featstore.synth.plan import SPECIES_STREAM, SynthSettings, planned
from featstore.synth.scenes import SCENES, photograph
from featstore.synth.species import invent
from finetune.study.demo import VARIATION, DemoSettings

HOME = Path(home.__file__).parent
FILE = HOME / BACKBONES["seedling"].shipped
MAKEFILE = Path(__file__).parents[2] / "Makefile"


# --- what is shipped -------------------------------------------------------------------------------------------------


def test_the_file_is_small_and_the_card_tells_of_this_very_file() -> None:
    card = (HOME / "MODEL_CARD.md").read_text(encoding="utf-8")
    network = build_backbone("seedling")
    assert FILE.stat().st_size < 1_000_000
    assert sha256_of_file(FILE) in card
    assert f"{network.count_params():,} parameters" in card
    assert network.input_shape == (None, 96, 96, 3)


def test_shipped_weights_are_used_unless_others_are_named() -> None:
    source = f"file:{sha256_of_file(FILE)}"
    assert weights_source("seedling", "imagenet") == weights_source("seedling", "shipped") == source
    assert weights_source("seedling", "random:1") != source
    assert [meant(name, "imagenet") for name in ("seedling", "vgg16", "colour")] == ["shipped", "imagenet", "none"]
    with pytest.raises(WeightsError, match=r"come with the package \(seedling\).*got vgg16"):
        weights_source("vgg16", "shipped")


def test_weights_of_single_backbones() -> None:
    general, by_name = _weights(["random:3", "seedling=shipped", "resnet50=a=b.h5"])
    settings = BuildSettings(("vgg16", "seedling", "colour", "resnet50"), general, weights_by_name=by_name)
    assert [spec.weights for spec in settings.specs()] == ["random:3", "shipped", "none", "a=b.h5"]
    assert [spec.weights for spec in BuildSettings(("seedling", "vgg16")).specs()] == ["shipped", "imagenet"]
    assert _weights([]) == ("imagenet", {})
    assert _weights(["x=y.h5"]) == ("x=y.h5", {}), "a path may have a sign in it"
    with pytest.raises(SettingsError, match="--weights once"):
        _weights(["random", "imagenet"])
    with pytest.raises(SettingsError, match=r"NAME=\.\.\. of vgg16.*got seedling"):
        BuildSettings(("vgg16",), "random", weights_by_name={"seedling": "shipped"})


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_every_backend_gives_the_same_features(backend: str, tmp_path: Path) -> None:
    pytest.importorskip(backend)
    images = np.random.default_rng(0).integers(0, 256, (2, 96, 96, 3), dtype=np.uint8)
    expected = np.asarray(build_backbone("seedling").predict_on_batch(preprocess("seedling", images)))
    program = (
        "import sys, numpy as np; from featstore.backbones import build_backbone, preprocess;"
        "images = np.random.default_rng(0).integers(0, 256, (2, 96, 96, 3), dtype=np.uint8);"
        "network = build_backbone('seedling');"
        "np.save(sys.argv[1], np.asarray(network.predict_on_batch(preprocess('seedling', images))))"
    )
    file = tmp_path / f"{backend}.npy"
    environment = {**os.environ, "KERAS_BACKEND": backend}
    subprocess.run([sys.executable, "-c", program, str(file)], check=True, env=environment)
    np.testing.assert_allclose(np.load(file), expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


# --- what it learnt from, and what it is good for --------------------------------------------------------------------


def demo_settings() -> SynthSettings:
    """What `finetune demo` and `make demo` draw."""
    asked = DemoSettings(Path())
    return SynthSettings(
        n_species=asked.n_species, n_observations=asked.n_observations, seed=asked.seed, variation=VARIATION
    )


def test_make_demo_draws_what_the_command_draws() -> None:
    asked = DemoSettings(Path())
    told = dict(re.findall(r"^(\w+) \?= (\S+)$", MAKEFILE.read_text(encoding="utf-8"), re.MULTILINE))
    names = {"SPECIES": asked.n_species, "OBSERVATIONS": asked.n_observations, "SEED": asked.seed}
    assert {name: int(told[name]) for name in (*names, "EPOCHS")} == {**names, "EPOCHS": asked.epochs}


def traits_of(settings: SynthSettings) -> NDArray[np.float64]:
    drawn = invent(settings.n_species, np.random.default_rng([settings.seed, SPECIES_STREAM]))
    return np.array([species.traits for species in drawn])


def test_no_species_of_the_demo_was_learnt_from() -> None:
    settings = demo_settings()
    learnt = np.array([species.traits for world in train.WORLDS for species in train.species_of(world)])
    shown = traits_of(settings)
    assert settings.seed not in train.WORLDS
    assert {shot.plant.class_id for shot in planned(settings)} == {str(3011 + 17 * i) for i in range(len(shown))}
    # Spread over another number of species, not even a single trait has a value that was seen in training.
    for trait in range(learnt.shape[1]):
        assert not set(learnt[:, trait].round(9)) & set(shown[:, trait].round(9))
    # That holds for small packages whatever their seed; larger ones share values, and still no species.
    assert all(not set(learnt.ravel().round(9)) & set(((np.arange(n) + 0.5) / n).round(9)) for n in range(2, 32))
    large = {tuple(row) for row in traits_of(SynthSettings(n_species=96, seed=settings.seed)).tolist()}
    assert not large & {tuple(row) for row in learnt.tolist()}


def test_species_that_it_never_saw_lie_apart_by_their_form() -> None:
    """Among coloured photographs it is far above no training; without colours it is so above a histogram, too."""
    species = invent(8, np.random.default_rng(99))
    pixels, label = [], []
    for number, one in enumerate(species):
        for view in ("Flower", "Leaf", "LeafScan", "Fruit"):
            for copy in range(3):
                pixels.append(photograph(one, view, 96, 1.0, np.random.default_rng([number, copy])))
                label.append((number, view))

    def share_found(name: str, weights: str, *, coloured: bool) -> float:
        shown = np.stack(pixels if coloured else [train.without_colours(one) for one in pixels])
        features = np.asarray(build_backbone(name, weights, 96).predict_on_batch(preprocess(name, shown)))
        features = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-6)
        distance = np.linalg.norm(features[:, None] - features[None], axis=2) + np.diag(np.full(len(label), np.inf))
        return float(np.mean([label[i] == label[j] for i, j in enumerate(distance.argmin(axis=1).tolist())]))

    assert share_found("seedling", "shipped", coloured=True) > share_found("seedling", "random", coloured=True) + 0.15
    trained = share_found("seedling", "shipped", coloured=False)
    assert trained > share_found("seedling", "random", coloured=False) + 0.25
    assert trained > share_found("colour", "none", coloured=False) + 0.25


# --- the script ------------------------------------------------------------------------------------------------------


def test_the_script_draws_the_same_photographs_and_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "WORLDS", train.WORLDS[:1])
    monkeypatch.setattr(train, "MAX_SPECIES", 2)
    monkeypatch.setattr(train, "BATCH_SIZE", 7)
    recipe = train.Recipe(n_photographs=1, epochs=2)
    (pixels, label), (again, _) = train.draw(recipe), train.draw(recipe)
    assert np.array_equal(pixels, again)
    assert (pixels == pixels[..., :1]).all()
    assert pixels.shape == (2 * len(SCENES), train.DRAWN_PX, train.DRAWN_PX, 3)
    assert label.tolist() == [0] * len(SCENES) + [1] * len(SCENES)
    network, other = train.train(pixels, label, recipe), build_backbone("seedling")
    assert [weight.shape for weight in network.weights] == [weight.shape for weight in other.weights]
    moved = network.get_layer("block_7_bn").moving_mean
    assert np.abs(np.asarray(moved)).max() > 0
