"""Entries: the runs that a user names, read once, with what their valid predictions would choose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.gain.contest import Contest, contest_of
from evaluation.gain.models import greedy_order, greedy_scores
from evaluation.members import AUGMENTED, Member, Members, load_members, needs_of_members
from evaluation.recipes import require_fixed
from evaluation.runs import expand, find_predictions, split_and_variant, splits_of
from evaluation.simplest import best_first

LEARNED_ON = "valid"


@dataclass(frozen=True, eq=False)
class Entries:
    """All predictions of some runs.

    Attributes
    ----------
    contest
        Every file of predictions, plain and augmented.
    fused
        Positions of the files to be fused, one per run.
    augmented
        Position in `fused` of a plain file -> position of the same run's augmented one, where it has one.
    simplest_first
        The positions of `fused`, what asks for the least first: of equals the first of these is the best.
    order
        The positions of `fused`, best first as valid says, or as named.
    chosen_on
        ``"valid"``, or ``""`` when there is one run alone, or one without valid predictions.
    n_worth
        How many of the first of `order` have the highest S on valid; 1 when nothing was learned.
    warnings
        What is doubtful and was kept.
    """

    contest: Contest
    fused: tuple[int, ...]
    augmented: dict[int, int]
    simplest_first: tuple[int, ...]
    order: tuple[int, ...]
    chosen_on: str
    n_worth: int
    warnings: tuple[str, ...]


def read_entries(
    paths: Sequence[Path], split: str | None = None, rule: str = "mean", *, augmented: bool = False
) -> Entries:
    """Read every run's predictions, and learn on valid in which order models help.

    Parameters
    ----------
    paths
        Run folders, folders of runs, or files of predictions.
    split
        What is reported; None takes test where there is one, else valid.
    rule
        Name in `RULES`.
    augmented
        Fuse the augmented predictions of a run where it has them.

    Raises
    ------
    PredictionsError
        If predictions are missing, break their format, do not belong together or have no known truth.
    SettingsError
        If a setting does not fit the runs.
    """
    require_fixed(rule)
    runs = expand(paths)
    members = load_members(runs, split, augmented=augmented)
    contest = _contest(members.listed)
    place = {member.path: number for number, member in enumerate(members.listed)}
    fused = tuple(place[member.path] for member in members.fused)
    order, n_worth, chosen_on, warnings = _learned(runs, fused, rule, contest.split, augmented)
    return Entries(
        contest=contest,
        fused=fused,
        augmented=_augmented(members, place),
        simplest_first=tuple(fused[number] for number in _simplest_first(members.fused)),
        order=order,
        chosen_on=chosen_on,
        n_worth=n_worth,
        warnings=(*members.warnings, *contest.plants.warnings, *warnings),
    )


def _learned(
    runs: Sequence[Path], fused: tuple[int, ...], rule: str, split: str, augmented: bool
) -> tuple[tuple[int, ...], int, str, list[str]]:
    """Order of the fused, how many of them valid would merge, where this was learned, and what is doubtful about it."""
    if len(fused) == 1:
        return fused, 1, "", []
    without = [str(run) for run in runs if LEARNED_ON not in splits_of(run)]
    if without:
        text = f"No {LEARNED_ON} predictions of {', '.join(without)}: models are taken in the order they were named."
        return fused, 1, "", [text]
    copies = augmented and _any_augmented(runs)
    valid = load_members(runs, LEARNED_ON, augmented=copies).fused
    contest = _contest(valid)
    order = greedy_order(contest, _simplest_first(valid), rule)
    scores = greedy_scores(contest, order, rule)
    doubt = f"The order of the models was learned on {LEARNED_ON}, which is also what is reported: S is too high."
    warnings = [doubt] if split == LEARNED_ON else []
    if augmented and not copies:
        warnings.append(f"No augmented {LEARNED_ON} predictions: the order was learned on the plain ones.")
    n_worth = best_first(range(1, len(scores) + 1), lambda n_models: scores[n_models - 1])[0]
    return tuple(fused[number] for number in order), n_worth, LEARNED_ON, warnings


def _simplest_first(members: Sequence[Member]) -> list[int]:
    return sorted(range(len(members)), key=lambda number: needs_of_members(members[number].run, [members[number]]))


def _contest(members: Sequence[Member]) -> Contest:
    """Load members, whose rows are looked at many times."""
    return contest_of([member.predictions.loaded() for member in members], [member.run for member in members])


def _any_augmented(runs: Sequence[Path]) -> bool:
    files = [path for run in runs for path in find_predictions(run, LEARNED_ON)]
    return any(split_and_variant(path)[1].startswith(AUGMENTED) for path in files)


def _augmented(members: Members, place: dict[Path, int]) -> dict[int, int]:
    """Plain position -> augmented position; of several augmented files of a run the first."""
    found: dict[int, int] = {}
    plain = {member.path.parent: place[member.path] for member in members.listed if not member.variant}
    for member in members.listed:
        if member.augmented and member.path.parent in plain:
            found.setdefault(plain[member.path.parent], place[member.path])
    return found
