"""Identifying: a run that was compared answers for photographs that are in no store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.identify.contract import Identifier, Neighbour, Photograph
from evaluation.identify.fusing import as_predictions
from evaluation.runs import read_run_card
from featstore.errors import PredictionsError
from heads.asking import answering_head, require_same_features
from heads.calibrating import Calibrated, read_calibrated
from heads.head import Head
from heads.learnt import views_learnt
from heads.looking import ONE_AT_A_TIME, Sight, open_sight, open_store


@dataclass(frozen=True, eq=False)
class HeadIdentifier:
    """The head of a run, and the networks that it has learnt to read; see `Identifier`."""

    model: str
    species: Mapping[str, str]
    views: Mapping[str, bool]
    head: Head
    calibrated: Calibrated | None
    sight: Sight

    @property
    def classes(self) -> NDArray[np.str_]:
        """(k,) raw class ids."""
        return self.head.classes_

    def probabilities(self, photographs: Sequence[Photograph]) -> tuple[NDArray[np.float32], dict[str, str]]:
        """See `Identifier.probabilities`."""
        features, failures = self.sight.rows.of(photographs)
        probability = np.full((len(photographs), len(self.classes)), np.nan, dtype=np.float32)
        good = [place for place, one in enumerate(photographs) if one.image_id not in failures]
        if good:
            probability[good] = self._answers([photographs[place] for place in good], features[good])
        return probability, failures

    def nearest(self, photographs: Sequence[Photograph], n_neighbours: int) -> dict[str, list[Neighbour]]:
        """See `Identifier.nearest`."""
        return self.sight.nearest(photographs, n_neighbours)

    def _answers(self, photographs: Sequence[Photograph], features: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the head says, at the temperatures of its run, if these were applied to its own predictions."""
        views = np.array([one.view for one in photographs], dtype=np.str_)
        with ONE_AT_A_TIME:
            probability = self.head.predict_proba(features, views)
        if self.calibrated is None or not self.calibrated.applied:
            return probability
        return self.calibrated.calibration.apply(as_predictions(self, photographs, probability)).probability


def open_run(run: Path, *, store: str | None, photos: Path | None, weights: str | None) -> Identifier:
    """Open a run of `heads compare`; see `evaluation.identify.plugins.OpenRun`."""
    card = read_run_card(run)
    if card.kind != "head":
        raise PredictionsError("a run of `heads compare`", f"{card.kind} in {run}", "Name another run.")
    features = open_store(run, store)
    require_same_features(card, features)
    sight = open_sight(run, card, features, card.backbones, photos=photos, weights=weights)
    views = views_learnt(run, sight.recipes.values())
    return HeadIdentifier(card.model, card.classes, views, answering_head(run), read_calibrated(run), sight)
