"""The leaderboard: every run of a comparison with its figures, and the best by valid alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.invariants import ALL_VIEWS
from evaluation.predictions import Predictions
from evaluation.runs import predictions_path, read_run_card
from evaluation.scores import METRICS, Score, score_predictions, scores_to_json, write_csv
from featstore.errors import PredictionsError
from featstore.provenance import Json, write_json
from heads.trial import Trial

SCHEMA = "leaderboard/1"
BEST_SCHEMA = "best/1"
SPLITS = ("valid", "test")
DECISIVE = "S"
"""Metric whose value on valid, over all views, decides."""

FINE_TUNED_HEAD = "mlp"
"""Head that `finetune run` can put on a backbone."""

TITLES = ("S", "S_image", "Top-1", "Top-3", "Top-5")
COLUMNS = ("run", *TITLES, "fit s", "images/s")
CSV_COLUMNS = (
    "run",
    "backbone",
    "head",
    *(f"{split}_{metric}" for split in SPLITS for metric in METRICS),
    "fit_seconds",
    "refit_seconds",
    "images_per_second",
    "error",
)


@dataclass(frozen=True)
class Entry:
    """One run of the comparison.

    Attributes
    ----------
    trial
        What was tried.
    scores
        Its figures on valid and test, of all views together and of each.
    fit_seconds, refit_seconds
        Time to fit on train, and to fit again on train and valid; None where that was not done.
    images_per_second
        Speed of the head alone, on stored features; None for a failed run.
    reused
        Whether an earlier run with the same fingerprint was taken.
    remarks
        What is doubtful about its fits.
    error
        Why it failed, "" if it did not.
    """

    trial: Trial
    scores: tuple[Score, ...] = ()
    fit_seconds: float | None = None
    refit_seconds: float | None = None
    images_per_second: float | None = None
    reused: bool = False
    remarks: tuple[str, ...] = ()
    error: str = ""

    def value(self, split: str, metric: str = DECISIVE) -> float | None:
        """A figure over all views, None where there is none."""
        for score in self.scores:
            if (score.split, score.view, score.metric) == (split, ALL_VIEWS, metric):
                return score.value
        return None

    def figures(self, split: str) -> dict[str, float | None]:
        """Every metric of a split over all views."""
        return {metric: self.value(split, metric) for metric in METRICS}

    def cells(self, split: str) -> list[str]:
        """Write the run's cells under `COLUMNS`, with the time of the fit behind them; "-" where there is no figure."""
        refitted = split == "test" and self.refit_seconds is not None
        figures = [_cell(value, 4) for value in self.figures(split).values()]
        return [
            self.trial.name,
            *figures,
            _cell(self.refit_seconds if refitted else self.fit_seconds, 1),
            _cell(self.images_per_second, 0),
        ]

    def to_json(self) -> dict[str, Json]:
        """Describe the run; its figures are rows of their own."""
        return {
            "run": self.trial.name,
            "backbone": self.trial.input,
            "head": self.trial.head,
            "fit_seconds": self.fit_seconds,
            "refit_seconds": self.refit_seconds,
            "images_per_second": self.images_per_second,
            "reused": self.reused,
            "remarks": list(self.remarks),
            "error": self.error,
        }


def read_entry(trial: Trial, folder: Path, *, reused: bool) -> Entry:
    """Read a run folder and score its predictions, so that what is reported is what the files say.

    Raises
    ------
    PredictionsError
        If a file is missing or damaged.
    """
    details = read_run_card(folder).details
    paths = [path for split in SPLITS if (path := predictions_path(folder, split)).is_file()]
    predictions = [Predictions.read(path) for path in paths]
    return Entry(
        trial=trial,
        scores=tuple(score for told in predictions for score in score_predictions(told)),
        fit_seconds=_seconds(details, "fit_seconds"),
        refit_seconds=_seconds(details, "refit_seconds"),
        images_per_second=predictions[-1].images_per_second,
        reused=reused,
        remarks=tuple(str(remark) for remark in _list(details, "remarks")),
    )


@dataclass(frozen=True)
class Leaderboard:
    """All runs of a comparison, the highest S on valid first, failed ones last.

    Attributes
    ----------
    entries
        In any order; they are sorted here.
    facts
        What was compared: store, data set, seed and so on, for the JSON document.
    warnings
        What is doubtful and was kept.
    """

    entries: tuple[Entry, ...]
    facts: Mapping[str, Json]
    warnings: tuple[str, ...]

    def __post_init__(self) -> None:
        # The sort is stable: of equals, the one that was tried first stands first.
        ordered = sorted(self.entries, key=lambda entry: -(entry.value("valid") or 0.0) if not entry.error else 1.0)
        object.__setattr__(self, "entries", tuple(ordered))

    @property
    def failed(self) -> tuple[Entry, ...]:
        """Runs that failed."""
        return tuple(entry for entry in self.entries if entry.error)

    @property
    def overall(self) -> Entry | None:
        """The best of all; None if every run failed."""
        return _first(self.entries)

    @property
    def finetune(self) -> Entry | None:
        """The best start for fine-tuning: a single network with the mlp; None if there is none."""
        # Networks behind imported features cannot be built here.
        foreign = set(_list(self.facts, "foreign"))
        alone = [entry for entry in self.entries if len(entry.trial.backbones) == 1]
        return _first([e for e in alone if e.trial.head == FINE_TUNED_HEAD and e.trial.backbones[0] not in foreign])

    def best(self) -> dict[str, Json]:
        """Give the content of ``best.json``."""
        return {"schema": BEST_SCHEMA, "finetune": _choice(self.finetune), "overall": _choice(self.overall)}

    def to_json(self) -> dict[str, Json]:
        """Give the whole comparison as one document; figures are rows as in ``scores.json``."""
        return {
            "schema": SCHEMA,
            **self.facts,
            "runs": [entry.to_json() for entry in self.entries],
            "scores": scores_to_json([score for entry in self.entries for score in entry.scores]),
            "best": self.best(),
            "warnings": list(self.warnings),
        }

    def write(self, out: Path) -> None:
        """Write leaderboard.csv, leaderboard.json and best.json, each whole or not at all."""
        write_csv(out / "leaderboard.csv", CSV_COLUMNS, [_csv_row(entry) for entry in self.entries])
        write_json(out / "leaderboard.json", self.to_json())
        best = self.best()
        best["finetune"] = best["finetune"] or _earlier_start(out)
        write_json(out / "best.json", best)


def _earlier_start(out: Path) -> Json:
    """The start for fine-tuning that an earlier comparison chose, if its run is still there."""
    try:
        earlier = json.loads((out / "best.json").read_text(encoding="utf-8"))["finetune"]
        read_run_card(out / Path(str(earlier["run"])).name)
    except (OSError, ValueError, KeyError, TypeError, PredictionsError):
        return None
    return dict(earlier)


def _first(entries: Sequence[Entry]) -> Entry | None:
    return next((entry for entry in entries if not entry.error), None)


def _choice(entry: Entry | None) -> Json:
    if entry is None:
        return None
    return {
        "run": entry.trial.name,
        "backbone": entry.trial.input,
        "head": entry.trial.head,
        "metric": DECISIVE,
        "value": entry.value("valid"),
    }


def _csv_row(entry: Entry) -> list[str]:
    figures = [value for split in SPLITS for value in entry.figures(split).values()]
    numbers = [*figures, entry.fit_seconds, entry.refit_seconds, entry.images_per_second]
    texts = ["" if number is None else str(number) for number in numbers]
    return [entry.trial.name, entry.trial.input, entry.trial.head, *texts, entry.error]


def _cell(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _seconds(details: Mapping[str, Json], name: str) -> float | None:
    value = details.get(name)
    return float(value) if isinstance(value, int | float) else None


def _list(details: Mapping[str, Json], name: str) -> list[Json]:
    value = details.get(name)
    return value if isinstance(value, list) else []
