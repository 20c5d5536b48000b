"""The best of several: the highest figure, and of those that only rounding tells apart the simplest."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from evaluation.runs import RunCard

EQUAL = 1e-9
"""Figures that differ by no more are equal: sums in another order differ by rounding."""
T = TypeVar("T")


@dataclass(frozen=True, order=True)
class Needs:
    """What an answer asks for: the less the simpler. Compared in this order, and nothing of it is measured time.

    Attributes
    ----------
    networks
        That a photograph passes through.
    augmented
        Whether varied copies of a photograph pass through them.
    features
        Of all these networks; infinite where that is not known.
    trained
        How many of them were fine-tuned.
    models
        That are fused.
    name
        Decides where all else is equal.
    """

    networks: int = 1
    augmented: bool = False
    features: float = math.inf
    trained: int = 0
    models: int = 1
    name: str = ""


def needs_of(name: str, parts: Iterable[tuple[RunCard | None, bool]]) -> Needs:
    """What a model, or a fusion of several, asks for.

    Parameters
    ----------
    name
        In tables.
    parts
        Of each model what its run folder says, None for a file without one, and whether its predictions are augmented.
    """
    features: dict[tuple[str, str], float] = {}
    n_models, any_augmented = 0, False
    for card, augmented in parts:
        n_models, any_augmented = n_models + 1, any_augmented or augmented
        if card is None:
            features[f"file {n_models}", ""] = math.inf
            continue
        # Heads share a frozen network; a fine-tuned one is a network of its own.
        own = card.model if card.kind == "finetuned" else ""
        features |= {(backbone, own): _n_features(card, backbone) for backbone in card.backbones}
    trained = sum(bool(own) for _, own in features)
    return Needs(len(features), any_augmented, sum(features.values()), trained, n_models, name)


def best_first(simplest_first: Iterable[T], value: Callable[[T], float]) -> list[T]:
    """Sort from the highest value down; values no more than `EQUAL` below the highest of them stay in their order.

    Parameters
    ----------
    simplest_first
        The simplest of equals is to come first, so it has to be first here.
    value
        Never NaN.

    >>> best_first(["simple", "large", "bad"], {"simple": 0.9, "large": 0.9 + 1e-16, "bad": 0.1}.__getitem__)
    ['simple', 'large', 'bad']
    """
    items = list(simplest_first)
    values = [value(item) for item in items]
    highest = values.copy()
    top = math.inf
    for number in sorted(range(len(items)), key=lambda number: -values[number]):
        if top - values[number] > EQUAL:
            top = values[number]
        highest[number] = top
    return [items[number] for number in sorted(range(len(items)), key=lambda number: -highest[number])]


def n_best(values: Sequence[float]) -> int:
    """How many of some values are equal to the highest."""
    return sum(max(values) - value <= EQUAL for value in values)


def _n_features(card: RunCard, backbone: str) -> float:
    told = card.details.get("features")
    number = told.get(backbone) if isinstance(told, dict) else None
    return number if isinstance(number, int) else math.inf
