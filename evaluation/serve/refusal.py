"""Refusals: every error leaves the server as one JSON form, without a traceback."""

from __future__ import annotations

import math
from collections.abc import Sequence
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from featstore.errors import PhytobenchError
from featstore.provenance import Json

UNPROCESSABLE = 422
"""By number: its name in `http.HTTPStatus` is another one from Python 3.13 on."""

CLIENT_GONE = 499
"""As web servers log it."""


class RefusedError(PhytobenchError):
    """A request that is not answered.

    Parameters
    ----------
    expected, got, remedy
        As everywhere.
    status
        HTTP status.
    photographs
        Which of the photographs are at fault, from 1 on; none for the request as a whole.
    retry_after_s
        When it may be worth to ask again; None for never.
    """

    def __init__(
        self,
        expected: str,
        got: str,
        remedy: str,
        *,
        status: int = UNPROCESSABLE,
        photographs: Sequence[int] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(expected, got, remedy)
        self.status = status
        self.photographs = tuple(photographs)
        self.retry_after_s = retry_after_s


def error_response(error: RefusedError) -> JSONResponse:
    """Write an error as JSON: expected, got, remedy, and the numbers of the photographs that are at fault."""
    content: dict[str, Json] = {
        "expected": error.expected,
        "got": error.got,
        "remedy": error.remedy,
        "photographs": list(error.photographs),
    }
    wait = error.retry_after_s
    headers = {} if wait is None else {"Retry-After": str(max(1, math.ceil(wait)))}
    return JSONResponse(content, error.status, headers)


async def on_error(request: Request, error: Exception) -> Response:
    """Answer a refusal, a wrong address or method, and a client that has gone; a defect is raised again."""
    match error:
        case RefusedError():
            return error_response(error)
        case HTTPException():
            got = f"{request.method} {request.url.path}: {HTTPStatus(error.status_code).phrase}"
            refusal = RefusedError("an address of this server", got, "See /docs.", status=error.status_code)
            response = error_response(refusal)
            response.headers.update(error.headers or {})
            return response
        case ClientDisconnect():
            # Nobody reads it.
            return Response(status_code=CLIENT_GONE)
        case _:
            raise error


def defect() -> RefusedError:
    """What a client hears of a defect of the program; which one it is stands in the log."""
    remedy = "It is in the log of the server; tell whoever runs it."
    return RefusedError("an answer", "a defect of the program", remedy, status=HTTPStatus.INTERNAL_SERVER_ERROR)
