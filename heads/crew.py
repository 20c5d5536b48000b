"""Who works the units of a comparison off: this process, several of this machine, or a Dask cluster."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from featstore.cluster import connect
from featstore.errors import PhytobenchError, StoreError
from featstore.processes import end_with_parent
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
    """Each unit in a process of its own, some at once: one that is killed, for want of memory, takes no other with it.

    Raises
    ------
    OSError
        If a unit could not write or read.
    """
    context, waiting = multiprocessing.get_context("spawn"), list(units)
    running: dict[SpawnProcess, tuple[Unit, Connection]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < n_jobs:
                unit = waiting.pop(0)
                ours, theirs = context.Pipe(duplex=False)
                process = context.Process(target=_in_a_process, args=(unit, source, theirs))
                process.start()
                theirs.close()
                running[process] = (unit, ours)
            ended = wait([process.sentinel for process in running])
            for process in [process for process in running if process.sentinel in ended]:
                unit, pipe = running.pop(process)
                process.join()
                yield _outcome(unit, pipe, process)
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.join(_GRACE_S)


def _in_a_process(unit: Unit, source: Source, pipe: Connection) -> None:
    end_with_parent()
    try:
        pipe.send(attempt_elsewhere(unit, source).error)
    except OSError as error:
        pipe.send(error)


def _outcome(unit: Unit, pipe: Connection, process: SpawnProcess) -> Outcome:
    told = pipe.recv() if pipe.poll() else None
    if isinstance(told, OSError):
        raise told
    if told is not None:
        return Outcome(unit, str(told))
    code = process.exitcode or 0
    how = f"killed by signal {-code}, often for want of memory" if code < 0 else f"exit code {code}"
    return Outcome(unit, f"Its process ended without an answer: {how}.")


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
        unit_of = {client.submit(attempt_elsewhere, unit, source, pure=False): unit for unit in units}
        for future in as_completed(list(unit_of), loop=client.loop):
            try:
                yield future.result()
            except KilledWorker as error:
                yield Outcome(unit_of[future], f"Its worker died, often for want of memory: {error}")
