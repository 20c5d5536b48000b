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
from evaluation.members import AUGMENTED, Member
from evaluation.metrics import average_ranks, observation_score, reciprocal_rank, true_indices
from evaluation.per_author import PerAuthor
from evaluation.predictions import Predictions
from evaluation.ranking import Ranked
from evaluation.rows import Matrix
from evaluation.scores import Score, score_fused


@dataclass(frozen=True, eq=False)
class Question:
    """Whose answers make one result.

    Attributes
    ----------
    run
        Name in tables.
    kind
        ``"head"``, ``"finetuned"``, ``"fusion"``, or ``"file"`` for predictions without a run card.
    augmented
        Whether predictions of augmented copies take part.
    members
        One for a model, several for a fusion.
    recipe
        How their rows become one per plant.
    """

    run: str
    kind: str
    augmented: bool
    members: tuple[Predictions[Matrix], ...]
    recipe: Recipe


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
    """

    question: Question
    ranked: Ranked
    scores: tuple[Score, ...]
    images_per_second: float

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


def questions(listed: Sequence[Member], fused: Sequence[Member], rule: str) -> list[Question]:
    """Every model alone, then the fusion of all models, then that of their augmented predictions where there are any.

    Parameters
    ----------
    listed
        Every file, in the order of the table.
    fused
        One per run.
    rule
        Name in `FIXED`.
    """
    asked = [_alone(member) for member in listed]
    if len(fused) > 1 or rule != "mean":
        asked.append(_together(fused, Recipe(rule), augmented=False))
    better = [_augmented(member, listed) for member in fused]
    if len(fused) > 1 and better != list(fused):
        asked.append(_together(better, Recipe(rule), augmented=True))
    return asked


def judge(question: Question, align_by: str) -> Result:
    """Fuse and score; S of each view is that of its images alone."""
    aligned = align(question.members, align_by)
    fused = fuse(aligned, question.recipe)
    index = aligned.observations[0].index
    scores = score_fused(FusedPlaces.of(fused, fuse_images(aligned, question.recipe), index), question.run)
    of_views = [
        replace(score, view=view)
        for view, part in by_view(aligned, question.recipe)
        for score in score_fused(FusedPlaces.of(part), question.run)
    ]
    seconds = sum(len(member.image_id) / member.images_per_second for member in aligned.members)
    speed = int(fused.n_images.sum()) / seconds if seconds else math.nan
    return Result(question, _ranked(fused), (*scores, *of_views), speed)


def answers(question: Question, align_by: str) -> Answers:
    """Give the answers themselves."""
    aligned = align(question.members, align_by)
    fused = fuse(aligned, question.recipe)
    members = aligned.members
    image_id, first, number = np.unique(
        np.concatenate([member.image_id for member in members]), return_index=True, return_inverse=True
    )
    numbers = np.split(number, np.cumsum([len(member.image_id) for member in members])[:-1])
    rule = RULES[question.recipe.rule]
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
    """Highest S first; equal ones in the order in which they came."""
    return sorted(results, key=lambda result: -result.s.value)


def lead(results: Sequence[Result]) -> Difference | None:
    """How far the first of `ordered` results is ahead of the second; None for a single one."""
    if len(results) < 2:
        return None
    return difference(results[0].per_author, results[1].per_author)


def by_view(aligned: Aligned[Matrix], recipe: Recipe) -> Iterator[tuple[str, FusedObservations]]:
    """Fuse the images of one view at a time; a view's plants are those with an image of it."""
    views = np.unique(np.concatenate([member.view for member in aligned.members])).tolist()
    whole = aligned.observations[0]
    for view in views:
        rows = [np.flatnonzero(member.view == view) for member in aligned.members]
        plants = [own.index[some] for own, some in zip(aligned.observations, rows, strict=True)]
        present = np.unique(np.concatenate(plants))
        pairs = [
            (member.probability[some], np.searchsorted(present, plant))
            for member, some, plant in zip(aligned.members, rows, plants, strict=True)
            if len(some)
        ]
        matrices, groups = zip(*pairs, strict=True)
        yield (
            view,
            FusedObservations(
                split=aligned.members[0].split,
                observation_id=whole.observation_id[present],
                author=whole.author[present],
                true_class=whole.true_class[present],
                n_images=np.bincount(np.concatenate(groups), minlength=len(present)),
                classes=aligned.members[0].classes,
                probability=pool(matrices, groups, len(present), RULES[recipe.rule]),
            ),
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


def _alone(member: Member) -> Question:
    kind = member.card.kind if member.card else "file"
    augmented = member.variant.startswith(AUGMENTED)
    return Question(member.run, kind, augmented, (member.predictions,), Recipe("mean"))


def _together(members: Sequence[Member], recipe: Recipe, *, augmented: bool) -> Question:
    run = f"fusion:{recipe.name}{' + TTA' if augmented else ''}"
    return Question(run, "fusion", augmented, tuple(member.predictions for member in members), recipe)


def _augmented(member: Member, listed: Sequence[Member]) -> Member:
    """Its run's augmented predictions, or the member itself where there are none."""
    of_run = (
        other
        for other in listed
        if other.path.parent == member.path.parent and other.variant.startswith(AUGMENTED) and member.card
    )
    return next(of_run, member)
