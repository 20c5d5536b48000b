"""Guard: who may ask at all, and what every answer tells the browser to forbid."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Collection
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from evaluation.serve.refusal import RefusedError, defect, error_response

_logger = logging.getLogger(__name__)

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "geolocation=(), microphone=()",
}


class Guard:
    """Every request passes it, and every answer leaves through it.

    A page of another site cannot use the visitor's browser to ask this server: under a name of its own that points
    here (DNS rebinding) it fails by the Host header, by a form or script of its own by the Origin header.

    Parameters
    ----------
    app
        What is guarded.
    names
        Names that the server may be called by besides ``localhost`` and addresses in numbers, which no other site
        can make point here.
    """

    def __init__(self, app: ASGIApp, names: Collection[str] = ()) -> None:
        self._app = app
        self._names = frozenset({"localhost", *(name.lower() for name in names)})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        started = False

        async def send_guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                # Photographs may lie in the browser's memory for a while; answers about plants shall not.
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refusal = self._refusal(Headers(scope=scope))
        try:
            await (error_response(refusal) if refusal else self._app)(scope, receive, send_guarded)
        except Exception:
            # Whatever it is, the client hears that, and the log what.
            _logger.exception("%s %s", scope["method"], scope["path"])
            if not started:
                await error_response(defect())(scope, receive, send_guarded)

    def _refusal(self, headers: Headers) -> RefusedError | None:
        host = headers.get("host", "")
        if not self._is_ours(host):
            remedy = "Use its address in numbers, or start it with --allow-host NAME."
            got = f"a request to {host[:100]!r}"
            return RefusedError("a name of this server", got, remedy, status=HTTPStatus.MISDIRECTED_REQUEST)
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            remedy = "Ask from the page of this server, or from a program."
            got = f"a request from {origin[:100]!r}"
            return RefusedError("a page of this server", got, remedy, status=HTTPStatus.FORBIDDEN)
        return None

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name.rstrip(".") in self._names or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
