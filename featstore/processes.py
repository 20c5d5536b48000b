"""Worker processes: what every one of ours does first."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import wait

UNGUARDED = 'A Python script must call this below `if __name__ == "__main__":`. '
"""What to do where processes end before they have done anything: each imports the script that it was started from."""


def end_with_parent() -> None:
    """Let a worker end when its parent is killed; an orphan would hold memory for ever."""
    # Ctrl-C reaches every process of the terminal; the parent alone answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
