"""Content: what an uploaded file really is, told by its first bytes and never by its name."""

from __future__ import annotations

import warnings
from http import HTTPStatus
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from evaluation.serve.limits import MB
from evaluation.serve.refusal import RefusedError

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
"""What is opened; Pillow knows forty more, and each reader is one more door."""

_TELLING = {
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a ZIP archive or an office document",
    b"<svg": "an SVG drawing",
    b"<?xml": "an XML document",
    b"<!DO": "a web page",
    b"<htm": "a web page",
}


def check_content(path: Path, position: int, max_pixels: int) -> None:
    """Refuse a file that is no photograph, or one whose header announces too many pixels; none is decoded.

    Parameters
    ----------
    position
        Which of the photographs of the request it is, from 1 on.

    Raises
    ------
    RefusedError
        422 for an empty or damaged file, 415 for another type, 413 for too many pixels.
    """
    if path.stat().st_size == 0:
        raise RefusedError("a photograph", f"an empty file: {path.name}", "Choose it again.", photographs=[position])
    try:
        # Pillow warns of odd EXIF entries; only the header matters here.
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=FORMATS) as image:
            width, height = image.size
    except UnidentifiedImageError as error:
        raise RefusedError(
            f"a photograph ({', '.join(FORMATS)})",
            f"{_kind(path)}: {path.name}",
            "Choose photographs; save other formats as JPEG.",
            status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            photographs=[position],
        ) from error
    except Exception as error:
        # On damaged bytes Pillow's readers raise almost anything.
        got = f"a damaged file: {path.name}"
        raise RefusedError("a whole photograph", got, "Copy it again.", photographs=[position]) from error
    if width * height > max_pixels:
        raise RefusedError(
            f"at most {max_pixels / MB:.0f} megapixels",
            f"{width} x {height} px: {path.name}",
            "Save it smaller; 1024 px suffice.",
            status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            photographs=[position],
        )


def _kind(path: Path) -> str:
    """Say what a file is instead, as far as its first bytes tell."""
    with path.open("rb") as file:
        first = file.read(512)
    if first[4:8] == b"ftyp" and first[8:12] in {b"heic", b"heix", b"mif1", b"hevc", b"msf1", b"avif"}:
        return "a HEIC or AVIF picture"
    for start, kind in _TELLING.items():
        if first.lstrip().startswith(start):
            return kind
    return "text" if _is_text(first) else "a file that is no photograph"


def _is_text(data: bytes) -> bool:
    try:
        # A character may be cut in half at the end.
        text = data[:-3].decode("utf-8") if len(data) == 512 else data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return text.isprintable() or not any(ord(sign) < 32 and sign not in "\t\n\r\f" for sign in text)
