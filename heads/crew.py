"""Who works the units of a comparison off: this process, several of this machine, or a Dask cluster."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path

from featstore.cluster import connect
from featstore.errors import PhytobenchError, StoreError
from featstore.processes import end_with_parent
from heads.folder import tidy
from heads.head import Tell, say_nothing
from heads.material import Material
from heads.work import Source, Unit, do_unit, material_of

_GRACE_S = 5


@dataclass(frozen=True)
class Outcome:
    """What became of a unit.

    Attributes
    ----------
    unit
        Which one.
    error
        Why it failed, "" if it did not.
    """

    unit: Unit
    error: str = ""


def here(units: Sequence[Unit], material: Material, out: Path, tell: Tell) -> Iterator[Outcome]:
    """One after the other in this process."""
    for unit in units:
        yield attempt(unit, material, out, tell)


def attempt(unit: Unit, material: Material, out: Path, tell: Tell = say_nothing) -> Outcome:
    """Work a unit off; whatever a head fails of is its own outcome.

    Raises
    ------
    OSError
        A full disk or a missing permission would fail every unit alike.
    """
    try:
        do_unit(unit, material, out, lambda text: tell(f"{unit.name}: {text}"))
    except OSError:
        raise
    except PhytobenchError as error:
        return Outcome(unit, str(error))
    except Exception as error:  # noqa: BLE001  # the others go on
        return Outcome(unit, f"{type(error).__name__}: {error}")
    return Outcome(unit)


def attempt_elsewhere(unit: Unit, source: Source) -> Outcome:
    """Work a unit off in a process that has to open the material first."""
    try:
        material = material_of(source)
    except PhytobenchError as error:
        return Outcome(unit, str(error))
    return attempt(unit, material, source.out)


def on_processes(units: Sequence[Unit], source: Source, n_jobs: int) -> Iterator[Outcome]:
    """In processes of this machine: one that is killed, for want of memory, takes only its unit with it.

    Raises
    ------
    OSError
        If a unit could not write or read.
    """
    waiting, workers = list(reversed(units)), [_Worker(source) for _ in range(min(n_jobs, len(units)))]
    try:
        for worker in workers:
            worker.give(waiting.pop())
        while busy := [worker for worker in workers if worker.unit is not None]:
            ready = wait([worker.pipe for worker in busy])
            for worker in [worker for worker in busy if worker.pipe in ready]:
                outcome = worker.outcome()
                if waiting:
                    worker.give(waiting.pop())
                yield outcome
    finally:
        for worker in workers:
            worker.end()


class _Worker:
    """A process that works units off, one after the other; a new one takes the place of one that died."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._start()
        self.unit: Unit | None = None

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(self._source, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def give(self, unit: Unit) -> None:
        """Let it work a unit off."""
        self.unit = unit
        self.pipe.send(unit)

    def outcome(self) -> Outcome:
        """What became of the unit; waits for it."""
        unit, self.unit = self.unit, None
        if unit is None:
            raise ValueError("no unit was given")
        try:
            told = self.pipe.recv()
        except (EOFError, ConnectionError):
            self._process.join()
            tidy(self._source.out / unit.trial.name)
            code = self._process.exitcode or 0
            how = f"killed by signal {-code}, often for want of memory" if code < 0 else f"exit code {code}"
            self._start()
            return Outcome(unit, f"Its process ended without an answer: {how}.")
        if isinstance(told, OSError):
            raise told
        return Outcome(unit, str(told))

    def end(self) -> None:
        """Stop it, whatever it does; nothing half-written stays behind."""
        self._process.terminate()
        self._process.join(_GRACE_S)
        if self.unit is not None:
            tidy(self._source.out / self.unit.trial.name)


def _serve(source: Source, pipe: Connection) -> None:
    end_with_parent()
    while True:
        unit = pipe.recv()
        try:
            pipe.send(attempt_elsewhere(unit, source).error)
        except OSError as error:
            pipe.send(error)


def on_cluster(units: Sequence[Unit], source: Source, address: str) -> Iterator[Outcome]:
    """On the workers of a Dask scheduler, which see store and runs under the same paths.

    Raises
    ------
    SettingsError
        If Dask is not installed or no scheduler answers.
    StoreError
        If it has no workers.
    """
    with connect(address) as client:
        from distributed import as_completed
        from distributed.scheduler import KilledWorker

        if not client.nthreads():
            raise StoreError("Dask workers", "a scheduler without any", "Start workers.")
        # Workers were started in folders of their own.
        there = replace(source, out=source.out.absolute())
        unit_of = {client.submit(attempt_elsewhere, unit, there, pure=False): unit for unit in units}
        for future in as_completed(list(unit_of), loop=client.loop):
            try:
                yield future.result()
            except KilledWorker as error:
                yield Outcome(unit_of[future], f"Its worker died, often for want of memory: {error}")
