"""Leases: who is writing to a store; parts of one plan side by side, anything else refused, naming who is there.

A lease is a small file under ``locks/`` that its holder renews. It is taken and renewed by compare-and-swap, so two
processes can never both think that it is theirs. A holder that was killed is recognised at once on the same machine,
and on another one by its silence; one that was only suspended learns from `Lease.check` that it was taken for dead.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from featstore.errors import PhytobenchError, StoreError
from featstore.store.holder import HELD, LEASE_S, Claim, Holder
from featstore.store.place import LOCKS, LocalPlace, Place

__all__ = ["BEAT_S", "LEASE_S", "Claim", "Holder", "Lease", "LockedError", "hold", "mutex", "only_writer"]

BEAT_S = 15.0
"""A lease is renewed this often."""

_POLL_S = 0.2
_SWEEP_PATIENCE_S = 300.0

_WAIT = "Wait until it has ended"
_PARTS = f"{_WAIT}; parts of one build (--part I/N) may run side by side if they are started alike"


class LockedError(PhytobenchError):
    """Another process is writing to the same place."""


class Lease:
    """A lease that is held. `check` tells a writer that was asleep for too long that it has lost it."""

    def __init__(self, place: Place, key: str, holder: Holder) -> None:
        self._place = place
        self._key = key
        self._holder = holder
        self._lock = threading.Lock()
        self._lost = threading.Event()
        self._ended = threading.Event()
        HELD.add(holder.token)
        self._thread = threading.Thread(target=self._renew, daemon=True)
        self._thread.start()

    @property
    def lost(self) -> bool:
        """Whether another process is known to have taken the lease over."""
        return self._lost.is_set()

    def check(self) -> None:
        """Make sure that the lease is still ours, before something is written.

        Raises
        ------
        LockedError
            If it is not.
        StoreError, OSError
            If that cannot be found out.
        """
        if self._holder.late and not self.lost:
            self._beat()
        if self.lost:
            raise LockedError(
                f"{self._place.url} still held by this process",
                "a lease that was taken over, because it did not answer for too long",
                "Run again: what was completed is kept.",
            )

    def release(self) -> None:
        """Give the lease back."""
        self._ended.set()
        self._thread.join(timeout=5)
        HELD.discard(self._holder.token)
        # What is being done has its own outcome; a lease that stays behind is a dead one's to others.
        with self._lock, suppress(OSError, StoreError):
            data = self._place.read(self._key)
            if self._is_mine(data):
                self._place.swap(self._key, data, None)

    def _renew(self) -> None:
        while not self._ended.wait(BEAT_S) and not self.lost:
            # A disk or server may fail for a moment; the next beat tries again.
            with suppress(OSError, StoreError):
                self._beat()

    def _beat(self) -> None:
        """Renew the lease, or find that it is lost."""
        with self._lock:
            for _ in range(2):
                renewed = replace(self._holder, beat=time.time())
                if self._place.swap(self._key, self._holder.to_bytes(), renewed.to_bytes()):
                    self._holder = renewed
                    return
                # A beat of ours whose answer was lost on the way is no other's.
                held = Holder.of(self._place.read(self._key))
                if held is None or held.token != self._holder.token:
                    break
                self._holder = held
            self._lost.set()

    def _is_mine(self, data: bytes | None) -> bool:
        held = Holder.of(data)
        return held is not None and held.token == self._holder.token


@contextmanager
def hold(place: Place, claim: Claim) -> Iterator[Lease]:
    """Hold the lease of a part of a plan. Whoever is the only one there sweeps what killed writers left.

    Raises
    ------
    LockedError
        If a living process holds the same part, or works on another plan.
    StoreError
        If the place cannot keep leases.
    """
    place.require_conditions()
    key = f"{LOCKS}/part-{claim.part}-of-{claim.n_parts}.json"
    lease = Lease(place, key, _take(place, key, claim, _PARTS))
    try:
        _require_fellows(place, key, claim)
        _sweep_alone(place, key)
        yield lease
    finally:
        lease.release()


@contextmanager
def mutex(place: Place, name: str, patience_s: float) -> Iterator[Lease]:
    """Be alone for a moment: wait for a living holder, take over from a dead one.

    Raises
    ------
    LockedError
        If it is not free after `patience_s` seconds.
    """
    key = f"{LOCKS}/{name}.lock"
    deadline = time.monotonic() + patience_s
    while True:
        try:
            lease = Lease(place, key, _take(place, key, Claim(name), _WAIT))
            break
        except LockedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_POLL_S)
    try:
        yield lease
    finally:
        lease.release()


@contextmanager
def only_writer(folder: Path, name: str = "writer") -> Iterator[None]:
    """Be the only process that writes to a folder; it is made if it is not there.

    Parameters
    ----------
    name
        Of what is written, if several things in the folder may be written at once.

    Raises
    ------
    LockedError
        If a living process is writing to it, naming it.
    """
    place, key = LocalPlace(folder), f".{name}.lock"
    lease = Lease(place, key, _take(place, key, Claim(name), _WAIT))
    try:
        yield
    finally:
        lease.release()


def _take(place: Place, key: str, claim: Claim, remedy: str) -> Holder:
    """Take a lease that is free or whose holder is dead."""
    mine = Holder.me(claim)
    # A second round also takes what the first one wrote though its answer was lost: no lease that is held yet.
    while True:
        held = place.read(key)
        other = Holder.of(held)
        if other is not None and other.lives():
            raise _refusal(place, other, remedy)
        if place.swap(key, held, mine.to_bytes()):
            return mine


def _require_fellows(place: Place, key: str, claim: Claim) -> None:
    """Refuse if anyone else alive works on another plan."""
    # Each has entered itself before it looks at the others, so of two plans at least one sees the other.
    for other in _others(place, key):
        if (other.plan, other.n_parts) != (claim.plan, claim.n_parts):
            raise _refusal(place, other, _PARTS)


def _sweep_alone(place: Place, key: str) -> None:
    """Remove what killed writers left, if nobody else is there to whom it could belong."""
    if place.local is None:
        return
    # Whoever comes meanwhile waits here before it writes; whoever came before has a lease that is seen.
    with mutex(place, "sweep", _SWEEP_PATIENCE_S):
        if not _others(place, key):
            place.sweep()


def _others(place: Place, mine: str) -> list[Holder]:
    """Everyone else alive who holds a part; the leases of the dead are cleared away."""
    living = []
    for key in place.sizes(LOCKS):
        if key == mine or not key.startswith(f"{LOCKS}/part-"):
            continue
        data = place.read(key)
        holder = Holder.of(data)
        if holder is not None and holder.lives():
            living.append(holder)
        elif data:
            place.swap(key, data, None)
    return living


def _refusal(place: Place, holder: Holder, remedy: str) -> LockedError:
    asked = "" if holder.here else f" and gave its last sign of life {max(holder.silent_s, 0):.0f} s ago"
    lapse = "" if holder.here else f" If it was killed there, its place is free {LEASE_S:.0f} s after that sign."
    return LockedError(f"{place.url} free for this process", f"{holder}{asked}", f"{remedy}.{lapse}")
