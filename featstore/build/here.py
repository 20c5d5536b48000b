"""Working a plan off on this machine: worker processes decode ahead, the networks run in this one."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping

from featstore.backbones import Network
from featstore.build.plan import Plan, UnitTask
from featstore.build.prepare import Job, prepare_all
from featstore.build.work import Tally, UnitWork
from featstore.shell import Bar
from featstore.store import Store
from featstore.store.lease import Lease


def work_here(
    store: Store,
    plan: Plan,
    networks: Mapping[str, Network],
    tasks: Iterable[UnitTask],
    n_workers: int,
    bar: Bar,
    lease: Lease,
) -> Tally:
    """Work off units one after the other; photographs of the next ones are decoded meanwhile.

    Parameters
    ----------
    n_workers
        Processes that decode; 0 decodes in this one.
    lease
        Checked before each unit is written.
    """
    waiting: deque[UnitTask] = deque()

    def jobs() -> Iterator[Job]:
        for task in tasks:
            waiting.append(task)
            for row in task.rows:
                yield row.job

    total = Tally()
    ahead = 4 * max(network.batch_size for network in networks.values())
    prepared = prepare_all(jobs(), n_workers, ahead)
    started = time.perf_counter()
    for first in prepared:
        task = waiting.popleft()
        work = UnitWork(store, plan, networks, task)
        photograph = first
        for position, row in enumerate(task.rows):
            if position:
                started = time.perf_counter()
                photograph = next(prepared)
            work.tally.spend("waiting", time.perf_counter() - started)
            work.accept(row, photograph)
            bar.update()
        total.add(work.finish(lease.check))
        started = time.perf_counter()
    return total
