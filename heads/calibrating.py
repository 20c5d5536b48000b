"""Calibration of a run: the temperature that valid chooses, and what it does to the calibration error."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.calibration import Calibration, cross_calibrated, fit_calibration, reliability
from evaluation.predictions import Predictions
from featstore.errors import PredictionsError
from featstore.provenance import Json, write_json

FILE = "calibration.json"
SCHEMA = "calibration/1"


@dataclass(frozen=True)
class Calibrated:
    """What calibration found for a run.

    Attributes
    ----------
    calibration
        The temperatures.
    applied
        Whether the run's predictions have them.
    unseen
        Whether tuning and early stopping never saw the photographs that chose them.
    reliability
        By split, then ``before`` and ``after``: `Reliability.to_json`. On photographs that choose the temperature, each
        half of the observations is judged by the other half's.
    """

    calibration: Calibration
    applied: bool
    unseen: bool
    reliability: Mapping[str, Mapping[str, Mapping[str, Json]]]

    def error(self, split: str, when: str) -> float | None:
        """Expected calibration error of a split, ``before`` or ``after``; None where nothing was known."""
        found = self.reliability.get(split, {}).get(when, {}).get("error")
        return float(found) if isinstance(found, int | float) else None

    def write(self, folder: Path) -> None:
        """Write ``calibration.json``, whole or not at all."""
        write_json(
            folder / FILE,
            {
                "schema": SCHEMA,
                "temperatures": dict(self.calibration.temperatures),
                "applied": self.applied,
                "unseen": self.unseen,
                "reliability": {
                    split: {when: dict(told) for when, told in found.items()}
                    for split, found in self.reliability.items()
                },
            },
        )


def calibrate(
    predictions: Mapping[str, Predictions], choosing: NDArray[np.bool_] | None, *, by_view: bool, apply: bool, seed: int
) -> tuple[Calibrated, dict[str, Predictions]]:
    """Choose temperatures on valid, and measure what they do on valid and test.

    Parameters
    ----------
    predictions
        Of valid, and of test if there is one.
    choosing
        (n,) which images of valid were kept for this choice; None for all, of which some chose other things, too.
    apply
        Whether the predictions that are given back have the temperatures.
    """
    valid = predictions["valid"]
    chooser = valid if choosing is None else valid.select(choosing)
    calibration = fit_calibration(chooser, by_view=by_view)
    after = {split: calibration.apply(told) for split, told in predictions.items()}
    judged = {**after, "valid": cross_calibrated(chooser, by_view=by_view, seed=seed)}
    before = {**predictions, "valid": chooser}
    found = {}
    for split in predictions:
        both = {"before": reliability(before[split]), "after": reliability(judged[split])}
        found[split] = {when: told.to_json() for when, told in both.items() if told is not None}
    told = Calibrated(calibration, apply, choosing is not None, found)
    return told, after if apply else dict(predictions)


def calibrate_out_of_fold(
    said: Predictions, predictions: Mapping[str, Predictions], *, by_view: bool, seed: int
) -> tuple[Calibrated, Predictions, dict[str, Predictions]]:
    """Choose temperatures on predictions out of fold, and bring those and all others to them.

    Parameters
    ----------
    said
        Out of fold: each photograph by a head that has not seen its plant. Each half of the observations gets the
        temperatures that the other half chose.
    predictions
        By split, as the head gave them.
    """
    calibration = fit_calibration(said, by_view=by_view)
    after = {split: calibration.apply(told) for split, told in predictions.items()}
    out_of_fold = cross_calibrated(said, by_view=by_view, seed=seed)
    found = {}
    judged = {"train": (said, out_of_fold), **{split: (told, after[split]) for split, told in predictions.items()}}
    for split, (before, brought) in judged.items():
        both = {"before": reliability(before), "after": reliability(brought)}
        found[split] = {when: told.to_json() for when, told in both.items() if told is not None}
    # Settings that were tuned have met the photographs that are predicted out of fold.
    unseen = said.unseen is not None and bool(said.unseen.all())
    return Calibrated(calibration, applied=True, unseen=unseen, reliability=found), out_of_fold, after


def read_calibrated(folder: Path) -> Calibrated | None:
    """Read the ``calibration.json`` of a run; None if it has none.

    Raises
    ------
    PredictionsError
        If it is damaged.
    """
    path = folder / FILE
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        temperatures = {str(view): float(value) for view, value in told["temperatures"].items()}
        return Calibrated(Calibration(temperatures), bool(told["applied"]), bool(told["unseen"]), told["reliability"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise PredictionsError("a readable calibration.json", f"{path}: {error}", "Fit the run again.") from error
