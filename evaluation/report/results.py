"""Results: every model and fusion of a report, ranked and scored on the same plants."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evaluation.alignment import Aligned, align
from evaluation.fused import FusedPlaces
from evaluation.fusion import RULES, FusedObservations, Recipe, fuse, fuse_images, pool
from evaluation.intervals import Difference, difference
from evaluation.invariants import ALL_VIEWS
from evaluation.metrics import average_ranks, observation_score, reciprocal_rank, true_indices
from evaluation.per_author import PerAuthor
from evaluation.predictions import Predictions
from evaluation.ranking import Ranked
from evaluation.recipes import FIXED
from evaluation.report.questions import Question
from evaluation.rows import Matrix
from evaluation.rules.fitted import FittedRule
from evaluation.scores import Score, score_fused
from evaluation.simplest import best_first
from evaluation.slices import of_view


@dataclass(frozen=True, eq=False)
class Result:
    """What one model or fusion is worth.

    Attributes
    ----------
    question
        Whose answers they are.
    ranked
        Places of the right species, of every plant whose class is known.
    scores
        Figures over all views, then S of each view; of a model and of a fusion alike.
    images_per_second
        NaN when unknown; through all members one after another.
    on_valid
        S on valid, where choices are made; NaN when unknown.
    """

    question: Question
    ranked: Ranked
    scores: tuple[Score, ...]
    images_per_second: float
    on_valid: float

    @property
    def run(self) -> str:
        """Name in tables."""
        return self.question.run

    @property
    def per_author(self) -> PerAuthor:
        """S as sums over authors, for comparisons."""
        return observation_score(reciprocal_rank(self.ranked.rank), self.ranked.author)

    def score(self, metric: str, view: str = ALL_VIEWS) -> Score | None:
        """Look one figure up; None where there is none."""
        found = (score for score in self.scores if (score.metric, score.view) == (metric, view))
        return next(found, None)

    @property
    def s(self) -> Score:
        """The contest's S over all views."""
        return next(score for score in self.scores if score.metric == "S")


@dataclass(frozen=True, eq=False)
class Answers:
    """The answers of one result, plant by plant and image by image.

    Attributes
    ----------
    fused
        m plants.
    images
        The members' rows fused image by image; those of unknown class included.
    plant
        (n,) row in `fused` of each image.
    """

    fused: FusedObservations
    images: Predictions
    plant: NDArray[np.intp]


def judge(question: Question, align_by: str) -> Result:
    """Fuse and score; S of each view is that of its images alone."""
    aligned = align(question.members, align_by)
    recipe, fitted = question.recipe, question.fitted
    fused = fuse(aligned, recipe, fitted)
    index = aligned.observations[0].index
    scores = score_fused(FusedPlaces.of(fused, fuse_images(aligned, recipe, fitted), index), question.run)
    of_views = [
        replace(score, view=view)
        for view, part in by_view(aligned, recipe, fitted)
        for score in score_fused(FusedPlaces.of(part), question.run)
    ]
    seconds = sum(len(member.image_id) / member.images_per_second for member in aligned.members)
    speed = int(fused.n_images.sum()) / seconds if seconds else math.nan
    return Result(question, _ranked(fused), (*scores, *of_views), speed, _on_valid(question, align_by))


def _on_valid(question: Question, align_by: str) -> float:
    if not question.valid:
        return math.nan
    members = [Predictions.open(path) for path in question.valid]
    ranked = _ranked(fuse(align(members, align_by), question.recipe))
    return observation_score(reciprocal_rank(ranked.rank), ranked.author).value if len(ranked.rank) else math.nan


def answers(question: Question, align_by: str) -> Answers:
    """Give the answers themselves."""
    aligned = align(question.members, align_by)
    recipe = question.recipe
    fused = fuse(aligned, recipe, question.fitted)
    members = aligned.members
    image_id, first, number = np.unique(
        np.concatenate([member.image_id for member in members]), return_index=True, return_inverse=True
    )
    numbers = np.split(number, np.cumsum([len(member.image_id) for member in members])[:-1])
    # What a learned rule makes of one image is no answer of its own; their mean is.
    rule = RULES[recipe.rule if recipe.rule in FIXED else "mean"]
    probability = pool([member.probability for member in members], numbers, len(image_id), rule)
    plant = np.concatenate([plants.index for plants in aligned.observations])[first]
    images = Predictions(
        model=question.run,
        split=fused.split,
        image_id=image_id,
        observation_id=fused.observation_id[plant],
        author=fused.author[plant],
        view=np.concatenate([member.view for member in members])[first],
        true_class=fused.true_class[plant],
        classes=fused.classes,
        probability=probability.astype(np.float32),
    )
    return Answers(fused, images, plant)


def ordered(results: Sequence[Result]) -> list[Result]:
    """Highest S on valid first, where choices are made; those that valid does not know follow, highest S first.

    Of equals the simplest comes first.
    """
    simplest_first = sorted(results, key=lambda result: result.question.needs)
    known = [result for result in simplest_first if math.isfinite(result.on_valid)]
    others = [result for result in simplest_first if not math.isfinite(result.on_valid)]
    return [
        *best_first(known, lambda result: result.on_valid),
        *best_first(others, lambda result: result.s.value),
    ]


def lead(results: Sequence[Result]) -> Difference | None:
    """How far the first of `ordered` results is ahead of the second; None for a single one."""
    if len(results) < 2:
        return None
    return difference(results[0].per_author, results[1].per_author)


def by_view(
    aligned: Aligned[Matrix], recipe: Recipe, fitted: FittedRule | None = None
) -> Iterator[tuple[str, FusedObservations]]:
    """Fuse the images of one view at a time; a view's plants are those with an image of it.

    A rule that takes the members apart needs all of them: it has no figure for views in which one shows other plants.
    """
    for view in np.unique(np.concatenate([member.view for member in aligned.members])).tolist():
        if recipe.plain:
            yield view, _view_pooled(aligned, recipe, view)
        elif part := of_view(aligned, view):
            yield view, fuse(part, recipe, fitted)


def _view_pooled(aligned: Aligned[Matrix], recipe: Recipe, view: str) -> FusedObservations:
    whole = aligned.observations[0]
    rows = [np.flatnonzero(member.view == view) for member in aligned.members]
    plants = [own.index[some] for own, some in zip(aligned.observations, rows, strict=True)]
    present = np.unique(np.concatenate(plants))
    pairs = [
        (member.probability[some], np.searchsorted(present, plant))
        for member, some, plant in zip(aligned.members, rows, plants, strict=True)
        if len(some)
    ]
    matrices, groups = zip(*pairs, strict=True)
    return FusedObservations(
        split=aligned.members[0].split,
        observation_id=whole.observation_id[present],
        author=whole.author[present],
        true_class=whole.true_class[present],
        n_images=np.bincount(np.concatenate(groups), minlength=len(present)),
        classes=aligned.members[0].classes,
        probability=pool(matrices, groups, len(present), RULES[recipe.rule]),
    )


def _ranked(fused: FusedObservations) -> Ranked:
    known = np.flatnonzero(fused.true_class != "")
    rank = average_ranks(fused.probability[known], true_indices(fused.true_class[known], fused.classes))
    return Ranked(
        observation_id=fused.observation_id[known],
        true_class=fused.true_class[known],
        rank=rank,
        author=fused.author[known],
        image_rank=np.empty(0),
        plant=np.empty(0, dtype=np.intp),
    )
