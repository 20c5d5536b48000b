"""`evaluate serve` as someone starts it: it is asked by the lines of the page, and ended by Ctrl-C."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from .pages import commands_of
from .small_world import run


def serve(words: list[str], visit: Callable[[str], None]) -> int:
    """Serve in this thread, as the program does, while another visits the server and then interrupts it.

    Gives the exit code. The visitor is told the server's address, host and port.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = "{}:{}".format(*free.getsockname())
    ended = threading.Event()

    def come() -> None:
        while not _answers(address):
            if ended.wait(0.05):
                return
        try:
            visit(address)
        finally:
            if not ended.is_set():
                os.kill(os.getpid(), signal.SIGINT)

    with ThreadPoolExecutor(1) as pool, pytest.MonkeyPatch.context() as patch:
        # uvicorn closes the handlers of this process, and TensorFlow's would close a stream that pytest reads.
        patch.setattr(logging, "_handlerList", [])
        visiting = pool.submit(come)
        try:
            return run([*words, "--port", address.rpartition(":")[2]])
        finally:
            ended.set()
            visiting.result()


def ask(words: Sequence[str], address: str) -> str:
    """Ask by a line with `curl`, whose address is the default one, and tell what was wrong with the answer."""
    [port] = [one.default for one in commands_of("evaluate")["serve"].params if one.name == "port"]
    there = [word.replace(f"//127.0.0.1:{port}/", f"//{address}/") for word in words]
    options = ["--silent", "--show-error", "--fail", "--noproxy", "*", "--max-time", "60"]
    done = subprocess.run([*there, *options], capture_output=True, text=True, check=False)
    if done.returncode:
        return f"ended with {done.returncode}: {done.stderr}"
    answer = json.loads(done.stdout)
    return "" if answer["schema"] == "identification/1" and answer["ranking"] else f"was answered by {done.stdout}"


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"http://{address}/health", trust_env=False).is_success
    except httpx.TransportError:
        return False
