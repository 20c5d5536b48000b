"""Ways: a recipe made ready for some members, so that any portion of their rows can be fused by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.alignment import Aligned
from evaluation.recipes import Recipe
from evaluation.rows import Matrix
from evaluation.rules import RULES, WEIGHTED, Block, Rule, WeightedMean, mean_rule
from evaluation.rules.fitted import FittedRule, Label
from evaluation.streaming import Portion, Stream
from featstore.errors import SettingsError


@dataclass(frozen=True, eq=False)
class Way:
    """One way to fuse.

    Parameters
    ----------
    rule
        For the rows of each plant.
    first
        What each member's rows become one by before that.
    image_rule
        For the rows of each image; None where members hold different images.
    """

    rule: Rule
    first: Rule | None = None
    image_rule: Rule | None = None

    def fuse(self, portion: Portion) -> NDArray[np.float64]:
        """Fuse the plants of a portion, (plants, k): rows that sum to 1."""
        return self.rule((portion if self.first is None else portion.after(self.first)).block)

    def fuse_images(self, portion: Portion) -> NDArray[np.float64] | None:
        """Fuse the members image by image, (images, k) in the order of the first part."""
        return None if self.image_rule is None else self.image_rule(portion.by_position)


def _unchanged(block: Block) -> NDArray[np.float64]:
    return block.rows


ALONE = Way(mean_rule, image_rule=_unchanged)
"""One model: the mean of a plant's images, and each image as it is."""


def way_of(aligned: Aligned[Matrix], recipe: Recipe, fitted: FittedRule | None = None) -> Way:
    """Make a recipe ready; a learned rule needs what it learnt. Temperatures are no part of it.

    Without an image rule every row counts alike, so a plant's answer leans to the member with more images of it;
    with one, every model counts alike.

    Raises
    ------
    SettingsError
        If weights are of another number than models, or a learned rule is not fitted for these members.
    """
    # After a step over images a source has no view.
    by_view = recipe.image_rule is None
    labels = [(model, view if by_view else "") for model, view in labels_of_rows(aligned)]
    image_rule = _rule_at(aligned, recipe, labels, fitted) if aligned.same_images else None
    if recipe.image_rule is None:
        return Way(image_rule or _rule_at(aligned, recipe, labels, fitted), None, image_rule)
    of_models = [(model, "") for model in model_names(aligned)]
    return Way(_rule_at(aligned, recipe, of_models, fitted), RULES[recipe.image_rule], image_rule)


def plant_stream(aligned: Aligned[Matrix]) -> Stream:
    """All rows (image x model), grouped by plant; their sources are numbered as in `labels_of_rows`."""
    groups = [plants.index for plants in aligned.observations]
    n_plants = len(aligned.observations[0].observation_id)
    return Stream([member.probability for member in aligned.members], groups, n_plants, sources_of_rows(aligned))


def labels_of_rows(aligned: Aligned[Matrix]) -> tuple[Label, ...]:
    """(model, view) of each source of rows."""
    return tuple((name, view) for name in model_names(aligned) for view in _views(aligned).tolist())


def sources_of_rows(aligned: Aligned[Matrix]) -> list[NDArray[np.intp]]:
    """Number in `labels_of_rows` of every row of each member, (n_i,)."""
    views = _views(aligned)
    return [place * len(views) + np.searchsorted(views, member.view) for place, member in enumerate(aligned.members)]


def _views(aligned: Aligned[Matrix]) -> NDArray[np.str_]:
    return np.unique(np.concatenate([np.unique(member.view) for member in aligned.members]))


def model_names(aligned: Aligned[Matrix]) -> tuple[str, ...]:
    """Name of every member, its place before it: one model may be there twice, plain and augmented."""
    return tuple(f"{place}:{member.model}" for place, member in enumerate(aligned.members, 1))


def _rule_at(aligned: Aligned[Matrix], recipe: Recipe, labels: Sequence[Label], fitted: FittedRule | None) -> Rule:
    """Make the last step of a recipe for rows of these sources."""
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
