"""Teaching: many recipes over the same plants, by as few passes over their rows as what they learn allows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from evaluation.alignment import Aligned
from evaluation.fused import FusedPlaces, fuse_places
from evaluation.learning import Answered, Fit, Lesson, answer_honestly, fit_recipe
from evaluation.places import Keep
from evaluation.recipes import Recipe
from evaluation.rows import Matrix
from evaluation.ways import way_of


@dataclass(frozen=True, eq=False)
class Teacher:
    """What recipes learn from, and what they have learnt so far.

    Attributes
    ----------
    lesson
        The plants that teach; None where no recipe needs any.
    seed
        Of everything random.
    fits
        By recipe; grows as recipes ask.
    """

    lesson: Lesson | None = None
    seed: int = 0
    fits: dict[Recipe, Fit] = field(default_factory=dict)

    def fit(self, recipe: Recipe) -> Fit:
        """Give what a recipe learns, which it does once."""
        if self.lesson is None or not recipe.needs_learning:
            return Fit()
        if recipe not in self.fits:
            self.fits[recipe] = fit_recipe(self.lesson.aligned, recipe, self.seed, self.lesson.source)
        return self.fits[recipe]

    def knows(self, aligned: Aligned[Matrix]) -> bool:
        """Whether plants that are asked about teach, whatever the split is called."""
        if self.lesson is None:
            return False
        taught = self.lesson.aligned.observations[0].observation_id
        return bool(np.isin(aligned.observations[0].observation_id, taught).any())

    def prepare(self, aligned: Aligned[Matrix], recipes: Sequence[Recipe]) -> None:
        """Learn all that there is to learn, and refuse what does not fit, before anything is fused or written.

        Raises
        ------
        PredictionsError
            If no plant can teach.
        SettingsError
            If a setting does not fit the members.
        """
        for recipe in recipes:
            way_of(aligned, recipe, self.fit(recipe).rule)


def fuse_recipes(
    aligned: Aligned[Matrix],
    recipes: Sequence[Recipe],
    teacher: Teacher,
    n_best: int = 1,
    keep: Mapping[Recipe, Keep] = MappingProxyType({}),
) -> Iterator[tuple[Recipe, FusedPlaces]]:
    """Fuse by every recipe; plants that teach are answered by what the others taught.

    One pass serves all recipes that take the members as they are. Members at temperatures of a recipe's own, and those
    whose plants teach it, are loaded.

    Parameters
    ----------
    aligned
        The members.
    recipes
        One result each, in an order of their own.
    teacher
        What they learn from.
    n_best
        How many of the likeliest species are kept.
    keep
        For every recipe or none: called with all of its answers, part by part, as in `stream_places`.
    """
    learnt = [recipe for recipe in recipes if recipe.needs_learning and teacher.knows(aligned)]
    others = {recipe: teacher.fit(recipe) for recipe in recipes if recipe not in learnt}
    plain = [recipe for recipe, fit in others.items() if not fit.temperatures]
    yield from _one_pass(aligned, {recipe: others[recipe] for recipe in plain}, n_best, keep)
    if len(plain) == len(recipes):
        return
    loaded = aligned.loaded()
    for recipe, fit in others.items():
        if fit.temperatures:
            yield from _one_pass(fit.calibrated(loaded), {recipe: fit}, n_best, keep)
    for recipe in learnt:
        yield recipe, _of_answers(_honestly(loaded, recipe, teacher), loaded, n_best, keep.get(recipe))


def _one_pass(
    aligned: Aligned[Matrix], fits: Mapping[Recipe, Fit], n_best: int, keep: Mapping[Recipe, Keep]
) -> Iterator[tuple[Recipe, FusedPlaces]]:
    if not fits:
        return
    fitted = {recipe: fit.rule for recipe, fit in fits.items() if fit.rule is not None}
    keepers = [keep[recipe] for recipe in fits] if keep else []
    yield from zip(fits, fuse_places(aligned, list(fits), n_best, fitted, keepers), strict=True)


def _honestly(aligned: Aligned, recipe: Recipe, teacher: Teacher) -> Answered:
    if teacher.lesson is None:
        raise ValueError("nothing to learn from")
    return answer_honestly(aligned, recipe, teacher.lesson, teacher.fit(recipe), teacher.seed)


def _of_answers(found: Answered, aligned: Aligned, n_best: int, keep: Keep | None) -> FusedPlaces:
    if keep is not None:
        keep(0, found.fused.probability)
    return FusedPlaces.of(found.fused, found.images, aligned.observations[0].index, n_best)
