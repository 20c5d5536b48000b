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

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack

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
_MOST_CELLS = 20_000

Users: TypeAlias = NDArray[np.str_] | NDArray[np.intp]
"""User of each plant: an author's name, with ``""`` for a user of its own, or a number as `users` gives it."""
Sums: TypeAlias = "NDArray[np.float64] | csr_array[np.float64]"
"""What users add: (u,) or (u, q); sparse where there are many species, of which each user has few."""


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


def ratio(totals: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """One column over one column; NaN for a draw that weighs nothing."""
    with np.errstate(invalid="ignore"):
        return np.asarray(totals[:, 0] / weights[:, 0])


def mean_of_ratios(totals: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the columns of column over column; a column that weighs nothing in a draw is left out of it."""
    present = weights > 0
    each = np.divide(totals, weights, out=np.zeros_like(totals), where=present)
    return np.asarray(each.sum(axis=1) / present.sum(axis=1))


def sum_of_distances(totals: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of the columns' absolute values over one column."""
    return ratio(np.abs(totals).sum(axis=1, keepdims=True), weights)


@dataclass(frozen=True, eq=False)
class PerAuthor:
    """A score as a function of sums over users, from which it can be computed for other draws of users.

    Parameters
    ----------
    total, weight
        (u,), or (u, q) for a score that is made of several sums: what each user adds above and below the line.
    combine
        (totals (b, q), weights (b, q)) of b draws -> (b,) scores.
    noise_adds
        Whether chance alone pushes the score up, never down, as it does an error made of distances: drawn scores then
        lie above the score as far as the score lies above the truth, which `evaluation.intervals` undoes.
    parts_drop_out
        Whether a draw of users may lack parts of the score, such as species; drawn scores are then about other parts,
        and `evaluation.intervals` centres them at the score.
    """

    total: Sums
    weight: Sums
    combine: Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]] = ratio
    noise_adds: bool = False
    parts_drop_out: bool = False

    @property
    def value(self) -> float:
        """The score, in the range and direction of its metric."""
        everyone = np.hstack([self.total.sum(axis=0), self.weight.sum(axis=0)]).astype(np.float64)
        return float(self.of(everyone[np.newaxis])[0])

    @property
    def n_authors(self) -> int:
        """Number u of users."""
        return int(self.total.shape[0])

    @property
    def n_columns(self) -> int:
        """Number of sums that the score is made of."""
        return _width(self.total) + _width(self.weight)

    @cached_property
    def sums(self) -> Sums:
        """(u, columns) totals, then weights."""
        return side_by_side([self.total, self.weight])

    @property
    def alone(self) -> NDArray[np.float64]:
        """(u,) the score of each user's plants alone."""
        return self.of(self.sums if isinstance(self.sums, np.ndarray) else self.sums.toarray())

    def of(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Score (b, columns) sums over users, in the order of `sums`: (b,)."""
        n_totals = _width(self.total)
        return self.combine(sums[:, :n_totals], sums[:, n_totals:])


def _width(sums: Sums) -> int:
    return 1 if sums.ndim == 1 else int(sums.shape[1])


def side_by_side(parts: Sequence[Sums]) -> Sums:
    """Join sums of the same users; sparse as soon as one of them is."""
    dense = [part for part in parts if isinstance(part, np.ndarray)]
    if len(dense) == len(parts):
        return np.column_stack(dense)
    columns = [csr_array(np.atleast_2d(part.T).T) if isinstance(part, np.ndarray) else part for part in parts]
    joined: csr_array[np.float64] = hstack(columns, format="csr")
    return joined


def _cells(user: NDArray[np.intp], column: NDArray[np.intp], value: NDArray[np.float64], n_columns: int) -> Sums:
    """Add up values by user and column; sparse where most of many cells would be empty."""
    shape = (int(user.max()) + 1, n_columns)
    if shape[0] * shape[1] > _MOST_CELLS:
        return csr_array((value, (user, column)), shape=shape)
    flat = np.bincount(user * n_columns + column, weights=value, minlength=shape[0] * shape[1])
    return flat.astype(np.float64).reshape(shape)


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
    return PerAuthor(_per_user(user, np.where(weight > 0, value, 0.0)), _per_user(user, weight))


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
    total, weight = (_cells(user, species, each, n_species) for each in (value, np.ones_like(value)))
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
    distance = _cells(user, part_of(confidence), np.where(listed, confidence - right, 0.0), N_BINS)
    return PerAuthor(distance, _per_user(user, listed.astype(np.float64)), sum_of_distances, noise_adds=True)


def _per_user(user: NDArray[np.intp], value: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.bincount(user, weights=value).astype(np.float64)


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
