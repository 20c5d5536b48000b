"""The contract of identification: what a model is shown, and what it has to tell, whichever package it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

OPEN_VIEW = "Unknown"
"""View of a photograph whose organ nobody has named."""


@dataclass(frozen=True)
class Photograph:
    """A photograph that nobody has seen before.

    Attributes
    ----------
    image_id
        What it is called in the answer; every photograph of a plant has its own.
    path
        Its file.
    view
        One of `featstore.catalog.VIEWS`.
    """

    image_id: str
    path: Path
    view: str = OPEN_VIEW


@dataclass(frozen=True)
class Neighbour:
    """A photograph that a model has learnt from.

    Attributes
    ----------
    image_id, class_id
        Whose it is.
    cosine
        Of the angle between its features and those of the photograph that is asked about, in [-1, 1].
    path
        Its file; whether it is still there has not been looked up.
    """

    image_id: str
    class_id: str
    cosine: float
    path: str


class Identifier(Protocol):
    """A model that answers for photographs, with everything loaded that it takes.

    It may be asked by several threads at once.
    """

    @property
    def model(self) -> str:
        """Name of the model, as in tables."""
        ...

    @property
    def classes(self) -> NDArray[np.str_]:
        """(k,) raw class ids, sorted and unique."""
        ...

    @property
    def species(self) -> Mapping[str, str]:
        """Class id -> species name, "" where it is unknown."""
        ...

    @property
    def views(self) -> Mapping[str, bool]:
        """Every view that it has learnt, and whether such a photograph is cut otherwise than one of an open view.

        Empty where it is not known; a plug-in that lacks it is asked as if it were.
        """
        ...

    def probabilities(self, photographs: Sequence[Photograph]) -> tuple[NDArray[np.float32], dict[str, str]]:
        """Look at photographs.

        Returns
        -------
        probability : (n, k) float32
            One row per photograph, in their order and that of `classes`; rows sum to 1, and are NaN where the
            photograph could not be used.
        failures : dict[str, str]
            image_id and reason of every photograph that could not be used.
        """
        ...

    def nearest(self, photographs: Sequence[Photograph], n_neighbours: int) -> dict[str, list[Neighbour]]:
        """Find the photographs learnt from that look most like each one, within its view where that is named.

        Returns
        -------
        By image_id, most alike first; nothing for photographs that cannot be used, and an empty dict where the features
        of the photographs learnt from are not at hand.
        """
        ...
