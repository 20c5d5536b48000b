"""Taxa: the genus and family of every class, and the probability of each, summed over its species."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from featstore.errors import DatasetError, listed

if TYPE_CHECKING:
    import pandas as pd

RANKS = ("species", "genus", "family")
"""From the lowest on."""
HIGHER = RANKS[1:]
_REMEDY = "Name a data set or store whose papers have Genus and Family: --papers."


@dataclass(frozen=True)
class Taxonomy:
    """Genus and family by class id.

    Parameters
    ----------
    taxon
        ``"genus"`` and ``"family"`` -> class id -> name; a class that is not there has none.
    """

    taxon: Mapping[str, Mapping[str, str]]

    @classmethod
    def from_papers(cls, papers: pd.DataFrame) -> Taxonomy:
        """Collect the taxa that any photograph of a class names; papers without them (test, as a rule) add none.

        Raises
        ------
        DatasetError
            If no class has a genus or family, or one has two.
        """
        found = cls.as_told(papers)
        if not all(found.taxon.values()):
            lacking = " and ".join(rank for rank in HIGHER if not found.taxon[rank])
            raise DatasetError("papers that name genus and family", f"no {lacking} of any class", _REMEDY)
        return found

    @classmethod
    def as_told(cls, papers: pd.DataFrame) -> Taxonomy:
        """As `from_papers`, of papers that may tell the one, or neither.

        Raises
        ------
        DatasetError
            If a class has two.
        """
        return cls({rank: _by_class(papers, rank) for rank in HIGHER})

    def of(self, class_id: NDArray[np.str_], rank: str) -> NDArray[np.str_]:
        """(n,) name of each class at a rank, ``""`` where it is unknown; a species is named by its class id."""
        if rank == RANKS[0]:
            return class_id
        names = self.taxon[rank]
        return np.array([names.get(str(one), "") for one in class_id.tolist()], dtype=np.str_)

    def complete(self, class_id: NDArray[np.str_]) -> NDArray[np.bool_]:
        """(n,) whether a class is named and both its genus and family are known."""
        named = [class_id, *(self.of(class_id, rank) for rank in HIGHER)]
        return np.asarray(np.logical_and.reduce([names != "" for names in named]), dtype=np.bool_)


@dataclass(frozen=True, eq=False)
class RolledUp:
    """Probabilities of the taxa of one rank.

    Parameters
    ----------
    name
        (g,) sorted, a class without a taxon at this rank being one of its own, named ``""``, at the end.
    probability
        (m, g), rows sum to 1.
    """

    name: NDArray[np.str_]
    probability: NDArray[np.float64]

    @property
    def best(self) -> NDArray[np.intp]:
        """(m,) column of the likeliest taxon, the first of equals."""
        return np.asarray(self.probability.argmax(axis=1), dtype=np.intp)

    @property
    def sure(self) -> NDArray[np.float64]:
        """(m,) its probability; 0 where it has no name to answer with."""
        highest = self.probability.max(axis=1)
        return np.where(self.name[self.best] == "", 0.0, highest)

    def columns_of(self, names: NDArray[np.str_]) -> NDArray[np.intp]:
        """(m,) column of each named taxon, -1 where it is none of them."""
        column = {name: number for number, name in enumerate(self.name.tolist()) if name}
        return np.array([column.get(name, -1) for name in names.tolist()], dtype=np.intp)


def roll_up(probability: NDArray[np.float64], classes: NDArray[np.str_], taxonomy: Taxonomy, rank: str) -> RolledUp:
    """Sum the probabilities (m, k) of the species of each taxon.

    Classes whose taxon is unknown are not thrown together: each stays by itself.
    """
    taxon = taxonomy.of(classes, rank)
    names = np.unique(taxon[taxon != ""])
    number = np.searchsorted(names, taxon)
    alone = np.flatnonzero(taxon == "")
    number[alone] = len(names) + np.arange(len(alone))
    summed = np.zeros((len(probability), len(names) + len(alone)))
    np.add.at(summed.T, number, probability.T)
    return RolledUp(np.concatenate([names, np.full(len(alone), "", dtype=names.dtype)]), summed)


def _by_class(papers: pd.DataFrame, rank: str) -> dict[str, str]:
    told = papers.loc[(papers["class_id"] != "") & (papers[rank] != ""), ["class_id", rank]].drop_duplicates()
    torn = told[told["class_id"].duplicated(keep=False)]
    if len(torn):
        cases = [f"{one}: {', '.join(sorted(found))}" for one, found in torn.groupby("class_id")[rank]]
        raise DatasetError(f"one {rank} per class", f"several for {listed(cases)}", "Correct the metadata.")
    return {str(class_id): str(name) for class_id, name in told.itertuples(index=False)}
