"""Who works a comparison off: a Dask cluster finds what one process finds, and a killed worker costs its unit alone."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluation.predictions import Predictions
from featstore.errors import SettingsError
from featstore.store import Store
from heads.choice import HeadChoice
from heads.compare import CompareSettings, Crew, compare_heads
from heads.crew import _Worker
from heads.protocol import Protocol
from heads.trial import Trial
from heads.work import Source, Unit

MakeStore = Callable[..., Store]
GRID = CompareSettings(("net_a", "net_b"), ("ridge", "lda", "lightgbm:rounds=30"), protocol=Protocol(n_folds=3))


@pytest.mark.slow
def test_a_cluster_finds_what_one_process_finds(
    make_store: MakeStore, tmp_path: Path, scheduler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The workers were started in another folder.
    monkeypatch.chdir(tmp_path)
    store, one, many = make_store(), Path("one"), Path("many")
    serial = compare_heads(store, GRID, one)
    spread = compare_heads(store, GRID, many, crew=Crew(scheduler=scheduler))
    assert [entry.trial.name for entry in spread.entries] == [entry.trial.name for entry in serial.entries]
    files = sorted(path.relative_to(one) for path in one.rglob("*.predictions.h5"))
    assert len(files) == 3 * 3 * 3
    for file in files:
        first, second = Predictions.read(one / file), Predictions.read(many / file)
        np.testing.assert_array_equal(first.probability, second.probability)


def test_a_scheduler_and_processes_are_one_too_many() -> None:
    with pytest.raises(SettingsError, match="either --workers or --scheduler"):
        Crew(2, "tcp://127.0.0.1:8786")


@pytest.mark.slow
def test_a_killed_process_costs_its_unit_alone(make_store: MakeStore, tmp_path: Path) -> None:
    source = Source(make_store().location, ("net_a",), 0, tmp_path)
    source.open()
    endless, short = (
        Unit(Trial(("net_a",), HeadChoice.parse(text))) for text in ("mlp:epochs=1000000,patience=1000000", "ridge")
    )
    worker = _Worker(source)
    try:
        worker.give(endless)
        os.kill(worker._process.pid or 0, signal.SIGKILL)
        assert "killed by signal 9, often for want of memory" in worker.outcome().error
        worker.give(short)
        assert worker.outcome().error == ""
    finally:
        worker.end()
    assert (tmp_path / "net_a-ridge" / "run.json").is_file()


@pytest.mark.slow
def test_a_process_that_is_stopped_leaves_no_half(make_store: MakeStore, tmp_path: Path) -> None:
    source = Source(make_store().location, ("net_a",), 0, tmp_path / "runs")
    source.open()
    head = "lightgbm:rounds=1000000,patience=1000000,learning_rate=0.000001"
    worker = _Worker(source)
    try:
        worker.give(Unit(Trial(("net_a",), HeadChoice.parse(head))))
        half = tmp_path / "runs" / ".partial.net_a-lightgbm"
        ending = time.monotonic() + 100
        while not half.is_dir() and time.monotonic() < ending:
            time.sleep(0.05)
        assert half.is_dir()
    finally:
        worker.end()
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["split.csv"]


@pytest.mark.exhaustive
def test_the_processes_are_as_many_as_are_asked_for(make_store: MakeStore, tmp_path: Path) -> None:
    board = compare_heads(make_store(), replace(GRID, backbones=("net_a",)), tmp_path, crew=Crew(3))
    assert not board.failed
