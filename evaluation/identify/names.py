"""Names of the classes: species by the models, genus and family by the papers of the data set."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from evaluation.identify.contract import Identifier
from evaluation.papers import read_papers
from evaluation.taxonomy.taxa import Taxonomy
from featstore.errors import DatasetError

if TYPE_CHECKING:
    import pandas as pd

_BINOMIAL = re.compile(r"(?:[\u00d7x]\s*)?([A-ZÀ-Þ][\w-]+)\s+(?:[\u00d7x]\s*)?[a-zß-ÿ][\w.-]*")
"""A genus in capitals, and an epithet in small letters: "Acer campestre L.", "Platanus x hispanica"."""


@dataclass(frozen=True)
class Names:
    """What classes are called.

    Attributes
    ----------
    species
        Class id -> species name, "" where it is unknown.
    taxonomy
        Their genera and families.
    """

    species: Mapping[str, str]
    taxonomy: Taxonomy

    @classmethod
    def of(cls, identifiers: Sequence[Identifier], papers: str | None = None) -> Names:
        """Collect what models and, if they are named, the papers of a store or data set tell.

        A genus that no papers tell is read off a Latin species name.

        Raises
        ------
        DatasetError, StoreError
            If the papers cannot be read.
        """
        frame = read_papers(papers) if papers else None
        species: dict[str, str] = {} if frame is None else _species_in(frame)
        for one in identifiers:
            species |= {class_id: name for class_id, name in one.species.items() if name or class_id not in species}
        known = [class_id for one in identifiers for class_id in one.classes.tolist()]
        species = {class_id: species.get(class_id, "") for class_id in known}
        genus = {class_id: found for class_id, name in species.items() if (found := genus_of(name))}
        told = {} if frame is None else _taxa_in(frame)
        taxon = {"genus": {**genus, **told.get("genus", {})}, "family": dict(told.get("family", {}))}
        return cls(MappingProxyType(species), Taxonomy(taxon))


def genus_of(species: str) -> str:
    """Genus that a species name begins with, "" for a name that is not Latin.

    >>> genus_of("Acer campestre L."), genus_of("x Cuprocyparis leylandii"), genus_of("garden rose")
    ('Acer', 'Cuprocyparis', '')
    """
    found = _BINOMIAL.match(species.strip())
    return found.group(1) if found else ""


def _species_in(papers: pd.DataFrame) -> dict[str, str]:
    named = papers[papers["species"] != ""].drop_duplicates("class_id")
    return dict(zip(named["class_id"], named["species"], strict=True))


def _taxa_in(papers: pd.DataFrame) -> Mapping[str, Mapping[str, str]]:
    try:
        return Taxonomy.from_papers(papers).taxon
    except DatasetError:
        # Most data sets of one's own name no families.
        return {}
