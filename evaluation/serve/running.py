"""Running: the server's socket, its process and its end."""

from __future__ import annotations

import errno
import ipaddress
import signal
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from featstore.errors import SettingsError

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

SPARE_CONNECTIONS = 200
"""Connections besides those that wait for an answer: browsers hold six each."""
GRACE_S = 10
"""How long requests under way may take to end when the server is told to."""

_FAULTS = {
    errno.EADDRINUSE: ("a free port", "which another program listens at", "Pass another --port, or 0 for any."),
    errno.EACCES: ("a port that may be used", "which only root may", "Pass a --port above 1023."),
    errno.EADDRNOTAVAIL: ("an address of this machine", "which is none", "Correct --host."),
}


def require_extra() -> None:
    """Raise a `SettingsError` that says what to install, if the packages of the extra `web` are absent."""
    try:
        import fastapi
        import fastapi_offline
        import python_multipart
        import uvicorn
    except ImportError as error:
        got = f"no package {error.name}"
        raise SettingsError("the packages of a web server", got, "Run: pip install 'phytobench[web]'") from error
    # Named, so that nobody takes them for a mistake.
    _ = fastapi, fastapi_offline, python_multipart, uvicorn


def listen(host: str, port: int) -> socket.socket:
    """Take an address before anything slow is begun.

    Parameters
    ----------
    port
        0 for any free one.

    Raises
    ------
    SettingsError
        If the address is taken, forbidden or not of this machine.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except socket.gaierror as error:
        raise SettingsError("an address of this machine", f"--host {host}: {error.strerror}", "Correct it.") from error
    except (OSError, OverflowError) as error:
        number = getattr(error, "errno", None) or 0
        if number not in _FAULTS:
            raise SettingsError("an address to listen at", f"{host}:{port}: {error}", "Pass another.") from error
        expected, got, remedy = _FAULTS[number]
        raise SettingsError(expected, f"{host}:{port}, {got}", remedy) from error


def is_loopback(host: str) -> bool:
    """Whether only this machine itself can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def address_of(listener: socket.socket) -> str:
    """Address of a listening socket as a browser takes it."""
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/"


def config_of(app: FastAPI, n_waiting: int) -> uvicorn.Config:
    """How the application is served: by one process, with nothing believed that a client says of itself."""
    import uvicorn

    from evaluation.serve.connection import Connection

    return uvicorn.Config(
        app,
        http=Connection,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        lifespan="on",
        limit_concurrency=n_waiting + SPARE_CONNECTIONS,
        timeout_graceful_shutdown=GRACE_S,
    )


def run_server(app: FastAPI, listener: socket.socket, n_waiting: int) -> None:
    """Serve until the process is interrupted or told to end; requests under way are answered first."""
    import uvicorn

    # uvicorn ends in order on both signals and raises them once more afterwards: SIGTERM shall not kill then.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config_of(app, n_waiting)).run(sockets=[listener])
    finally:
        signal.signal(signal.SIGTERM, before)
        listener.close()
