"""Who works a comparison off: a Dask cluster finds what one process finds, and a killed worker costs its unit alone."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluation.predictions import Predictions
from featstore.errors import SettingsError
from featstore.store import Store
from heads.choice import HeadChoice
from heads.compare import CompareSettings, Crew, compare_heads
from heads.crew import on_processes
from heads.protocol import Protocol
from heads.trial import Trial
from heads.work import Source, Unit

MakeStore = Callable[..., Store]
GRID = CompareSettings(("net_a", "net_b"), ("ridge", "lda", "lightgbm:rounds=30"), protocol=Protocol(n_folds=3))


@pytest.fixture
def scheduler() -> Iterator[str]:
    """Address of a Dask scheduler with two worker processes on this machine."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None, memory_limit=0
    ) as cluster:
        yield cluster.scheduler_address


@pytest.mark.slow
def test_a_cluster_finds_what_one_process_finds(make_store: MakeStore, tmp_path: Path, scheduler: str) -> None:
    store, one, many = make_store(), tmp_path / "one", tmp_path / "many"
    serial = compare_heads(store, GRID, one)
    spread = compare_heads(store, GRID, many, crew=Crew(scheduler=scheduler))
    assert [entry.trial.name for entry in spread.entries] == [entry.trial.name for entry in serial.entries]
    files = sorted(path.relative_to(one) for path in one.rglob("*.predictions.h5"))
    assert len(files) == 3 * 3 * 3
    for file in files:
        first, second = Predictions.read(one / file), Predictions.read(many / file)
        np.testing.assert_array_equal(first.probability, second.probability)


def test_a_scheduler_and_processes_are_one_too_many() -> None:
    with pytest.raises(SettingsError, match="either --jobs or --scheduler"):
        Crew(2, "tcp://127.0.0.1:8786")


@pytest.mark.slow
def test_a_killed_process_costs_its_unit_alone(make_store: MakeStore, tmp_path: Path) -> None:
    import psutil

    store = make_store()
    source = Source(store.location, ("net_a",), 0, tmp_path)
    source.open()
    trials = [Trial(("net_a",), HeadChoice.parse(text)) for text in ("mlp:epochs=5000,patience=5000", "ridge", "lda")]
    outcomes = on_processes([Unit(trial) for trial in trials], source, 2)
    first = next(outcomes)
    assert first.error == ""
    # The other worker still fits the endless mlp, or waits for its libraries.
    workers = [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]
    busiest = max(workers, key=lambda child: sum(child.cpu_times()[:2]))
    done = [first, next(outcomes)]
    assert {outcome.unit.trial.head for outcome in done} == {"ridge", "lda"}
    os.kill(busiest.pid, signal.SIGKILL)
    (killed,) = outcomes
    assert killed.unit.trial.head == "mlp"
    assert "killed by signal 9, often for want of memory" in killed.error


def test_the_processes_are_as_many_as_are_asked_for(make_store: MakeStore, tmp_path: Path) -> None:
    board = compare_heads(make_store(), replace(GRID, backbones=("net_a",)), tmp_path, crew=Crew(3))
    assert not board.failed
