"""How several models and photographs become one answer: a fixed rule, or what `evaluate fuse` has fitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.alignment import align
from evaluation.fusion import fuse
from evaluation.identify.contract import Identifier, Photograph
from evaluation.learning import Fit
from evaluation.predictions import Predictions
from evaluation.recipes import Recipe
from evaluation.runs import RULE, RunCard

PLANT = "plant"
SPLIT = "test"
"""What answers to photographs outside of a comparison are filed under, as `heads predict` does."""


@dataclass(frozen=True, eq=False)
class Fusing:
    """A recipe, and what it has learnt.

    Attributes
    ----------
    recipe
        How rows (photograph x model) become one.
    fit
        Learned rule and temperatures, of a fusion that has some.
    """

    recipe: Recipe = field(default_factory=Recipe)
    fit: Fit = field(default_factory=Fit)

    @property
    def name(self) -> str:
        """What the recipe is called."""
        return self.recipe.name

    @classmethod
    def of_fusion(cls, folder: Path, card: RunCard) -> Fusing:
        """How a fusion that `evaluate fuse` wrote fuses.

        Raises
        ------
        PredictionsError
            If the card or its fitted rule is damaged.
        """
        from evaluation.again import recipe_of

        recipe = recipe_of(card)
        return cls(recipe, Fit.read(folder / RULE) if recipe.needs_learning else Fit())

    def fuse(self, members: Sequence[Predictions]) -> NDArray[np.float64]:
        """Fuse what every model says of the same photographs of one plant, (k,), sum 1."""
        aligned = align(members)
        return np.asarray(fuse(self.fit.calibrated(aligned), self.recipe, self.fit.rule).probability[0])


def as_predictions(
    identifier: Identifier, photographs: Sequence[Photograph], probability: NDArray[np.float32]
) -> Predictions:
    """Join what a model says, (n, k), to its photographs, all of one plant."""
    n = len(photographs)
    empty = np.full(n, "")
    return Predictions(
        model=identifier.model,
        split=SPLIT,
        image_id=np.array([one.image_id for one in photographs], dtype=np.str_),
        observation_id=np.full(n, PLANT),
        author=empty,
        view=np.array([one.view for one in photographs], dtype=np.str_),
        true_class=empty,
        classes=identifier.classes,
        probability=probability,
    )


def silent(identifiers: Sequence[Identifier]) -> list[Predictions]:
    """What models that know nothing would say of one photograph; whatever takes it takes their answers."""
    one = [Photograph("photograph", Path())]
    even = [np.full((1, len(model.classes)), 1 / len(model.classes), dtype=np.float32) for model in identifiers]
    return [as_predictions(model, one, row) for model, row in zip(identifiers, even, strict=True)]
