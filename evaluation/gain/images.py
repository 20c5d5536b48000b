"""S against the number of photographs per plant, for plants that stay the same along a curve.

Plants with many photographs are other plants than those with few: other organs, other authors. A curve that took, at
every k, all plants with k images would compare different plants. Here a curve belongs to the plants with *at least* K
images, and judges each of them with k = 1 ... K images, drawn without replacement. A second curve takes all plants with
*at most* k of their images: what is gained where more may be handed in, with the plants as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from evaluation.fusion import RULES
from evaluation.gain.contest import Contest
from evaluation.gain.curves import ImageCurve, ImageGain, ImagePoint
from evaluation.gain.figures import figures
from evaluation.gain.plan import GainPlan
from evaluation.intervals import difference
from evaluation.invariants import ALL_VIEWS
from evaluation.metrics import average_ranks, observation_score, plant_mean, reciprocal_rank
from evaluation.rows import CELLS_AT_ONCE
from evaluation.rules import Block


@dataclass(frozen=True, eq=False)
class _Expected:
    """Figures of each plant with 1, 2, ... of its images: (m, K), NaN beyond the images it has."""

    n_images: NDArray[np.intp]
    author: NDArray[np.str_]
    reciprocal: NDArray[np.float64]
    hit: NDArray[np.float64]


def image_gain(contest: Contest, run: str, plan: GainPlan | None = None) -> ImageGain:
    """Judge the fusion of all members with 1, 2, ... images per plant.

    Parameters
    ----------
    contest
        The models that are fused; one for a run alone.
    run
        Name in tables.
    plan
        How it is measured.
    """
    plan = plan or GainPlan()
    view = contest.members[0].view
    curves: list[ImageCurve] = []
    for name in (ALL_VIEWS, *np.unique(view).tolist()):
        rows = np.flatnonzero((view == name) | (name == ALL_VIEWS))
        curves += _curves(name, _expected(contest, rows, plan), plan.max_images)
    return ImageGain(run, contest.split, plan, tuple(curves))


def _expected(contest: Contest, rows: NDArray[np.intp], plan: GainPlan) -> _Expected:
    present, plant = np.unique(contest.plants.index[rows], return_inverse=True)
    n_images = np.bincount(plant)
    # By image_id within a plant: every run is given the same images.
    order = rows[np.lexsort((contest.members[0].image_id[rows], plant))]
    first = np.cumsum(n_images) - n_images
    length = min(int(n_images.max()), plan.max_images)
    reciprocal, hit = np.full((2, len(present), length), np.nan)
    for n in np.unique(n_images).tolist():
        of_size = np.flatnonzero(n_images == n)
        own = order[first[of_size][:, np.newaxis] + np.arange(n)]
        for k in range(1, min(n, length) + 1):
            sets = np.take_along_axis(own[:, np.newaxis], image_sets(n, k, len(own), plan), axis=2)
            true_index = np.repeat(contest.true_index[present[of_size]], sets.shape[1])
            rank = _ranks(contest, sets.reshape(-1, k), true_index, plan.rule).reshape(sets.shape[:2])
            reciprocal[of_size, k - 1] = reciprocal_rank(rank).mean(axis=1)
            hit[of_size, k - 1] = (rank <= 1).mean(axis=1)
    return _Expected(n_images, contest.plants.author[present], reciprocal, hit)


def image_sets(n: int, k: int, n_plants: int, plan: GainPlan) -> NDArray[np.intp]:
    """Choose k out of n images for each plant, without replacement.

    Returns
    -------
    NDArray[np.intp]
        (n_plants, c, k) positions in [0, n): all c sets where they are no more than `plan.n_draws`, else so many draws.
    """
    if comb(n, k) <= plan.n_draws:
        every = np.array(list(combinations(range(n), k)), dtype=np.intp)
        return np.broadcast_to(every, (n_plants, *every.shape))
    rng = np.random.default_rng([plan.seed, n, k])
    return rng.random((n_plants, plan.n_draws, n)).argsort(axis=2)[:, :, :k]


def _ranks(contest: Contest, sets: NDArray[np.intp], true_index: NDArray[np.intp], rule: str) -> NDArray[np.float64]:
    """(s,) rank of the right species for (s, k) sets of rows, a few sets at a time."""
    n_rows = sets.shape[1] * len(contest.members)
    step = max(1, CELLS_AT_ONCE // (n_rows * len(contest.members[0].classes)))
    rank = np.empty(len(sets))
    for low in range(0, len(sets), step):
        part = sets[low : low + step]
        rows = np.stack([member.probability[part] for member in contest.members], axis=1).astype(np.float64)
        starts = np.arange(len(part)) * n_rows
        fused = RULES[rule](Block(rows.reshape(len(part) * n_rows, -1), starts))
        rank[low : low + step] = average_ranks(fused, true_index[low : low + step])
    return rank


def _curves(view: str, expected: _Expected, max_images: int) -> Iterator[ImageCurve]:
    most = min(int(expected.n_images.max()), max_images)
    if most < 2:
        return
    for at_least in (*range(2, most + 1), None):
        length = at_least or most
        yield _curve(view, at_least, expected, np.flatnonzero(expected.n_images >= (at_least or 1)), length)


def _curve(view: str, at_least: int | None, expected: _Expected, plants: NDArray[np.intp], length: int) -> ImageCurve:
    author = expected.author[plants]
    own = [np.minimum(expected.n_images[plants], k) - 1 for k in range(1, length + 1)]
    scores = [observation_score(expected.reciprocal[plants, column], author) for column in own]
    hits = [plant_mean(expected.hit[plants, column], author) for column in own]
    with_ends = figures([*scores, *hits])
    points = tuple(
        ImagePoint(
            n_images=k + 1,
            score=with_ends[k],
            top_1=with_ends[length + k],
            gain=difference(scores[k], scores[0]),
            top_1_gain=difference(hits[k], hits[0]),
        )
        for k in range(length)
    )
    return ImageCurve(view, at_least, len(plants), points)
