"""The application: its addresses, and what happens to a request between its first byte and its answer."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from http import HTTPStatus
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from evaluation.identify.answer import Identification
from evaluation.identify.contract import Photograph
from evaluation.identify.opening import Panel
from evaluation.serve.answering import PHOTOGRAPHS, Answer, Asking, Fault, answerer, told
from evaluation.serve.content import check_content
from evaluation.serve.desk import Desk
from evaluation.serve.gallery import Gallery
from evaluation.serve.guard import Guard
from evaluation.serve.keeping import keep_plant
from evaluation.serve.limits import Limits
from evaluation.serve.pages import add_pages
from evaluation.serve.refusal import RefusedError, on_error
from evaluation.serve.upload import FILES, VIEW_FIELD, receive_photographs
from featstore.catalog import VIEWS
from featstore.errors import ImageError
from featstore.provenance import Json, phytobench_version

_logger = logging.getLogger(__name__)

_FORM: dict[str, Json] = {
    "type": "object",
    "required": [FILES],
    "properties": {
        FILES: {
            "type": "array",
            "items": {"type": "string", "format": "binary"},
            "description": "The photographs of one plant: JPEG, PNG, WebP, TIFF, BMP or GIF.",
        },
        VIEW_FIELD: {
            "type": "array",
            "items": {"type": "string", "enum": ["", *VIEWS]},
            "description": "What each photograph shows, in the same order; empty for an open one. None at all, or all.",
        },
    },
}
_IDENTIFY: dict[str, Json] = {
    # Sent as fields of the same name, one per value, as HTML forms do.
    "requestBody": {
        "required": True,
        "content": {"multipart/form-data": {"schema": _FORM, "encoding": {VIEW_FIELD: {"style": "form"}}}},
    }
}
_FAULTS: dict[int | str, dict[str, object]] = {
    408: {"model": Fault, "description": "The upload took too long."},
    413: {"model": Fault, "description": "Too many photographs, too large a file, or too many pixels."},
    415: {"model": Fault, "description": "No upload, or a file that is no photograph."},
    422: {"model": Fault, "description": "No photograph can be used, or the upload is broken."},
    503: {"model": Fault, "description": "Too many are waiting; Retry-After says when to come back."},
}
_COPIES_AT_ONCE = 2


@dataclass(frozen=True)
class ServeSettings:
    """How the server behaves.

    Attributes
    ----------
    limits
        What is refused.
    asking
        How plants are asked about.
    keep
        Folder that photographs and answers are kept in; None keeps nothing.
    names
        Names that the server may be called by, besides localhost and addresses in numbers.
    """

    limits: Limits = field(default_factory=Limits)
    asking: Asking = field(default_factory=Asking)
    keep: Path | None = None
    names: tuple[str, ...] = ()


def make_app(panel: Panel, settings: ServeSettings) -> FastAPI:
    """Make the application that asks some models.

    Parameters
    ----------
    panel
        The models; they are asked by one thread, one plant at a time.
    settings
        How it behaves.
    """
    desk, gallery = Desk(settings.limits.n_waiting), Gallery()

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        desk.close()

    app = FastAPI(
        title="phytobench identify",
        version=phytobench_version(),
        description="Photographs of one plant become ranked species. Every error is JSON: expected, got, remedy.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.add_middleware(Guard, names=settings.names)
    for kind in (RefusedError, HTTPException, ClientDisconnect):
        app.add_exception_handler(kind, on_error)
    _add_identify(app, desk, answerer(panel, gallery, settings.asking), settings)
    _add_facts(app, desk, panel, settings)
    _add_gallery(app, gallery)
    add_pages(app)
    return app


def _add_identify(
    app: FastAPI, desk: Desk, answer: Callable[[Sequence[Photograph]], Identification], settings: ServeSettings
) -> None:
    limits = settings.limits

    @app.post(
        "/api/identify",
        summary="Identify one plant",
        tags=["identify"],
        responses={200: {"model": Answer}, **_FAULTS},
        openapi_extra=_IDENTIFY,
    )
    async def identify(request: Request) -> Response:
        """Answer with species, genus and family, and how the ranking grew from photograph to photograph."""
        receiving = True
        with desk.place(), tempfile.TemporaryDirectory(prefix="phytobench-", ignore_cleanup_errors=True) as folder:
            try:
                async with asyncio.timeout(limits.timeout_s):
                    photographs = await receive_photographs(request, Path(folder), limits)
                    await run_in_threadpool(_check, photographs, limits.pixels)
                    receiving = False
                    found = await desk.have_done(partial(answer, photographs), request)
            except TimeoutError as error:
                raise _too_slow(limits.timeout_s, receiving=receiving) from error
            if settings.keep is not None:
                found = await run_in_threadpool(_keep, settings.keep, photographs, found)
        return JSONResponse(told(found))


def _check(photographs: Sequence[Photograph], max_pixels: int) -> None:
    for position, photograph in enumerate(photographs, 1):
        check_content(photograph.path, position, max_pixels)


def _too_slow(timeout_s: float, *, receiving: bool) -> RefusedError:
    if receiving:
        remedy = "Send smaller photographs, or over a faster line."
        status = HTTPStatus.REQUEST_TIMEOUT
        return RefusedError(f"an upload within {timeout_s:g} s", "a slower one", remedy, status=status)
    return RefusedError(
        f"an answer within {timeout_s:g} s",
        "none: too many others ask, or the model is slow",
        "Ask again with fewer photographs, or later.",
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        retry_after_s=timeout_s,
    )


def _keep(folder: Path, photographs: Sequence[Photograph], found: Identification) -> Identification:
    """Keep a plant; a full disk costs the copy, not the answer, which then says so."""
    try:
        keep_plant(folder, photographs, told(found))
    except OSError as error:
        _logger.warning("A plant was not kept in %s: %s", folder, error.strerror)
        return replace(found, remarks=(*found.remarks, "The server could not keep a copy of these photographs."))
    return found


def _add_facts(app: FastAPI, desk: Desk, panel: Panel, settings: ServeSettings) -> None:
    first = panel.identifiers[0]
    facts: dict[str, Json] = {
        "schema": "models/1",
        "models": [{"model": one.model, "species": len(one.classes)} for one in panel.identifiers],
        "species": {class_id: panel.names.species.get(class_id, "") for class_id in map(str, first.classes)},
        "rule": panel.fusing.name,
        "accept_from": panel.threshold.accept_from if panel.threshold else None,
        "views": list(VIEWS),
        "limits": settings.limits.to_json(),
        "keeps": settings.keep is not None,
    }

    @app.get("/api/models", summary="Which models answer, what they know, and what is refused", tags=["identify"])
    async def models() -> Response:
        return JSONResponse(facts)

    @app.get("/health", summary="Whether the server answers, and how many requests are inside", tags=["server"])
    async def health() -> Response:
        return JSONResponse({"status": "ok", "requests": desk.n_inside})


def _add_gallery(app: FastAPI, gallery: Gallery) -> None:
    few = asyncio.Semaphore(_COPIES_AT_ONCE)

    @app.get(
        PHOTOGRAPHS + "/{image_id:path}",
        summary="A small copy of a training photograph that an answer has named",
        tags=["identify"],
        response_class=Response,
        responses={200: {"content": {"image/jpeg": {}}}, 404: {"model": Fault}, 422: {"model": Fault}},
    )
    async def photograph(image_id: str) -> Response:
        async with few:
            try:
                copy = await run_in_threadpool(gallery.copy_of, image_id)
            except ImageError as error:
                _logger.warning("A training photograph cannot be shown: %s", error)
                copy = None
        if copy is None:
            got = f"{image_id[:100]!r}"
            remedy = "Take an image_id out of `neighbours`; its file may be gone."
            raise RefusedError("a photograph that an answer has named", got, remedy, status=HTTPStatus.NOT_FOUND)
        return Response(copy, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})
