"""Lessons: which files behind the members a fusion may learn from, the most honest first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from evaluation.alignment import align
from evaluation.learning import Lesson, select_unseen
from evaluation.members import Member
from evaluation.predictions import Predictions
from evaluation.rules.learned import MIN_PLANTS
from evaluation.runs import predictions_path
from featstore.errors import PredictionsError, SettingsError

OUT_OF_FOLD = "oof"
SEEN = (
    "Learnt on valid, which early stopping or tuning has seen, too: what is learnt may trust some models too much. "
    "`heads compare --folds` or `--calibration-share` gives plants that nothing has seen."
)
FEW = (
    "Only {n_plants} plants to learn from: weights stay equal, and temperatures are judged on what they were fitted on."
)


def _out_of_fold(member: Member) -> Path:
    return predictions_path(member.path.parent, "train", OUT_OF_FOLD)


def _valid(member: Member) -> Path:
    return predictions_path(member.path.parent, "valid", member.variant)


def _train(member: Member) -> Path:
    return predictions_path(member.path.parent, "train", member.variant)


LESSONS: Mapping[str, Callable[[Member], Path]] = MappingProxyType(
    {"oof": _out_of_fold, "valid": _valid, "train": _train}
)
"""Name -> file of each member. ``auto`` is ``oof`` where every member has it, else ``valid``."""


def find_lesson(members: Sequence[Member], learn_on: Sequence[str], align_by: str) -> Lesson:
    """Find plants to learn a fusion from.

    Of valid, plants that every member flags as unseen are taken alone where there are enough of them; otherwise all,
    with a warning.

    Parameters
    ----------
    members
        The models that are fused.
    learn_on
        ``auto``, a name in `LESSONS`, or one file per member, in their order.
    align_by
        As in `align`.

    Raises
    ------
    SettingsError
        If files are missing or of another number than members.
    PredictionsError
        If they do not belong together.
    """
    name = learn_on[0] if len(learn_on) == 1 else ""
    if name == "auto":
        name = OUT_OF_FOLD if all(_out_of_fold(member).is_file() for member in members) else "valid"
    if name in LESSONS:
        paths = [LESSONS[name](member) for member in members]
    elif len(learn_on) == len(members):
        paths, name = [Path(file) for file in learn_on], "files"
    else:
        expected = f"auto, {', '.join(LESSONS)}, or one file per model ({len(members)})"
        raise SettingsError(expected, ", ".join(learn_on), "Pass --learn-on once per model.")
    if missing := [str(path) for path in paths if not path.is_file()]:
        got = f"no file {missing[0]}" + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
        remedy = f"Pass auto, {', '.join(LESSONS)}, or --learn-on FILE once per model."
        raise SettingsError("predictions to learn a fusion from", got, remedy)
    aligned = align([Predictions.read(path) for path in paths], align_by)
    for member, lesson in zip(members, aligned.members, strict=True):
        if lesson.classes.tolist() != member.predictions.classes.tolist():
            got = f"others in {member.run}"
            raise PredictionsError("the same classes to learn from as to fuse", got, "Predict with one model.")
        if lesson.model != member.predictions.model:
            got = f"{lesson.model} to learn what {member.run} needs"
            raise PredictionsError("answers of each model itself to learn from", got, "Name --learn-on in their order.")
    n_plants = len(aligned.observations[0].observation_id)
    few = (FEW.format(n_plants=n_plants),) if n_plants < MIN_PLANTS else ()
    if name != "valid":
        return Lesson(aligned, name, few)
    unseen = select_unseen(aligned)
    if unseen is not None and len(unseen.observations[0].observation_id) >= MIN_PLANTS:
        return Lesson(unseen, "valid, plants that nothing has seen")
    return Lesson(aligned, "valid", (SEEN, *few))
