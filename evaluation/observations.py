"""Observations: the images of one plant belong together and share one truth and one author."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.predictions import Predictions
from evaluation.rows import Matrix
from featstore.errors import PredictionsError, listed


@dataclass(frozen=True, eq=False)
class Observations:
    """The plants that a set of images shows, sorted by `observation_id`.

    Parameters
    ----------
    observation_id, author, true_class
        (m,) one entry per plant; author and class are ``""`` where no image knows them.
    n_images
        (m,) images per plant, at least 1.
    index
        (n,) position of each image's plant in the rows above.
    warnings
        What is doubtful and was kept.
    """

    observation_id: NDArray[np.str_]
    author: NDArray[np.str_]
    true_class: NDArray[np.str_]
    n_images: NDArray[np.intp]
    index: NDArray[np.intp]
    warnings: tuple[str, ...] = ()


def group_observations(predictions: Predictions[Matrix]) -> Observations:
    """Collect the images of each plant.

    An unknown author or class gives way to the one that another image of the plant names. Of two authors the
    first counts, with a warning.

    Raises
    ------
    PredictionsError
        If images of one plant name different classes.
    """
    observation_id, index = np.unique(predictions.observation_id, return_inverse=True)
    true_class = first_known(predictions.true_class, index, len(observation_id))
    truth = predictions.true_class
    clash = np.flatnonzero((truth != "") & (truth != true_class[index]))
    if clash.size:
        row = clash[0]
        got = (
            f"{true_class[index][row]} and {truth[row]} in observation {predictions.observation_id[row]} "
            f"(image {predictions.image_id[row]}) of {predictions.model}"
        )
        raise PredictionsError("one true class per observation", got, "Correct the metadata of its photographs.")
    author = first_known(predictions.author, index, len(observation_id))
    return Observations(
        observation_id=observation_id,
        author=author,
        true_class=true_class,
        n_images=np.bincount(index),
        index=index,
        warnings=(
            *_two_authors(predictions, author[index]),
            *_partly_unknown(predictions, true_class[index]),
        ),
    )


def first_known(values: NDArray[np.str_], index: NDArray[np.intp], n_groups: int) -> NDArray[np.str_]:
    """(n_groups,) first value of each group that is not ``""``; `index` (n,) is the group of each value."""
    known = np.flatnonzero(values != "")
    groups, first = np.unique(index[known], return_index=True)
    result = np.zeros(n_groups, dtype=values.dtype)
    result[groups] = values[known[first]]
    return result


def _two_authors(predictions: Predictions[Matrix], kept: NDArray[np.str_]) -> list[str]:
    other = (predictions.author != "") & (predictions.author != kept)
    names = np.unique(predictions.observation_id[other]).tolist()
    if not names:
        return []
    return [f"Observations with several authors, of whom the first counts: {listed(names)}."]


def _partly_unknown(predictions: Predictions[Matrix], kept: NDArray[np.str_]) -> list[str]:
    filled = (predictions.true_class == "") & (kept != "")
    names = np.unique(predictions.observation_id[filled]).tolist()
    if not names:
        return []
    return [f"Observations with a class on some images only, which counts for all: {listed(names)}."]
