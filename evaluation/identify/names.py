"""Names of the classes: species by the models, genus and family by the papers of the data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from evaluation.identify.contract import Identifier
from evaluation.papers import read_papers
from evaluation.taxonomy.taxa import HIGHER, Taxonomy

if TYPE_CHECKING:
    import pandas as pd


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

        Genus and family are what the papers tell: the first word of a name is none for whoever does not name by genera.

        Raises
        ------
        DatasetError, StoreError
            If the papers cannot be read, or tell two genera or families of a class.
        """
        frame = read_papers(papers) if papers else None
        species: dict[str, str] = {} if frame is None else _species_in(frame)
        for one in identifiers:
            species |= {class_id: name for class_id, name in one.species.items() if name or class_id not in species}
        known = [class_id for one in identifiers for class_id in one.classes.tolist()]
        species = {class_id: species.get(class_id, "") for class_id in known}
        taxonomy = Taxonomy({rank: {} for rank in HIGHER}) if frame is None else Taxonomy.as_told(frame)
        return cls(MappingProxyType(species), taxonomy)


def _species_in(papers: pd.DataFrame) -> dict[str, str]:
    named = papers[papers["species"] != ""].drop_duplicates("class_id")
    return dict(zip(named["class_id"], named["species"], strict=True))
