"""Fused: what is kept of fusing members by several recipes, when one pass over their rows serves all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.alignment import Aligned
from evaluation.fusion import Recipe, plant_stream
from evaluation.metrics import true_indices
from evaluation.places import Places, Way, stream_places
from evaluation.rows import Matrix


@dataclass(frozen=True, eq=False)
class FusedPlaces:
    """What is kept of one answer per plant when the answers themselves are not.

    Parameters
    ----------
    split, observation_id, author, true_class, n_images, classes
        As in `FusedObservations`.
    places
        The right species' place, and the likeliest species, of each plant.
    image_rank, index
        (n,) rank of the right species by image, and each image's plant; no images where members hold different ones.
    """

    split: str
    observation_id: NDArray[np.str_]
    author: NDArray[np.str_]
    true_class: NDArray[np.str_]
    n_images: NDArray[np.intp]
    classes: NDArray[np.str_]
    places: Places
    image_rank: NDArray[np.float64]
    index: NDArray[np.intp]


def fuse_places(aligned: Aligned[Matrix], recipes: Sequence[Recipe], n_best: int) -> list[FusedPlaces]:
    """Fuse by every recipe in one pass over the members' rows; memory grows with neither members nor plants' answers.

    The places are those of `fuse` and `fuse_images`, bit by bit.
    """
    plants = aligned.observations[0]
    ways = [Way(recipe.fuse, recipe.fuse_images if aligned.same_images else None) for recipe in recipes]
    classes = aligned.members[0].classes
    found = stream_places(plant_stream(aligned), ways, true_indices(plants.true_class, classes), n_best)
    return [
        FusedPlaces(
            split=aligned.members[0].split,
            observation_id=plants.observation_id,
            author=plants.author,
            true_class=plants.true_class,
            n_images=aligned.n_images,
            classes=classes,
            places=own.plants,
            image_rank=own.image_rank,
            index=plants.index[: len(own.image_rank)],
        )
        for own in found
    ]
