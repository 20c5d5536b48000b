"""Fusion: the rows of one observation become one row that sums to 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from evaluation.alignment import Aligned
from evaluation.recipes import SETS, Recipe, recipes
from evaluation.rows import Matrix
from evaluation.rules import PRODUCT_FLOOR, RULES, Rule, mean_rule
from evaluation.rules.fitted import FittedRule, Label
from evaluation.streaming import Portion, Stream
from evaluation.ways import labels_of_rows, model_names, plant_stream, sources_of_rows, way_of


@dataclass(frozen=True, eq=False)
class FusedObservations:
    """One answer per plant.

    Parameters
    ----------
    split
        The split that the plants belong to.
    observation_id, author, true_class
        (m,) as in `Observations`.
    n_images
        (m,) distinct images that the answer rests on.
    classes
        (k,) raw class ids, sorted.
    probability
        (m, k) float64, rows sum to 1.
    """

    split: str
    observation_id: NDArray[np.str_]
    author: NDArray[np.str_]
    true_class: NDArray[np.str_]
    n_images: NDArray[np.intp]
    classes: NDArray[np.str_]
    probability: NDArray[np.float64]

    def __post_init__(self) -> None:
        shape = (len(self.observation_id), len(self.classes))
        # Written by this module alone: a failure here is a defect, not a user's mistake.
        if self.probability.shape != shape or not np.allclose(self.probability.sum(axis=1), 1.0):
            raise ValueError(f"rows of shape {shape} that sum to 1, got {self.probability.shape}")


def pool(
    matrices: Sequence[Matrix], groups: Sequence[NDArray[np.intp]], n_groups: int, rule: Rule
) -> NDArray[np.float64]:
    """Combine the rows of several matrices by group, a portion of groups at a time.

    Parameters
    ----------
    matrices
        Each (n_i, k).
    groups
        Each (n_i,): the group of every row, in [0, n_groups), or `LEFT_OUT`. Every group has a row in some matrix.
    n_groups
        Number m of groups.
    rule
        How the rows of a group become one.

    Returns
    -------
    NDArray[np.float64]
        (m, k), row g for group g.
    """
    return pool_all(matrices, groups, n_groups, [rule])[0]


def pool_all(
    matrices: Sequence[Matrix],
    groups: Sequence[NDArray[np.intp]],
    n_groups: int,
    rules: Sequence[Rule],
    sources: Sequence[NDArray[np.intp]] | None = None,
) -> list[NDArray[np.float64]]:
    """`pool` by several rules at once, which share what they sort and count.

    Parameters
    ----------
    matrices, groups, n_groups
        As in `pool`.
    rules
        One result each.
    sources
        Each (n_i,): number of every row's source, for rules that weigh; the number of its matrix by default.
    """
    results = [np.empty((n_groups, matrices[0].shape[1])) for _ in rules]

    def fill(portion: Portion) -> None:
        for result, rule in zip(results, rules, strict=True):
            result[portion.low : portion.high] = rule(portion.block)

    Stream(matrices, groups, n_groups, sources).run(fill)
    return results


@dataclass(frozen=True, eq=False)
class Rows:
    """What the last step of a fusion combines: a matrix of each model, plant and source of every row.

    Attributes
    ----------
    matrices
        Each (n_i, k).
    groups
        Each (n_i,): the plant.
    sources
        Each (n_i,): number in `labels`.
    labels
        (model, view) of each source; without a view where images were a step of their own.
    """

    matrices: list[NDArray[np.floating]]
    groups: list[NDArray[np.intp]]
    sources: list[NDArray[np.intp]]
    labels: tuple[Label, ...]


def rows_of(aligned: Aligned, image_rule: str | None = None) -> Rows:
    """Rows of every model, after the step over its images if there is one, for what learns from them."""
    groups = [plants.index for plants in aligned.observations]
    matrices: list[NDArray[np.floating]] = [member.probability for member in aligned.members]
    if image_rule is None:
        return Rows(matrices, groups, sources_of_rows(aligned), labels_of_rows(aligned))
    n_plants = len(aligned.observations[0].observation_id)
    first = RULES[image_rule]
    matrices = [pool([matrix], [group], n_plants, first) for matrix, group in zip(matrices, groups, strict=True)]
    sources = [np.full(n_plants, number) for number in range(len(matrices))]
    labels = tuple((name, "") for name in model_names(aligned))
    return Rows(matrices, [np.arange(n_plants)] * len(matrices), sources, labels)


def fuse(aligned: Aligned[Matrix], recipe: Recipe, fitted: FittedRule | None = None) -> FusedObservations:
    """Turn all rows (image x model) of each plant into one; a learned rule needs what it learnt."""
    return fuse_all(aligned, [recipe], {recipe: fitted} if fitted else {})[recipe]


def fuse_all(
    aligned: Aligned[Matrix], chosen: Sequence[Recipe], fitted: Mapping[Recipe, FittedRule] = MappingProxyType({})
) -> dict[Recipe, FusedObservations]:
    """`fuse` by several recipes, in one pass over the members' rows."""
    plants, n_images = aligned.observations[0], aligned.n_images
    classes = aligned.members[0].classes
    ways = {recipe: way_of(aligned, recipe, fitted.get(recipe)) for recipe in chosen}
    found = {recipe: np.empty((len(plants.observation_id), len(classes))) for recipe in ways}

    def fill(portion: Portion) -> None:
        for recipe, way in ways.items():
            found[recipe][portion.low : portion.high] = way.fuse(portion)

    plant_stream(aligned).run(fill)
    return {
        recipe: FusedObservations(
            split=aligned.members[0].split,
            observation_id=plants.observation_id,
            author=plants.author,
            true_class=plants.true_class,
            n_images=n_images,
            classes=classes,
            probability=probability,
        )
        for recipe, probability in found.items()
    }


def fuse_images(
    aligned: Aligned[Matrix], recipe: Recipe, fitted: FittedRule | None = None
) -> NDArray[np.float64] | None:
    """Fuse the models image by image, for S_image: (n, k), or None when the members hold different images."""
    rule = way_of(aligned, recipe, fitted).image_rule
    if rule is None:
        return None
    matrices = [member.probability for member in aligned.members]
    n_images = len(aligned.members[0].image_id)
    (found,) = pool_all(matrices, [np.arange(n_images)] * len(matrices), n_images, [rule], sources_of_rows(aligned))
    return found


__all__ = [
    "PRODUCT_FLOOR", "RULES", "SETS", "FusedObservations", "Recipe", "fuse", "fuse_all", "fuse_images", "mean_rule",
    "pool", "pool_all", "recipes",
]  # fmt: skip
