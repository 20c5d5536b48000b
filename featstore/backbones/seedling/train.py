"""Train the seedling anew: ``python -m featstore.backbones.seedling.train OUT.weights.h5``.

The species are those that ``featstore synth --species 96`` invents under the seeds `WORLDS`; the demo has others. The
same seed gives the same photographs to the last bit, and the same weights up to the order in which a machine adds up
floats, which training amplifies. It sees them without colours, so that fine-tuning has something left to learn, as a
network of ImageNet has of plants.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from featstore import shell
from featstore.synth.plan import SPECIES_STREAM
from featstore.synth.scenes import SCENES, photograph
from featstore.synth.species import MAX_SPECIES, Species, individual, invent

if TYPE_CHECKING:
    import keras

WORLDS = (20140, 20141, 20142)
"""Seeds of the species; each invents `MAX_SPECIES` of them."""

DRAWN_PX, SIDE_PX = 120, 96
BATCH_SIZE = 64


@dataclass(frozen=True)
class Recipe:
    """How the shipped weights were trained.

    Attributes
    ----------
    n_photographs
        Of each view of each species; each of another plant.
    variation
        How much plants of a species differ.
    epochs, rate
        Epochs, and Adam's highest rate, which falls to 0 by a cosine.
    label_smoothing
        Share of the truth that is spread over all species.
    seed
        Of start, order and crops.
    """

    n_photographs: int = 3
    variation: float = 0.03
    epochs: int = 14
    rate: float = 3e-3
    label_smoothing: float = 0.1
    seed: int = 0


def species_of(world: int) -> tuple[Species, ...]:
    """The species that ``featstore synth --species 96 --seed WORLD`` draws."""
    return invent(MAX_SPECIES, np.random.default_rng([world, SPECIES_STREAM]))


def draw(recipe: Recipe) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Draw the training photographs without colours: (n, 120, 120, 3) pixels and (n,) number of the species."""
    pixels, label = [], []
    every = [(world, number, one) for world in WORLDS for number, one in enumerate(species_of(world))]
    with shell.progress(len(every), "drawing", "species") as bar:
        for index, (world, number, species) in enumerate(every):
            for place, view in enumerate(SCENES):
                for copy in range(recipe.n_photographs):
                    rng = np.random.default_rng([world, number, place, copy])
                    plant = individual(species, recipe.variation, rng)
                    pixels.append(without_colours(photograph(plant, view, DRAWN_PX, rng.uniform(), rng)))
                    label.append(index)
            bar.update()
    return np.stack(pixels), np.array(label)


def without_colours(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The luminance of a photograph in all three channels, (s, s, 3)."""
    return np.asarray(Image.fromarray(pixels).convert("L").convert("RGB"))


def train(pixels: NDArray[np.uint8], label: NDArray[np.int64], recipe: Recipe) -> keras.Model:
    """Fit the network and a softmax over all species; returns the network without it."""
    import keras

    from featstore.backbones.seedling import Seedling, preprocess_input

    keras.utils.set_random_seed(recipe.seed)
    n_species = int(label.max()) + 1
    backbone = Seedling(include_top=False, weights=None, input_shape=(SIDE_PX, SIDE_PX, 3), pooling="avg")
    answer = keras.layers.Dense(n_species, activation="softmax")(keras.layers.Dropout(0.2)(backbone.output))
    network = keras.Model(backbone.input, answer)
    n_steps = recipe.epochs * (len(label) // BATCH_SIZE)
    network.compile(
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(recipe.rate, n_steps)),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=recipe.label_smoothing),
    )
    truth = np.eye(n_species, dtype=np.float32)[label]
    rng = np.random.default_rng(recipe.seed)
    with shell.progress(n_steps, "training", "steps") as bar:
        for epoch in range(recipe.epochs):
            order = rng.permutation(len(label))[: len(label) // BATCH_SIZE * BATCH_SIZE].reshape(-1, BATCH_SIZE)
            losses = []
            for rows in order:
                images = preprocess_input(np.stack([_varied(image, rng) for image in pixels[rows]]))
                losses.append(float(network.train_on_batch(images, truth[rows])))
                bar.update()
            shell.say(f"epoch {epoch + 1}: loss {np.mean(losses):.3f}")
    return backbone


def _varied(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.float32]:
    """Crop 25 to 100 % of the area, mirrored half of the time, in another light."""
    side = image.shape[0] * math.sqrt(rng.uniform(0.25, 1))
    left, top = rng.uniform(0, image.shape[0] - side, 2)
    box = (left, top, left + side, top + side)
    crop = Image.fromarray(image).resize((SIDE_PX, SIDE_PX), Image.Resampling.BILINEAR, box)
    varied = np.asarray(crop, dtype=np.float32)[:, :: rng.choice([-1, 1])]
    return np.asarray(np.clip(varied * rng.uniform(0.8, 1.2), 0, 255), dtype=np.float32)


def main() -> None:
    """Draw, train and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="file to write, ending in .weights.h5")
    out = parser.parse_args().out
    recipe = Recipe()
    train(*draw(recipe), recipe).save_weights(out)


if __name__ == "__main__":
    main()
