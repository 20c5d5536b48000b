"""Leases: who is writing to a store; parts of one plan side by side, anything else refused, naming who is there.

A lease is a small file under ``locks/`` that its holder renews. It is taken and renewed by compare-and-swap, so two
processes can never both think that it is theirs.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from featstore.errors import PhytobenchError
from featstore.store.place import LOCKS, LocalPlace, Place

LEASE_S = 120.0
"""A holder on another machine that has not renewed its lease for so long is taken for dead."""

BEAT_S = 15.0
"""A lease is renewed this often."""

_POLL_S = 0.2


class LockedError(PhytobenchError):
    """Another process is writing to the same place."""


@dataclass(frozen=True)
class Claim:
    """What a process wants to do: part 1..n_parts of a plan, which is named by a digest."""

    plan: str
    part: int = 1
    n_parts: int = 1


@dataclass(frozen=True)
class Holder:
    """Who holds a lease.

    Attributes
    ----------
    machine
        The running system and process namespace: a process number means something only there.
    started
        When the process started, in the system's own count, so that a process that got a dead one's number is not
        taken for it.
    beat
        When the lease was last renewed, seconds since 1970.
    """

    plan: str
    part: int
    n_parts: int
    command: str
    host: str
    machine: str
    pid: int
    started: str
    since: float
    beat: float
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    @classmethod
    def me(cls, claim: Claim) -> Holder:
        """Describe the running process."""
        now, pid = time.time(), os.getpid()
        command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])[:200]
        return cls(
            claim.plan, claim.part, claim.n_parts, command, platform.node(), _machine(), pid, _started(pid), now, now
        )

    @classmethod
    def of(cls, data: bytes) -> Holder | None:
        """Read a lease; None if it is none."""
        try:
            return cls(**json.loads(data))
        except (ValueError, TypeError):
            return None

    def to_bytes(self) -> bytes:
        """As JSON."""
        return json.dumps(asdict(self)).encode()

    def lives(self) -> bool:
        """Whether the holder is still at work, as far as can be seen from here."""
        if self.machine == _machine():
            return _started(self.pid) == self.started != ""
        return time.time() - self.beat < LEASE_S

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        part = f", part {self.part}/{self.n_parts}" if self.n_parts > 1 else ""
        return f"process {self.pid} on {self.host} (`{self.command}`{part}), which has been writing since {since}"


class Lease:
    """A lease that is held. `check` tells a writer that was asleep for too long that it has lost it."""

    def __init__(self, place: Place, key: str, holder: Holder) -> None:
        self._place = place
        self._key = key
        self._holder = holder
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Make sure that the lease is still ours, before something is written.

        Raises
        ------
        LockedError
            If it is not.
        """
        late = time.time() - self._holder.beat > LEASE_S / 2
        if (late and not self._beat()) or self._ended.is_set():
            raise LockedError(
                f"to hold {self._place.url} still",
                "that it was taken over, because this process did not answer for too long",
                "Run again: what was completed is kept.",
            )

    def release(self) -> None:
        """Give the lease back."""
        self._ended.set()
        self._thread.join(timeout=5)
        with self._lock:
            self._place.swap(self._key, self._holder.to_bytes(), None)

    def _renew(self) -> None:
        while not self._ended.wait(BEAT_S):
            try:
                if not self._beat():
                    self._ended.set()
            except (OSError, PhytobenchError):
                # A disk or server that fails for a moment; the next beat tries again.
                continue

    def _beat(self) -> bool:
        with self._lock:
            renewed = replace(self._holder, beat=time.time())
            if not self._place.swap(self._key, self._holder.to_bytes(), renewed.to_bytes()):
                return False
            self._holder = renewed
            return True


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
    holder = _take(place, key, claim)
    lease = Lease(place, key, holder)
    try:
        others = _others(place, key)
        for other in others:
            if (other.plan, other.n_parts) != (claim.plan, claim.n_parts):
                raise _refusal(place, other)
        if not others:
            place.sweep()
        yield lease
    finally:
        lease.release()


@contextmanager
def mutex(place: Place, name: str, patience_s: float) -> Iterator[None]:
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
            lease = Lease(place, key, _take(place, key, Claim(name)))
            break
        except LockedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_POLL_S)
    try:
        yield
    finally:
        lease.release()


@contextmanager
def only_writer(folder: Path, name: str = "writer") -> Iterator[None]:
    """Be the only process that writes to a folder; it is made if it is not there.

    Raises
    ------
    LockedError
        If a living process is writing to it, naming it.
    """
    place = LocalPlace(folder)
    key = f"{LOCKS}/{name}.json"
    lease = Lease(place, key, _take(place, key, Claim(name)))
    try:
        yield
    finally:
        lease.release()


def _take(place: Place, key: str, claim: Claim) -> Holder:
    """Take a lease that is free or whose holder is dead."""
    mine = Holder.me(claim)
    while True:
        held = place.read(key)
        other = Holder.of(held) if held is not None else None
        if other is not None and other.lives():
            raise _refusal(place, other)
        if place.swap(key, held, mine.to_bytes()):
            return mine


def _others(place: Place, mine: str) -> list[Holder]:
    """Everyone else alive who holds a part; the leases of the dead are cleared away."""
    living = []
    for key in place.sizes(LOCKS):
        if key == mine or not key.startswith(f"{LOCKS}/part-"):
            continue
        data = place.read(key)
        holder = Holder.of(data) if data is not None else None
        if holder is not None and holder.lives():
            living.append(holder)
        elif data is not None:
            place.swap(key, data, None)
    return living


def _refusal(place: Place, holder: Holder) -> LockedError:
    return LockedError(
        f"{place.url} free for this process",
        str(holder),
        "Wait until it has ended; parts of one build (--part I/N) may run side by side if they are started alike.",
    )


def _machine() -> str:
    """The running system and its process namespace: two containers on one host are two."""
    parts = [platform.node()]
    for path in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        try:
            parts.append(
                str(Path(path).readlink()) if path.endswith("pid") else Path(path).read_text(encoding="ascii").strip()
            )
        except OSError:
            continue
    return " ".join(parts)


def _started(pid: int) -> str:
    """When a process started, in the system's own count; "alive" where that is not told, "" if it does not live."""
    try:
        # Fields are counted behind the name, which may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return _alive(pid)
    return "" if fields[0] in {"Z", "X"} else fields[19]


def _alive(pid: int) -> str:
    if Path("/proc/self/stat").exists():
        return ""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return "alive"
    except OSError:
        return ""
    return "alive"
