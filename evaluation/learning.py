"""Learning a fusion: which plants may teach it, what is fitted on them, and how it does on plants it has not met."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.alignment import Aligned, align
from evaluation.calibration import Calibration, fit_calibration
from evaluation.fusion import FusedObservations, Recipe, Rows, fuse, fuse_images, rows_of
from evaluation.metrics import NOT_LISTED, true_indices
from evaluation.rules.evidence import Evidence, renumbered
from evaluation.rules.fitted import ANY, FittedRule, Label
from evaluation.rules.learned import LEARNED, folds_of, learn
from evaluation.ways import model_names
from featstore.errors import PredictionsError
from featstore.provenance import Json, write_json

SCHEMA = "fusion/1"


@dataclass(frozen=True, eq=False)
class Lesson:
    """Plants that teach.

    Attributes
    ----------
    aligned
        The members' answers about them.
    source
        Where they come from, in words.
    warnings
        What is doubtful about them.
    """

    aligned: Aligned
    source: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Fit:
    """All that a recipe learnt.

    Attributes
    ----------
    rule
        None for a fixed rule.
    temperatures
        One calibration per member, none where nothing is calibrated.
    """

    rule: FittedRule | None = None
    temperatures: tuple[Calibration, ...] = ()

    def calibrated(self, aligned: Aligned) -> Aligned:
        """Bring members to their temperatures."""
        if not self.temperatures:
            return aligned
        pairs = zip(self.temperatures, aligned.members, strict=True)
        return replace(aligned, members=tuple(calibration.apply(member) for calibration, member in pairs))

    @property
    def learnt_something(self) -> bool:
        """Whether there is anything to write."""
        return self.rule is not None or bool(self.temperatures)

    def write(self, path: Path) -> None:
        """Write ``rule.json``: schema fusion/1 with the fitted rule (rule/1) and the members' temperatures by view."""
        rule = self.rule.to_json() if self.rule else None
        temperatures: list[Json] = [dict(calibration.temperatures) for calibration in self.temperatures]
        write_json(path, {"schema": SCHEMA, "rule": rule, "temperatures": temperatures})

    @classmethod
    def read(cls, path: Path) -> Fit:
        """Read what `write` wrote.

        Raises
        ------
        PredictionsError
            If the file is absent, damaged or of another schema.
        """
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            if told["schema"] == SCHEMA:
                rule = None if told["rule"] is None else FittedRule.from_json(told["rule"])
                return cls(rule, tuple(Calibration(temperatures) for temperatures in told["temperatures"]))
            reason = f"schema {told['schema']!r}"
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = f"{type(error).__name__} {error}"
        raise PredictionsError(f"a fitted fusion of schema {SCHEMA}", f"{path}: {reason}", "Fuse again.")


def fit_recipe(aligned: Aligned, recipe: Recipe, seed: int = 0, source: str = "") -> Fit:
    """Learn what a recipe needs: temperatures first, then the rule on members at these temperatures.

    Raises
    ------
    PredictionsError
        If no plant has a class that is known and listed.
    """
    by_view = recipe.calibrate == "view"
    members = aligned.members if recipe.calibrate != "none" else ()
    temperatures = Fit(None, tuple(fit_calibration(member, by_view=by_view) for member in members))
    if not recipe.learned:
        return temperatures
    learner = LEARNED[recipe.rule]
    rows = rows_of(temperatures.calibrated(aligned), recipe.image_rule)
    labels = labels_of(rows.labels, learner.sources)
    evidence = gather(aligned, rows, labels, learner.needs)
    choice = learn(learner, evidence, seed)
    rule = FittedRule.of(recipe.rule, choice, model_names(aligned), labels, aligned.members[0].classes)
    details: dict[str, Json] = {"learnt_on": source, "n_observations": len(evidence)}
    return replace(temperatures, rule=replace(rule, details={**rule.details, **details}))


def labels_of(sources: Sequence[Label], kind: str) -> tuple[Label, ...]:
    """Sources that a learner's coefficients are for, of those that occur."""
    return tuple(
        dict.fromkeys(
            (model if "model" in part else ANY, view if "view" in part else ANY)
            for part in kind.split("+")
            for model, view in sources
        )
    )


def gather(aligned: Aligned, rows: Rows, labels: Sequence[Label], needs: str) -> Evidence:
    """Collect what each source says of every plant whose class is known and listed.

    Raises
    ------
    PredictionsError
        If there is no such plant.
    """
    plants = aligned.observations[0]
    number = true_indices(plants.true_class, aligned.members[0].classes)
    known = np.flatnonzero(number != NOT_LISTED)
    if not len(known):
        raise PredictionsError("plants of known class to learn a fusion from", "none", "Name others by --learn-on.")
    n_sources, n_classes = len(labels), len(aligned.members[0].classes)
    count, own = np.zeros((len(known), n_sources)), np.zeros((len(known), n_sources))
    large = np.zeros((n_sources, len(known), n_classes), dtype=np.float32) if needs else None
    n_rows = np.bincount(np.concatenate(rows.groups), minlength=len(number))[known]
    for matrix, group, source in zip(rows.matrices, rows.groups, rows.sources, strict=True):
        values = np.log(np.maximum(matrix, np.finfo(np.float32).tiny)) if needs == "logs" else matrix
        for column, label in enumerate(labels):
            mine = [place for place, found in enumerate(rows.labels) if _fits(label, found)]
            those = np.flatnonzero(np.isin(source, mine) & (number[group] != NOT_LISTED))
            plant = np.searchsorted(known, group[those])
            count[:, column] += np.bincount(plant, minlength=len(known))
            right = matrix[those, number[group[those]]].astype(np.float64)
            own[:, column] += np.bincount(plant, right, minlength=len(known))
            if large is not None and len(those):
                large[column] += _summed(values[those], plant, len(known))
    if large is not None and needs == "logs":
        large /= n_rows[:, np.newaxis].astype(np.float32)
    large_parts = {needs: large} if needs else {}
    return Evidence(number[known], shared_answers(aligned, known), count, own, **large_parts)


def _fits(label: Label, found: Label) -> bool:
    return label[0] in {ANY, found[0]} and label[1] in {ANY, found[1]}


def _summed(values: NDArray[np.floating], plant: NDArray[np.intp], n_plants: int) -> NDArray[np.float32]:
    """(n_plants, k) sum of rows by plant."""
    from scipy.sparse import csr_array

    gather_rows = csr_array(
        (np.ones(len(plant), dtype=np.float32), (plant, np.arange(len(plant)))), shape=(n_plants, len(plant))
    )
    return np.asarray(gather_rows @ values, dtype=np.float32)


def shared_answers(aligned: Aligned, kept: NDArray[np.intp]) -> NDArray[np.intp]:
    """(r, 2) pairs (plant, answer) of exactly equal answers that several plants have.

    They are of one photograph under two plants, which would make what is learnt look better than it is. Members of the
    same images must all agree.

    Parameters
    ----------
    kept
        (m,) rising numbers of the plants that are looked at, which are numbered anew.
    """
    sets = [range(len(aligned.members))] if aligned.same_images else [[one] for one in range(len(aligned.members))]
    pairs, number = set(), 0
    for members in sets:
        seen: dict[bytes, int] = {}
        for row, plant in enumerate(aligned.observations[members[0]].index.tolist()):
            answer = b"".join(aligned.members[member].probability[row].tobytes() for member in members)
            pairs.add((plant, seen.setdefault(answer, number + len(seen))))
        number += len(seen)
    found = np.array(sorted(pairs), dtype=np.intp).reshape(-1, 2)
    mask = np.zeros(len(aligned.observations[0].observation_id), dtype=np.bool_)
    mask[kept] = True
    found = renumbered(found, mask)
    return np.asarray(found[np.bincount(found[:, 1], minlength=number)[found[:, 1]] > 1])


def select_plants(aligned: Aligned, mask: NDArray[np.bool_]) -> Aligned:
    """Keep the plants for which `mask` (m,) is true."""
    chosen = [
        member.select(mask[plants.index]) for member, plants in zip(aligned.members, aligned.observations, strict=True)
    ]
    return align(chosen, "image" if aligned.same_images else "observation")


def select_unseen(aligned: Aligned) -> Aligned | None:
    """Plants of which every member has all rows flagged as unseen; None if there are too few to learn from."""
    mask = np.ones(len(aligned.observations[0].observation_id), dtype=np.bool_)
    for member, plants in zip(aligned.members, aligned.observations, strict=True):
        if member.unseen is None:
            return None
        mask[plants.index[~member.unseen]] = False
    return select_plants(aligned, mask) if mask.any() else None


@dataclass(frozen=True, eq=False)
class Answered:
    """A fusion's answers to plants and, where the members hold the same images, to images."""

    fused: FusedObservations
    images: NDArray[np.float64] | None


def answer(aligned: Aligned, recipe: Recipe, fit: Fit) -> Answered:
    """Fuse by what was learnt."""
    ready = fit.calibrated(aligned)
    return Answered(fuse(ready, recipe, fit.rule), fuse_images(ready, recipe, fit.rule))


def answer_honestly(aligned: Aligned, recipe: Recipe, lesson: Lesson, fit: Fit, seed: int = 0) -> Answered:
    """Fuse plants of whom some or all teach: each by what the others taught.

    Plants that do not teach are answered by `fit`, on all that do; the others in parts, as `folds_of` deals them, each
    by a fit on the remaining parts. With too few plants for parts, all are answered by the one fit, which is then
    judged on what it has seen.
    """
    whole = answer(aligned, recipe, fit)
    plants, teachers = aligned.observations[0], lesson.aligned.observations[0]
    number = np.unique(teachers.true_class, return_inverse=True)[1]
    sides = folds_of(number, shared_answers(lesson.aligned, np.arange(len(number))), seed)
    if not recipe.needs_learning:
        return whole
    probability = whole.fused.probability.copy()
    images = None if whole.images is None else whole.images.copy()
    for known, judged in sides:
        asked = np.isin(plants.observation_id, teachers.observation_id[judged])
        if not asked.any():
            continue
        others = fit_recipe(select_plants(lesson.aligned, known), recipe, seed, lesson.source)
        part = answer(select_plants(aligned, asked), recipe, others)
        probability[asked] = part.fused.probability
        if images is not None and part.images is not None:
            images[asked[plants.index]] = part.images
    return Answered(replace(whole.fused, probability=probability), images)
