"""Metrics: from the rank of the right species to the contest's scores, with the user and the plant as units.

The rank of a species is its place when the species are ordered by falling probability. Equal probabilities share
the average of the places they take, so neither luck nor the order of the classes moves a score. A right species
that is not listed at all has rank infinity and counts 0.

References
----------
.. [1] H. Goeau, A. Joly, P. Bonnet et al., "LifeCLEF Plant Identification Task 2014", CLEF 2014 Working Notes,
   arXiv:2509.23900. S averages over users and over the plants of each user, S_image also over a plant's images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NOT_LISTED = -1
"""The index of a species that is none of the classes."""


def true_indices(true_class: NDArray[np.str_], classes: NDArray[np.str_]) -> NDArray[np.intp]:
    """Find the column of every true class.

    Parameters
    ----------
    true_class
        (n,) raw class ids.
    classes
        (k,) raw class ids, sorted and unique.

    Returns
    -------
    NDArray[np.intp]
        (n,) positions in `classes`, `NOT_LISTED` for a class that is not among them.
    """
    position = np.minimum(np.searchsorted(classes, true_class), len(classes) - 1)
    return np.where(classes[position] == true_class, position, NOT_LISTED)


def average_ranks(probability: NDArray[np.floating], true_index: NDArray[np.intp]) -> NDArray[np.float64]:
    """Rank the right species of every row; ties take the average rank of their group.

    Counts the greater and the equal entries of a row, so nothing is sorted.

    Parameters
    ----------
    probability
        (n, k), without NaN.
    true_index
        (n,) column of the right species, `NOT_LISTED` where there is none.

    Returns
    -------
    NDArray[np.float64]
        (n,) ranks in [1, k], a multiple of 0.5; infinity where the species is not listed.
    """
    own = probability[np.arange(len(probability)), true_index][:, np.newaxis]
    greater = np.count_nonzero(probability > own, axis=1)
    equal = np.count_nonzero(probability == own, axis=1)
    return np.where(true_index == NOT_LISTED, np.inf, greater + (equal + 1) / 2)


def reciprocal_rank(rank: NDArray[np.float64]) -> NDArray[np.float64]:
    """``1 / rank``, in [0, 1]: 1 for the first place, 0 for a species that is not listed (rank infinity)."""
    return 1.0 / rank


@dataclass(frozen=True, eq=False)
class PerAuthor:
    """A score as a ratio of sums over users, from which it can be computed for other draws of users.

    Parameters
    ----------
    total, weight
        (u,) what each user adds above and below the line; the weights are above 0.
    """

    total: NDArray[np.float64]
    weight: NDArray[np.float64]

    @property
    def value(self) -> float:
        """The score, in [0, 1]; higher is better."""
        return float(self.total.sum() / self.weight.sum())


def observation_score(reciprocal: NDArray[np.float64], author: NDArray[np.str_]) -> PerAuthor:
    """The contest's S: the mean over users of the mean over the user's plants.

    Parameters
    ----------
    reciprocal
        (m,) reciprocal rank per plant (observation), m >= 1.
    author
        (m,) user of each plant; a plant whose author is ``""`` is a user of its own.
    """
    user = users_of(author)
    means = np.bincount(user, weights=reciprocal) / np.bincount(user)
    return PerAuthor(means, np.ones_like(means))


def image_score(reciprocal: NDArray[np.float64], plant: NDArray[np.intp], author: NDArray[np.str_]) -> PerAuthor:
    """The contest's S_image: the mean over users, over the user's plants, over the plant's images.

    Parameters
    ----------
    reciprocal
        (n,) reciprocal rank per image.
    plant
        (n,) index of each image's plant in `author`; every plant has at least one image.
    author
        (m,) user of each plant, ``""`` for a user of its own.
    """
    n_images = np.bincount(plant, minlength=len(author))
    return observation_score(np.bincount(plant, weights=reciprocal, minlength=len(author)) / n_images, author)


def top_k_score(rank: NDArray[np.float64], k: int, author: NDArray[np.str_]) -> PerAuthor:
    """Share of plants whose right species has rank `k` or better.

    A species that shares places 1 and 2 has rank 1.5: it is within the first two, and not the first.

    Parameters
    ----------
    rank, author
        (m,) rank and user per plant; users matter for the interval alone.
    """
    user = users_of(author)
    hits = np.bincount(user, weights=(rank <= k).astype(np.float64))
    return PerAuthor(hits.astype(np.float64), np.bincount(user).astype(np.float64))


def users_of(author: NDArray[np.str_]) -> NDArray[np.intp]:
    """Number of each plant's user, (m,), from 0 without gaps; every unknown one is a user of its own."""
    unknown = author == ""
    number = np.unique(author, return_inverse=True)[1] + np.count_nonzero(unknown)
    number[unknown] = np.arange(np.count_nonzero(unknown))
    return np.asarray(np.unique(number, return_inverse=True)[1], dtype=np.intp)
