"""Locks: one writer at a time; a second one is refused, naming the first."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from featstore.errors import PhytobenchError

try:
    import fcntl
except ImportError:  # Windows has no flock: there, keeping writers apart is up to the user.
    fcntl = None  # type: ignore[assignment]


class LockedError(PhytobenchError):
    """Another process is writing to the same place."""


@contextmanager
def only_writer(folder: Path, name: str = ".lock") -> Iterator[None]:
    """Hold the lock of a folder; the system releases it when the process ends, however it ends.

    Parameters
    ----------
    folder
        What is written to; it is made if it is not there.
    name
        File of the lock inside.

    Raises
    ------
    LockedError
        If a living process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("a+", encoding="utf-8") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                file.seek(0)
                holder = file.read().strip() or "another process"
                raise LockedError(
                    f"{folder} for this process alone", f"{holder}, which is writing to it", "Wait until it has ended."
                ) from error
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}\n")
        file.flush()
        yield
