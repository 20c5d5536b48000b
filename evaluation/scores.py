"""Scores: one row per run, view and metric, for models and fusions alike."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from evaluation.fused import FusedPlaces
from evaluation.fusion import at_once, mean_rule
from evaluation.intervals import intervals
from evaluation.invariants import ALL_VIEWS
from evaluation.metrics import (
    PerAuthor,
    image_score,
    observation_score,
    reciprocal_rank,
    top_k_score,
    true_indices,
)
from evaluation.observations import group_observations
from evaluation.places import Way, stream_places
from evaluation.predictions import Predictions
from evaluation.rows import Matrix
from evaluation.streaming import LEFT_OUT, Stream
from featstore.provenance import Json, write_json, write_text

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
        A name in `METRICS`.
    value
        The figure, finite.
    low, high
        Ends of its 95 % interval by `evaluation.intervals`, NaN with fewer than two authors.
    n_observations
        Observations of known class behind it, at least 1.
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


@dataclass(frozen=True, eq=False)
class Ranked:
    """The places that the right species took.

    Parameters
    ----------
    observation_id, true_class
        (m,) the plants of known class, and what each is.
    rank
        (m,) rank per plant, infinity where the species is not listed.
    author
        (m,) user of each plant, ``""`` when unknown.
    image_rank, plant
        (n,) rank per image, and the position of its plant in the rows above; no images, no `S_image`.
    """

    observation_id: NDArray[np.str_]
    true_class: NDArray[np.str_]
    rank: NDArray[np.float64]
    author: NDArray[np.str_]
    image_rank: NDArray[np.float64]
    plant: NDArray[np.intp]


def _observation_score(ranked: Ranked) -> PerAuthor:
    return observation_score(reciprocal_rank(ranked.rank), ranked.author)


def _image_score(ranked: Ranked) -> PerAuthor | None:
    if not len(ranked.image_rank):
        return None
    return image_score(reciprocal_rank(ranked.image_rank), ranked.plant, ranked.author)


def _top_k_score(ranked: Ranked, *, k: int) -> PerAuthor:
    return top_k_score(ranked.rank, k, ranked.author)


METRICS: Mapping[str, Callable[[Ranked], PerAuthor | None]] = MappingProxyType(
    {
        "S": _observation_score,
        "S_image": _image_score,
        "top_1": partial(_top_k_score, k=1),
        "top_3": partial(_top_k_score, k=3),
        "top_5": partial(_top_k_score, k=5),
    }
)
"""Name -> figure; None where a result has nothing that the metric could look at."""


ALONE = Way(at_once(mean_rule), lambda portion: portion.rows)
"""One model: the mean of a plant's images, and each image as it is."""


def score_predictions(predictions: Predictions[Matrix], run: str | None = None) -> list[Score]:
    """Score one model: the images of an observation are averaged, S_image looks at each image alone.

    Parameters
    ----------
    predictions
        Images of unknown class are left out; a class outside `classes` counts 0.
    run
        Name in the scores; the model's own by default.

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
        for view, ranked in rank_predictions(predictions).items()
        for score in _score_rows(ranked, name, predictions.split, view)
    ]


def rank_predictions(predictions: Predictions[Matrix]) -> dict[str, Ranked]:
    """Rank the right species of every observation, by view as `score_predictions` has them."""
    plants = group_observations(predictions)
    known = plants.true_class[plants.index] != ""
    found: dict[str, Ranked] = {}
    for view in (ALL_VIEWS, *np.unique(predictions.view[known]).tolist()):
        rows = np.flatnonzero(known & ((predictions.view == view) | (view == ALL_VIEWS)))
        if not len(rows):
            continue
        present, plant = np.unique(plants.index[rows], return_inverse=True)
        group = np.full(len(known), LEFT_OUT)
        group[rows] = plant
        true_index = true_indices(plants.true_class[present], predictions.classes)
        (judged,) = stream_places(Stream([predictions.probability], [group], len(present)), [ALONE], true_index)
        found[view] = Ranked(
            observation_id=plants.observation_id[present],
            true_class=plants.true_class[present],
            rank=judged.plants.rank,
            author=plants.author[present],
            image_rank=judged.image_rank[rows],
            plant=plant,
        )
    return found


def score_fused(fused: FusedPlaces, run: str) -> list[Score]:
    """Score a fusion over all views.

    Parameters
    ----------
    fused
        Observations of unknown class are left out; a class outside `classes` counts 0. Without images there is no
        S_image.
    run
        Name in the scores, ``fusion:<rule>``.

    Returns
    -------
    list[Score]
        View ``"all"``; empty when no true class is known.
    """
    known = np.flatnonzero(fused.true_class != "")
    if not len(known):
        return []
    rows = np.flatnonzero(fused.true_class[fused.index] != "")
    ranked = Ranked(
        observation_id=fused.observation_id[known],
        true_class=fused.true_class[known],
        rank=fused.places.rank[known],
        author=fused.author[known],
        image_rank=fused.image_rank[rows],
        plant=np.searchsorted(known, fused.index[rows]),
    )
    return _score_rows(ranked, run, fused.split, ALL_VIEWS)


def _score_rows(ranked: Ranked, run: str, split: str, view: str) -> list[Score]:
    sums = {name: found for name, metric in METRICS.items() if (found := metric(ranked)) is not None}
    ends = intervals(list(sums.values()))
    return [
        Score(run, split, view, name, found.value, *low_and_high, len(ranked.rank))
        for (name, found), low_and_high in zip(sums.items(), ends, strict=True)
    ]


def scores_to_json(scores: Iterable[Score]) -> list[Json]:
    """Scores as JSON objects; NaN becomes null."""
    names = [column.name for column in fields(Score)]
    return [{name: _finite(cell) for name, cell in zip(names, astuple(score), strict=True)} for score in scores]


def write_scores(scores: Sequence[Score], folder: Path) -> tuple[Path, Path]:
    """Write ``scores.csv`` and ``scores.json`` (schema scores/1); an absent interval is an empty cell and null.

    Returns
    -------
    tuple[Path, Path]
        The two files.
    """
    table, document = folder / "scores.csv", folder / "scores.json"
    rows = [["" if _finite(cell) is None else str(cell) for cell in astuple(score)] for score in scores]
    write_csv(table, [column.name for column in fields(Score)], rows)
    write_json(document, {"schema": SCHEMA, "scores": scores_to_json(scores)})
    return table, document


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write comma-separated UTF-8 text with a header, whole or not at all."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def _finite(cell: str | float) -> str | float | None:
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell
