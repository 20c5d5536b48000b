"""Working a plan off on a Dask cluster: each task is one whole unit, decoded, computed and written by one worker."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, cast

from featstore.build.plan import Plan, UnitTask
from featstore.build.prepare import prepare
from featstore.build.specs import load_networks
from featstore.build.work import Tally, UnitWork
from featstore.cluster import connect
from featstore.errors import StoreError
from featstore.shell import Bar
from featstore.store import Store
from featstore.store.holder import Holder
from featstore.store.lease import Lease, LockedError
from featstore.store.place import LOCKS, open_place

if TYPE_CHECKING:
    from distributed import Client, Future

_N_DECODERS = 4
_TASKS_PER_THREAD = 3


def work_on_cluster(plan: Plan, tasks: Iterable[UnitTask], address: str, bar: Bar, lease: Lease) -> Tally:
    """Hand units to the workers, a few more than they can work on at once; a dead worker's units go to others.

    Parameters
    ----------
    address
        Of the scheduler, such as ``tcp://host:8786``. The workers need this package, and the photographs, the weights
        and the store under the same paths.

    Raises
    ------
    SettingsError
        If Dask is not installed or no scheduler answers.
    StoreError
        If a unit fails on several workers, or there are no workers.
    LockedError
        If the lease was taken over; nothing is written after that.
    """
    total = Tally()
    with connect(address) as client:
        for task, tally in _results(client, plan, iter(tasks), lease):
            total.add(tally)
            bar.update(len(task.rows))
    return total


def holder_of(plan: Plan) -> str:
    """Token of whoever holds the lease of a plan's part now, "" if nobody does."""
    holder = Holder.of(open_place(plan.location).read(f"{LOCKS}/part-{plan.part}-of-{plan.n_parts}.json"))
    return holder.token if holder else ""


def do_unit(plan: Plan, task: UnitTask, token: str) -> Tally | None:
    """Work one unit off in this process, on whatever machine it is.

    Parameters
    ----------
    token
        Of the lease by which this is allowed.

    Returns
    -------
    None if the lease was another's before the unit could be written: then it was not.
    """
    store, networks = Store.open(plan.location), load_networks(plan.specs)
    work = UnitWork(store, plan, networks, task)
    with ThreadPoolExecutor(_N_DECODERS) as pool:
        for row, prepared in zip(task.rows, pool.map(prepare, [row.job for row in task.rows]), strict=True):
            work.accept(row, prepared)

    def check() -> None:
        if holder_of(plan) != token:
            raise _taken_over(plan)

    try:
        return work.finish(check)
    except LockedError:
        return None


def _results(client: Client, plan: Plan, tasks: Iterator[UnitTask], lease: Lease) -> Iterator[tuple[UnitTask, Tally]]:
    from distributed import as_completed
    from distributed.scheduler import KilledWorker

    n_threads = sum(client.nthreads().values())
    if not n_threads:
        raise StoreError("Dask workers", "a scheduler without any", "Start workers.")
    lease.check()
    token, shared = holder_of(plan), client.scatter(plan, broadcast=True)

    def submit(task: UnitTask) -> Future[Tally | None]:
        lease.check()
        return client.submit(do_unit, shared, task, token, pure=False)

    task_of = {
        future: task for task in itertools.islice(tasks, _TASKS_PER_THREAD * n_threads) for future in [submit(task)]
    }
    running = as_completed(list(task_of), loop=client.loop)
    for future in running:
        task = task_of.pop(future)
        try:
            tally = cast("Tally | None", future.result())
        except KilledWorker as error:
            raise StoreError(
                f"a worker that survives unit {task.unit} of {task.view}",
                f"{error}",
                "Often memory: give workers more, or fewer threads; what was completed is kept.",
            ) from error
        if tally is None:
            raise _taken_over(plan)
        yield task, tally
        for following in itertools.islice(tasks, 1):
            new = submit(following)
            task_of[new] = following
            running.add(new)


def _taken_over(plan: Plan) -> LockedError:
    return LockedError(
        f"{plan.location} still held by this build",
        "a lease that was taken over",
        "Run again: what was completed is kept.",
    )
