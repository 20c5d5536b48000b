"""Who holds a lease: a process of a running system, and how others tell whether it is still at work."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
import uuid
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

LEASE_S = 120.0
"""A holder on another machine that has not renewed its lease for so long is taken for dead.

The clocks of machines that write to one store must agree to within half of it.
"""

HELD: set[str] = set()
"""Tokens of the leases that this process holds."""

_UNKNOWN = "unknown"


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
    since, beat
        When the lease was taken and last renewed, seconds since 1970.
    token
        Told apart by it are leases of one process.
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
            claim.plan, claim.part, claim.n_parts, command, platform.node(), machine(), pid, started(pid), now, now
        )

    @classmethod
    def of(cls, data: bytes | None) -> Holder | None:
        """Read a lease; None if it is none. Entries that a later version may add are passed over."""
        if not data:
            return None
        try:
            content = json.loads(data)
            return cls(**{entry.name: content[entry.name] for entry in fields(cls)})
        except (ValueError, TypeError, KeyError):
            return None

    def to_bytes(self) -> bytes:
        """As JSON."""
        return json.dumps(asdict(self)).encode()

    @property
    def here(self) -> bool:
        """Whether its process number means something in this process."""
        return self.machine == machine()

    @property
    def silent_s(self) -> float:
        """Seconds since the lease was last renewed."""
        return time.time() - self.beat

    @property
    def late(self) -> bool:
        """Whether others may soon take the holder for dead."""
        return self.silent_s > LEASE_S / 2

    def lives(self) -> bool:
        """Whether the holder is still at work, as far as can be seen from here."""
        if not self.here:
            return self.silent_s < LEASE_S
        if self.pid == os.getpid():
            return self.token in HELD
        start = started(self.pid)
        if _UNKNOWN in {start, self.started}:
            return start != "" and self.silent_s < LEASE_S
        return start == self.started

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        part = f", part {self.part}/{self.n_parts}" if self.n_parts > 1 else ""
        return f"process {self.pid} on {self.host} (`{self.command}`{part}), which has been writing since {since}"


def machine() -> str:
    """Name the running system and its process namespace: two containers on one host are two."""
    parts = [platform.node()]
    try:
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    except OSError:
        # Not Linux: the name alone has to do, and a process that cannot be asked is judged by its beat.
        pass
    return " ".join(parts)


def started(pid: int) -> str:
    """When a process started, in the system's own count; "unknown" if that is not told, "" if it does not live."""
    import psutil

    try:
        # Fields are counted behind the name, which may hold anything.
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        # No such process, no /proc, or one that hides other users' processes.
        return _UNKNOWN if psutil.pid_exists(pid) else ""
    return "" if stat[0] in {"Z", "X"} else stat[19]
