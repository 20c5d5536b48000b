"""Doubt: below which probability a plant is likely of a species that the models have not learnt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evaluation.identify.answer import Doubt
from evaluation.unknown.report import FOLDER
from evaluation.unknown.threshold import FILE, read_threshold
from featstore.errors import SettingsError

SCORE = "max_probability"
"""The rejection score of `evaluate unknown` that is asked; it needs no more than the answer itself."""


@dataclass(frozen=True)
class Threshold:
    """From which probability of the likeliest species on a plant is named, and who says so."""

    accept_from: float
    source: str


def threshold_of(run: Path) -> Threshold | None:
    """The threshold that `evaluate unknown` wrote for a run, where it writes it by default; None if it did not.

    Raises
    ------
    PredictionsError
        If the file is damaged.
    """
    for path in (run / FILE, run.parent / FOLDER / run.name / FILE):
        if path.is_file():
            return Threshold(read_threshold(path, SCORE), str(path))
    return None


def named_threshold(text: str) -> Threshold:
    """The threshold that the command line names: a probability, or a ``threshold.json``.

    Raises
    ------
    PredictionsError
        If there is no such file, or it is damaged.
    SettingsError
        If a number is no probability.
    """
    try:
        value = float(text)
    except ValueError:
        path = Path(text)
        path = path / FILE if path.is_dir() else path
        return Threshold(read_threshold(path, SCORE), str(path))
    if not 0 <= value <= 1:
        raise SettingsError("a threshold from 0 to 1, or a threshold.json", text, "Correct --threshold.")
    return Threshold(value, "--threshold")


def doubt_of(value: float, threshold: Threshold | None) -> Doubt:
    """Compare the probability of the likeliest species with the threshold."""
    if threshold is None:
        return Doubt(None, SCORE, value)
    return Doubt(value < threshold.accept_from, SCORE, value, threshold.accept_from, threshold.source)
