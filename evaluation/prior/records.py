"""Records: where and when each plant was seen, as directions on the globe and in the year."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evaluation.observations import first_known
from featstore.catalog import months_of

if TYPE_CHECKING:
    import pandas as pd

_SHORTEST = 1e-6


@dataclass(frozen=True, eq=False)
class Records:
    """One row per observation.

    Parameters
    ----------
    observation_id, class_id, author
        (n,) class and author are ``""`` where unknown.
    place
        (n, 3) unit vectors from the centre of the earth, NaN where unknown.
    month
        (n, 2) unit vectors, December beside January, NaN where unknown.
    unread
        Dates that name no month.
    """

    observation_id: NDArray[np.str_]
    class_id: NDArray[np.str_]
    author: NDArray[np.str_]
    place: NDArray[np.float64]
    month: NDArray[np.float64]
    unread: tuple[str, ...] = ()

    def take(self, rows: NDArray[np.intp]) -> Records:
        """Give the records at positions `rows`, in that order."""
        return Records(
            self.observation_id[rows], self.class_id[rows], self.author[rows], self.place[rows], self.month[rows]
        )


def read_records(papers: pd.DataFrame) -> Records:
    """Collect the place and date of every observation from those of its images that have them.

    Where images of one plant differ, their mean direction counts. Latitude and longitude that are both 0 stand for
    unknown, as many exports have it. A photograph without observation is one of its own.
    """
    own = papers["observation_id"].where(papers["observation_id"] != "", papers["image_id"]).to_numpy(str)
    observation_id, index = np.unique(own, return_inverse=True)
    n = len(observation_id)
    dates = papers["date"].to_numpy(str)
    month_of = months_of(dates.tolist())
    months = np.array([month_of[date] or np.nan for date in dates])
    unread = np.unique(dates[(dates != "") & np.isnan(months)]).tolist()
    angle = 2 * np.pi * months / 12
    latitude, longitude = (papers[name].to_numpy(np.float64) for name in ("latitude", "longitude"))
    known = (np.abs(latitude) <= 90) & (np.abs(longitude) <= 180) & ((latitude != 0) | (longitude != 0))
    return Records(
        observation_id=observation_id,
        class_id=first_known(papers["class_id"].to_numpy(str), index, n),
        author=first_known(papers["author"].to_numpy(str), index, n),
        place=_mean_direction(unit_vectors(np.where(known, latitude, np.nan), longitude), index, n),
        month=_mean_direction(np.stack([np.cos(angle), np.sin(angle)], axis=1), index, n),
        unread=tuple(unread),
    )


def unit_vectors(latitude: NDArray[np.float64], longitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 3) from degrees (n,)."""
    north, east = np.radians(latitude), np.radians(longitude)
    return np.stack([np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)], axis=1)


def _mean_direction(vectors: NDArray[np.float64], index: NDArray[np.intp], n_groups: int) -> NDArray[np.float64]:
    total = np.zeros((n_groups, vectors.shape[1]))
    known = np.isfinite(vectors).all(axis=1)
    np.add.at(total, index[known], vectors[known])
    length = np.linalg.norm(total, axis=1, keepdims=True)
    # Opposite directions cancel: such a plant has none.
    return np.where(length > _SHORTEST, total / np.maximum(length, _SHORTEST), np.nan)
