"""Scores: one row per run, view and metric, for models and fusions alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np

from evaluation.cells import as_json, write_csv
from evaluation.fused import FusedPlaces
from evaluation.intervals import intervals
from evaluation.invariants import ALL_VIEWS
from evaluation.metrics import (
    UNKNOWN_AUTHORS,
    UnknownAuthor,
    calibration_error,
    class_mean,
    image_score,
    log_loss,
    observation_score,
    plant_mean,
    reciprocal_rank,
    top_k_score,
)
from evaluation.per_author import PerAuthor
from evaluation.predictions import Predictions
from evaluation.ranking import Ranked, rank_fused, rank_predictions
from evaluation.rows import Matrix
from featstore.errors import SettingsError
from featstore.provenance import Json, write_json

SCHEMA = "scores/1"


@dataclass(frozen=True)
class Score:
    """One figure.

    Parameters
    ----------
    run
        Name of the model, or ``fusion:<rule>``.
    split
        ``"train"``, ``"valid"`` or ``"test"``.
    view
        The view whose images alone were used, or ``"all"``.
    metric
        A name in `METRICS`, or ``top_<k>``.
    value
        The figure, finite.
    low, high
        Ends of its 95 % interval by `evaluation.intervals`, NaN with fewer than two authors.
    n_observations
        Observations of known class behind it, at least 1; for a metric that looks at listed species alone, those.
    """

    run: str
    split: str
    view: str
    metric: str
    value: float
    low: float
    high: float
    n_observations: int

    def __post_init__(self) -> None:
        # Written by this package alone: a failure here is a defect, not a user's mistake.
        if not math.isfinite(self.value) or self.n_observations < 1:
            raise ValueError(f"a finite score over at least one observation, got {self}")


def _s(ranked: Ranked) -> PerAuthor:
    return observation_score(reciprocal_rank(ranked.rank), ranked.user)


def _s_image(ranked: Ranked) -> PerAuthor | None:
    if not len(ranked.image_rank):
        return None
    return image_score(reciprocal_rank(ranked.image_rank), ranked.plant, ranked.user)


def _top_k(ranked: Ranked, *, k: int) -> PerAuthor:
    return top_k_score(ranked.rank, k, ranked.user)


def _mrr(ranked: Ranked) -> PerAuthor:
    return plant_mean(reciprocal_rank(ranked.rank), ranked.user)


def _class_mrr(ranked: Ranked) -> PerAuthor:
    return class_mean(reciprocal_rank(ranked.rank), ranked.true_class, ranked.user)


def _class_top_1(ranked: Ranked) -> PerAuthor:
    return class_mean((ranked.rank <= 1).astype(np.float64), ranked.true_class, ranked.user)


def _log_loss(ranked: Ranked) -> PerAuthor | None:
    if not len(ranked.own) or not ranked.listed.any():
        return None
    return log_loss(ranked.own, ranked.listed, ranked.user)


def _calibration_error(ranked: Ranked) -> PerAuthor | None:
    if not len(ranked.own) or not ranked.listed.any():
        return None
    return calibration_error(ranked.confidence, ranked.right, ranked.listed, ranked.user)


SCORE_COLUMNS = tuple(column.name for column in fields(Score))


@dataclass(frozen=True)
class Metric:
    """A figure of merit; called with places, it gives the figure, or None where it has nothing to look at.

    Parameters
    ----------
    measure
        What it computes.
    higher_is_better
        False for a loss or an error.
    listed_only
        Whether plants of a species outside the classes are left aside instead of counting as wrong.
    """

    measure: Callable[[Ranked], PerAuthor | None]
    higher_is_better: bool = True
    listed_only: bool = False

    def __call__(self, ranked: Ranked) -> PerAuthor | None:
        """Measure."""
        return self.measure(ranked)

    def n_observations(self, ranked: Ranked) -> int:
        """How many plants the figure rests on."""
        return int(np.count_nonzero(ranked.listed)) if self.listed_only else len(ranked.rank)


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        "S": Metric(_s),
        "S_image": Metric(_s_image),
        "top_1": Metric(partial(_top_k, k=1)),
        "top_3": Metric(partial(_top_k, k=3)),
        "top_5": Metric(partial(_top_k, k=5)),
        "mrr": Metric(_mrr),
        "class_mrr": Metric(_class_mrr),
        "class_top_1": Metric(_class_top_1),
        "log_loss": Metric(_log_loss, higher_is_better=False, listed_only=True),
        "calibration_error": Metric(_calibration_error, higher_is_better=False, listed_only=True),
    }
)
"""Name -> metric; what ends in ``loss`` or ``error`` is better low, all else high."""


@dataclass(frozen=True)
class Scoring:
    """What is scored beyond the usual, and how.

    Parameters
    ----------
    top
        Further k of Top-k, each at least 1.
    unknown_author
        ``"own"``: every observation without author is a user of its own; ``"one"``: all of them are one user's.

    Raises
    ------
    SettingsError
        If a k is below 1, or there is no such way with unknown authors.
    """

    top: tuple[int, ...] = ()
    unknown_author: UnknownAuthor = "own"

    def __post_init__(self) -> None:
        for k in self.top:
            if k < 1:
                raise SettingsError("a k of Top-k of at least 1", f"{k}", "Pass `--top 10`, for example.")
        if self.unknown_author not in UNKNOWN_AUTHORS:
            expected = f"unknown authors as {' or '.join(UNKNOWN_AUTHORS)}"
            raise SettingsError(expected, f"{self.unknown_author!r}", "Pass one of these to `--unknown-author`.")

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """`METRICS` and the further Top-k, in the order of k."""
        further = {f"top_{k}": Metric(partial(_top_k, k=k)) for k in sorted(self.top)}
        return MappingProxyType({**METRICS, **further})


USUAL = Scoring()


def score_predictions(
    predictions: Predictions[Matrix], run: str | None = None, scoring: Scoring = USUAL
) -> list[Score]:
    """Score one model: the images of an observation are averaged, S_image looks at each image alone.

    Parameters
    ----------
    predictions
        Images of unknown class are left out; a class outside `classes` counts 0.
    run
        Name in the scores; the model's own by default.
    scoring
        What is scored, and how.

    Returns
    -------
    list[Score]
        View ``"all"`` first, then every view that occurs, from the images of that view alone. Empty when no
        true class is known.

    Raises
    ------
    PredictionsError
        If images of one observation name different classes.
    """
    name = run or predictions.model
    return [
        score
        for view, ranked in rank_predictions(predictions, scoring.unknown_author).items()
        for score in score_ranked(ranked, name, predictions.split, view, scoring)
    ]


def score_fused(fused: FusedPlaces, run: str, scoring: Scoring = USUAL) -> list[Score]:
    """Score a fusion over all views.

    Parameters
    ----------
    fused
        As in `evaluation.ranking.rank_fused`; `FusedPlaces.of` makes it of answers that are in memory.
    run
        Name in the scores, ``fusion:<rule>``.
    scoring
        What is scored, and how.

    Returns
    -------
    list[Score]
        View ``"all"``; empty when no true class is known.
    """
    ranked = rank_fused(fused, scoring.unknown_author)
    return [] if ranked is None else score_ranked(ranked, run, fused.split, ALL_VIEWS, scoring)


def score_ranked(ranked: Ranked, run: str, split: str, view: str, scoring: Scoring = USUAL) -> list[Score]:
    """Score places by every metric that they have a figure for, with intervals."""
    metrics = scoring.metrics
    sums = {name: found for name, metric in metrics.items() if (found := metric(ranked)) is not None}
    ends = intervals(list(sums.values()))
    return [
        Score(run, split, view, name, found.value, *low_and_high, metrics[name].n_observations(ranked))
        for (name, found), low_and_high in zip(sums.items(), ends, strict=True)
    ]


def score_to_json(score: Score) -> dict[str, Json]:
    """A score as a JSON object; NaN becomes null."""
    return as_json(score)


def score_cells(score: Score) -> list[str]:
    """Cells of a score under `SCORE_COLUMNS`; NaN is empty."""
    return ["" if cell is None else str(cell) for cell in score_to_json(score).values()]


def scores_to_json(scores: Iterable[Score]) -> list[Json]:
    """Scores as JSON objects; NaN becomes null."""
    return [score_to_json(score) for score in scores]


def write_scores(scores: Sequence[Score], folder: Path) -> tuple[Path, Path]:
    """Write ``scores.csv`` and ``scores.json`` (schema scores/1); an absent interval is an empty cell and null.

    Returns
    -------
    tuple[Path, Path]
        The two files.
    """
    table, document = folder / "scores.csv", folder / "scores.json"
    write_csv(table, SCORE_COLUMNS, [score_cells(score) for score in scores])
    write_json(document, {"schema": SCHEMA, "scores": scores_to_json(scores)})
    return table, document
