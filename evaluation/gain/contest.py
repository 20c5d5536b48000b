"""Contest: several models over the same plants, any set of which can be fused and ranked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from evaluation.alignment import align
from evaluation.fusion import RULES, pool
from evaluation.metrics import average_ranks, true_indices
from evaluation.observations import Observations, group_observations
from evaluation.predictions import Predictions
from featstore.errors import PredictionsError


@dataclass(frozen=True, eq=False)
class Contest:
    """Plants of known class, and what every model says about each of their images.

    Parameters
    ----------
    names
        Of the models, each once.
    members
        One per name; row i of each is the same photograph.
    plants
        The plants (m of them) that the n rows show.
    """

    names: tuple[str, ...]
    members: tuple[Predictions, ...]
    plants: Observations

    @property
    def split(self) -> str:
        """The split that all members are about."""
        return self.members[0].split

    @cached_property
    def true_index(self) -> NDArray[np.intp]:
        """(m,) column of each plant's species, `NOT_LISTED` where no model knows it."""
        return true_indices(self.plants.true_class, self.members[0].classes)

    @cached_property
    def seconds(self) -> tuple[float, ...]:
        """Seconds per image of each member, NaN where its speed is unknown."""
        return tuple(1.0 / member.images_per_second for member in self.members)

    @cached_property
    def _means(self) -> tuple[NDArray[np.float64], ...]:
        index, n_plants = self.plants.index, len(self.true_index)
        return tuple(pool([member.probability], [index], n_plants, RULES["mean"]) for member in self.members)

    def cost(self, chosen: Sequence[int]) -> float:
        """Seconds per image of a set of members that look one after another; NaN when one is unknown."""
        return sum(self.seconds[number] for number in chosen)

    def ranks(self, chosen: Sequence[int], rule: str = "mean") -> NDArray[np.float64]:
        """Fuse all images of some members at once, and rank the right species.

        Parameters
        ----------
        chosen
            Positions of at least one member.
        rule
            Name in `RULES`.

        Returns
        -------
        NDArray[np.float64]
            (m,) as `average_ranks` gives them.
        """
        n_plants = len(self.true_index)
        matrices: list[NDArray[np.floating]] = [self.members[number].probability for number in chosen]
        groups = [self.plants.index] * len(matrices)
        if rule == "mean":
            # Every member has as many rows of a plant: the mean of means is the mean, and each set costs little.
            matrices = [self._means[number] for number in chosen]
            groups = [np.arange(n_plants)] * len(matrices)
        return average_ranks(pool(matrices, groups, n_plants, RULES[rule]), self.true_index)


def contest_of(members: Sequence[Predictions], names: Sequence[str]) -> Contest:
    """Align members on their images and keep the plants of known class.

    Raises
    ------
    PredictionsError
        If members do not belong together, or no true class is known.
    """
    aligned = align(members)
    plants = aligned.observations[0]
    known = plants.true_class[plants.index] != ""
    if not known.any():
        got = f"none on {aligned.members[0].split}"
        raise PredictionsError("observations of known class", got, "Pass predictions whose truth is known.")
    if known.all():
        return Contest(tuple(names), aligned.members, plants)
    kept = tuple(member.select(known) for member in aligned.members)
    return Contest(tuple(names), kept, group_observations(kept[0]))
