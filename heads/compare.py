"""The comparison: every head on every network and on all of them together, under one protocol."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from featstore import shell
from featstore.errors import PredictionsError, SettingsError
from featstore.exclusions import copies_in, excluded_in
from featstore.store import Store
from featstore.store.lease import only_writer
from heads.choice import parse_choices
from heads.crew import Outcome, here, on_cluster, on_processes
from heads.dividing import LEAKS, LeakError
from heads.earlier import left_aside, replaced_runs
from heads.entry import Entry, read_entry
from heads.folder import tidy
from heads.folds import require_plants
from heads.forecast import GIB, Forecast, forecast
from heads.head import Tell, require_setting
from heads.leaderboard import Leaderboard
from heads.lists import Lists, keep, staging
from heads.material import LEARNT, Material
from heads.protocol import Protocol
from heads.registry import DEFAULT_HEADS, HEADS
from heads.remarks import facts_of, warnings_about
from heads.trial import Trial
from heads.tuning import Tuning
from heads.work import Source, Unit, assemble, is_assembled, pending

NOT_FINISHED = "not finished; the same command goes on"
WRITER = "comparison"
"""What is written into a folder of runs by one process at a time; fine-tuning writes others beside it."""


@dataclass(frozen=True)
class CompareSettings:
    """What to compare.

    Attributes
    ----------
    backbones
        Networks; none stands for all of the store.
    heads
        As `HeadChoice.parse` reads them: names in `heads.registry.HEADS`, with settings and labels where wanted.
    concat
        Whether to try all networks side by side too, if there are several.
    protocol
        How every head is fitted and judged.
    tuning
        How settings are searched for; None takes the defaults.
    like_test
        Whether valid plants are judged by as many photographs as test shows, if the split has to be drawn.
    n_held_out
        Species that stand for unknown ones.

    Raises
    ------
    SettingsError
        If a head is unknown or none is named, two have one name, or a number is out of range.
    """

    backbones: tuple[str, ...] = ()
    heads: tuple[str, ...] = DEFAULT_HEADS
    concat: bool = True
    protocol: Protocol = field(default_factory=Protocol)
    tuning: Tuning | None = None
    like_test: bool = False
    n_held_out: int = 0

    def __post_init__(self) -> None:
        parse_choices(self.heads)
        require_setting("--hold-out-species", self.n_held_out, low=0)


@dataclass(frozen=True)
class Crew:
    """Who does the work.

    Attributes
    ----------
    n_jobs
        Processes of this machine; 1 works in this one.
    scheduler
        Address of a Dask scheduler, instead.
    memory_gib
        Memory that all fits at once may need; None takes what is free. Workers of a scheduler have their own limits.

    Raises
    ------
    SettingsError
        If both are asked for, or there is no process.
    """

    n_jobs: int = 1
    scheduler: str | None = None
    memory_gib: float | None = None

    def __post_init__(self) -> None:
        require_setting("--workers", self.n_jobs, low=1)
        if self.memory_gib is not None:
            require_setting("--memory", self.memory_gib, low=0)
        if self.scheduler and self.n_jobs > 1:
            raise SettingsError("either --workers or --scheduler", "both", "Leave one out.")

    def forecast(self, units: Sequence[Unit], material: Material) -> Forecast:
        """What units will cost."""
        memory = math.inf if self.scheduler else None
        return forecast(units, material, self.n_jobs, memory if self.memory_gib is None else self.memory_gib * GIB)

    def work(self, units: Sequence[Unit], source: Source, material: Material, tell: Tell) -> Iterator[Outcome]:
        """Work units off, in any order."""
        if self.scheduler:
            return on_cluster(units, source, self.scheduler)
        return on_processes(units, source, self.n_jobs) if self.n_jobs > 1 else here(units, material, source.out, tell)


def compare_heads(
    store: Store, settings: CompareSettings, out: Path, lists: Lists | None = None, crew: Crew | None = None
) -> Leaderboard:
    """Fit, judge and save every head on every input; write split.csv, run folders, leaderboard and best.json.

    Runs that are there with the same fingerprint are taken as they are. A head that fails is an entry with the
    reason; the others go on. What is done when the process is interrupted is on the leaderboard.

    Parameters
    ----------
    lists
        Photographs to leave out and to keep together; None takes those of `out`.
    crew
        Who does the work; None for this process.

    Raises
    ------
    LockedError
        If another comparison is being written to `out`.
    PhytobenchError
        If store, split or settings cannot be used.
    """
    with ExitStack() as alone:
        source, material, trials = _open(store, settings, out, lists, alone)
        return _compare(store, settings, source, material, trials, crew or Crew())


def _compare(
    store: Store, settings: CompareSettings, source: Source, material: Material, trials: Sequence[Trial], crew: Crew
) -> Leaderboard:
    out = source.out
    errors: dict[str, str] = {}
    for trial in trials:
        tidy(out / trial.name)
    units = pending(trials, material, out)
    for text in replaced_runs(units, material, out):
        shell.warn(text)
    fitted = {unit.trial.name for unit in units if unit.part is None}
    try:
        _work(crew.forecast(units, material), replace(source, state=material.state), material, crew, errors)
        for trial in trials:
            if trial.protocol.n_folds and trial.name not in errors and not is_assembled(trial, material, out):
                assemble(trial, material, out)
    finally:
        unfinished = {unit.trial.name for unit in pending(trials, material, out)}
        errors |= dict.fromkeys(unfinished - errors.keys(), NOT_FINISHED)
        entries = [_entry(trial, out / trial.name, errors, reused=trial.name not in fitted) for trial in trials]
        facts = facts_of(store, material, settings)
        warnings = (*warnings_about(material, settings, entries), *left_aside(trials, out))
        board = Leaderboard(tuple(entries), facts, warnings, material.species())
        board.write(out)
    return board


def foresee(
    store: Store, settings: CompareSettings, out: Path, lists: Lists | None = None, crew: Crew | None = None
) -> Forecast:
    """Tell what `compare_heads` with the same arguments would have to do; nothing is fitted or written.

    Raises
    ------
    PhytobenchError
        If store, split or settings cannot be used.
    """
    _, material, trials = _open(store, settings, out, lists)
    return (crew or Crew()).forecast(pending(trials, material, out), material)


def _open(
    store: Store, settings: CompareSettings, out: Path, lists: Lists | None, alone: ExitStack | None = None
) -> tuple[Source, Material, list[Trial]]:
    """What is compared on what: the split is drawn and the lists are entered where that has not been done.

    They are kept only if nothing is refused; of a refusal for leaks, the list of leaks is.

    Parameters
    ----------
    alone
        Is given the lease of `out`, to be the only comparison that writes to it from here on; None keeps nothing.
    """
    backbones = _chosen(store, settings.backbones)
    with staging(out) as folder:
        try:
            (lists or Lists()).enter(store, folder)
            source = Source(
                store.location, backbones, settings.protocol.seed, folder, excluded_in(folder), copies_in(folder),
                settings.like_test, settings.n_held_out,
            )  # fmt: skip
            material = source.open()
        except LeakError as error:
            if alone is None:
                raise
            raise error.kept_in(out / LEAKS) from error
        if settings.protocol.n_folds:
            # Now, not after hours of fits.
            require_plants(material.papers_of(*LEARNT), settings.protocol.n_folds, material.links)
        trials = _apart(plan(backbones, settings, material.baselines), material)
        if alone is not None:
            # Not before: a call that is refused leaves nothing in the folder, not even the trace of a lease.
            alone.enter_context(only_writer(out, WRITER))
            keep(folder, out)
    return replace(source, out=out), material, trials


def _work(ahead: Forecast, source: Source, material: Material, crew: Crew, errors: dict[str, str]) -> None:
    """Runs first; of those that fail, the cross-validation is left out."""
    for text in filter(None, [ahead.announcement()]):
        shell.say(text)
    with shell.progress(len(ahead.units), "comparing", "fits") as bar:
        tell = _seldom(bar.set_postfix_str)
        for stage in (False, True):
            wanted = []
            for unit in (u for u in ahead.units if (u.part is not None) == stage and u.trial.name not in errors):
                refused = ahead.refusal(unit)
                if refused:
                    errors.setdefault(unit.trial.name, refused)
                    bar.update(1)
                else:
                    wanted.append(unit)
            for outcome in crew.work(wanted, source, material, tell):
                if outcome.error:
                    errors.setdefault(outcome.unit.trial.name, outcome.error)
                bar.update(1)


def plan(backbones: Sequence[str], settings: CompareSettings, baselines: Collection[str] = ()) -> list[Trial]:
    """List the trials: every network alone and, if wanted, all but `baselines` side by side, each with every head.

    A head that looks at nothing is tried once.
    """
    inputs: list[tuple[str, ...]] = [(backbone,) for backbone in backbones]
    networks = tuple(name for name in backbones if name not in baselines)
    if settings.concat and len(networks) > 1:
        inputs.append(networks)
    choices = parse_choices(settings.heads)
    return [
        Trial(names, choice, settings.protocol, settings.tuning)
        for names in inputs
        for choice in choices
        if names == inputs[0] or not HEADS[choice.head].baseline
    ]


def _apart(trials: list[Trial], material: Material) -> list[Trial]:
    """Leave out heads by view where there is one view, which would be runs of their common head; not the only ones."""
    if len(material.views) > 1:
        return trials
    return [trial for trial in trials if not HEADS[trial.head].by_view] or trials


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


def _entry(trial: Trial, folder: Path, errors: dict[str, str], *, reused: bool) -> Entry:
    if trial.name in errors:
        return Entry(trial, error=errors[trial.name])
    try:
        return read_entry(trial, folder, reused=reused)
    except PredictionsError as error:
        return Entry(trial, error=f"not finished: {error.in_short}")
