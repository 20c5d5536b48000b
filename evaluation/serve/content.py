"""Content: an uploaded file that is no photograph by its first bytes is refused, whatever its name."""

from __future__ import annotations

import warnings
from http import HTTPStatus
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from evaluation.serve.limits import MB
from evaluation.serve.refusal import RefusedError
from featstore.content import FIRST_BYTES, kind_of

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
"""What is opened; Pillow knows forty more, and each reader is one more door."""


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
    with path.open("rb") as file:
        return kind_of(file.read(FIRST_BYTES))
