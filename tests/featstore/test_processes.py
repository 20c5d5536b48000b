"""Worker processes: an interrupt waits where it would leave a lock behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial

import pytest

from featstore.processes import interrupts_held

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no process there can interrupt itself")


def work_through(interrupt: Callable[[], object], done: list[str]) -> None:
    with interrupts_held():
        interrupt()
        time.sleep(0.2)
        done.append("all of it")


def test_an_interrupt_is_held_back_and_not_lost() -> None:
    done: list[str] = []
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        work_through(lambda: os.kill(os.getpid(), signal.SIGINT), done)
    assert done == ["all of it"]
    assert signal.getsignal(signal.SIGINT) is before
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_also_one_that_another_thread_of_the_process_receives() -> None:
    """Threads that were there before do not block it, and the system hands it to any."""
    stop, done = threading.Event(), list[str]()
    other = threading.Thread(target=stop.wait)
    other.start()
    assert other.ident is not None
    try:
        with pytest.raises(KeyboardInterrupt):
            work_through(partial(signal.pthread_kill, other.ident, signal.SIGINT), done)
    finally:
        stop.set()
        other.join()
    assert done == ["all of it"]


def test_a_process_that_is_started_within_never_sees_one() -> None:
    script = "import time; print('ready', flush=True); time.sleep(0.5); print('well')"
    with interrupts_held():
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == "well\n"


def test_other_threads_have_nothing_to_hold() -> None:
    found = []

    def work() -> None:
        with interrupts_held():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [signal.getsignal(signal.SIGINT)]
