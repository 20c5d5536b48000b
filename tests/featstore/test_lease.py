"""Leases between real processes: who may write, who is refused, and what becomes of the dead and the suspended."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from featstore.store import holder as holders
from featstore.store import lease as leases
from featstore.store.holder import LEASE_S, Claim, Holder
from featstore.store.lease import Lease, LockedError, hold, mutex, only_writer
from featstore.store.place import LocalPlace, open_place

KEY = "locks/part-1-of-1.json"

HOLD = """
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
holder.LEASE_S = 1.0
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


@dataclass(frozen=True)
class Child:
    """Another process, and a pipe to it."""

    process: BaseProcess
    pipe: Connection

    def told(self, timeout_s: float = 20.0) -> str:
        assert self.pipe.poll(timeout_s), "the process says nothing"
        return str(self.pipe.recv())

    def go(self) -> str:
        self.pipe.send("go")
        return self.told()

    def end(self) -> None:
        self.pipe.send("end")
        self.process.join(20)

    def kill(self) -> None:
        self.process.kill()
        self.process.join(20)


Start = Callable[..., Child]


@pytest.fixture
def start() -> Iterator[Start]:
    """A function that starts a process which runs some lines: `start(lines, url, claim)`; all end with the test."""
    # A server that has imported everything once forks them, for an import takes a second.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["featstore.store.lease"])
    children: list[Child] = []

    def begin(lines: str, url: str, claim: tuple[str, int, int] = ("plan", 1, 1)) -> Child:
        ours, theirs = context.Pipe()
        before = "import os; os.environ.update(env)\nfrom featstore.store import lease as leases\n"
        before += "from featstore.store.place import open_place\n"
        names = {"pipe": theirs, "url": url, "claim": claim, "env": dict(os.environ)}
        process = context.Process(target=exec, args=(before + lines, names), daemon=True)
        process.start()
        children.append(Child(process, ours))
        return children[-1]

    yield begin
    for child in children:
        child.kill()


@pytest.fixture(params=["folder", "bucket"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "f.zarr") if request.param == "folder" else str(request.getfixturevalue("s3_url"))


@pytest.fixture
def folder(tmp_path: Path) -> LocalPlace:
    return LocalPlace(tmp_path / "f.zarr")


def _foreign(*, silent_s: float, plan: str = "plan") -> bytes:
    """A lease of a process on another machine that was last renewed so many seconds ago."""
    now = time.time()
    holder = replace(Holder.me(Claim(plan)), machine="elsewhere", host="elsewhere", since=now - 999)
    return replace(holder, beat=now - silent_s).to_bytes()


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

    def _race(self, url: str, racers: list[Child]) -> None:
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
        monkeypatch.setattr(holders, "LEASE_S", 1.0)
        sleeper = start(SUSPEND_ITSELF, url)
        assert sleeper.go() == "held"
        with pytest.raises(LockedError, match=r"last sign of life 0 s ago.*is free 120 s after"):
            hold(open_place(url), Claim("plan")).__enter__()
        time.sleep(1.2)
        with hold(open_place(url), Claim("plan")) as lease:
            os.kill(sleeper.process.pid or 0, signal.SIGCONT)
            assert "lease that was taken over" in sleeper.told()
            sleeper.end()
            assert sleeper.told() == "ended"
            # Its end did not take the lease away from us.
            _grow_late(lease)
            lease.check()


class TestTheDead:
    @pytest.mark.parametrize("claim", [Claim("plan"), Claim("another"), Claim("another", 2, 2)])
    def test_silence_on_another_machine(self, url: str, claim: Claim) -> None:
        place = open_place(url)
        place.write(KEY, _foreign(silent_s=LEASE_S - 60))
        with pytest.raises(LockedError, match=r"on elsewhere .*sign of life 60 s ago.*is free 120 s after"):
            hold(place, claim).__enter__()
        place.write(KEY, _foreign(silent_s=LEASE_S + 1))
        with hold(place, claim) as lease:
            lease.check()

    def test_a_number_that_was_given_again(self, folder: LocalPlace, start: Start) -> None:
        child = start(HOLD, folder.url, ("plan", 2, 2))
        assert child.go() == "held"
        held = Holder.of(folder.read("locks/part-2-of-2.json"))
        assert held is not None
        assert held.lives()
        assert not replace(held, started="1").lives()

    def test_where_the_start_is_not_told_silence_decides(self, monkeypatch: pytest.MonkeyPatch) -> None:
        other = replace(Holder.me(Claim("plan")), pid=os.getppid())
        monkeypatch.setattr(holders, "started", lambda _: "unknown")
        assert replace(other, beat=time.time() - LEASE_S + 60).lives()
        assert not replace(other, beat=time.time() - LEASE_S - 1).lives()
        monkeypatch.setattr(holders, "started", lambda _: "")
        assert not replace(other, started="unknown").lives()

    def test_hidden_processes_are_not_taken_for_dead(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def hidden(*_: object, **__: object) -> str:
            raise FileNotFoundError

        assert holders.started(os.getpid()) not in {"", "unknown"}
        monkeypatch.setattr(Path, "read_text", hidden)
        assert holders.started(os.getpid()) == "unknown"
        assert holders.started(2**22 + 1) == ""

    def test_its_own_forgotten_lease(self, folder: LocalPlace) -> None:
        # As a notebook has it whose disk failed when the lease was given back.
        folder.write(KEY, Holder.me(Claim("plan")).to_bytes())
        with hold(folder, Claim("plan")), pytest.raises(LockedError, match=f"process {os.getpid()} "):
            hold(folder, Claim("plan")).__enter__()

    @pytest.mark.parametrize("data", [b"", b"{", b"[]", b'"text"', b"\xff", b"{}", b'{"pid": 1}'])
    def test_what_is_no_lease_does_not_count(self, folder: LocalPlace, data: bytes) -> None:
        folder.write(KEY, data)
        folder.write("locks/part-2-of-2.json", data)
        with hold(folder, Claim("plan")) as lease:
            lease.check()

    def test_a_later_versions_lease_counts(self, folder: LocalPlace) -> None:
        folder.write(KEY, _foreign(silent_s=0).replace(b"{", b'{"new": 1, ', 1))
        with pytest.raises(LockedError):
            hold(folder, Claim("plan")).__enter__()

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


class TestLease:
    def test_it_is_given_back_also_on_errors(self, url: str) -> None:
        place = open_place(url)

        def fail() -> None:
            with hold(place, Claim("plan")):
                assert (place.read(KEY) or b"").startswith(b"{")
                raise KeyError

        with pytest.raises(KeyError):
            fail()
        assert not place.read(KEY)
        assert place.is_empty()

    def test_it_is_renewed(self, folder: LocalPlace, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(leases, "BEAT_S", 0.02)
        with hold(folder, Claim("plan")) as lease:
            before = Holder.of(folder.read(KEY))
            _until(lambda: _beat_of(folder) > before.beat if before else False)
            assert not lease.lost

    def test_the_beat_notices_a_loss(self, folder: LocalPlace, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(leases, "BEAT_S", 0.02)
        with hold(folder, Claim("plan")) as lease:
            lease.check()
            with folder._guard():
                folder.write(KEY, _foreign(silent_s=0))
            _until(lambda: lease.lost)
            with pytest.raises(LockedError, match="Run again"):
                lease.check()
        held = Holder.of(folder.read(KEY))
        assert held is not None
        assert held.host == "elsewhere"

    def test_a_late_check_asks_for_itself(self, folder: LocalPlace) -> None:
        with hold(folder, Claim("plan")) as lease:
            _grow_late(lease)
            lease.check()
            assert time.time() - _beat_of(folder) < 5
            folder.write(KEY, _foreign(silent_s=0))
            lease.check()  # The last sign of life was a moment ago.
            _grow_late(lease)
            with pytest.raises(LockedError):
                lease.check()

    def test_a_moments_fault_is_survived(self, folder: LocalPlace, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(leases, "BEAT_S", 0.02)
        swap, faults = LocalPlace.swap, threading.Semaphore(3)

        def faulty(self: LocalPlace, key: str, old: bytes | None, new: bytes | None) -> bool:
            if faults.acquire(blocking=False):
                raise OSError(28, "No space left on device", key)
            return swap(self, key, old, new)

        with hold(folder, Claim("plan")) as lease:
            before = _beat_of(folder)
            monkeypatch.setattr(LocalPlace, "swap", faulty)
            _until(lambda: _beat_of(folder) > before)
            assert not lease.lost

    def test_answers_that_get_lost(self, folder: LocalPlace, monkeypatch: pytest.MonkeyPatch) -> None:
        swap = LocalPlace.swap

        def retried(self: LocalPlace, key: str, old: bytes | None, new: bytes | None) -> bool:
            # As of a client that repeats a request whose answer it did not get: the second one meets the first.
            swap(self, key, old, new)
            return swap(self, key, old, new)

        with monkeypatch.context() as patch:
            patch.setattr(LocalPlace, "swap", retried)
            # Taking succeeds though the answer was no; beating then finds a lease of its own that it did not know.
            lease = Lease(folder, KEY, leases._take(folder, KEY, Claim("plan"), "Wait"))
        renewed = replace(lease._holder, beat=time.time())
        assert folder.swap(KEY, lease._holder.to_bytes(), renewed.to_bytes())
        lease._beat()
        assert not lease.lost
        lease.release()
        assert folder.sizes("locks") == {}


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


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


def _beat_of(place: LocalPlace) -> float:
    held = Holder.of(place.read(KEY))
    assert held is not None
    return held.beat


def _grow_late(lease: Lease) -> None:
    """Make a lease as old as if its process had slept for 100 s."""
    old = replace(lease._holder, beat=time.time() - 100)
    lease._place.swap(lease._key, lease._holder.to_bytes(), old.to_bytes())
    lease._holder = old
