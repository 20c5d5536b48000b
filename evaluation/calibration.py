"""Calibration: do probabilities mean what they say, and the temperature that makes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from evaluation.metrics import (
    N_BINS,
    NOT_LISTED,
    average_ranks,
    first_place_share,
    own_probability,
    part_of,
    true_indices,
)
from evaluation.observations import group_observations
from evaluation.predictions import Predictions
from evaluation.rows import Matrix
from evaluation.temperature import choose_temperature
from featstore.provenance import Json

ANY_VIEW = ""
_TINY = 1e-12


@dataclass(frozen=True)
class Calibration:
    """Temperatures for probabilities: above 1 makes them modest, below 1 bolder, 1 leaves them as they are.

    Attributes
    ----------
    temperatures
        By view; that of `ANY_VIEW` serves every view without its own.
    """

    temperatures: Mapping[str, float] = field(default_factory=lambda: {ANY_VIEW: 1.0})

    def of(self, views: NDArray[np.str_]) -> NDArray[np.float64]:
        """(n,) temperature of each view."""
        names, number = np.unique(views, return_inverse=True)
        common = self.temperatures[ANY_VIEW]
        return np.array([self.temperatures.get(str(name), common) for name in names])[number]

    def apply(self, predictions: Predictions) -> Predictions:
        """Give the same predictions at these temperatures; no image's ranking moves."""
        logits = _logits(predictions.probability) / self.of(predictions.view)[:, np.newaxis]
        return replace(predictions, probability=softmax(logits, axis=1).astype(np.float32))


def fit_calibration(predictions: Predictions, *, by_view: bool = False, min_images: int = 50) -> Calibration:
    """Choose the temperature at which the labels are likeliest; images of unknown or unlisted class are left aside.

    Parameters
    ----------
    by_view
        Also one for each view with at least `min_images` images.
    """
    number = true_indices(predictions.true_class, predictions.classes)
    # An unknown class, "", is listed nowhere either.
    known = number != NOT_LISTED
    if not known.any():
        return Calibration()
    logits = _logits(predictions.probability)
    rows = {ANY_VIEW: known}
    for view in np.unique(predictions.view[known]).tolist() if by_view else ():
        own = known & (predictions.view == view)
        if own.sum() >= min_images:
            rows[view] = own
    return Calibration({view: choose_temperature(logits[own], number[own]) for view, own in rows.items()})


def cross_calibrated(predictions: Predictions, *, by_view: bool, seed: int) -> Predictions:
    """Bring each half of the observations to the temperature that the other half chose.

    For judging what a temperature does on the photographs it is chosen on: none of them is judged by its own choice.
    """
    plants = group_observations(predictions).index
    half = np.random.default_rng(seed).permutation(int(plants.max()) + 1)[plants] % 2 == 0
    probability = predictions.probability.copy()
    for own in (half, ~half):
        if own.any() and not own.all():
            chosen = fit_calibration(predictions.select(~own), by_view=by_view)
            probability[own] = chosen.apply(predictions.select(own)).probability
    return replace(predictions, probability=probability)


@dataclass(frozen=True, eq=False)
class Reliability:
    """How often the first species is right, by how sure it was said to be.

    Attributes
    ----------
    confidence, accuracy
        (b,) mean of the highest probability and share of right answers in each of b equal parts of [0, 1]; NaN where
        there is no image.
    count
        (b,) images in each.
    """

    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    count: NDArray[np.int64]

    @property
    def error(self) -> float:
        """Expected calibration error [1]_, in [0, 1]: the mean distance of confidence and accuracy over all images.

        References
        ----------
        .. [1] C. Guo, G. Pleiss, Y. Sun, K. Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, eq. 3.
        """
        filled = self.count > 0
        distance = np.abs(self.confidence - self.accuracy)[filled]
        return float(np.average(distance, weights=self.count[filled]))

    def to_json(self) -> dict[str, Json]:
        """Bins with images, and the error."""
        filled = np.flatnonzero(self.count)
        return {
            "error": self.error,
            "confidence": self.confidence[filled].tolist(),
            "accuracy": self.accuracy[filled].tolist(),
            "count": self.count[filled].tolist(),
        }


def reliability(predictions: Predictions[Matrix], n_bins: int = N_BINS) -> Reliability | None:
    """Measure the images whose class is known and listed; None without any.

    A class that the model has never learnt is another question (`evaluation.unknown`): no temperature could mend it.
    """
    known = np.isin(predictions.true_class, predictions.classes)
    if not known.any():
        return None
    probability = predictions.probability[known]
    number = true_indices(predictions.true_class[known], predictions.classes)
    sure = probability.max(axis=1).astype(np.float64)
    right = first_place_share(average_ranks(probability, number), own_probability(probability, number), sure)
    part = part_of(sure, n_bins)
    count = np.bincount(part, minlength=n_bins)
    with np.errstate(invalid="ignore"):
        return Reliability(
            np.bincount(part, sure, n_bins) / count, np.bincount(part, right, n_bins) / count, count.astype(np.int64)
        )


def _logits(probability: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.asarray(np.log(np.maximum(probability.astype(np.float64), _TINY)))
