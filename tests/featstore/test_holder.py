"""Whether the holder of a lease still lives."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from featstore.store import holder as holders
from featstore.store.holder import LEASE_S, Claim, Holder


def test_a_number_that_was_given_again() -> None:
    other = replace(Holder.me(Claim("plan")), pid=os.getppid(), started=holders.started(os.getppid()))
    # However long it is silent: it may be suspended.
    assert replace(other, beat=0.0).lives()
    assert not replace(other, started="1").lives()
    # Elsewhere the same number is another process.
    assert not replace(other, beat=0.0, machine="elsewhere").lives()


def test_a_dead_process_that_its_parent_has_not_buried() -> None:
    with subprocess.Popen([sys.executable, "-S", "-c", ""]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert holders.started(child.pid) == ""


def test_where_the_start_is_not_told_silence_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    other = replace(Holder.me(Claim("plan")), pid=os.getppid())
    monkeypatch.setattr(holders, "started", lambda _: "unknown")
    assert replace(other, beat=time.time() - LEASE_S + 60).lives()
    assert not replace(other, beat=time.time() - LEASE_S - 1).lives()
    monkeypatch.setattr(holders, "started", lambda _: "")
    assert not replace(other, started="unknown").lives()


def test_hidden_processes_are_not_taken_for_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    def hidden(*_: object, **__: object) -> str:
        raise FileNotFoundError

    assert holders.started(os.getpid()) not in {"", "unknown"}
    monkeypatch.setattr(Path, "read_text", hidden)
    assert holders.started(os.getpid()) == "unknown"
    assert holders.started(2**22 + 1) == ""
    # Signal 0, which asks whether a process lives, would be Ctrl-C on Windows.
    monkeypatch.delattr(os, "kill")
    monkeypatch.setattr("psutil.pid_exists", lambda pid: pid == 7)
    assert [holders.started(pid) for pid in (7, 8)] == ["unknown", ""]
