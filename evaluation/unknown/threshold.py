"""Thresholds: below which score a plant is answered with "unknown species", chosen where nothing is reported."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evaluation.unknown.detection import Accepted, Plants
from featstore.errors import PredictionsError, SettingsError
from featstore.provenance import Json, provenance, write_json

SCHEMA = "threshold/2"
FILE = "threshold.json"
REBUILD = "Write it again with `evaluate unknown`."
_ROUNDING = 1e-9

Kind = Literal["coverage", "precision"]


@dataclass(frozen=True)
class Target:
    """What a threshold is to reach on the plants it is chosen on.

    Parameters
    ----------
    kind
        ``"coverage"``: so large a share of plants of known species is accepted; ``"precision"``: so large a share of
        the accepted plants is rightly named, every answer about an unknown species being wrong.
    level
        In (0, 1].

    Raises
    ------
    SettingsError
        If the level is out of range.
    """

    kind: Kind = "coverage"
    level: float = 0.95

    def __post_init__(self) -> None:
        if not 0 < self.level <= 1:
            raise SettingsError(f"a {self.kind} above 0 and at most 1", f"{self.level:g}", "Pass 0.95, for example.")

    def __str__(self) -> str:
        """Say it in a table."""
        return f"{self.kind} {self.level:g}"


def choose_threshold(plants: Plants, score: NDArray[np.float64], target: Target) -> float | None:
    """Choose a threshold: a plant is accepted if its score is at least that.

    Parameters
    ----------
    plants
        m plants, of valid or out of fold.
    score
        (m,) higher for plants that are surely known.

    Returns
    -------
    For coverage the highest threshold that reaches it, for precision the lowest; None if none does.
    """
    if not plants.n_known:
        return None
    accepted = Accepted.of(plants, score)
    good = np.flatnonzero(_REACHED[target.kind](accepted) >= target.level - _ROUNDING)
    if not len(good):
        return None
    # Thresholds fall: the first is the highest.
    return float(accepted.threshold[good[0 if target.kind == "coverage" else -1]])


def _coverage(accepted: Accepted) -> NDArray[np.float64]:
    return np.asarray(accepted.known[0] / accepted.n_known[0])


def _precision(accepted: Accepted) -> NDArray[np.float64]:
    return np.asarray(accepted.right[0] / (accepted.known[0] + accepted.unknown[0]))


_REACHED: Mapping[Kind, Callable[[Accepted], NDArray[np.float64]]] = MappingProxyType(
    {"coverage": _coverage, "precision": _precision}
)


@dataclass(frozen=True)
class Thresholds:
    """The thresholds of one run, one for each score, as later commands read them.

    Parameters
    ----------
    run
        Name of the model.
    chosen_on
        ``"valid"``, or ``"oof"`` for predictions out of fold.
    chosen_from
        SHA-256 of the file of these predictions: of another run they are others.
    target
        What they were chosen for.
    value
        Name of a score -> lowest score that is accepted.
    reached
        Name of a score -> split -> what the threshold truly reaches there: coverage, unknown_rejected and precision,
        as far as there are such plants.
    """

    run: str
    chosen_on: str
    chosen_from: str
    target: Target
    value: Mapping[str, float]
    reached: Mapping[str, Mapping[str, Mapping[str, float]]]

    def write(self, folder: Path) -> Path:
        """Write ``threshold.json`` (schema threshold/2)."""
        scores: dict[str, Json] = {
            name: {"accept_from": value, "reached": {split: dict(found) for split, found in self.reached[name].items()}}
            for name, value in self.value.items()
        }
        write_json(
            folder / FILE,
            {
                "schema": SCHEMA,
                "run": self.run,
                "chosen_on": self.chosen_on,
                "chosen_from": self.chosen_from,
                "target": {"kind": self.target.kind, "level": self.target.level},
                "scores": scores,
                "provenance": provenance(),
            },
        )
        return folder / FILE


@dataclass(frozen=True)
class Chosen:
    """A threshold of one score, as it was written.

    Attributes
    ----------
    accept_from
        The lowest value that is accepted.
    chosen_from
        SHA-256 of the predictions that it was chosen from.
    unknown_rejected
        By split, the share of the plants of unknown species that it rejects there; empty where none were met.
    """

    accept_from: float
    chosen_from: str
    unknown_rejected: Mapping[str, float]


def read_threshold(path: Path, score: str = "max_probability") -> float:
    """Read the lowest value of a score that is accepted; see `read_chosen`."""
    return read_chosen(path, score).accept_from


def read_chosen(path: Path, score: str = "max_probability") -> Chosen:
    """Read the threshold of a score.

    Raises
    ------
    PredictionsError
        If the file is absent, damaged, of another schema, or has no threshold for the score.
    """
    try:
        content: Json = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise PredictionsError("a file of thresholds", f"{path}, which is not there", REBUILD) from error
    except ValueError as error:
        raise PredictionsError("JSON text", f"{path}: {error}", REBUILD) from error
    schema = content.get("schema") if isinstance(content, dict) else None
    if not isinstance(content, dict) or schema != SCHEMA:
        raise PredictionsError(f"schema {SCHEMA}", f"{schema!r} in {path}", REBUILD)
    scores = content.get("scores")
    entry = scores.get(score) if isinstance(scores, dict) else None
    value = entry.get("accept_from") if isinstance(entry, dict) else None
    chosen_from = content.get("chosen_from")
    if not isinstance(entry, dict) or not isinstance(value, int | float) or not isinstance(chosen_from, str):
        known = ", ".join(scores) if isinstance(scores, dict) else "none"
        raise PredictionsError(f"a threshold for {score}", f"those for {known} in {path}", REBUILD)
    return Chosen(float(value), chosen_from, dict(_rejected(entry.get("reached"))))


def _rejected(reached: Json) -> Iterator[tuple[str, float]]:
    for split, found in reached.items() if isinstance(reached, dict) else ():
        share = found.get("unknown_rejected") if isinstance(found, dict) else None
        if isinstance(share, int | float):
            yield split, float(share)
