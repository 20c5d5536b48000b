"""Answering: an identification as it leaves the house, without an address of any file in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast
from urllib.parse import quote

from evaluation.identify import N_NEIGHBOURS, TOP
from evaluation.identify.answer import Candidate, Doubt, Identification, Step, Taxon, Vote
from evaluation.identify.contract import Photograph
from evaluation.identify.identify import UnreadableError
from evaluation.identify.opening import Panel
from evaluation.serve.gallery import Gallery
from evaluation.serve.refusal import RefusedError
from featstore.provenance import Json

PHOTOGRAPHS = "/api/photographs"


@dataclass(frozen=True)
class Similar:
    """A training photograph that looks like one of the plant's; `photograph` is the address of a small copy."""

    image_id: str
    class_id: str
    species: str
    cosine: float
    photograph: str


@dataclass(frozen=True)
class Answer:
    """What is known of a plant; for the description of the API, and held against real answers by the tests."""

    schema: Literal["identification/1"]
    ranking: list[Candidate]
    unknown: bool | None
    doubt: Doubt
    genus: Taxon | None
    family: Taxon | None
    photographs: list[Vote]
    build_up: list[Step]
    neighbours: dict[str, list[Similar]]
    models: list[str]
    rule: str
    seconds: float
    remarks: list[str]


@dataclass(frozen=True)
class Fault:
    """Why there is no answer; `photographs` are the numbers, from 1 on, of those at fault."""

    expected: str
    got: str
    remedy: str
    photographs: list[int]


@dataclass(frozen=True)
class Asking:
    """How plants are asked about.

    Attributes
    ----------
    top
        How many species are ranked.
    n_neighbours
        How many similar training photographs are looked for, of each photograph.
    """

    top: int = TOP
    n_neighbours: int = N_NEIGHBOURS


def answerer(panel: Panel, gallery: Gallery, asking: Asking) -> Callable[[Sequence[Photograph]], Identification]:
    """A function that answers for the photographs of one plant.

    It raises a `RefusedError` where none can be used.
    """

    def answer(photographs: Sequence[Photograph]) -> Identification:
        try:
            found = panel.identify(photographs, top=asking.top, n_neighbours=asking.n_neighbours)
        except UnreadableError as error:
            numbers = range(1, len(photographs) + 1)
            raise RefusedError(error.expected, error.got, error.remedy, photographs=numbers) from error
        gallery.remember(one for some in found.neighbours.values() for one in some)
        # What is doubtful about the models has been told where the server was started, with its paths.
        own = tuple(text for text in found.remarks if text not in panel.remarks)
        return replace(found, remarks=own)

    return answer


def told(found: Identification) -> dict[str, Json]:
    """Write an identification as JSON; files of this machine become addresses of the server, or names alone."""
    source = Path(found.doubt.source).name
    content = replace(found, doubt=replace(found.doubt, source=source)).to_json()
    neighbours = cast("dict[str, list[dict[str, Json]]]", content["neighbours"])
    for one in (one for some in neighbours.values() for one in some):
        del one["path"]
        one["photograph"] = f"{PHOTOGRAPHS}/{quote(str(one['image_id']), safe='')}"
    return content
