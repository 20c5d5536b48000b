"""Alignment: the proof that row i of every member is about the same photograph, or the same plant."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Generic, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from evaluation.observations import Observations, group_observations
from evaluation.predictions import MatrixT_co, Predictions
from evaluation.rows import Matrix
from featstore.errors import PredictionsError, SettingsError, listed

MatrixT = TypeVar("MatrixT", bound=Matrix)

GROWN = "Runs from before photographs were added are made anew: `heads compare`, `finetune run --restart`."
SAME_RUN = f"Fuse predictions of one data set and split. {GROWN}"


@dataclass(frozen=True, eq=False)
class Aligned(Generic[MatrixT_co]):
    """Members that can be fused: same split, same classes, same plants with the same truth.

    Parameters
    ----------
    members
        At least one; with `same_images` their rows are the same images in the same order.
    observations
        One per member, all with the same plants in the same order.
    same_images
        Whether row i of every member is the same photograph.
    """

    members: tuple[Predictions[MatrixT_co], ...]
    observations: tuple[Observations, ...]
    same_images: bool

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is doubtful about the plants and was kept, each warning once."""
        return tuple(dict.fromkeys(text for plants in self.observations for text in plants.warnings))

    @property
    def scored_authors(self) -> NDArray[np.str_]:
        """Author of each plant of known class."""
        plants = self.observations[0]
        return np.asarray(plants.author[plants.true_class != ""], dtype=np.str_)

    @property
    def n_images(self) -> NDArray[np.intp]:
        """Distinct images per plant, over all members, (m,)."""
        if self.same_images:
            return self.observations[0].n_images
        image_id = np.concatenate([member.image_id for member in self.members])
        plant = np.concatenate([plants.index for plants in self.observations])
        _, first = np.unique(image_id, return_index=True)
        return np.bincount(plant[first], minlength=len(self.observations[0].observation_id))

    def loaded(self) -> Aligned:
        """Give the same with all probabilities in memory."""
        members = tuple(member.loaded() for member in self.members)
        return Aligned(members, self.observations, self.same_images)


def align(members: Sequence[Predictions[MatrixT]], by: str = "image") -> Aligned[MatrixT]:
    """Prove that members belong together, and bring their rows into one order.

    Parameters
    ----------
    members
        At least one.
    by
        ``"image"``: the members hold the same images, reordered to those of the first.
        ``"observation"``: they hold images of the same plants, for example one network per organ.

    Raises
    ------
    PredictionsError
        With the reason and the first ids that differ.
    SettingsError
        If there is no such way to align, or no member.
    """
    if not members:
        raise SettingsError("at least one member", "none", "Name run folders or files of predictions.")
    if by not in ALIGNMENTS:
        raise SettingsError(f"an alignment out of {', '.join(ALIGNMENTS)}", f"{by!r}", "Pass one of these.")
    first = members[0]
    for other in members[1:]:
        if other.split != first.split:
            got = f"{first.split} of {first.model}, {other.split} of {other.model}"
            raise PredictionsError("members of one split", got, "Pass `--split`.")
        require_same_set("classes", (first.classes, other.classes), (first.model, other.model), SAME_RUN)
    # No alignment takes rows out of where they are.
    return cast("Aligned[MatrixT]", ALIGNMENTS[by](members))


def _align_images(members: Sequence[Predictions[Matrix]]) -> Aligned[Matrix]:
    first = members[0]
    aligned = [first]
    home = np.argsort(np.argsort(first.image_id))
    for other in members[1:]:
        remedy = "Predict the same images, or pass `--align observation` for members with images of their own."
        names = (first.model, other.model)
        if not np.isin(first.image_id, other.image_id).any():
            # Images of their own are one thing, other plants another: no alignment helps these.
            plants_of_both = np.unique(first.observation_id), np.unique(other.observation_id)
            require_same_set("observations", plants_of_both, names, SAME_RUN)
        require_same_set("images", (first.image_id, other.image_id), names, f"{remedy} {GROWN}")
        in_order = np.array_equal(first.image_id, other.image_id)
        moved = other if in_order else other.take(np.argsort(other.image_id)[home])
        for paper in ("observation_id", "true_class", "author", "view"):
            values = (getattr(first, paper), getattr(moved, paper))
            _same_values(paper, "image", first.image_id, values, (first, moved))
        aligned.append(moved)
    # Equal papers make equal plants.
    plants = group_observations(first)
    return Aligned(tuple(aligned), (plants,) * len(aligned), same_images=True)


def _align_observations(members: Sequence[Predictions[Matrix]]) -> Aligned[Matrix]:
    plants = [group_observations(member) for member in members]
    first = members[0]
    for other, theirs in zip(members[1:], plants[1:], strict=True):
        pair = (first, other)
        names = (first.model, other.model)
        require_same_set("observations", (plants[0].observation_id, theirs.observation_id), names, SAME_RUN)
        ids = theirs.observation_id
        _same_values("true_class", "observation", ids, (plants[0].true_class, theirs.true_class), pair)
        _same_values("author", "observation", ids, (plants[0].author, theirs.author), pair)
        shared, mine, its = np.intersect1d(first.image_id, other.image_id, assume_unique=True, return_indices=True)
        homes = (first.observation_id[mine], other.observation_id[its])
        _same_values("observation_id", "image", shared, homes, pair)
    return Aligned(tuple(members), tuple(plants), same_images=False)


ALIGNMENTS: Mapping[str, Callable[[Sequence[Predictions[Matrix]]], Aligned[Matrix]]] = MappingProxyType(
    {"image": _align_images, "observation": _align_observations}
)


def require_same_set(
    what: str, ids: tuple[NDArray[np.str_], NDArray[np.str_]], names: tuple[str, str], remedy: str
) -> None:
    """Refuse two sets of ids that differ, naming the first of those that only one of the two has.

    Raises
    ------
    PredictionsError
        If they differ.
    """
    first, other = ids
    if np.array_equal(first, other):
        return
    alone = (np.setdiff1d(first, other).tolist(), np.setdiff1d(other, first).tolist())
    if not any(alone):
        return
    pairs = zip(names, alone, strict=True)
    sides = [f"{len(found)} only in {name} ({listed(found)})" for name, found in pairs if found]
    raise PredictionsError(f"the same {what} in every member", "; ".join(sides), remedy)


def _same_values(
    what: str,
    unit: str,
    ids: NDArray[np.str_],
    values: tuple[NDArray[np.str_], NDArray[np.str_]],
    pair: tuple[Predictions[Matrix], Predictions[Matrix]],
) -> None:
    """Refuse papers that differ between two members, naming the first rows where they do."""
    different = np.flatnonzero(values[0] != values[1])
    if not different.size:
        return
    rows = [f"{unit} {ids[row]} ({values[0][row]!s} / {values[1][row]!s})" for row in different.tolist()]
    got = f"different ones in {pair[0].model} / {pair[1].model} for {listed(rows)}"
    raise PredictionsError(f"the same `{what}` of every {unit}", got, SAME_RUN)
