"""A lease while it is held, and what it meets when it is taken."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from featstore.store import lease as leases
from featstore.store.holder import LEASE_S, Claim, Holder
from featstore.store.lease import Lease, LockedError, hold
from featstore.store.place import LocalPlace, open_place

KEY = "locks/part-1-of-1.json"


def _foreign(*, silent_s: float, plan: str = "plan") -> bytes:
    """A lease of a process on another machine that was last renewed so many seconds ago."""
    now = time.time()
    holder = replace(Holder.me(Claim(plan)), machine="elsewhere", host="elsewhere", since=now - 999)
    return replace(holder, beat=now - silent_s).to_bytes()


class TestFound:
    @pytest.mark.parametrize("claim", [Claim("plan"), Claim("another"), Claim("another", 2, 2)])
    def test_silence_on_another_machine(self, url: str, claim: Claim) -> None:
        place = open_place(url)
        place.write(KEY, _foreign(silent_s=LEASE_S - 60))
        with pytest.raises(LockedError, match=r"on elsewhere .*sign of life 6\d s ago.*is free 120 s after"):
            hold(place, claim).__enter__()
        place.write(KEY, _foreign(silent_s=LEASE_S + 1))
        with hold(place, claim) as lease:
            lease.check()

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
