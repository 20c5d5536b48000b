"""Scoring: an official run file against the truth, by the rank that stands in the file."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from evaluation.intervals import intervals
from evaluation.invariants import ALL_VIEWS
from evaluation.metrics import (
    class_mean,
    image_score,
    observation_score,
    plant_mean,
    reciprocal_rank,
    top_k_score,
)
from evaluation.official.checks import check
from evaluation.official.faults import Faults, RunFileError
from evaluation.official.layouts import AUTO, Layout
from evaluation.official.lines import Lines, read_lines
from evaluation.official.places import TIES, Places, find_places
from evaluation.official.truth import Truth, image_queries
from evaluation.per_author import PerAuthor
from evaluation.scores import SCHEMA, Score, scores_to_json
from featstore.errors import SettingsError, listed
from featstore.provenance import Json

TITLES = {
    "S": "S",
    "S_image": "S_image",
    **dict.fromkeys(("mrr", "mrr_image"), "MRR"),
    "ma_mrr": "MA-MRR",
    **{f"top_{k}{unit}": f"Top-{k}" for k in (1, 3, 5) for unit in ("", "_image")},
}


@dataclass(frozen=True)
class RunScores:
    """What a run file is worth.

    Parameters
    ----------
    run
        The file's name.
    layout
        How it is written.
    scores
        Figures with intervals; of an image run also by view.
    n_queries, n_missing
        Queries of known class, and those of them without any line, which count 0.
    n_tied
        Queries whose right species shares its score with another.
    n_observations, n_images
        Size of the truth, plants of unknown class included.
    warnings
        What is doubtful and was kept.
    """

    run: str
    layout: Layout
    scores: tuple[Score, ...]
    n_queries: int
    n_missing: int
    n_tied: int
    n_observations: int
    n_images: int
    warnings: tuple[str, ...] = field(default=())

    def value(self, metric: str) -> float:
        """A figure over all views, NaN if the run has none of this name."""
        found = (score.value for score in self.scores if (score.metric, score.view) == (metric, ALL_VIEWS))
        return next(found, math.nan)

    @property
    def title(self) -> str:
        """Of what the table is."""
        what = "photographs" if self.layout.by_image else "observations"
        return f"{self.run}, layout {self.layout.name}: {self.n_queries:,} {what}"

    @property
    def columns(self) -> tuple[str, ...]:
        """Names over the cells of `table`."""
        first, *others = dict.fromkeys(TITLES[score.metric] for score in self.scores)
        return ("view", first, f"95 % of {first}", *others, "observations")

    def table(self) -> list[list[str]]:
        """One row per view."""
        rows = []
        for view in dict.fromkeys(score.view for score in self.scores):
            first, *others = (score for score in self.scores if score.view == view)
            interval = "-" if math.isnan(first.low) else f"{first.low:.3f}-{first.high:.3f}"
            figures = [f"{score.value:.4f}" for score in others]
            rows.append([view, f"{first.value:.4f}", interval, *figures, f"{first.n_observations:,}"])
        return rows

    def to_json(self) -> dict[str, Json]:
        """Give everything as one document of schema scores/1."""
        return {
            "schema": SCHEMA,
            "run": self.run,
            "layout": self.layout.name,
            "n_queries": self.n_queries,
            "n_missing": self.n_missing,
            "n_tied": self.n_tied,
            "scores": scores_to_json(self.scores),
            "warnings": list(self.warnings),
        }


def score_run(path: Path, truth: Truth, layout: str = AUTO, ties: str = "rank") -> RunScores:
    """Check a run file and score it.

    Parameters
    ----------
    layout
        A name in `LAYOUTS`, or ``"auto"``.
    ties
        A name in `TIES`.

    Raises
    ------
    RunFileError
        If the file has a fault that leaves its score in doubt, or none of its classes is a class of the truth.
    SettingsError
        If a setting is unknown.
    """
    if ties not in TIES:
        raise SettingsError(f"ties out of {', '.join(TIES)}", f"{ties!r}", "Pass one of these.")
    lines = read_lines(path, layout)
    faults = check(lines, truth.known(lines.layout))
    faults.require_none()
    return score_lines(lines, truth, ties, faults)


def score_lines(lines: Lines, truth: Truth, ties: str, faults: Faults) -> RunScores:
    """Score a file that was found to be in order.

    Raises
    ------
    RunFileError
        If none of its classes is a class of the truth.
    """
    if not np.isin(lines.classes, truth.true_class).any():
        got = (
            f"{listed(lines.classes[:5].tolist())} in the run, {listed(np.unique(truth.true_class)[:5].tolist())} there"
        )
        raise RunFileError("classes of the truth", got, "Take the truth of the same contest and its ids of classes.")
    by_image = lines.layout.by_image
    queries = image_queries(truth.image_id) if by_image else truth.observation_id
    places = find_places(lines, queries, truth.true_class[truth.plant] if by_image else truth.true_class)
    rank = TIES[ties](places)
    name = lines.path.name
    scores = _image_scores(rank, truth, name) if by_image else _observation_scores(rank, truth, name)
    n_missing, n_tied = int((~places.answered).sum()), int((places.n_sharing > 1).sum())
    return RunScores(
        run=name,
        layout=lines.layout,
        scores=tuple(scores),
        n_queries=len(queries),
        n_missing=n_missing,
        n_tied=n_tied,
        n_observations=len(truth.observation_id) + len(truth.left_out),
        n_images=len(truth.image_id) + len(truth.left_out_images),
        warnings=(*truth.warnings, *faults.warnings, *_remarks(lines, queries, places, ties)),
    )


def _mean_reciprocal_rank(rank: NDArray[np.float64], author: NDArray[np.str_]) -> PerAuthor:
    """Mean of 1 / rank, every query alike, as in PlantCLEF 2020; users matter for the interval alone."""
    return plant_mean(reciprocal_rank(rank), author)


def _macro_mean_reciprocal_rank(
    rank: NDArray[np.float64], author: NDArray[np.str_], true_class: NDArray[np.str_]
) -> PerAuthor:
    """Mean over species of their mean of 1 / rank, as in PlantCLEF 2022, over the species that the truth shows."""
    return class_mean(reciprocal_rank(rank), true_class, author)


def _observation_score(rank: NDArray[np.float64], author: NDArray[np.str_]) -> PerAuthor:
    return observation_score(reciprocal_rank(rank), author)


def _top_k_score(rank: NDArray[np.float64], author: NDArray[np.str_], *, k: int) -> PerAuthor:
    return top_k_score(rank, k, author)


PER_QUERY: Mapping[str, Callable[[NDArray[np.float64], NDArray[np.str_]], PerAuthor]] = MappingProxyType(
    {
        "mrr": _mean_reciprocal_rank,
        "top_1": partial(_top_k_score, k=1),
        "top_3": partial(_top_k_score, k=3),
        "top_5": partial(_top_k_score, k=5),
    }
)
"""Name -> figure in which every query counts alike; of an image run the names end in ``_image``."""


def _observation_scores(rank: NDArray[np.float64], truth: Truth, run: str) -> list[Score]:
    figures = {"S": _observation_score(rank, truth.author)}
    figures |= {name: metric(rank, truth.author) for name, metric in PER_QUERY.items()}
    figures["ma_mrr"] = _macro_mean_reciprocal_rank(rank, truth.author, truth.true_class)
    return _with_intervals(figures, (run, truth.split, ALL_VIEWS), len(rank))


def _image_scores(rank: NDArray[np.float64], truth: Truth, run: str) -> list[Score]:
    """All views first, then each from its photographs alone."""
    # A photograph of unknown author is drawn together with the others of its plant.
    user = np.where(truth.author == "", np.char.add("\x1f", truth.observation_id), truth.author)
    scores = []
    for view in (ALL_VIEWS, *np.unique(truth.view).tolist()):
        rows = np.flatnonzero((truth.view == view) | (view == ALL_VIEWS))
        present, plant = np.unique(truth.plant[rows], return_inverse=True)
        figures = {"S_image": image_score(reciprocal_rank(rank[rows]), plant, user[present])}
        of_image = user[truth.plant[rows]]
        figures |= {f"{name}_image": metric(rank[rows], of_image) for name, metric in PER_QUERY.items()}
        scores += _with_intervals(figures, (run, truth.split, view), len(present))
    return scores


def _with_intervals(figures: Mapping[str, PerAuthor], where: tuple[str, str, str], n_plants: int) -> list[Score]:
    ends = intervals(list(figures.values()))
    return [
        Score(*where, name, found.value, low, high, n_plants)
        for (name, found), (low, high) in zip(figures.items(), ends, strict=True)
    ]


def _remarks(lines: Lines, queries: NDArray[np.str_], places: Places, ties: str) -> list[str]:
    what = "photographs" if lines.layout.by_image else "observations"
    found = []
    missing = queries[~places.answered].tolist()
    if missing:
        found.append(
            f"Not in the run, and so counted 0: {len(missing):,} of {len(queries):,} {what} ({listed(missing)})."
        )
    n_tied = np.count_nonzero(places.n_sharing > 1)
    if n_tied and ties == "rank":
        found.append(
            f"The right species shares its score with others in {n_tied:,} of {len(queries):,} {what}; the ranks in "
            "the file decide. `--ties average` gives equal scores their average rank."
        )
    return found
