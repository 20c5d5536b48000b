"""The command: it starts, says where it is, ends in order, and says what is missing."""

from __future__ import annotations

import inspect
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from evaluation.cli.serving import serve
from evaluation.serve import connection as serve_connection
from evaluation.serve import running as serve_running
from evaluation.serve.answering import Asking
from evaluation.serve.app import ServeSettings
from evaluation.serve.limits import Limits
from evaluation.serve.running import is_loopback, listen
from featstore.errors import SettingsError

from .conftest import Greenness, files, panel_of, picture, running

STARTED = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import evaluation.identify.opening as opening
from tests.evaluation.serve.conftest import Greenness, panel_of
opening.open_panel = lambda *_args, **_options: panel_of(Greenness(Path({tests!r})))
from evaluation.cli import main
main(["serve", "--model", "run", "--port", "0", *sys.argv[1:]])
"""
ROOT = str(Path(__file__).parents[3])


def start(*arguments: str) -> tuple[subprocess.Popen[str], str]:
    """Start the command with models that need no run; the process and the address that it tells."""
    process = subprocess.Popen(
        [sys.executable, "-c", STARTED.format(tests=ROOT), *arguments],
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": ROOT},
    )
    assert process.stderr is not None
    seen = ""
    for line in process.stderr:
        seen += line
        if found := re.match(r"(http://\S+/) identifies", line):
            return process, found.group(1)
    raise AssertionError(seen)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_in_order(number: signal.Signals) -> None:
    process, address = start()
    answer = httpx.post(f"{address}api/identify", files=files(picture("red")), timeout=60, trust_env=False)
    assert answer.json()["ranking"][0]["class_id"] == "10"
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, "")


def test_connections_without_a_request_make_room(colours: Greenness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether they say nothing or only the beginning of a request; one under way stays, however long it takes."""
    monkeypatch.setattr(serve_connection, "SILENCE_S", 2.0)
    monkeypatch.setattr(serve_running, "SPARE_CONNECTIONS", 3)
    free = threading.Event()
    colours.before = free.wait
    with (
        ThreadPoolExecutor() as threads,
        running(panel_of(colours), ServeSettings(limits=Limits(n_waiting=2))) as address,
    ):
        red = files(picture("red"))
        under_way = threads.submit(httpx.post, f"{address}/api/identify", files=red, timeout=60, trust_env=False)
        while not colours.n_asked:
            time.sleep(0.01)
        there = urlsplit(address)
        silent = [socket.create_connection((str(there.hostname), int(there.port or 0)), timeout=20) for _ in range(3)]
        silent[0].sendall(b"GET /health HTTP/1.1\r\nHost: ")
        assert httpx.get(f"{address}/health", trust_env=False).status_code == 503
        for one in silent:
            with one:
                assert one.recv(1) == b"", "the server ends it"
        assert httpx.get(f"{address}/health", trust_env=False).status_code == 200
        free.set()
        assert under_way.result().status_code == 200


def test_a_taken_port_is_told_before_anything_is_loaded() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(SettingsError, match=f"127.0.0.1:{port}, which another program listens at"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize(("host", "port"), [("no.such.host.invalid", 0), ("192.0.2.1", 0)])
def test_addresses_that_cannot_be_taken(host: str, port: int) -> None:
    with pytest.raises(SettingsError):
        listen(host, port)


def test_which_addresses_are_loopback() -> None:
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "127.9.9.9")] == [True] * 4
    assert [is_loopback(host) for host in ("0.0.0.0", "::", "192.168.1.2", "example.org")] == [False] * 4


@pytest.mark.parametrize("module", ["fastapi", "uvicorn", "python_multipart", "fastapi_offline"])
def test_a_missing_extra_is_told(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from evaluation.serve.running import require_extra

    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SettingsError, match=r"pip install 'phytobench\[web\]'"):
        require_extra()


@pytest.mark.parametrize(
    "limits", [{"file_bytes": 0}, {"timeout_s": float("nan")}, {"pixels": -1}, {"n_photographs": 0}]
)
def test_limits_are_above_zero(limits: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match="above zero"):
        Limits(**limits)


def test_the_options_have_the_defaults_of_the_limits() -> None:
    told = {name: one.default for name, one in inspect.signature(serve).parameters.items()}
    limits, mb = Limits(), 1_000_000
    assert (told["max_file"] * mb, told["max_total"] * mb) == (limits.file_bytes, limits.total_bytes)
    assert (told["max_megapixels"] * mb, told["timeout"]) == (limits.pixels, limits.timeout_s)
    assert (told["max_photographs"], told["max_waiting"]) == (limits.n_photographs, limits.n_waiting)
    assert (told["top"], told["neighbours"]) == (Asking().top, Asking().n_neighbours)
