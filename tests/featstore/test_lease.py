"""Leases between real processes: who may write, who is refused, and what becomes of the suspended."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from featstore.store import holder as holders
from featstore.store.lease import Claim, Lease, LockedError, hold, mutex, only_writer
from featstore.store.place import LocalPlace, open_place

Start = Callable[..., Any]

HOLD = """
import signal
# A shell that runs these tests in the background has it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
pipe.recv()
try:
    with leases.hold(open_place(url), leases.Claim(*claim)):
        pipe.send("held")
        pipe.recv()
except leases.LockedError as error:
    pipe.send(str(error))
"""

SUSPEND_ITSELF = """
import os, signal
from featstore.store import holder
holder.machine = lambda: "another machine"
holder.LEASE_S = 0.0
pipe.recv()
with leases.hold(open_place(url), leases.Claim(*claim)) as lease:
    lease.check()
    pipe.send("held")
    os.kill(os.getpid(), signal.SIGSTOP)
    try:
        lease.check()
        pipe.send("wrote")
    except leases.LockedError as error:
        pipe.send(str(error))
    pipe.recv()
pipe.send("ended")
"""


class TestTwoProcesses:
    def test_a_second_is_refused_naming_the_first(self, url: str, start: Start) -> None:
        first = start(HOLD, url)
        assert first.go() == "held"
        with pytest.raises(LockedError, match=rf"process {first.process.pid} on .*writing since \d{{4}}-"):
            hold(open_place(url), Claim("plan")).__enter__()
        first.end()
        with hold(open_place(url), Claim("plan")) as lease:
            lease.check()

    def test_a_killed_one_is_recognised_at_once(self, url: str, start: Start) -> None:
        first = start(HOLD, url)
        assert first.go() == "held"
        first.kill()
        with hold(open_place(url), Claim("another plan", 2, 3)):
            assert [key for key, size in open_place(url).sizes("locks").items() if size] == ["locks/part-2-of-3.json"]

    def test_parts_of_one_plan_coexist(self, url: str, start: Start) -> None:
        parts = [start(HOLD, url, ("plan", part, 4)) for part in range(1, 5)]
        for part in parts:
            part.pipe.send("go")
        assert [part.told() for part in parts] == ["held"] * 4
        with pytest.raises(LockedError, match=rf"process {parts[2].process.pid} .*part 3/4"):
            hold(open_place(url), Claim("plan", 3, 4)).__enter__()

    def test_another_plan_is_refused_while_a_part_lives(self, url: str, start: Start) -> None:
        part = start(HOLD, url, ("plan", 2, 3))
        assert part.go() == "held"
        for claim in (Claim("another", 1, 3), Claim("plan", 1, 2), Claim("another", 1, 1)):
            with pytest.raises(LockedError, match=rf"process {part.process.pid} .*--part I/N"):
                hold(open_place(url), claim).__enter__()
        # Those that were refused left nothing that would keep others out.
        with hold(open_place(url), Claim("plan", 1, 3)):
            pass

    def test_of_sixteen_exactly_one_wins(self, folder: LocalPlace, start: Start) -> None:
        self._race(folder.url, [start(HOLD, folder.url) for _ in range(16)])

    def test_of_four_exactly_one_wins_in_a_bucket(self, s3_url: str, start: Start) -> None:
        self._race(s3_url, [start(HOLD, s3_url) for _ in range(4)])

    def _race(self, url: str, racers: list[Any]) -> None:
        for racer in racers:
            racer.pipe.send("go")
        told = {racer.process.pid: racer.told() for racer in racers}
        winners = [pid for pid, words in told.items() if words == "held"]
        assert len(winners) == 1
        assert all(f"process {winners[0]} " in words for pid, words in told.items() if pid != winners[0])

    def test_a_dead_ones_place_goes_to_exactly_one(self, folder: LocalPlace, start: Start) -> None:
        first = start(HOLD, folder.url)
        assert first.go() == "held"
        first.kill()
        self._race(folder.url, [start(HOLD, folder.url) for _ in range(6)])

    def test_two_plans_never_both_proceed(self, folder: LocalPlace, start: Start) -> None:
        racers = {plan: [start(HOLD, folder.url, (plan, part, 3)) for part in (1, 2, 3)] for plan in ("a", "b")}
        for pair in zip(*racers.values(), strict=True):
            for racer in pair:
                racer.pipe.send("go")
        held = {plan for plan, parts in racers.items() if "held" in [part.told() for part in parts]}
        assert len(held) <= 1

    def test_control_c_gives_it_back(self, folder: LocalPlace, start: Start) -> None:
        child = start(HOLD, folder.url)
        assert child.go() == "held"
        os.kill(child.process.pid or 0, signal.SIGINT)
        child.process.join(20)
        assert folder.sizes("locks") == {}

    def test_a_suspended_writer_finds_out(self, url: str, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
        sleeper = start(SUSPEND_ITSELF, url)
        assert sleeper.go() == "held"
        with pytest.raises(LockedError, match=r"last sign of life \d+ s ago.*is free 120 s after"):
            hold(open_place(url), Claim("plan")).__enter__()
        monkeypatch.setattr(holders, "LEASE_S", 0.0)
        with hold(open_place(url), Claim("plan")) as lease:
            os.kill(sleeper.process.pid or 0, signal.SIGCONT)
            assert "lease that was taken over" in sleeper.told()
            sleeper.end()
            assert sleeper.told() == "ended"
            # Its end did not take the lease away from us.
            _grow_late(lease)
            lease.check()


class TestSweep:
    def test_leftovers_are_swept_by_the_only_one(self, folder: LocalPlace, start: Start) -> None:
        folder.write("zarr.json", b"{}")
        leftover = Path(folder.url) / ".77.partial.zarr.json"
        leftover.write_bytes(b"half")
        first = start(HOLD, folder.url, ("plan", 1, 2))
        assert first.go() == "held"
        assert not leftover.exists()
        leftover.write_bytes(b"being written")
        with hold(folder, Claim("plan", 2, 2)):
            assert leftover.exists()
        first.kill()
        with hold(folder, Claim("plan", 2, 2)):
            assert not leftover.exists()

    def test_nobody_writes_while_another_sweeps(self, folder: LocalPlace, monkeypatch: pytest.MonkeyPatch) -> None:
        sweeping, done, let_in = threading.Event(), threading.Event(), threading.Event()

        def sweep(_: LocalPlace) -> int:
            sweeping.set()
            assert done.wait(20)
            return 0

        def second() -> None:
            with hold(folder, Claim("plan", 2, 2)):
                let_in.set()

        def first() -> None:
            with hold(folder, Claim("plan", 1, 2)):
                let_in.wait(20)

        monkeypatch.setattr(LocalPlace, "sweep", sweep)
        threads = [threading.Thread(target=first, daemon=True), threading.Thread(target=second, daemon=True)]
        threads[0].start()
        assert sweeping.wait(20)
        threads[1].start()
        assert not let_in.wait(0.5)
        done.set()
        assert let_in.wait(20)
        for thread in threads:
            thread.join(20)


class TestMutex:
    def test_it_waits_for_the_living_and_not_for_the_dead(self, folder: LocalPlace, start: Start) -> None:
        alone = (
            "pipe.recv()\nwith leases.mutex(open_place(url), 'setup', 5):\n    pipe.send('alone')\n    pipe.recv()\n"
        )
        first = start(alone, folder.url)
        assert first.go() == "alone"
        with pytest.raises(LockedError, match=f"process {first.process.pid} "), mutex(folder, "setup", 0.3):
            pass
        with mutex(folder, "another", 0.0) as lease:
            lease.check()
        first.kill()
        with mutex(folder, "setup", 0.0):
            pass

    def test_one_after_the_other(self, folder: LocalPlace) -> None:
        inside: list[int] = []
        most = 0

        def enter() -> None:
            nonlocal most
            with mutex(folder, "setup", 20):
                inside.append(1)
                most = max(most, len(inside))
                time.sleep(0.05)
                inside.pop()

        threads = [threading.Thread(target=enter) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert most == 1


class TestOnlyWriter:
    def test_a_second_is_refused_naming_the_first(self, tmp_path: Path, start: Start) -> None:
        writing = "from pathlib import Path\npipe.recv()\nwith leases.only_writer(Path(url), 'net-finetuned'):\n"
        first = start(f"{writing}    pipe.send('alone')\n    pipe.recv()\n", str(tmp_path / "runs"))
        assert first.go() == "alone"
        with pytest.raises(LockedError, match=rf"process {first.process.pid} on .*Wait until it has ended\.$"):
            only_writer(tmp_path / "runs", "net-finetuned").__enter__()
        with only_writer(tmp_path / "runs", "other-finetuned"):
            pass
        first.kill()
        with only_writer(tmp_path / "runs", "net-finetuned"):
            pass

    def test_it_leaves_nothing_to_see(self, tmp_path: Path) -> None:
        with only_writer(tmp_path / "runs"):
            pass
        assert [path.name for path in (tmp_path / "runs").iterdir() if not path.name.startswith(".")] == []


def _grow_late(lease: Lease) -> None:
    """Make a lease as old as if its process had slept for 100 s."""
    old = replace(lease._holder, beat=time.time() - 100)
    lease._place.swap(lease._key, lease._holder.to_bytes(), old.to_bytes())
    lease._holder = old
