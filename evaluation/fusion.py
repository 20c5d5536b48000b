"""Fusion: the rows of one observation become one row that sums to 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from evaluation.alignment import Aligned
from evaluation.recipes import SETS, Recipe, recipes
from evaluation.rules import PRODUCT_FLOOR, RULES, WEIGHTED, Block, Rule, WeightedMean, mean_rule
from evaluation.rules.fitted import FittedRule, Label
from featstore.errors import SettingsError

ROWS_AT_ONCE = 256
"""Few enough to stay in the processor's cache: three times faster than thousands at once."""


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
    matrices: Sequence[NDArray[np.floating]], groups: Sequence[NDArray[np.intp]], n_groups: int, rule: Rule
) -> NDArray[np.float64]:
    """Combine the rows of several matrices by group, a few hundred rows at a time.

    Parameters
    ----------
    matrices
        Each (n_i, k).
    groups
        Each (n_i,): the group of every row, in [0, n_groups). Every group has a row in some matrix.
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
    matrices: Sequence[NDArray[np.floating]],
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
    orders = [np.argsort(group, kind="stable") for group in groups]
    ordered = [group[order] for group, order in zip(groups, orders, strict=True)]
    if sources is None:
        sources = [np.full(len(group), number) for number, group in enumerate(groups)]
    n_rows = sum(len(group) for group in groups)
    step = max(1, n_groups * ROWS_AT_ONCE // n_rows)
    results = [np.empty((n_groups, matrices[0].shape[1])) for _ in rules]
    for low in range(0, n_groups, step):
        high = min(low + step, n_groups)
        spans = [
            order[slice(*np.searchsorted(group, (low, high)))] for order, group in zip(orders, ordered, strict=True)
        ]
        rows = np.concatenate([matrix[span] for matrix, span in zip(matrices, spans, strict=True)], dtype=np.float64)
        group = np.concatenate([group[span] for group, span in zip(groups, spans, strict=True)])
        source = np.concatenate([source[span] for source, span in zip(sources, spans, strict=True)])
        by_group = np.argsort(group, kind="stable")
        starts = np.searchsorted(group[by_group], np.arange(low, high))
        block = Block(rows[by_group], starts, source[by_group])
        for result, rule in zip(results, rules, strict=True):
            result[low:high] = rule(block)
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
    """Rows of every model, after the step over its images if there is one.

    Without an image rule every row counts alike, so a plant's answer leans to the member with more images of it;
    with one, every model counts alike.
    """
    groups = [plants.index for plants in aligned.observations]
    matrices: list[NDArray[np.floating]] = [member.probability for member in aligned.members]
    names = model_names(aligned)
    if image_rule is None:
        views, number = np.unique(np.concatenate([one.view for one in aligned.members]), return_inverse=True)
        labels = tuple((name, view) for name in names for view in views.tolist())
        cuts = np.cumsum([len(group) for group in groups])[:-1]
        sources = [member * len(views) + part for member, part in enumerate(np.split(number, cuts))]
        return Rows(matrices, groups, sources, labels)
    n_plants = len(aligned.observations[0].observation_id)
    first = RULES[image_rule]
    matrices = [pool([matrix], [group], n_plants, first) for matrix, group in zip(matrices, groups, strict=True)]
    sources = [np.full(n_plants, number) for number in range(len(matrices))]
    return Rows(matrices, [np.arange(n_plants)] * len(matrices), sources, tuple((name, "") for name in names))


def model_names(aligned: Aligned) -> tuple[str, ...]:
    """Name of every member, its place before it: one model may be there twice, plain and augmented."""
    return tuple(f"{place}:{member.model}" for place, member in enumerate(aligned.members, 1))


def rule_at(aligned: Aligned, recipe: Recipe, labels: Sequence[Label], fitted: FittedRule | None) -> Rule:
    """Make the last step of a recipe for rows of these sources.

    Raises
    ------
    SettingsError
        If weights are of another number than models, or a learned rule is not fitted for these members.
    """
    names = model_names(aligned)
    if recipe.learned:
        if fitted is None:
            raise SettingsError(f"{recipe.rule}, fitted", "a learned rule that is not", "Fit it first.")
        fitted.require_fit(names, aligned.members[0].classes)
        return fitted.at(labels)
    if recipe.rule != WEIGHTED:
        return RULES[recipe.rule]
    if len(recipe.weights) != len(names):
        expected = f"`weights` of length {len(names)} (one per model)"
        raise SettingsError(expected, f"{len(recipe.weights)}", "Pass --weight once per model.")
    by_name = dict(zip(names, recipe.weights, strict=True))
    return WeightedMean(np.array([by_name[model] for model, _ in labels]))


def fuse(aligned: Aligned, recipe: Recipe, fitted: FittedRule | None = None) -> FusedObservations:
    """Turn all rows (image x model) of each plant into one; a learned rule needs what it learnt."""
    return fuse_all(aligned, [recipe], {recipe: fitted} if fitted else {})[recipe]


def fuse_all(
    aligned: Aligned, chosen: Sequence[Recipe], fitted: Mapping[Recipe, FittedRule] = MappingProxyType({})
) -> dict[Recipe, FusedObservations]:
    """`fuse` by several recipes; those that begin alike share their rows.

    Temperatures are no part of it: members come as they are to be fused.
    """
    found: dict[Recipe, NDArray[np.float64]] = {}
    plants = aligned.observations[0]
    for first in dict.fromkeys(recipe.image_rule for recipe in chosen):
        alike = [recipe for recipe in chosen if recipe.image_rule == first]
        rows = rows_of(aligned, first)
        rules = [rule_at(aligned, recipe, rows.labels, fitted.get(recipe)) for recipe in alike]
        pooled = pool_all(rows.matrices, rows.groups, len(plants.observation_id), rules, rows.sources)
        found |= dict(zip(alike, pooled, strict=True))
    n_images = aligned.n_images
    return {
        recipe: FusedObservations(
            split=aligned.members[0].split,
            observation_id=plants.observation_id,
            author=plants.author,
            true_class=plants.true_class,
            n_images=n_images,
            classes=aligned.members[0].classes,
            probability=found[recipe],
        )
        for recipe in chosen
    }


def fuse_images(aligned: Aligned, recipe: Recipe, fitted: FittedRule | None = None) -> NDArray[np.float64] | None:
    """Fuse the models image by image, for S_image: (n, k), or None when the members hold different images."""
    if not aligned.same_images:
        return None
    rows = rows_of(aligned)
    if recipe.image_rule is not None:
        # After a step over images a source has no view.
        rows = Rows(rows.matrices, rows.groups, rows.sources, tuple((model, "") for model, _ in rows.labels))
    n_images = len(aligned.members[0].image_id)
    rule = rule_at(aligned, recipe, rows.labels, fitted)
    return pool_all(rows.matrices, [np.arange(n_images)] * len(rows.matrices), n_images, [rule], rows.sources)[0]


__all__ = [
    "PRODUCT_FLOOR", "RULES", "SETS", "FusedObservations", "Recipe", "fuse", "fuse_all", "fuse_images", "mean_rule",
    "pool", "pool_all", "recipes",
]  # fmt: skip
