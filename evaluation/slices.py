"""Slices: the scores of parts of a result - by view, views together, number of images, author, species and taxon."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from evaluation.alignment import Aligned, align
from evaluation.fused import FusedPlaces, fuse_places
from evaluation.invariants import ALL_VIEWS
from evaluation.metrics import with_unknown
from evaluation.observations import Observations
from evaluation.ranking import Ranked, rank_fused
from evaluation.recipes import Recipe
from evaluation.rows import Matrix
from evaluation.rules.fitted import FittedRule
from evaluation.scores import Score, Scoring, score_ranked
from featstore.errors import SettingsError

MOST_IMAGES = 5
"""Plants with more images than this share a slice with those that have as many."""
UNKNOWN = "(unknown)"
"""Group of plants whose author or taxon is unknown."""
Taxa = Mapping[str, Mapping[str, str]]
"""``"species"``, ``"genus"``, ``"family"`` -> raw class id -> name; what is unknown is absent."""


@dataclass(frozen=True, eq=False)
class Answers:
    """What one row of a table says: one model over its images, or several models fused.

    Parameters
    ----------
    run
        Name in the scores.
    aligned
        The members; a single model is one member.
    recipe
        How their rows become one.
    fitted
        What a learned rule learnt.
    notes
        What is doubtful about the answers.
    """

    run: str
    aligned: Aligned[Matrix]
    recipe: Recipe
    fitted: FittedRule | None = None
    notes: tuple[str, ...] = ()

    @property
    def split(self) -> str:
        """The split that the answers are about."""
        return self.aligned.members[0].split

    def ranked(self, scoring: Scoring) -> tuple[FusedPlaces, Ranked | None]:
        """Fuse, and rank the right species."""
        learnt = {self.recipe: self.fitted} if self.fitted else {}
        (fused,) = fuse_places(self.aligned, [self.recipe], fitted=learnt)
        return fused, rank_fused(fused, scoring.unknown_author)

    def views(self) -> list[str]:
        """Views that occur, sorted."""
        return sorted({view for member in self.aligned.members for view in np.unique(member.view).tolist()})

    def of_view(self, view: str) -> Answers | None:
        """The answers from the images of one view alone; None where the members do not show the same plants in it."""
        part = of_view(self.aligned, view)
        return replace(self, aligned=part) if part else None


def of_view(aligned: Aligned[Matrix], view: str) -> Aligned[Matrix] | None:
    """The members' images of one view alone; None where they do not show the same plants in it."""
    chosen = []
    for member, plants in zip(aligned.members, aligned.observations, strict=True):
        # Truth and author of a plant stay, even if only an image of another view names them.
        told = replace(member, true_class=plants.true_class[plants.index], author=plants.author[plants.index])
        if (told.view == view).any():
            chosen.append(told.select(told.view == view))
    plants_shown = {tuple(np.unique(member.observation_id).tolist()) for member in chosen}
    if len(chosen) < len(aligned.members) or len(plants_shown) > 1:
        return None
    return align(chosen, "image" if aligned.same_images else "observation")


@dataclass(frozen=True)
class SliceScore:
    """One figure of one slice.

    Parameters
    ----------
    by
        A name in `SLICES`.
    group
        Which part: a view, ``Flower+Leaf``, a number of images, an author, a raw class id, a genus, a family.
    name
        The same in words: the species of a class id, else the group.
    n_images
        Images that the answers of the slice rest on.
    score
        The figure; its view is the slice's for slices by view, else ``"all"``.
    """

    by: str
    group: str
    name: str
    n_images: int
    score: Score


@dataclass(frozen=True, eq=False)
class _Plants:
    """The plants of known class, with what they can be grouped by."""

    answers: Answers
    ranked: Ranked
    n_images: NDArray[np.intp]
    views: NDArray[np.str_]
    author: NDArray[np.str_]
    taxa: Taxa

    def taxon(self, rank: str) -> NDArray[np.str_]:
        names = self.taxa.get(rank, {})
        return np.array([names.get(class_id) or UNKNOWN for class_id in self.ranked.true_class.tolist()], dtype=np.str_)


def _number_of_images(plants: _Plants) -> NDArray[np.str_]:
    many = plants.n_images >= MOST_IMAGES
    return np.where(many, f"{MOST_IMAGES}+", plants.n_images.astype(np.str_))


GROUPS: Mapping[str, Callable[[_Plants], NDArray[np.str_]]] = MappingProxyType(
    {
        "views": lambda plants: plants.views,
        "images": _number_of_images,
        "author": lambda plants: with_unknown(plants.author, "one"),
        "species": lambda plants: plants.ranked.true_class,
        "genus": lambda plants: plants.taxon("genus"),
        "family": lambda plants: plants.taxon("family"),
    }
)
"""Slice -> group of each plant."""
VIEW = "view"
SLICES = (VIEW, *GROUPS)
TAXA = ("genus", "family")
"""Slices that need papers."""


def require_slices(by: Sequence[str], taxa: Taxa) -> tuple[str, ...]:
    """Slices to make: those asked for, each once, or all that can be made.

    Raises
    ------
    SettingsError
        If there is no such slice, or its taxa are not known.
    """
    chosen = tuple(dict.fromkeys(by)) or tuple(name for name in SLICES if name not in TAXA or taxa.get(name))
    for name in chosen:
        if name not in SLICES:
            raise SettingsError(f"a slice out of {', '.join(SLICES)}", f"{name!r}", "Pass one of these to `--by`.")
        if name in TAXA and not taxa.get(name):
            remedy = "Pass `--papers` with a feature store or data set that names it."
            raise SettingsError(f"the {name} of some class for `--by {name}`", "none", remedy)
    return chosen


def score_slices(
    answers: Answers, by: Sequence[str], taxa: Taxa, scoring: Scoring, done: Callable[[], object] = lambda: None
) -> tuple[list[SliceScore], list[str]]:
    """Score the parts of a result.

    Parameters
    ----------
    answers
        What is scored; observations of unknown class are left out.
    by
        Names in `SLICES`. ``view`` looks at the images of one view alone; all others put whole plants, with all their
        images, into groups.
    taxa
        Names of classes; a class without one is in the group `UNKNOWN`.
    scoring
        What is scored, and how.
    done
        Called after each slice.

    Returns
    -------
    tuple[list[SliceScore], list[str]]
        The figures, sorted as `in_order` has it, and what could not be said; no figures when no true class is known.
    """
    plants = _plants(answers, taxa, scoring)
    if plants is None:
        return [], [f"{answers.run}: no observation has a known class, so there is nothing to score."]
    found: list[SliceScore] = []
    warnings: list[str] = []
    for name in by:
        if name == VIEW:
            own, missing = _by_view(answers, scoring)
            warnings += [f"{answers.run}: its members do not show the same plants in view {view}." for view in missing]
        else:
            own = _by_group(plants, name, scoring)
        found += in_order(own)
        done()
    return found, warnings


def in_order(slices: Sequence[SliceScore]) -> list[SliceScore]:
    """Sort the slices of one kind: views and numbers by name, authors with most plants and taxa of lowest S first."""
    places: dict[str, tuple[float, float, str]] = {}
    for one in slices:
        if one.score.metric == "S":
            largest = -float(one.score.n_observations)
            first = {"author": largest, "species": one.score.value, "genus": one.score.value, "family": one.score.value}
            places[one.group] = (first.get(one.by, 0.0), largest if one.by in first else 0.0, one.name)
    return sorted(slices, key=lambda one: places[one.group])


def _by_view(answers: Answers, scoring: Scoring) -> tuple[list[SliceScore], list[str]]:
    found: list[SliceScore] = []
    missing: list[str] = []
    for view in answers.views():
        own = answers.of_view(view)
        if own is None:
            missing.append(view)
            continue
        fused, ranked = own.ranked(scoring)
        if ranked is not None:
            n_images = int(fused.n_images[fused.true_class != ""].sum())
            scores = score_ranked(ranked, answers.run, answers.split, view, scoring)
            found += [SliceScore(VIEW, view, view, n_images, score) for score in scores]
    return found, missing


def _by_group(plants: _Plants, by: str, scoring: Scoring) -> list[SliceScore]:
    groups = GROUPS[by](plants)
    names = plants.taxa.get("species", {}) if by == "species" else {}
    found: list[SliceScore] = []
    for group in np.unique(groups).tolist():
        own = groups == group
        n_images = int(plants.n_images[own].sum())
        scores = score_ranked(plants.ranked.take(own), plants.answers.run, plants.answers.split, ALL_VIEWS, scoring)
        found += [SliceScore(by, group, names.get(group) or group, n_images, score) for score in scores]
    return found


def _plants(answers: Answers, taxa: Taxa, scoring: Scoring) -> _Plants | None:
    fused, ranked = answers.ranked(scoring)
    if ranked is None:
        return None
    known = fused.true_class != ""
    views = _views_of_plants(answers.aligned)[known]
    return _Plants(answers, ranked, fused.n_images[known], views, fused.author[known], taxa)


def _views_of_plants(aligned: Aligned[Matrix]) -> NDArray[np.str_]:
    """(m,) views that each plant is shown in, sorted and joined by ``+``."""
    seen: list[set[str]] = [set() for _ in aligned.observations[0].observation_id]
    for member, plants in zip(aligned.members, aligned.observations, strict=True):
        for plant, view in _pairs(plants, member.view):
            seen[plant].add(view)
    return np.array(["+".join(sorted(views)) for views in seen], dtype=np.str_)


def _pairs(plants: Observations, view: NDArray[np.str_]) -> set[tuple[int, str]]:
    return set(zip(plants.index.tolist(), view.tolist(), strict=True))
