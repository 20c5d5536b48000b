"""An entry of the leaderboard: one run with its figures, as its files tell them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from evaluation.classes import ClassScores, score_classes
from evaluation.comparison import BEST, LESS_BEST, in_words
from evaluation.intervals import Difference, difference
from evaluation.invariants import ALL_VIEWS
from evaluation.per_author import PerAuthor
from evaluation.predictions import Predictions
from evaluation.ranking import rank_predictions
from evaluation.runs import predictions_path, read_run_card
from evaluation.scores import METRICS, Score, score_predictions
from evaluation.simplest import Needs, needs_of
from evaluation.table import TITLES
from evaluation.unknown.detection import unknown_auroc
from featstore.provenance import Json
from heads.calibrating import Calibrated, read_calibrated
from heads.luck import read_spread
from heads.trial import OUT_OF_FOLD, Trial

SPLITS = ("train", "valid", "test")
"""Of train there are figures only out of fold."""
DECISIVE = "S"
"""Metric whose value on valid, over all views, decides."""
WHOLE = (ALL_VIEWS, DECISIVE)

COLUMNS = (
    "run", "S", "95 % of S", LESS_BEST, "S_image", "Top-1", "Top-3", "Top-5", "fit s", "images/s",
)  # fmt: skip
"""What `Entry.cells` tells."""
SECONDARY = ("images/s", "fit s", "Top-3", "S_image", "Top-5")
"""Columns that give way in a narrow terminal."""


@dataclass(frozen=True)
class Entry:
    """One run of the comparison.

    Attributes
    ----------
    trial
        What was tried.
    scores
        Its figures on valid and test, of all views together and of each.
    per_author
        S over all views by split, from which differences to other runs are judged.
    by_class
        By split, the figures of each class over all views.
    fit_seconds, refit_seconds
        Time to fit on train, and to fit again on train and valid; None where that was not done.
    images_per_second
        Speed of the head alone, on stored features; None for a failed run.
    calibrated
        What calibration found; None for a failed run.
    spread
        By split, mean and standard deviation of S over seeds, and their number.
    unknown_auroc
        By split, how well the run tells plants of species that were held out; empty where none were.
    needs
        What the run asks for: of equals the simplest is the best.
    reused
        Whether an earlier run with the same fingerprint was taken.
    remarks
        What is doubtful about its fits.
    error
        Why it failed, "" if it did not.
    """

    trial: Trial
    scores: tuple[Score, ...] = ()
    per_author: Mapping[str, PerAuthor] = field(default_factory=dict)
    by_class: Mapping[str, ClassScores] = field(default_factory=dict)
    fit_seconds: float | None = None
    refit_seconds: float | None = None
    images_per_second: float | None = None
    calibrated: Calibrated | None = None
    spread: Mapping[str, tuple[float, float, int]] = field(default_factory=dict)
    unknown_auroc: Mapping[str, float] = field(default_factory=dict)
    needs: Needs = field(default_factory=Needs)
    reused: bool = False
    remarks: tuple[str, ...] = ()
    error: str = ""

    def value(self, split: str, metric: str = DECISIVE) -> float | None:
        """A figure over all views, None where there is none."""
        found = self._score(split, metric)
        return found.value if found else None

    def figures(self, split: str) -> dict[str, float | None]:
        """Every metric of a split over all views."""
        return {metric: self.value(split, metric) for metric in METRICS}

    @property
    def n_observations(self) -> dict[str, int]:
        """Observations of known class that S is about, by split."""
        return {score.split: score.n_observations for score in self.scores if (score.view, score.metric) == WHOLE}

    def interval(self, split: str) -> tuple[float, float]:
        """Ends of the interval of S, NaN where there is none."""
        found = self._score(split, DECISIVE)
        return (found.low, found.high) if found else (math.nan, math.nan)

    def less(self, best: Entry | None, split: str) -> Difference:
        """How much S is above another run's, drawn with the same authors; NaN where one has none."""
        if best is None or split not in self.per_author or split not in best.per_author:
            return Difference(math.nan, math.nan, math.nan)
        return difference(self.per_author[split], best.per_author[split])

    def cells(self, split: str, best: Entry | None) -> list[str]:
        """Write the run's cells under `COLUMNS`, with the time of the fit behind them; "-" where there is no figure."""
        refitted = split == "test" and self.refit_seconds is not None
        figures = self.figures(split)
        first, *others = (_cell(figures[metric], 4) for metric in TITLES)
        low, high = self.interval(split)
        return [
            self.trial.name,
            first,
            "-" if math.isnan(low) else f"{low:.3f}-{high:.3f}",
            BEST if self is best else in_words(self.less(best, split)),
            *others,
            _cell(self.refit_seconds if refitted else self.fit_seconds, 1),
            _cell(self.images_per_second, 0),
        ]

    def _score(self, split: str, metric: str) -> Score | None:
        for score in self.scores:
            if (score.split, score.view, score.metric) == (split, ALL_VIEWS, metric):
                return score
        return None

    def to_json(self) -> dict[str, Json]:
        """Describe the run; its figures are rows of their own."""
        return {
            "run": self.trial.name,
            "backbone": self.trial.input,
            "head": self.trial.head,
            "settings": dict(self.trial.choice.settings),
            "fit_seconds": self.fit_seconds,
            "refit_seconds": self.refit_seconds,
            "images_per_second": self.images_per_second,
            "calibration": self._calibration(),
            "seeds": {
                split: {"mean": mean, "deviation": deviation, "n": n}
                for split, (mean, deviation, n) in self.spread.items()
            },
            "unknown_auroc": dict(self.unknown_auroc),
            "reused": self.reused,
            "remarks": list(self.remarks),
            "error": self.error,
        }

    def _calibration(self) -> dict[str, Json] | None:
        if self.calibrated is None:
            return None
        return {
            "temperatures": dict(self.calibrated.calibration.temperatures),
            "applied": self.calibrated.applied,
            "unseen": self.calibrated.unseen,
            "error": {
                split: {when: self.calibrated.error(split, when) for when in ("before", "after")}
                for split in self.calibrated.reliability
            },
        }


def read_entry(trial: Trial, folder: Path, *, reused: bool) -> Entry:
    """Read a run folder and score its predictions, so that what is reported is what the files say.

    Raises
    ------
    PredictionsError
        If a file is missing or damaged.
    """
    card = read_run_card(folder)
    details = card.details
    remarks = details.get("remarks")
    variants = (OUT_OF_FOLD if trial.protocol.n_folds else "none", "", "")
    paths = [predictions_path(folder, split, variant) for split, variant in zip(SPLITS, variants, strict=True)]
    predictions = [Predictions.read(path) for path in paths if path.is_file()]
    rejecting = {told.split: unknown_auroc(told) for told in predictions}
    ranked = {told.split: found for told in predictions if (found := rank_predictions(told).get(ALL_VIEWS))}
    spread = {split: read_spread(folder, split) for split in SPLITS}
    return Entry(
        trial=trial,
        scores=tuple(score for told in predictions for score in score_predictions(told)),
        per_author={split: total for split, rows in ranked.items() if (total := METRICS[DECISIVE](rows)) is not None},
        by_class={split: score_classes(rows) for split, rows in ranked.items()},
        fit_seconds=_seconds(details, "fit_seconds"),
        refit_seconds=_seconds(details, "refit_seconds"),
        images_per_second=predictions[-1].images_per_second,
        calibrated=read_calibrated(folder),
        spread={split: found for split, found in spread.items() if found is not None},
        unknown_auroc={split: found for split, found in rejecting.items() if found is not None},
        needs=needs_of(trial.name, [(card, False)]),
        reused=reused,
        remarks=tuple(str(remark) for remark in remarks) if isinstance(remarks, list) else (),
    )


def _cell(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _seconds(details: Mapping[str, Json], name: str) -> float | None:
    value = details.get(name)
    return float(value) if isinstance(value, int | float) else None
