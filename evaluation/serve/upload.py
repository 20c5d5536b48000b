"""Upload: a multipart request becomes files in a folder, piece by piece, and is refused as soon as it is too much."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from evaluation.identify.contract import OPEN_VIEW, Photograph
from evaluation.identify.views import view_named
from evaluation.serve.limits import MB, Limits
from evaluation.serve.refusal import RefusedError
from featstore.catalog import VIEWS
from featstore.errors import SettingsError, counted

FILES, VIEW_FIELD = "files", "views"
MAX_VIEW_BYTES = 100
LINGER_S = 2.0
"""How long what a refused client still sends is read and thrown away, so that it hears why."""

_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
_EXAMPLE = "Send -F files=@flower.jpg -F views=Flower -F files=@leaf.jpg -F views=Leaf."


async def receive_photographs(request: Request, folder: Path, limits: Limits) -> list[Photograph]:
    """Write the photographs of a request to a folder.

    Parameters
    ----------
    request
        Its fields `files` are photographs; its fields `views` are their views in the same order, ``""`` for an open
        one, or there are none at all.
    folder
        Empty, for this request alone.

    Raises
    ------
    RefusedError
        413 for too much of anything, 415 for another kind of request, 422 for one that is no upload of photographs.
    ClientDisconnect
        If the client goes away.
    """
    form = _Form(_boundary(request), folder, limits)
    stream = request.stream()
    try:
        _check_length(request, limits)
        async for chunk in stream:
            form.write(chunk)
        return form.photographs()
    except RefusedError:
        await _linger(stream)
        raise
    finally:
        form.close()


def _boundary(request: Request) -> bytes:
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        got = f"Content-Type {kind.decode('latin-1')[:100]!r}"
        status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
        raise RefusedError("an upload (multipart/form-data)", got, _EXAMPLE, status=status)
    return options[b"boundary"]


def _check_length(request: Request, limits: Limits) -> None:
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdecimal() and int(length) > limits.total_bytes:
        raise _too_large("all photographs together", limits.total_bytes, f"{int(length) / MB:.1f} MB")


async def _linger(stream: AsyncIterator[bytes]) -> None:
    """Read on for a moment: a connection closed on a client that still sends is reset, and the answer lost."""
    with suppress(TimeoutError, ClientDisconnect):
        async with asyncio.timeout(LINGER_S):
            async for _ in stream:
                pass


def _too_large(what: str, limit: int, got: str, photographs: Sequence[int] = ()) -> RefusedError:
    return RefusedError(
        f"at most {limit / MB:g} MB for {what}",
        got,
        "Save photographs smaller; 1024 px suffice.",
        status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        photographs=photographs,
    )


class _Form:
    """A form that is being received."""

    def __init__(self, boundary: bytes, folder: Path, limits: Limits) -> None:
        self._folder, self._limits = folder, limits
        self._paths: list[Path] = []
        self._views: list[str] = []
        self._header, self._disposition = [bytearray(), bytearray()], b""
        self._file: BinaryIO | None = None
        self._text = bytearray()
        self._n_bytes, self._n_file_bytes = 0, 0
        self._ended = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
                    "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._open,
                    "on_part_data": self._take,
                    "on_part_end": self._end_part,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise _no_form(str(error)) from error

    def write(self, chunk: bytes) -> None:
        self._n_bytes += len(chunk)
        if self._n_bytes > self._limits.total_bytes:
            raise _too_large("all photographs together", self._limits.total_bytes, "more")
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise _no_form(str(error)) from error

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def photographs(self) -> list[Photograph]:
        if not self._ended:
            raise _no_form("it ends too early")
        if not self._paths:
            raise RefusedError("photographs of one plant", "none", _EXAMPLE)
        if len(self._views) not in {0, len(self._paths)}:
            got = f"{counted(len(self._views), 'view')} of {counted(len(self._paths), 'photograph')}"
            raise RefusedError("one view for each photograph, or none at all", got, _EXAMPLE)
        views = self._views or [OPEN_VIEW] * len(self._paths)
        named = enumerate(zip(self._paths, views, strict=True), 1)
        return [Photograph(f"{number}-{path.name}", path, view) for number, (path, view) in named]

    def _begin(self) -> None:
        self._disposition = b""
        self._text.clear()
        self._n_file_bytes = 0

    def _end_header(self) -> None:
        name, value = (bytes(part) for part in self._header)
        self._header = [bytearray(), bytearray()]
        if name.lower() == b"content-disposition":
            self._disposition = value

    def _open(self) -> None:
        _, options = parse_options_header(self._disposition)
        field = options.get(b"name", b"").decode("utf-8", "replace")
        filename = options.get(b"filename")
        if (field, filename is not None) not in {(FILES, True), (VIEW_FIELD, False)}:
            got = f"{'a file' if filename is not None else 'a text'} in the field {field[:100]!r}"
            raise RefusedError(f"files in `{FILES}` and texts in `{VIEW_FIELD}`", got, _EXAMPLE)
        if (len(self._views) if filename is None else len(self._paths)) >= self._limits.n_photographs:
            raise RefusedError(
                f"at most {self._limits.n_photographs} photographs of one plant",
                "more",
                "Leave some out.",
                status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            )
        if filename is not None:
            # A folder for each: phones call every photograph alike.
            own = self._folder / str(len(self._paths) + 1)
            own.mkdir()
            self._paths.append(own / safe_name(filename.decode("utf-8", "replace")))
            self._file = self._paths[-1].open("xb")

    def _take(self, data: bytes, start: int, end: int) -> None:
        if self._file is None:
            if len(self._text) + end - start > MAX_VIEW_BYTES:
                raise self._no_view("a long text")
            self._text.extend(data[start:end])
            return
        self._n_file_bytes += end - start
        if self._n_file_bytes > self._limits.file_bytes:
            name = self._paths[-1].name
            raise _too_large("one photograph", self._limits.file_bytes, f"more: {name}", [len(self._paths)])
        self._file.write(data[start:end])

    def _end_part(self) -> None:
        if self._file is not None:
            self.close()
            return
        text = self._text.decode("utf-8", "replace").strip()
        try:
            self._views.append(view_named(text))
        except SettingsError as error:
            raise self._no_view(error.got) from error

    def _end(self) -> None:
        self._ended = True

    def _no_view(self, got: str) -> RefusedError:
        remedy = "Leave it empty if it is none of these."
        return RefusedError(f"a view out of {', '.join(VIEWS)}", got, remedy, photographs=[len(self._views) + 1])


def _no_form(reason: str) -> RefusedError:
    return RefusedError("a well-formed upload", f"a broken one: {reason[:200]}", _EXAMPLE)


def safe_name(name: str) -> str:
    """A name for a file of ours that still tells which of the client's it is.

    >>> safe_name("../../etc/bellis perennis.jpg")
    'bellis perennis.jpg'
    """
    last = re.split(r"[/\\]", name)[-1]
    # Fifty signs of up to four bytes: every file system takes them.
    kept = re.sub(r"[^\w .()-]", "_", last)[-50:].strip(" .")
    # Windows takes these for devices, whatever their ending.
    return f"_{kept}" if _DEVICE.match(kept) else kept or "photograph"
