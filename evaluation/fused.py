"""Fused: what is kept of fusing members by several recipes, when one pass over their rows serves all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from evaluation.alignment import Aligned
from evaluation.fusion import FusedObservations, Recipe
from evaluation.metrics import average_ranks, true_indices
from evaluation.places import Keep, Places, stream_places
from evaluation.rows import Matrix
from evaluation.rules.fitted import FittedRule
from evaluation.ways import plant_stream, way_of


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

    @classmethod
    def of(
        cls,
        fused: FusedObservations,
        image_probability: NDArray[np.float64] | None = None,
        index: NDArray[np.intp] | None = None,
        n_best: int = 1,
    ) -> FusedPlaces:
        """Look at answers that are in memory.

        Parameters
        ----------
        fused
            The answers.
        image_probability, index
            (n, k) rows fused image by image, and (n,) the position of each image's plant in `fused`; without them there
            are no images.
        n_best
            How many of the likeliest species are kept.
        """
        truth = true_indices(fused.true_class, fused.classes)
        image_rank, plant = np.empty(0), np.empty(0, dtype=np.intp)
        if image_probability is not None and index is not None:
            image_rank, plant = average_ranks(image_probability, truth[index]), index
        return cls(
            split=fused.split,
            observation_id=fused.observation_id,
            author=fused.author,
            true_class=fused.true_class,
            n_images=fused.n_images,
            classes=fused.classes,
            places=Places.of(fused.probability, truth, n_best),
            image_rank=image_rank,
            index=plant,
        )


def fuse_places(
    aligned: Aligned[Matrix],
    recipes: Sequence[Recipe],
    n_best: int = 1,
    fitted: Mapping[Recipe, FittedRule] = MappingProxyType({}),
    keep: Sequence[Keep] = (),
) -> list[FusedPlaces]:
    """Fuse by every recipe in one pass over the members' rows; memory grows with neither members nor plants' answers.

    The places are those of `fuse` and `fuse_images`, bit by bit.

    Parameters
    ----------
    aligned
        The members, at their temperatures if they have any.
    recipes
        One result each.
    n_best
        How many of the likeliest species are kept.
    fitted
        What learned rules learnt.
    keep
        One per recipe, or none, as in `stream_places`.
    """
    plants, classes, n_images = aligned.observations[0], aligned.members[0].classes, aligned.n_images
    ways = [way_of(aligned, recipe, fitted.get(recipe)) for recipe in recipes]
    true_index = true_indices(plants.true_class, classes)
    return [
        FusedPlaces(
            split=aligned.members[0].split,
            observation_id=plants.observation_id,
            author=plants.author,
            true_class=plants.true_class,
            n_images=n_images,
            classes=classes,
            places=found.plants,
            image_rank=found.image_rank,
            index=plants.index[: len(found.image_rank)],
        )
        for found in stream_places(plant_stream(aligned), ways, true_index, n_best, keep)
    ]
