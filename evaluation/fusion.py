"""Fusion: the rows of one observation become one row that sums to 1.

References
----------
.. [1] J. Kittler, M. Hatef, R. Duin, J. Matas, "On Combining Classifiers", IEEE Transactions on Pattern Analysis
   and Machine Intelligence 20 (3), 1998: the sum, max and product rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from evaluation.alignment import Aligned
from evaluation.rows import Matrix
from evaluation.streaming import Fuse, Portion, Stream
from featstore.errors import SettingsError

Rule = Callable[[NDArray[np.float64], NDArray[np.intp]], NDArray[np.float64]]
"""(rows (n, k), start of each group (m,)) -> one row per group (m, k) that sums to 1; no group is empty."""

PRODUCT_FLOOR = float(np.finfo(np.float32).tiny)
"""1.2e-38, the smallest normal float32: a softmax that underflowed to 0 outvotes, but does not silence the others."""


def mean_rule(rows: NDArray[np.float64], starts: NDArray[np.intp]) -> NDArray[np.float64]:
    """Arithmetic mean of the rows of each group: the article's way, and the sum rule of the literature."""
    return _normalised(np.add.reduceat(rows, starts, axis=0))


def max_rule(rows: NDArray[np.float64], starts: NDArray[np.intp]) -> NDArray[np.float64]:
    """Take the highest value of each species within the group, scaled to sum to 1: the most certain row decides."""
    return _normalised(np.maximum.reduceat(rows, starts, axis=0))


def product_rule(rows: NDArray[np.float64], starts: NDArray[np.intp]) -> NDArray[np.float64]:
    """Geometric mean of the rows of each group, scaled to sum to 1.

    It ranks as the plain product does. The root keeps a plant with many rows from underflowing to ties, and
    its probabilities from growing with the number of rows. Entries below `PRODUCT_FLOOR` count as the floor.
    """
    n_rows = np.diff(starts, append=len(rows))[:, np.newaxis]
    logs = np.add.reduceat(np.log(np.maximum(rows, PRODUCT_FLOOR)), starts, axis=0) / n_rows
    return _normalised(np.exp(logs - logs.max(axis=1, keepdims=True)))


RULES: Mapping[str, Rule] = MappingProxyType({"mean": mean_rule, "max": max_rule, "product": product_rule})


def at_once(rule: Rule) -> Fuse:
    """Fuse all rows of each group at once."""
    return lambda portion: rule(portion.rows, portion.starts)


@dataclass(frozen=True)
class Recipe:
    """How the rows (image x model) of an observation become one.

    Parameters
    ----------
    rule
        Name in `RULES`: for all rows at once, or for the models when `image_rule` is given.
    image_rule
        Name in `RULES` for a first step: each model's images become one row per model.

    Raises
    ------
    SettingsError
        If there is no such rule.
    """

    rule: str = "mean"
    image_rule: str | None = None

    def __post_init__(self) -> None:
        for name in (self.rule, self.image_rule):
            if name is not None and name not in RULES:
                near = get_close_matches(name, RULES, n=1)
                remedy = f"Did you mean {near[0]}?" if near else "Pass one of these."
                raise SettingsError(f"a rule out of {', '.join(RULES)}", f"{name!r}", remedy)

    @property
    def name(self) -> str:
        """``mean``, or ``max-then-mean`` for max over the images and then mean over the models."""
        return self.rule if self.image_rule is None else f"{self.image_rule}-then-{self.rule}"

    def fuse(self, portion: Portion) -> NDArray[np.float64]:
        """Fuse the plants of a portion: (plants, k)."""
        rows = portion if self.image_rule is None else portion.by_part(at_once(RULES[self.image_rule]))
        return at_once(RULES[self.rule])(rows)

    def fuse_images(self, portion: Portion) -> NDArray[np.float64]:
        """Fuse the models image by image, in a portion of members with the same images: (images, k)."""
        return at_once(RULES[self.rule])(portion.by_position)


def recipes(rules: Sequence[str], image_rule: str | None, model_rule: str | None) -> tuple[Recipe, ...]:
    """Choose recipes as the command line does: one per rule, and one in two steps when either step is named.

    Nothing named means the mean over all rows; a step that is not named is a mean.
    """
    chosen = [Recipe(rule) for rule in rules]
    if image_rule is not None or model_rule is not None:
        chosen.append(Recipe(model_rule or "mean", image_rule or "mean"))
    return tuple(dict.fromkeys(chosen)) or (Recipe(),)


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
    result = np.empty((n_groups, matrices[0].shape[1]), dtype=np.float64)

    def fill(portion: Portion) -> None:
        result[portion.low : portion.high] = at_once(rule)(portion)

    for _ in Stream(matrices, groups, n_groups).map(fill):
        pass
    return result


def plant_stream(aligned: Aligned[Matrix]) -> Stream:
    """All rows (image x model), grouped by plant."""
    groups = [plants.index for plants in aligned.observations]
    return Stream([member.probability for member in aligned.members], groups, len(aligned.observations[0].author))


def fuse(aligned: Aligned[Matrix], recipe: Recipe) -> FusedObservations:
    """Turn all rows (image x model) of each plant into one.

    Without an image rule every row counts alike, so a plant's answer leans to the member with more images of it;
    with one, every model counts alike.
    """
    plants = aligned.observations[0]
    probability = np.empty((len(plants.observation_id), aligned.members[0].probability.shape[1]))

    def fill(portion: Portion) -> None:
        probability[portion.low : portion.high] = recipe.fuse(portion)

    for _ in plant_stream(aligned).map(fill):
        pass
    return FusedObservations(
        split=aligned.members[0].split,
        observation_id=plants.observation_id,
        author=plants.author,
        true_class=plants.true_class,
        n_images=aligned.n_images,
        classes=aligned.members[0].classes,
        probability=probability,
    )


def fuse_images(aligned: Aligned[Matrix], recipe: Recipe) -> NDArray[np.float64] | None:
    """Fuse the models image by image, for S_image: (n, k), or None when the members hold different images."""
    if not aligned.same_images:
        return None
    matrices = [member.probability for member in aligned.members]
    n_images = len(aligned.members[0].image_id)
    return pool(matrices, [np.arange(n_images)] * len(matrices), n_images, RULES[recipe.rule])


def _normalised(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    total: NDArray[np.float64] = rows.sum(axis=1, keepdims=True)
    return rows / total
