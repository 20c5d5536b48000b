"""Doubt: below which probability a plant is likely of a species that the models have not learnt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evaluation.identify.answer import Doubt
from evaluation.predictions import SUFFIX
from evaluation.unknown.report import FOLDER
from evaluation.unknown.threshold import FILE, Chosen, read_chosen
from featstore.errors import SettingsError
from featstore.provenance import sha256_of_file

SCORE = "max_probability"
"""The rejection score of `evaluate unknown` that is asked; it needs no more than the answer itself."""
_FEW = 0.5
"""A threshold that knows a smaller share of the plants of unknown species is told."""


@dataclass(frozen=True)
class Threshold:
    """From which probability of the likeliest species on a plant is named, and who says so."""

    accept_from: float
    source: str


def threshold_of(run: Path) -> tuple[Threshold | None, list[str]]:
    """The threshold that `evaluate unknown` wrote for a run, where it writes it by default, and what is doubtful.

    None if it wrote none, or one that was chosen from other predictions than the run's own.

    Raises
    ------
    PredictionsError
        If the file is damaged.
    """
    path = next((path for path in (run / FILE, run.parent / FOLDER / run.name / FILE) if path.is_file()), None)
    if path is None:
        return None, []
    chosen = read_chosen(path, SCORE)
    own = (sha256_of_file(file) for file in run.glob(f"*{SUFFIX}"))
    if chosen.chosen_from not in own:
        told = f"The threshold in {path} was chosen from other predictions than those of {run}"
        return None, [f"{told}: nothing is said to be unknown. Choose one: `evaluate unknown {run}`."]
    return Threshold(chosen.accept_from, str(path)), _how_well(chosen)


def _how_well(chosen: Chosen) -> list[str]:
    """What is known of a threshold against plants of unknown species, if that is a reason not to trust it."""
    if not chosen.unknown_rejected:
        told = "The threshold was never tried on plants of unknown species: whether it knows them is not known"
        return [f"{told} (`heads compare --hold-out-species` and `evaluate unknown` tell)."]
    split, share = list(chosen.unknown_rejected.items())[-1]
    return [f"Of the plants of unknown species of {split} the threshold knew {share:.0%}."] if share < _FEW else []


def named_threshold(text: str) -> tuple[Threshold, list[str]]:
    """The threshold that the command line names - a probability, or a ``threshold.json`` - and what is doubtful.

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
        chosen = read_chosen(path, SCORE)
        return Threshold(chosen.accept_from, str(path)), _how_well(chosen)
    if not 0 <= value <= 1:
        raise SettingsError("a threshold from 0 to 1, or a threshold.json", text, "Correct --threshold.")
    return Threshold(value, "--threshold"), []


def doubt_of(value: float, threshold: Threshold | None) -> Doubt:
    """Compare the probability of the likeliest species with the threshold."""
    if threshold is None:
        return Doubt(None, SCORE, value)
    return Doubt(value < threshold.accept_from, SCORE, value, threshold.accept_from, threshold.source)
