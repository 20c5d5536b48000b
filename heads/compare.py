"""The comparison: every head on every network and on all of them together, under one protocol."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.runs import predictions_path, read_run_card
from featstore import shell
from featstore.errors import PhytobenchError, PredictionsError, SettingsError
from featstore.exclusions import (
    COPIES,
    EXCLUSIONS,
    Exclusion,
    copies_in,
    excluded_in,
    read_copies,
    read_exclusions,
    write_copies,
    write_exclusions,
)
from featstore.groups import find_leaks
from featstore.provenance import Json, provenance
from featstore.store import Store
from heads.entry import Entry, read_entry
from heads.head import Tell, require_setting
from heads.leaderboard import FINE_TUNED_HEAD, Leaderboard
from heads.material import Material, load_material, photographs_read
from heads.recipe import RECIPE
from heads.registry import DEFAULT_HEADS, HEADS
from heads.trial import FITTED, REFITTED, Trial, run_trial

SPLIT = "split.csv"


@dataclass(frozen=True)
class CompareSettings:
    """What to compare.

    Attributes
    ----------
    backbones
        Networks; none stands for all of the store.
    heads
        Names in `heads.registry.HEADS`.
    concat
        Whether to try all networks side by side too, if there are several.
    refit
        Whether heads fitted again on train and valid answer for test.
    seed
        Seed of the split, if it has to be drawn, and of the heads.
    min_vote
        Photographs with a lower vote of the contributors are not learnt from; unknown votes are.

    Raises
    ------
    SettingsError
        If a head is unknown or none is named, the seed is negative, or the vote is no number.
    """

    backbones: tuple[str, ...] = ()
    heads: tuple[str, ...] = DEFAULT_HEADS
    concat: bool = True
    refit: bool = True
    seed: int = 0
    min_vote: float | None = None

    def __post_init__(self) -> None:
        unknown = [name for name in self.heads if name not in HEADS]
        if unknown or not self.heads:
            raise SettingsError(f"heads among {', '.join(HEADS)}", ", ".join(unknown) or "none", "Correct --head.")
        require_setting("seed", self.seed, low=0)
        if self.min_vote is not None:
            require_setting("min_vote", self.min_vote, low=0)


@dataclass(frozen=True)
class Lists:
    """What to leave out and what belongs together; both are kept in the folder of the runs and hold there from then on.

    Attributes
    ----------
    exclude
        List of photographs to leave out, also of fine-tuning.
    copies
        Pairs of photographs that show the same picture, such as `featstore doctor` finds.
    drop_leaks
        Whether photographs to learn from that test shows, too, are added to what is left out, instead of refused.
    """

    exclude: Path | None = None
    copies: Path | None = None
    drop_leaks: bool = False

    def enter(self, store: Store, out: Path) -> None:
        """Write them into the folder of the runs."""
        if self.exclude is not None:
            write_exclusions(read_exclusions(self.exclude), out / EXCLUSIONS)
        if self.copies is not None:
            write_copies(read_copies(self.copies), out / COPIES)
        if self.drop_leaks:
            path = out / EXCLUSIONS
            before = read_exclusions(path) if path.exists() else ()
            left = photographs_read(store, [exclusion.image_id for exclusion in before])
            leaks = [Exclusion(leak.image_id, f"leak: {leak}") for leak in find_leaks(left, copies_in(out))]
            if leaks:
                write_exclusions([*before, *leaks], path)


def compare_heads(store: Store, settings: CompareSettings, out: Path, lists: Lists | None = None) -> Leaderboard:
    """Fit, judge and save every head on every input; write split.csv, run folders, leaderboard and best.json.

    Runs that are there with the same fingerprint are taken as they are. A head that fails is an entry with the
    reason; the others go on.

    Parameters
    ----------
    lists
        Photographs to leave out and to keep together; None takes those of `out`.

    Raises
    ------
    PhytobenchError
        If store, split or settings cannot be used.
    """
    backbones = _chosen(store, settings.backbones)
    (lists or Lists()).enter(store, out)
    material = load_material(store, backbones, settings.seed, out / SPLIT, excluded_in(out), copies_in(out))
    trials = plan(backbones, settings)
    fits_per_trial = 2 if settings.refit else 1
    entries = []
    with shell.progress(len(trials) * fits_per_trial, "comparing", "fits") as bar:
        for trial in trials:
            bar.set_postfix_str(trial.name)
            entries.append(_entry(trial, material, out / trial.name, _seldom(bar.set_postfix_str)))
            bar.update(fits_per_trial)
    board = Leaderboard(tuple(entries), _facts(store, material, settings), _warnings(material, entries))
    board.write(out)
    return board


def plan(backbones: Sequence[str], settings: CompareSettings) -> list[Trial]:
    """List the trials: every network alone and, if wanted, all side by side, each with every head."""
    inputs: list[tuple[str, ...]] = [(backbone,) for backbone in backbones]
    if settings.concat and len(backbones) > 1:
        inputs.append(tuple(backbones))
    heads = dict.fromkeys(settings.heads)
    return [Trial(names, head, settings.seed, settings.refit, settings.min_vote) for names in inputs for head in heads]


def _chosen(store: Store, wanted: Sequence[str]) -> tuple[str, ...]:
    """The networks in the store's own order, so that a concatenation has one name however it was asked for."""
    for backbone in wanted:
        store.identity(backbone)
    return tuple(backbone for backbone in store.backbones if not wanted or backbone in wanted)


def _seldom(tell: Tell, seconds: float = 5.0) -> Tell:
    """Pass on one message in so many seconds: enough for a person, and a log stays readable."""
    last = time.monotonic()

    def tell_seldom(text: str) -> None:
        nonlocal last
        if time.monotonic() - last >= seconds:
            last = time.monotonic()
            tell(text)

    return tell_seldom


def _entry(trial: Trial, material: Material, folder: Path, tell: Tell) -> Entry:
    try:
        fingerprint = trial.fingerprint(material)
        there = _reusable(trial, folder, fingerprint, has_test=bool((material.split == "test").any()))
        if there is not None:
            return there
        run_trial(trial, material, folder, fingerprint, lambda text: tell(f"{trial.name}: {text}"))
        return read_entry(trial, folder, reused=False)
    except OSError:
        # A full disk or a missing permission would fail every head alike.
        raise
    except PhytobenchError as error:
        return Entry(trial, error=str(error))
    except Exception as error:  # noqa: BLE001  # whatever a head fails of, it is one row and the rest goes on
        return Entry(trial, error=f"{type(error).__name__}: {error}")


def _reusable(trial: Trial, folder: Path, fingerprint: dict[str, Json], *, has_test: bool) -> Entry | None:
    """Read the run that lies in the folder if it is whole and has this fingerprint."""
    files = [folder / FITTED / RECIPE, predictions_path(folder, "valid")]
    files += [folder / REFITTED / RECIPE] if trial.refit else []
    files += [predictions_path(folder, "test")] if has_test else []
    if not all(path.is_file() for path in files):
        return None
    try:
        same = read_run_card(folder).details.get("fingerprint") == fingerprint
        return read_entry(trial, folder, reused=True) if same else None
    except PredictionsError:
        # Damaged: made anew.
        return None


def _facts(store: Store, material: Material, settings: CompareSettings) -> dict[str, Json]:
    return {
        "store": store.location,
        "dataset": store.name,
        "roi": {backbone: store.recipe(backbone).identity for backbone in material.identities},
        "foreign": [backbone for backbone, identity in material.identities.items() if identity.foreign],
        "weights": {backbone: identity.weights for backbone, identity in material.identities.items()},
        "seed": settings.seed,
        "refit": settings.refit,
        "min_vote": settings.min_vote,
        "classes": len(material.classes("train")),
        "splits": {
            name: {"images": images, "observations": observations}
            for name, (images, observations) in material.sizes().items()
        },
        "provenance": provenance(),
    }


def _warnings(material: Material, entries: Sequence[Entry]) -> tuple[str, ...]:
    warnings = list(material.warnings)
    warnings += [f"{entry.trial.name}: {remark}" for entry in entries for remark in entry.remarks]
    warnings += [f"{entry.trial.name} failed: {entry.error}" for entry in entries if entry.error]
    tried = any(entry.trial.head == FINE_TUNED_HEAD and not entry.error for entry in entries)
    if not tried:
        warnings.append(
            f"no {FINE_TUNED_HEAD} on a single network was compared: best.json names a start for finetune run only if "
            "an earlier comparison chose one"
        )
    random = [name for name, identity in material.identities.items() if identity.weights.startswith("random")]
    if random:
        warnings.append(f"random weights in {', '.join(random)}: these figures say nothing about plants")
    return tuple(warnings)
