"""Ranking: which place the right species took for every plant, and with which probability."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from evaluation.fusion import FusedObservations, mean_rule, pool
from evaluation.invariants import ALL_VIEWS
from evaluation.metrics import (
    UnknownAuthor,
    average_ranks,
    first_place_share,
    own_probability,
    true_indices,
    users,
    with_unknown,
)
from evaluation.observations import group_observations
from evaluation.predictions import Predictions

_NONE = np.empty(0)
_NO_PLANT = np.empty(0, dtype=np.intp)


@dataclass(frozen=True, eq=False)
class Ranked:
    """The places that the right species took.

    Parameters
    ----------
    observation_id, true_class
        (m,) the plants of known class, and what each is.
    rank
        (m,) rank per plant, infinity where the species is not listed.
    author
        (m,) user of each plant, ``""`` for a user of its own.
    image_rank, plant
        (n,) rank per image, and the position of its plant in the rows above; no images, no `S_image`.
    own, confidence
        (m,) probability of the right species, 0 where it is not listed, and the highest probability; empty where there
        are places without probabilities, and then there is no log loss and no calibration error.
    """

    observation_id: NDArray[np.str_]
    true_class: NDArray[np.str_]
    rank: NDArray[np.float64]
    author: NDArray[np.str_]
    image_rank: NDArray[np.float64]
    plant: NDArray[np.intp]
    own: NDArray[np.float64] = field(default_factory=_NONE.copy)
    confidence: NDArray[np.float64] = field(default_factory=_NONE.copy)

    @cached_property
    def user(self) -> NDArray[np.intp]:
        """(m,) number of each plant's user, from 0 without gaps."""
        return users(self.author)

    @property
    def listed(self) -> NDArray[np.bool_]:
        """(m,) whether the plant's species is among the classes."""
        return np.isfinite(self.rank)

    @property
    def right(self) -> NDArray[np.float64]:
        """(m,) the right species' share of the first place."""
        return first_place_share(self.rank, self.own, self.confidence)

    def take(self, mask: NDArray[np.bool_]) -> Ranked:
        """Keep the plants for which `mask` (m,) is true, at least one, with their images."""
        kept = mask[self.plant]
        per_plant = {
            name: values[mask] if len(values) else values
            for name in ("observation_id", "true_class", "rank", "author", "own", "confidence")
            for values in (getattr(self, name),)
        }
        position = np.cumsum(mask) - 1
        return replace(self, **per_plant, image_rank=self.image_rank[kept], plant=position[self.plant[kept]])


def rank_predictions(predictions: Predictions, unknown_author: UnknownAuthor = "own") -> dict[str, Ranked]:
    """Rank the right species of every observation.

    Parameters
    ----------
    predictions
        Images of unknown class are left out; a class outside `classes` has rank infinity.
    unknown_author
        Whose the observations without author are, as in `with_unknown`.

    Returns
    -------
    dict[str, Ranked]
        View ``"all"`` first, then every view that occurs, from the images of that view alone, averaged by observation.
        Empty when no true class is known.

    Raises
    ------
    PredictionsError
        If images of one observation name different classes.
    """
    plants = group_observations(predictions)
    truth = plants.true_class[plants.index]
    known = truth != ""
    image_rank = average_ranks(predictions.probability, true_indices(truth, predictions.classes))
    found: dict[str, Ranked] = {}
    for view in (ALL_VIEWS, *np.unique(predictions.view[known]).tolist()):
        rows = np.flatnonzero(known & ((predictions.view == view) | (view == ALL_VIEWS)))
        if not len(rows):
            continue
        present, plant = np.unique(plants.index[rows], return_inverse=True)
        pooled = pool([predictions.probability[rows]], [plant], len(present), mean_rule)
        of_plants = _of_plants(pooled, plants.true_class[present], predictions.classes)
        found[view] = Ranked(
            observation_id=plants.observation_id[present],
            true_class=plants.true_class[present],
            author=with_unknown(plants.author[present], unknown_author),
            image_rank=image_rank[rows],
            plant=plant,
            **of_plants,
        )
    return found


def rank_fused(
    fused: FusedObservations,
    image_probability: NDArray[np.float64] | None = None,
    index: NDArray[np.intp] | None = None,
    unknown_author: UnknownAuthor = "own",
) -> Ranked | None:
    """Rank the right species of every observation of a fusion.

    Parameters
    ----------
    fused
        Observations of unknown class are left out; a class outside `classes` has rank infinity.
    image_probability, index
        (n, k) rows fused image by image, and (n,) the position of each image's plant in `fused`; without them
        there is no S_image.
    unknown_author
        Whose the observations without author are, as in `with_unknown`.

    Returns
    -------
    Ranked | None
        None when no true class is known.
    """
    known = np.flatnonzero(fused.true_class != "")
    if not len(known):
        return None
    image_rank, plant = _NONE, _NO_PLANT
    if image_probability is not None and index is not None:
        rows = np.flatnonzero(fused.true_class[index] != "")
        true_index = true_indices(fused.true_class, fused.classes)
        image_rank = average_ranks(image_probability[rows], true_index[index[rows]])
        plant = np.searchsorted(known, index[rows])
    return Ranked(
        observation_id=fused.observation_id[known],
        true_class=fused.true_class[known],
        author=with_unknown(fused.author[known], unknown_author),
        image_rank=image_rank,
        plant=plant,
        **_of_plants(fused.probability[known], fused.true_class[known], fused.classes),
    )


def _of_plants(
    probability: NDArray[np.float64], truth: NDArray[np.str_], classes: NDArray[np.str_]
) -> dict[str, NDArray[np.float64]]:
    true_index = true_indices(truth, classes)
    return {
        "rank": average_ranks(probability, true_index),
        "own": own_probability(probability, true_index),
        "confidence": probability.max(axis=1),
    }
