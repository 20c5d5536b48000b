"""Members: the predictions behind the runs that a user names, with names that tell them apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

from evaluation.alignment import GROWN, require_same_set
from evaluation.predictions import Predictions, peek_classes
from evaluation.rows import StoredRows, same_rows
from evaluation.runs import CARD, RunCard, choose_split, find_predictions, read_run_card, split_and_variant
from evaluation.simplest import Needs, needs_of
from featstore.errors import PredictionsError, SettingsError, listed

AUGMENTED = "tta"


@dataclass(frozen=True, eq=False)
class Member:
    """One file of predictions.

    Parameters
    ----------
    run
        Name in tables: the model's, with ``+ TTA5`` behind it for predictions averaged over 5 augmented images.
    path
        The file.
    variant
        ``""`` or, for example, ``"tta5"``.
    predictions
        Its content.
    card
        What the run folder says about it, None for a file without one.
    """

    run: str
    path: Path
    variant: str
    predictions: Predictions[StoredRows]
    card: RunCard | None

    @property
    def augmented(self) -> bool:
        """Whether its predictions are averaged over varied copies."""
        return _is_augmented(self.variant)


@dataclass(frozen=True, eq=False)
class Members:
    """All files behind the named runs.

    Parameters
    ----------
    listed
        Each file once, in the order of the runs, a run's plain predictions before its augmented ones.
    fused
        Those of them that are to be fused, one per run; baselines, which look at nothing, only if there are no others.
    warnings
        What is doubtful and was kept.
    """

    listed: tuple[Member, ...]
    fused: tuple[Member, ...]
    warnings: tuple[str, ...]


def require_same_classes(runs: Sequence[Path]) -> None:
    """Refuse runs of other classes than most of them have, whatever splits they have predictions of.

    Parameters
    ----------
    runs
        Run folders or ``*.predictions.h5`` files.

    Raises
    ------
    PredictionsError
        Naming the first such run, and the classes in which it differs.
    """
    classes = [peek_classes(find_predictions(run)[0]) for run in runs]
    kinds = [tuple(found.tolist()) for found in classes]
    if len(set(kinds)) < 2:
        return
    # Of equally many the first.
    usual = kinds.index(Counter(kinds).most_common(1)[0][0])
    other = next(number for number, kind in enumerate(kinds) if kind != kinds[usual])
    remedy = f"Runs of different classes do not belong together: name runs of one data set. {GROWN}"
    require_same_set("classes", (classes[usual], classes[other]), (str(runs[usual]), str(runs[other])), remedy)


def load_members(
    runs: Sequence[Path], split: str | None = None, *, augmented: bool = False, apart: bool = False
) -> Members:
    """Read the predictions of every run.

    Parameters
    ----------
    runs
        Run folders or ``*.predictions.h5`` files, at least one. One that is named twice counts once.
    split
        Which split; None takes test where there is one, else valid.
    augmented
        Fuse the augmented predictions of a run where it has them.
    apart
        Each is looked at by itself, so that they need not know the same classes.

    Raises
    ------
    PredictionsError
        If predictions are missing, break their format, or know other classes than those of other runs.
    SettingsError
        If `augmented` is asked for and no run has augmented predictions, or one has several.
    """
    if not runs:
        raise SettingsError("at least one run", "none", "Name run folders or files of predictions.")
    if not apart:
        # Before any advice about splits, which would not help.
        require_same_classes(runs)
    split = split or choose_split(list(runs))
    loaded: dict[Path, Member] = {}
    chosen: list[Path] = []
    warnings: list[str] = []
    for run in runs:
        # One file may be named in several ways: its resolved path is its identity.
        found = {path.resolve(): path for path in find_predictions(run, split)}
        for identity, path in found.items():
            if identity not in loaded:
                loaded[identity] = _load(path, split, next(iter(loaded.values()), None))
        identity = _choose(run, {identity: loaded[identity] for identity in found}, augmented=augmented)
        if identity in chosen:
            warnings.append(f"{run} is named twice; it counts once.")
        else:
            chosen.append(identity)
    loaded = _told_apart(loaded)
    fused = tuple(loaded[identity] for identity in chosen)
    if not apart:
        fused, left_out = _without_baselines(fused)
        warnings += left_out
    if augmented:
        warnings += _without_augmented(fused)
    return Members(tuple(loaded.values()), fused, (*warnings, *_identical(fused)))


def species_names(members: Sequence[Member]) -> dict[str, str]:
    """Collect class id -> species name from the members' run cards; the first name of a class counts."""
    names: dict[str, str] = {}
    for member in members:
        classes: Mapping[str, str] = member.card.classes if member.card else {}
        for class_id, species in classes.items():
            names[class_id] = names.get(class_id) or species
    return names


def needs_of_members(name: str, members: Sequence[Member]) -> Needs:
    """What a member, or the fusion of several, asks for."""
    return needs_of(name, [(member.card, member.augmented) for member in members])


def needs_of_files(name: str, files: Sequence[Path]) -> Needs:
    """What the fusion of some files of predictions asks for."""
    return needs_of(name, [(_card_beside(file), _is_augmented(split_and_variant(file)[1])) for file in files])


def _card_beside(file: Path) -> RunCard | None:
    return read_run_card(file.parent) if (file.parent / CARD).is_file() else None


def _is_augmented(variant: str) -> bool:
    return variant.startswith(AUGMENTED)


def _load(path: Path, split: str, first: Member | None) -> Member:
    predictions = Predictions.open(path)
    if first is not None:
        predictions = predictions.sharing(first.predictions)
    if predictions.split != split:
        got = f"{predictions.split} predictions in {path}"
        raise PredictionsError(f"{split} predictions, as the file's name says", got, "Give the file its own name.")
    _, variant = split_and_variant(path)
    name = f"{predictions.model} + {variant.upper()}" if variant else predictions.model
    return Member(name, path, variant, predictions, _card_beside(path))


def _choose(run: Path, members: Mapping[Path, Member], *, augmented: bool) -> Path:
    """Identity of the file that stands for a run: the first one, or its augmented one."""
    candidates = [identity for identity, member in members.items() if member.augmented]
    if not augmented or not candidates:
        return next(iter(members))
    if len(candidates) > 1:
        got = ", ".join(members[identity].path.name for identity in candidates)
        raise SettingsError(f"one augmented file in {run}", got, "Name the file itself instead of its folder.")
    return candidates[0]


def _told_apart(members: Mapping[Path, Member]) -> dict[Path, Member]:
    """Name members after their files where two would have the same name."""
    names = Counter(member.run for member in members.values())
    return {
        identity: replace(member, run=str(member.path)) if names[member.run] > 1 else member
        for identity, member in members.items()
    }


def _without_baselines(chosen: tuple[Member, ...]) -> tuple[tuple[Member, ...], list[str]]:
    """Leave out models that look at nothing, unless there are no others, and say so."""
    looking = tuple(member for member in chosen if not (member.card and member.card.is_baseline))
    if len(looking) in (0, len(chosen)):
        return chosen, []
    names = [member.run for member in chosen if member not in looking]
    verb = "looks at nothing and is" if len(names) == 1 else "look at nothing and are"
    return looking, [f"{listed(names)} {verb} left out of fusions."]


def _without_augmented(chosen: Sequence[Member]) -> list[str]:
    plain = [member.run for member in chosen if not member.augmented]
    if len(plain) == len(chosen):
        got = f"none for {', '.join(plain)}"
        raise SettingsError("augmented predictions for --tta", got, "Run `finetune run --tta 5`, or leave out --tta.")
    return [f"{', '.join(plain)} without augmented predictions: the plain ones are fused."] if plain else []


def _identical(members: Sequence[Member]) -> list[str]:
    return [
        f"{first.run} and {second.run} hold the same probabilities: they count twice."
        for first, second in combinations(members, 2)
        if same_rows(first.predictions.probability, second.predictions.probability)
    ]
