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
from featstore.errors import SettingsError

Rule = Callable[[NDArray[np.float64], NDArray[np.intp]], NDArray[np.float64]]
"""(rows (n, k), start of each group (m,)) -> one row per group (m, k) that sums to 1; no group is empty."""

PRODUCT_FLOOR = float(np.finfo(np.float32).tiny)
"""1.2e-38, the smallest normal float32: a softmax that underflowed to 0 outvotes, but does not silence the others."""

ROWS_AT_ONCE = 256
"""Few enough to stay in the processor's cache: three times faster than thousands at once."""


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
    orders = [np.argsort(group, kind="stable") for group in groups]
    ordered = [group[order] for group, order in zip(groups, orders, strict=True)]
    n_rows = sum(len(group) for group in groups)
    step = max(1, n_groups * ROWS_AT_ONCE // n_rows)
    result = np.empty((n_groups, matrices[0].shape[1]), dtype=np.float64)
    for low in range(0, n_groups, step):
        high = min(low + step, n_groups)
        spans = [slice(*np.searchsorted(group, (low, high))) for group in ordered]
        parts = zip(matrices, orders, spans, strict=True)
        rows = np.concatenate([matrix[order[span]] for matrix, order, span in parts], dtype=np.float64)
        group = np.concatenate([group[span] for group, span in zip(ordered, spans, strict=True)])
        by_group = np.argsort(group, kind="stable")
        result[low:high] = rule(rows[by_group], np.searchsorted(group[by_group], np.arange(low, high)))
    return result


def fuse(aligned: Aligned, recipe: Recipe) -> FusedObservations:
    """Turn all rows (image x model) of each plant into one.

    Without an image rule every row counts alike, so a plant's answer leans to the member with more images of it;
    with one, every model counts alike.
    """
    matrices: list[NDArray[np.floating]] = [member.probability for member in aligned.members]
    groups = [plants.index for plants in aligned.observations]
    plants = aligned.observations[0]
    n_plants = len(plants.observation_id)
    if recipe.image_rule is not None:
        first = RULES[recipe.image_rule]
        matrices = [pool([matrix], [group], n_plants, first) for matrix, group in zip(matrices, groups, strict=True)]
        groups = [np.arange(n_plants)] * len(matrices)
    return FusedObservations(
        split=aligned.members[0].split,
        observation_id=plants.observation_id,
        author=plants.author,
        true_class=plants.true_class,
        n_images=aligned.n_images,
        classes=aligned.members[0].classes,
        probability=pool(matrices, groups, n_plants, RULES[recipe.rule]),
    )


def fuse_images(aligned: Aligned, recipe: Recipe) -> NDArray[np.float64] | None:
    """Fuse the models image by image, for S_image: (n, k), or None when the members hold different images."""
    if not aligned.same_images:
        return None
    matrices = [member.probability for member in aligned.members]
    n_images = len(aligned.members[0].image_id)
    return pool(matrices, [np.arange(n_images)] * len(matrices), n_images, RULES[recipe.rule])


def _normalised(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    total: NDArray[np.float64] = rows.sum(axis=1, keepdims=True)
    return rows / total
