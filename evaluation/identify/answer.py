"""The answer about one plant, as it is shown and written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import cast

from evaluation.identify.contract import Neighbour
from featstore.provenance import Json

SCHEMA = "identification/1"


@dataclass(frozen=True)
class Candidate:
    """A species that the plant may be.

    Attributes
    ----------
    species, genus, family
        Names, "" where they are unknown.
    probability
        In [0, 1].
    """

    class_id: str
    species: str
    probability: float
    genus: str = ""
    family: str = ""


@dataclass(frozen=True)
class Taxon:
    """The likeliest genus or family, and its probability: the sum over its species."""

    name: str
    probability: float


@dataclass(frozen=True)
class Doubt:
    """Whether the plant is likely of a species that the models have not learnt.

    Attributes
    ----------
    unknown
        None where no threshold is known.
    score
        What is compared with the threshold, ``"max_probability"``: the probability of the likeliest species.
    value
        Its value for this plant.
    accept_from
        The threshold: from this value on the plant is named.
    source
        Where the threshold comes from.
    """

    unknown: bool | None
    score: str
    value: float
    accept_from: float | None = None
    source: str = ""


@dataclass(frozen=True)
class Vote:
    """What one photograph alone says.

    Attributes
    ----------
    ranking
        The likeliest species by this photograph, empty where it could not be used.
    failure
        Why it could not be used, None where it was.
    """

    image_id: str
    view: str
    ranking: tuple[Candidate, ...] = ()
    failure: str | None = None


@dataclass(frozen=True)
class Step:
    """The ranking after the photographs up to and including one of them."""

    image_id: str
    ranking: tuple[Candidate, ...]


@dataclass(frozen=True)
class Identification:
    """What models say of one plant.

    Attributes
    ----------
    ranking
        The likeliest species first, by all photographs that could be used.
    doubt
        Whether it is likely none of those.
    genus, family
        None where no likely species has one that is known.
    photographs
        What each photograph says alone, in the order in which they were given.
    build_up
        How the ranking grew, photograph by photograph, without those that failed.
    neighbours
        By image_id: the photographs learnt from that look most like it.
    models, rule
        What was fused, and how.
    seconds
        How long it took, models loaded before not counted.
    remarks
        What is doubtful, one sentence each.
    species
        Class id -> species name of all classes.
    """

    ranking: tuple[Candidate, ...]
    doubt: Doubt
    genus: Taxon | None
    family: Taxon | None
    photographs: tuple[Vote, ...]
    build_up: tuple[Step, ...]
    neighbours: Mapping[str, Sequence[Neighbour]]
    models: tuple[str, ...]
    rule: str
    seconds: float
    remarks: tuple[str, ...] = ()
    species: Mapping[str, str] = field(default_factory=dict)

    @property
    def failures(self) -> dict[str, str]:
        """image_id and reason of every photograph that could not be used."""
        return {vote.image_id: vote.failure for vote in self.photographs if vote.failure is not None}

    def to_json(self) -> dict[str, Json]:
        """Give the answer as a document of schema identification/1."""
        alike = {
            image_id: [{**asdict(one), "species": self.species.get(one.class_id, "")} for one in some]
            for image_id, some in self.neighbours.items()
        }
        return {
            "schema": SCHEMA,
            "ranking": _told(self.ranking),
            "unknown": self.doubt.unknown,
            "doubt": asdict(self.doubt),
            "genus": asdict(self.genus) if self.genus else None,
            "family": asdict(self.family) if self.family else None,
            "photographs": _told(self.photographs),
            "build_up": _told(self.build_up),
            "neighbours": cast("Json", alike),
            "models": list(self.models),
            "rule": self.rule,
            "seconds": self.seconds,
            "remarks": list(self.remarks),
        }


def _told(entries: Sequence[Candidate | Vote | Step]) -> list[Json]:
    return [cast("Json", asdict(entry)) for entry in entries]
