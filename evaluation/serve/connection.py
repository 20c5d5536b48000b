"""Connections: one on which no request comes is ended, which uvicorn does only after a first answer."""

from __future__ import annotations

import asyncio
from typing import cast

from uvicorn.protocols.http.h11_impl import H11Protocol

SILENCE_S = 10.0
"""How long a new connection may take to send the head of its first request; browsers open some that never send any."""


class Connection(H11Protocol):
    """A connection that has to ask for something."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first request."""
        super().connection_made(cast("asyncio.Transport", transport))
        self.loop.call_later(SILENCE_S, self._end_without_request)

    def _end_without_request(self) -> None:
        # Set by the head of a request; whatever else has come, byte by byte, is none.
        if self.scope is None:
            self.transport.close()
