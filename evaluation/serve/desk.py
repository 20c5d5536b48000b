"""Desk: one thread that answers, and a line of bounded length before it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http import HTTPStatus
from time import perf_counter
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from evaluation.serve.refusal import RefusedError

T = TypeVar("T")


class Desk:
    """Admits requests and has them answered one after the other, by a thread that the networks belong to.

    Two at once would share the same cores and take twice the memory.

    Parameters
    ----------
    n_waiting
        How many may be inside besides the one that is answered.
    """

    def __init__(self, n_waiting: int) -> None:
        self._n_waiting = n_waiting
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="identify")
        self._n_inside = 0
        self._seconds = 1.0

    @property
    def n_inside(self) -> int:
        """Requests that are being received, waiting or being answered."""
        return self._n_inside

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place in the line.

        Raises
        ------
        RefusedError
            503 with the time to come back, if there is none.
        """
        if self._n_inside > self._n_waiting:
            raise RefusedError(
                f"at most {self._n_waiting} requests waiting",
                "one more",
                "Ask again later; Retry-After says when.",
                status=HTTPStatus.SERVICE_UNAVAILABLE,
                retry_after_s=self._n_inside * self._seconds,
            )
        self._n_inside += 1
        try:
            yield
        finally:
            self._n_inside -= 1

    async def have_done(self, work: Callable[[], T], request: Request) -> T:
        """Have something done when its turn comes; work that nobody waits for any more is not begun.

        Raises
        ------
        ClientDisconnect
            If the client goes away meanwhile.
        """
        done = asyncio.get_running_loop().run_in_executor(self._thread, self._timed, work)
        # The request has been read to its end: what comes next is that the client has gone.
        gone = asyncio.ensure_future(request.receive())
        either: set[asyncio.Future[Any]] = {done, gone}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not done.done():
                raise ClientDisconnect
            return done.result()
        finally:
            gone.cancel()
            done.cancel()

    def _timed(self, work: Callable[[], T]) -> T:
        start = perf_counter()
        try:
            return work()
        finally:
            # Half the last one, half all before it.
            self._seconds = (self._seconds + perf_counter() - start) / 2

    def close(self) -> None:
        """Begin nothing more, and wait for what has begun."""
        self._thread.shutdown(cancel_futures=True)
