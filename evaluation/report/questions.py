"""Questions: whose answers a report compares - every model, the fusions that were stored, and those it makes itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from evaluation.again import find_answers, member_files
from evaluation.alignment import Aligned
from evaluation.gain.entries import LEARNED_ON
from evaluation.members import Member, needs_of_files, needs_of_members
from evaluation.predictions import Predictions
from evaluation.recipes import Recipe
from evaluation.rows import Matrix
from evaluation.rules.fitted import FittedRule
from evaluation.runs import CARD, predictions_path, read_run_card, run_folders, split_and_variant
from evaluation.simplest import Needs
from featstore.errors import PhytobenchError


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
    fitted
        What a learned rule learnt.
    valid
        The members' files of valid, from which S there is known; none where one of them has none, and none for a rule
        that learnt: valid is what it learns from.
    needs
        What it asks for: of equals the simplest is the best.
    """

    run: str
    kind: str
    augmented: bool
    members: tuple[Predictions[Matrix], ...]
    recipe: Recipe
    fitted: FittedRule | None = None
    valid: tuple[Path, ...] = ()
    needs: Needs = field(default_factory=Needs)

    @property
    def models(self) -> str:
        """The members' names."""
        return ", ".join(member.model for member in self.members)


def questions(
    listed: Sequence[Member],
    fused: Sequence[Member],
    rule: str,
    worth: Sequence[Path] = (),
    stored: Sequence[Question] = (),
) -> list[Question]:
    """Every model alone, the stored fusions, and both of all models and of those that valid would merge.

    Parameters
    ----------
    listed
        Every file, in the order of the table.
    fused
        One per run.
    rule
        Name in `FIXED`.
    worth
        Files of those of `fused` that are worth merging, as valid says; none where it does not say.
    stored
        Fusions of run folders; one of the same members by the same rule takes the place of ours.
    """
    several = len(fused) > 1
    sets = {f"fusion:{rule} of all {len(fused)}" if several else f"fusion:{rule}": list(fused)}
    chosen = [member for member in fused if member.path in worth]
    if 1 < len(chosen) < len(fused):
        sets[f"fusion:{rule} of {len(chosen)} chosen on {LEARNED_ON}"] = chosen
    ours: list[Question] = []
    for run, members in sets.items() if several or rule != "mean" else ():
        ours.append(_together(run, members, rule, augmented=False))
        better = [_augmented(member, listed) for member in members]
        if several and better != members:
            ours.append(_together(f"{run} + TTA", better, rule, augmented=True))
    known = {_identity(question) for question in stored}
    return [
        *(_alone(member) for member in listed),
        *stored,
        *(question for question in ours if _identity(question) not in known),
    ]


def stored_fusions(named: Sequence[Path], aligned: Aligned[Matrix], align_by: str) -> tuple[list[Question], list[str]]:
    """Find the fusions of the same plants among what was named, and in the folders of runs that were named.

    Parameters
    ----------
    named
        What the user named.
    aligned
        The models of the report.
    align_by
        How its results are aligned.

    Returns
    -------
    tuple[list[Question], list[str]]
        The fusions, and why others are left out: their members have changed, are gone, or saw something else.
    """
    found: list[Question] = []
    warnings: list[str] = []
    first = aligned.members[0]
    for folder in dict.fromkeys(folder for path in named for folder in _folders(path) if is_fusion(folder)):
        card = read_run_card(folder)
        if card.details.get("split") != first.split:
            continue
        try:
            ((answers,), _) = find_answers([folder], first.split)
            files = member_files(folder, card)
        except PhytobenchError as error:
            warnings.append(f"{folder} is left out: expected {error.expected}, got {error.got}. {error.remedy}")
            continue
        if not _is_about(answers.aligned, aligned, align_by):
            warnings.append(f"{folder} is left out: its members saw other plants, classes or photographs.")
            continue
        members = tuple(member.sharing(first) for member in answers.aligned.members)
        valid = () if answers.recipe.needs_learning else _on_valid(files)
        augmented = card.model.endswith("+ TTA")
        needs = needs_of_files(folder.name, files)
        found.append(Question(folder.name, "fusion", augmented, members, answers.recipe, answers.fitted, valid, needs))
    return found, warnings


def _is_about(fusion: Aligned[Matrix], aligned: Aligned[Matrix], align_by: str) -> bool:
    """Whether a fusion answers what the models of a report answer, and can be aligned as they are."""
    plants = fusion.observations[0].observation_id, aligned.observations[0].observation_id
    classes = fusion.members[0].classes, aligned.members[0].classes
    same = np.array_equal(*plants) and np.array_equal(*classes)
    return same and (fusion.same_images or align_by == "observation")


def is_fusion(path: Path) -> bool:
    """Tell whether a folder holds a fusion."""
    return (path / CARD).is_file() and read_run_card(path).kind == "fusion"


def _folders(path: Path) -> list[Path]:
    return [path, *run_folders(path)] if path.is_dir() else []


def _on_valid(files: Sequence[Path]) -> tuple[Path, ...]:
    """The same runs' files of valid; none where one has none."""
    variants = [split_and_variant(path) for path in files]
    valid = [
        predictions_path(path.parent, LEARNED_ON, variant) for path, (_, variant) in zip(files, variants, strict=True)
    ]
    known = all(split for split, _ in variants) and all(path.is_file() for path in valid)
    return tuple(valid) if known else ()


def _identity(question: Question) -> tuple[frozenset[str], bool, Recipe]:
    return frozenset(member.model for member in question.members), question.augmented, question.recipe


def _alone(member: Member) -> Question:
    kind = member.card.kind if member.card else "file"
    valid = _on_valid([member.path])
    needs = needs_of_members(member.run, [member])
    return Question(member.run, kind, member.augmented, (member.predictions,), Recipe("mean"), valid=valid, needs=needs)


def _together(run: str, members: Sequence[Member], rule: str, *, augmented: bool) -> Question:
    valid = _on_valid([member.path for member in members])
    predictions = tuple(member.predictions for member in members)
    needs = needs_of_members(run, members)
    return Question(run, "fusion", augmented, predictions, Recipe(rule), valid=valid, needs=needs)


def _augmented(member: Member, listed: Sequence[Member]) -> Member:
    """Its run's augmented predictions, or the member itself where there are none."""
    of_run = (other for other in listed if other.path.parent == member.path.parent and other.augmented and member.card)
    return next(of_run, member)
