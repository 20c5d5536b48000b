"""Other processes: a Dask cluster, started by the lines that a page tells to type, and a copy of the code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from .pages import ROOT

HOST = "tcp://HOST:8786"
"""What pages call the scheduler."""
SMALL_WORLD = Path(__file__).with_name("small_world.py")
HERE: Mapping[str, Sequence[str]] = {
    "scheduler": ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", "scheduler.json"],
    "worker": [
        *("--nworkers", "1", "--no-nanny", "--no-dashboard", "--local-directory", "."),
        *("--preload", SMALL_WORLD.stem),
    ],
}
"""What is added to a line, so that it takes any free port, and one worker with small networks."""


class Copy:
    """A process that runs commands with another copy of the code; it starts with the first."""

    def __init__(self, make: Callable[[], Path]) -> None:
        self._make = make
        self._process: subprocess.Popen[str] | None = None

    def run(self, words: list[str]) -> int:
        """Run a command in the current folder, tell the end of what it told, and give its exit code."""
        process = self._process = self._process or subprocess.Popen(
            [sys.executable, str(SMALL_WORLD)], env={**os.environ, "PYTHONPATH": str(self._make())},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdin
        assert process.stdout
        process.stdin.write(json.dumps([str(Path.cwd()), words]) + "\n")
        process.stdin.flush()
        code, told = json.loads(process.stdout.readline())
        sys.stderr.write(told)
        return int(code)

    def stop(self) -> None:
        if self._process:
            self._process.communicate()


class Cluster:
    """A scheduler and a worker of Dask; they end with `stop`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._lines: dict[str, Sequence[str]] = {}

    def start(self, words: Sequence[str]) -> None:
        """Start `dask scheduler` or `dask worker`, if it does not run already, and wait until it is there."""
        name = words[1]
        if self._lines.setdefault(name, words) != words:
            raise ValueError(f"pages start `dask {name}` in two ways, and only the first runs here")
        if name in self._processes:
            return
        given = [self.address() if word == HOST else word for word in words[1:]]
        with (self._folder / f"{name}.log").open("wb") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", "dask", *given, *HERE[name]],
                cwd=self._folder, env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{SMALL_WORLD.parent}"},
                stdout=log, stderr=log,
            )  # fmt: skip
        self._wait_for(name)

    def address(self) -> str:
        """Address of the scheduler."""
        return str(json.loads((self._folder / "scheduler.json").read_text(encoding="utf-8"))["address"])

    def stop(self) -> None:
        """End what runs, workers first."""
        for process in reversed(self._processes.values()):
            process.terminate()
            process.wait(timeout=60)

    def _wait_for(self, name: str) -> None:
        ending = time.monotonic() + 120
        while not self._is_there(name):
            log = self._folder / f"{name}.log"
            assert self._processes[name].poll() is None, log.read_text(encoding="utf-8")
            assert time.monotonic() < ending, log.read_text(encoding="utf-8")
            time.sleep(0.05)

    def _is_there(self, name: str) -> bool:
        try:
            address = self.address()
        except (OSError, ValueError):
            return False
        return name == "scheduler" or _has_workers(address)


def _has_workers(address: str) -> bool:
    """Whether a scheduler has a worker, or gets one within seconds."""
    from distributed import Client

    with Client(address, set_as_default=False) as client, suppress(TimeoutError):
        client.wait_for_workers(1, timeout=5)
        return True
    return False
