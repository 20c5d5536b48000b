"""Variations: the article's way, and each of its choices made otherwise, the others kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from featstore.backbones import Pooling


@dataclass(frozen=True)
class Variation:
    """One way through the study.

    Attributes
    ----------
    name
        Of its folder of runs.
    choice
        What it chooses otherwise than the article, ``""`` for the article's way.
    pooling, roi
        How features are made; see `featstore build`.
    min_vote
        Lowest vote of the photographs that are learnt from; None learns from all.
    suffix
        What follows a network's name in the name of these features.
    is_fine_tuned
        Whether whole networks are trained, too, besides heads.
    """

    name: str
    choice: str
    pooling: Pooling = "avg"
    roi: str = "article"
    min_vote: int | None = 2
    suffix: str = ""
    is_fine_tuned: bool = False

    @property
    def votes(self) -> str:
        """Which votes count, in words; unknown ones always do."""
        return "all" if self.min_vote is None else f"{self.min_vote} or more"


ARTICLE = Variation("article", "", is_fine_tuned=True)

VARIATIONS: Mapping[str, Variation] = MappingProxyType(
    {
        variation.name: variation
        for variation in (
            ARTICLE,
            Variation("max", "maximum pooling", pooling="max", suffix="-max"),
            Variation("whole", "no region of interest", roi="none", suffix="-whole", is_fine_tuned=True),
            Variation("all-votes", "all votes", min_vote=None),
            Variation("votes-3", "votes of 3 or more", min_vote=3, is_fine_tuned=True),
        )
    }
)
"""Name -> variation; the article's way first, the others are compared with it."""

HEADS = ("mlp", "logistic")
"""The article's selu head, and what it has to beat."""

FINE_TUNED = ("resnet50", "inception_v3")
"""The networks that the article found best."""

FINE_TUNING = "fine-tuning"
LEAVABLE = (*list(VARIATIONS)[1:], FINE_TUNING)
"""Parts that can be left out."""
