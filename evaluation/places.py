"""Places: what is kept of every fused row, so that the rows themselves need not be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.metrics import NOT_LISTED, average_ranks
from evaluation.streaming import Portion, Stream
from evaluation.ways import Way
from featstore.shell import progress

Keep = Callable[[int, NDArray[np.float64]], object]
"""(number of the first plant, rows of it and the following (m, k)): whatever shall become of answers themselves."""


@dataclass(frozen=True, eq=False)
class Places:
    """Of every row: which place the right species takes, and which species take the first ones.

    Attributes
    ----------
    rank
        (m,) average rank of the right species, infinity where it is not listed.
    own
        (m,) its probability, 0 where it is not listed.
    best
        (m, a) columns of the likeliest species, equal ones in the order of their columns.
    probability
        (m, a) float64, theirs.
    """

    rank: NDArray[np.float64]
    own: NDArray[np.float64]
    best: NDArray[np.intp]
    probability: NDArray[np.float64]

    @classmethod
    def of(cls, rows: NDArray[np.float64], true_index: NDArray[np.intp], n_best: int) -> Places:
        """Look at rows (m, k) whose right species stand in the columns `true_index`, or are `NOT_LISTED`."""
        every = np.arange(len(rows))
        best = np.empty((len(rows), min(n_best, rows.shape[1])), dtype=np.intp)
        # A few passes cost less than sorting; of equals, argmax takes the first.
        rest = rows.copy()
        for place in best.T:
            place[:] = rest.argmax(axis=1)
            rest[every, place] = -1
        own = np.where(true_index == NOT_LISTED, 0.0, rows[every, true_index])
        return cls(average_ranks(rows, true_index), own, best, rows[every[:, np.newaxis], best])

    @classmethod
    def joined(cls, parts: Sequence[Places]) -> Places:
        """Put places one behind the other."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__annotations__))


@dataclass(frozen=True, eq=False)
class Found:
    """What one way to fuse found.

    Attributes
    ----------
    plants
        Places of every plant.
    image_rank
        (n,) rank of the right species by image of the first matrix, NaN for one that is left out; empty where
        images are not fused.
    """

    plants: Places
    image_rank: NDArray[np.float64]


def stream_places(
    stream: Stream, ways: Sequence[Way], true_index: NDArray[np.intp], n_best: int = 1, keep: Sequence[Keep] = ()
) -> list[Found]:
    """Fuse every plant in several ways, in one pass over the rows, and keep the places alone.

    Parameters
    ----------
    stream
        Matrices, and the plant of each of their rows.
    ways
        How to fuse.
    true_index
        (m,) column of each plant's right species, `NOT_LISTED` where there is none.
    n_best
        How many of the likeliest species are kept.
    keep
        One per way, or none: called with every portion's answers, by several threads and in any order.

    Returns
    -------
    list[Found]
        One per way.
    """
    n_images = [0 if way.image_rule is None else len(stream.matrices[0]) for way in ways]
    image_rank = [np.full(n, np.nan) for n in n_images]

    def look(portion: Portion) -> list[Places]:
        truth = true_index[portion.low : portion.high]
        places = []
        for number, way in enumerate(ways):
            rows = way.fuse(portion)
            if keep:
                keep[number](portion.low, rows)
            places.append(Places.of(rows, truth, n_best))
            images = way.fuse_images(portion)
            if images is not None:
                image_rank[number][portion.position[0]] = average_ranks(images, truth[portion.group[0]])
        return places

    found: list[list[Places]] = []
    with progress(stream.n_portions, "Fusing", "portions") as bar:
        for own in stream.map(look):
            found.append(own)
            bar.update()
    joined = [Places.joined(own) for own in zip(*found, strict=True)]
    return [Found(places, rank) for places, rank in zip(joined, image_rank, strict=True)]
