"""Processor, memory and disks: what there is, and what this process may use of it."""

from __future__ import annotations

import os
import platform
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from featstore.provenance import existing_folder

INSTRUCTIONS = (
    "avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_tile", "amx_bf16", "amx_int8",
    "asimd", "sve",
)  # fmt: skip
"""Instruction sets that decide how fast networks are, as Linux spells them."""

NETWORK_DISKS = frozenset(
    {"nfs", "nfs4", "cifs", "smbfs", "smb3", "fuse.sshfs", "lustre", "gpfs", "beegfs", "ceph", "fuse.ceph", "glusterfs",
     "fuse.glusterfs", "9p", "afs", "afpfs", "webdav", "fuse.s3fs", "fuse.gcsfuse", "fuse.rclone"}
)  # fmt: skip

_PROBE_BYTES = 16 << 20
_GROUPS = Path("/sys/fs/cgroup")
_UNLIMITED = 1 << 60


@dataclass(frozen=True)
class Processor:
    """A processor.

    Attributes
    ----------
    instructions
        Those of `INSTRUCTIONS` that it has; None where the system does not tell.
    cores, usable
        Logical cores of the machine, and those that this process may run on.
    quota
        Cores' worth of time that its control group allows; None for no limit.
    load
        Programs that wanted to run at once, averaged over the last minute; None where the system does not tell.
    """

    name: str
    instructions: tuple[str, ...] | None
    cores: int
    usable: int
    quota: float | None
    load: float | None


@dataclass(frozen=True)
class Memory:
    """Bytes of memory: of the machine, free now, and allowed to the control group (None for no limit)."""

    total: int
    available: int
    limit: int | None

    @property
    def usable(self) -> int:
        """What this process may hope for."""
        return self.available if self.limit is None else min(self.available, self.limit)


@dataclass(frozen=True)
class Disk:
    """A place for files.

    Attributes
    ----------
    use
        What lies there.
    kind
        File system, "" where the system does not tell.
    bytes_per_second
        Speed of writing 16 MiB and waiting until they are on the disk; None if it was not tried or cannot be written.
    """

    use: str
    path: str
    free: int
    total: int
    kind: str
    bytes_per_second: float | None

    @property
    def on_network(self) -> bool:
        """Whether every byte travels over a network."""
        return self.kind in NETWORK_DISKS


def processor() -> Processor:
    """Look at the processor."""
    name, instructions = _of_linux() if Path("/proc/cpuinfo").is_file() else _of_others()
    cores = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return Processor(name or platform.machine(), instructions, cores, usable, cpu_quota(), load)


def memory() -> Memory:
    """Look at the memory."""
    import psutil

    seen = psutil.virtual_memory()
    return Memory(int(seen.total), int(seen.available), memory_limit())


def disk(use: str, path: Path, *, measure: bool) -> Disk:
    """Look at the disk of a folder, or of the nearest folder above it that exists.

    Parameters
    ----------
    measure
        Write 16 MiB to tell how fast it is; they are removed.
    """
    import psutil

    there = existing_folder(path)
    usage = psutil.disk_usage(str(there))
    return Disk(
        use,
        str(there),
        int(usage.free),
        int(usage.total),
        _file_system(there),
        _write_speed(there) if measure else None,
    )


def cpu_quota(groups: Path = _GROUPS, membership: Path = Path("/proc/self/cgroup")) -> float | None:
    """Cores' worth of time that the control group allows, of either version; None for no limit."""
    quotas: list[float] = []
    for folder in _folders(groups, membership, "cpu"):
        words = _words(folder / "cpu.max") or [
            *_words(folder / "cpu.cfs_quota_us"),
            *_words(folder / "cpu.cfs_period_us"),
        ]
        if len(words) == 2 and words[0].isdigit() and int(words[1]):
            quotas.append(int(words[0]) / int(words[1]))
    return min(quotas, default=None)


def memory_limit(groups: Path = _GROUPS, membership: Path = Path("/proc/self/cgroup")) -> int | None:
    """Bytes that the control group allows, of either version; None for no limit."""
    limits: list[int] = []
    for folder in _folders(groups, membership, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            limits += [int(word) for word in _words(folder / name) if word.isdigit() and int(word) < _UNLIMITED]
    return min(limits, default=None)


def _folders(groups: Path, membership: Path, controller: str) -> list[Path]:
    """Folders of the control groups that hold for this process, from its own to the root; a limit above counts, too."""
    found: list[Path] = []
    for line in _lines(membership):
        _, _, rest = line.partition(":")
        controllers, _, inside = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        root = groups / controller if controllers else groups
        relative = PurePosixPath(inside.lstrip("/"))
        found += [root / step for step in (relative, *relative.parents)]
    # Within a container the path is often that of the host, and the root is the container's own.
    return list(dict.fromkeys([*found, groups, groups / controller]))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _words(path: Path) -> list[str]:
    return " ".join(_lines(path)).split()


def _of_linux() -> tuple[str, tuple[str, ...] | None]:
    facts: dict[str, str] = {}
    for line in _lines(Path("/proc/cpuinfo")):
        key, _, value = line.partition(":")
        facts.setdefault(key.strip(), value.strip())
    flags = facts.get("flags", facts.get("Features"))
    return facts.get("model name", ""), None if flags is None else _known(flags)


def _of_others() -> tuple[str, tuple[str, ...] | None]:
    """Ask `sysctl` on macOS; Windows does not tell."""
    if platform.system() != "Darwin":
        return platform.processor(), None
    name = _said("sysctl", "-n", "machdep.cpu.brand_string")
    if platform.machine() == "arm64":
        return name, ("asimd",)
    features = _said("sysctl", "-n", "machdep.cpu.features", "machdep.cpu.leaf7_features")
    return name, _known(features.lower().replace("avx1.0", "avx")) if features else None


def _known(flags: str) -> tuple[str, ...]:
    there = set(flags.split())
    return tuple(name for name in INSTRUCTIONS if name in there)


def _said(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout.strip()  # noqa: S603  # fixed words
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _file_system(folder: Path) -> str:
    import psutil

    real = str(folder.resolve())
    best = ("", "")
    for part in psutil.disk_partitions(all=True):
        point = part.mountpoint.rstrip("/\\")
        if (real == part.mountpoint or real.startswith((f"{point}/", f"{point}\\"))) and len(point) >= len(best[0]):
            best = (point, part.fstype)
    return best[1]


def _write_speed(folder: Path) -> float | None:
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".phytobench-speed-") as file:
            block = os.urandom(1 << 20)
            started = time.perf_counter()
            for _ in range(_PROBE_BYTES >> 20):
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
            return _PROBE_BYTES / (time.perf_counter() - started)
    except OSError:
        return None
