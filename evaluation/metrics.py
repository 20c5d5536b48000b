"""Metrics: from the rank of the right species to the contest's scores, with the user and the plant as units.

The rank of a species is its place when the species are ordered by falling probability. Equal probabilities share
the average of the places they take, so neither luck nor the order of the classes moves a score. A right species
that is not listed at all has rank infinity and counts 0.

References
----------
.. [1] H. Goeau, A. Joly, P. Bonnet et al., "LifeCLEF Plant Identification Task 2014", CLEF 2014 Working Notes,
   arXiv:2509.23900. S averages over users and over the plants of each user, S_image also over a plant's images.
.. [2] C. Guo, G. Pleiss, Y. Sun, K. Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, eq. 3: the
   expected calibration error.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from evaluation.per_author import PerAuthor, by_user, by_user_and_column, mean_of_ratios, sum_of_distances

NOT_LISTED = -1
"""The index of a species that is none of the classes."""
UnknownAuthor = Literal["own", "one"]
UNKNOWN_AUTHORS: tuple[UnknownAuthor, ...] = ("own", "one")
"""Whose the plants of unknown author are: each one's own user, or all of them one user's."""
POOLED = "(unknown)"
"""Name of the one user of all plants without author; an author who is called so is one of them."""
N_BINS = 15
"""Equal parts of [0, 1] in which confidence and accuracy are compared."""
SMALLEST = float(np.finfo(np.float64).eps)
"""2.2e-16, at which scikit-learn clips 64-bit probabilities: no plant costs more than 36.04 of log loss."""

Users: TypeAlias = NDArray[np.str_] | NDArray[np.intp]
"""User of each plant: an author's name, with ``""`` for a user of its own, or a number as `users` gives it."""


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


def own_probability(probability: NDArray[np.floating], true_index: NDArray[np.intp]) -> NDArray[np.float64]:
    """Probability of the right species of every row, (n,); 0 where it is not listed."""
    own = probability[np.arange(len(probability)), true_index].astype(np.float64)
    return np.where(true_index == NOT_LISTED, 0.0, own)


def first_place_share(
    rank: NDArray[np.float64], own: NDArray[np.float64], confidence: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The right species' share of the first place: 1 when it stands there alone, 1/t among t equals, else 0.

    Parameters
    ----------
    rank, own, confidence
        (m,) average rank and probability of the right species, and the highest probability.
    """
    # Of t equals in front the average rank is (t + 1) / 2.
    return np.where(own == confidence, 1.0 / (2.0 * rank - 1.0), 0.0)


def part_of(confidence: NDArray[np.float64], n_bins: int = N_BINS) -> NDArray[np.intp]:
    """Number of each confidence's part of [0, 1], closed above as in [2]_: (0, 1/b], ..., ((b-1)/b, 1]."""
    return np.clip(np.ceil(confidence * n_bins).astype(np.intp) - 1, 0, n_bins - 1)


def observation_score(reciprocal: NDArray[np.float64], author: Users) -> PerAuthor:
    """The contest's S: the mean over users of the mean over the user's plants.

    Parameters
    ----------
    reciprocal
        (m,) reciprocal rank per plant (observation), m >= 1.
    author
        (m,) user of each plant.
    """
    user = users(author)
    means = np.bincount(user, weights=reciprocal) / np.bincount(user)
    return PerAuthor(means, np.ones_like(means))


def image_score(reciprocal: NDArray[np.float64], plant: NDArray[np.intp], author: Users) -> PerAuthor:
    """The contest's S_image: the mean over users, over the user's plants, over the plant's images.

    Parameters
    ----------
    reciprocal
        (n,) reciprocal rank per image.
    plant
        (n,) index of each image's plant in `author`; every plant has at least one image.
    author
        (m,) user of each plant.
    """
    n_images = np.bincount(plant, minlength=len(author))
    return observation_score(np.bincount(plant, weights=reciprocal, minlength=len(author)) / n_images, author)


def plant_mean(value: NDArray[np.float64], author: Users, counted: NDArray[np.bool_] | None = None) -> PerAuthor:
    """Mean over plants, each counting alike; users matter for the interval alone.

    Parameters
    ----------
    value, author
        (m,) value and user per plant.
    counted
        (m,) plants that count, at least one; all of them by default.
    """
    user = users(author)
    weight = np.ones(len(value)) if counted is None else counted.astype(np.float64)
    return PerAuthor(by_user(user, np.where(weight > 0, value, 0.0)), by_user(user, weight))


def top_k_score(rank: NDArray[np.float64], k: int, author: Users) -> PerAuthor:
    """Share of plants whose right species has rank `k` or better.

    A species that shares places 1 and 2 has rank 1.5: it is within the first two, and not the first.

    Parameters
    ----------
    rank, author
        (m,) rank and user per plant; users matter for the interval alone.
    """
    return plant_mean((rank <= k).astype(np.float64), author)


def class_mean(value: NDArray[np.float64], true_class: NDArray[np.str_], author: Users) -> PerAuthor:
    """Mean over species of the mean over the species' plants: every species counts alike.

    In a draw of users without any plant of a species, the mean is over the others.

    Parameters
    ----------
    value, true_class, author
        (m,) value, species and user per plant.
    """
    user = users(author)
    species = np.unique(true_class, return_inverse=True)[1]
    n_species = int(species.max()) + 1
    total, weight = (by_user_and_column(user, species, each, n_species) for each in (value, np.ones_like(value)))
    return PerAuthor(total, weight, mean_of_ratios, parts_drop_out=True)


def log_loss(own: NDArray[np.float64], listed: NDArray[np.bool_], author: Users) -> PerAuthor:
    """Mean of ``-ln p`` over plants, p the probability of the right species, at least `SMALLEST`; lower is better.

    Parameters
    ----------
    own, listed, author
        (m,) probability of the right species, whether it is among the classes, and user per plant. A plant of a
        species that is not listed does not count: any figure for it would be the floor, not a measurement.
    """
    return plant_mean(-np.log(np.maximum(own, SMALLEST)), author, listed)


def calibration_error(
    confidence: NDArray[np.float64], right: NDArray[np.float64], listed: NDArray[np.bool_], author: Users
) -> PerAuthor:
    """Expected calibration error [2]_ over plants, `N_BINS` equal parts; in [0, 1], lower is better.

    Parameters
    ----------
    confidence, right, listed, author
        (m,) highest probability, share of the first place that the right species has, whether that species is among
        the classes (a plant counts only then: no temperature could mend the others), and user per plant.
    """
    user = users(author)
    distance = by_user_and_column(user, part_of(confidence), np.where(listed, confidence - right, 0.0), N_BINS)
    return PerAuthor(distance, by_user(user, listed.astype(np.float64)), sum_of_distances, noise_adds=True)


def with_unknown(author: NDArray[np.str_], unknown: UnknownAuthor) -> NDArray[np.str_]:
    """Name the user of the plants whose author is unknown.

    Parameters
    ----------
    author
        (m,) ``""`` where unknown.
    unknown
        ``"own"`` leaves them, so that each is a user of its own; ``"one"`` makes them all `POOLED`'s.
    """
    return author if unknown == "own" else np.where(author == "", POOLED, author)


def users(author: Users) -> NDArray[np.intp]:
    """Number of each plant's user, from 0 without gaps; a plant whose author is ``""`` is a user of its own."""
    if author.dtype.kind != "U":
        return np.asarray(author, dtype=np.intp)
    unknown = author == ""
    number = np.unique(author, return_inverse=True)[1] + np.count_nonzero(unknown)
    number[unknown] = np.arange(np.count_nonzero(unknown))
    return np.asarray(np.unique(number, return_inverse=True)[1], dtype=np.intp)
