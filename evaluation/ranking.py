"""Ranking: which place the right species took for every plant, and with which probability."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from evaluation.fused import FusedPlaces
from evaluation.invariants import ALL_VIEWS
from evaluation.metrics import UnknownAuthor, first_place_share, true_indices, users, with_unknown
from evaluation.observations import group_observations
from evaluation.places import Places, stream_places
from evaluation.predictions import Predictions
from evaluation.rows import Matrix
from evaluation.streaming import LEFT_OUT, Stream
from evaluation.ways import ALONE

_NONE = np.empty(0)


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


def rank_predictions(predictions: Predictions[Matrix], unknown_author: UnknownAuthor = "own") -> dict[str, Ranked]:
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
    known = plants.true_class[plants.index] != ""
    found: dict[str, Ranked] = {}
    for view in (ALL_VIEWS, *np.unique(predictions.view[known]).tolist()):
        rows = np.flatnonzero(known & ((predictions.view == view) | (view == ALL_VIEWS)))
        if not len(rows):
            continue
        present, plant = np.unique(plants.index[rows], return_inverse=True)
        group = np.full(len(known), LEFT_OUT)
        group[rows] = plant
        true_index = true_indices(plants.true_class[present], predictions.classes)
        (judged,) = stream_places(Stream([predictions.probability], [group], len(present)), [ALONE], true_index)
        found[view] = Ranked(
            observation_id=plants.observation_id[present],
            true_class=plants.true_class[present],
            author=with_unknown(plants.author[present], unknown_author),
            image_rank=judged.image_rank[rows],
            plant=plant,
            **_figures(judged.plants),
        )
    return found


def rank_fused(fused: FusedPlaces, unknown_author: UnknownAuthor = "own") -> Ranked | None:
    """Rank the right species of every observation of a fusion.

    Parameters
    ----------
    fused
        Observations of unknown class are left out; a class outside `classes` has rank infinity. Without images there is
        no S_image.
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
    rows = np.flatnonzero(fused.true_class[fused.index] != "")
    return Ranked(
        observation_id=fused.observation_id[known],
        true_class=fused.true_class[known],
        author=with_unknown(fused.author[known], unknown_author),
        image_rank=fused.image_rank[rows],
        plant=np.searchsorted(known, fused.index[rows]),
        **{name: values[known] for name, values in _figures(fused.places).items()},
    )


def _figures(places: Places) -> dict[str, NDArray[np.float64]]:
    return {"rank": places.rank, "own": places.own, "confidence": places.probability[:, 0]}
