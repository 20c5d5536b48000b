"""Pixels: the only module that opens photographs. Upright, RGB, of bounded size, or an `ImageError` that says why."""

from __future__ import annotations

import io
import os
import stat
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from featstore.content import kind_of, remedy_for
from featstore.errors import ImageError
from featstore.provenance import open_at_once
from featstore.roi import Box, ViewRecipe, cut

WORKING_SIDE_PX = 1024
"""Longest side at which regions are found and cut; larger photographs are reduced while they are decoded."""

MAX_PIXELS = 250_000_000
"""Photographs with more pixels than this are refused: they would take gigabytes to decode."""

# Our own limit, checked before any pixel is decoded, replaces Pillow's.
Image.MAX_IMAGE_PIXELS = None

_STILL_FORMATS = {"JPEG", "MPO", "TIFF", "BMP", "PNG", "GIF", "WEBP"}
# A second picture in these is a preview or a page, not a frame.
_MULTI_PICTURE_FORMATS = {"MPO", "TIFF"}
# Numbers in these stand for colours that they do not lie between: Pillow reduces such pictures by leaving pixels out.
_INDEXED = {"1", "P", "PA"}
# EXIF's orientation -> what sets the picture upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = {
    Image.Transpose.TRANSPOSE,
    Image.Transpose.ROTATE_270,
    Image.Transpose.TRANSVERSE,
    Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Photograph:
    """A decoded photograph.

    Attributes
    ----------
    pixels
        (h, w, 3) RGB uint8, upright, longest side at most `WORKING_SIDE_PX`.
    full_size
        (height, width) of the upright photograph in its file, px.
    """

    pixels: NDArray[np.uint8]
    full_size: tuple[int, int]

    def to_full(self, box: Box) -> Box:
        """Scale a box on `pixels` to the full photograph; `to_working` undoes it exactly."""
        return self._scale(box, self.full_size, self.pixels.shape[:2])

    def to_working(self, box: Box) -> Box:
        """Scale a box on the full photograph to `pixels`."""
        return self._scale(box, self.pixels.shape[:2], self.full_size)

    @staticmethod
    def _scale(box: Box, target: tuple[int, ...], source: tuple[int, ...]) -> Box:
        rows, columns = target[0] / source[0], target[1] / source[1]
        top, left, bottom, right = box
        return round(top * rows), round(left * columns), round(bottom * rows), round(right * columns)


def decode(data: bytes, name: str) -> Photograph:
    """Decode the bytes of one image file.

    Rotation by EXIF is applied; transparency is laid over white; CMYK, grey, palette and 16-bit images become
    8-bit RGB.

    Raises
    ------
    ImageError
        If the bytes are empty, truncated, no image, an animation or more than `MAX_PIXELS` pixels.
    """
    if not data:
        raise ImageError("a photograph", "an empty file", "Copy it again from its source.", name)
    try:
        # Pillow warns of odd EXIF entries; pixels are all that matters here.
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(data)) as image:
            return _decode(image, name)
    except UnidentifiedImageError as error:
        kind = kind_of(data)
        raise ImageError("a photograph", kind, remedy_for(kind), name) from error
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        # On damaged bytes Pillow's readers raise almost anything: OSError, SyntaxError, struct.error, TypeError...
        raise ImageError("a whole photograph", f"a damaged file ({error})", "Copy it again.", name) from error


def _decode(image: Image.Image, name: str) -> Photograph:
    width, height = image.size
    if image.format not in _STILL_FORMATS:
        known = ", ".join(sorted(_STILL_FORMATS))
        raise ImageError(f"one of {known}", str(image.format), "Save it as JPEG.", name)
    if width * height > MAX_PIXELS:
        size = f"{width} x {height} px"
        raise ImageError(f"at most {MAX_PIXELS / 1e6:.0f} megapixels", size, "Save it smaller; 1024 px suffice.", name)
    if image.format not in _MULTI_PICTURE_FORMATS and getattr(image, "n_frames", 1) > 1:
        frames = f"an animation of {getattr(image, 'n_frames', 0)} frames"
        raise ImageError("a still photograph", frames, "Save the frame that shows the plant.", name)
    turn = _TURNS.get(_orientation(image))
    scale = max(1.0, max(width, height) / WORKING_SIDE_PX)
    # JPEG decodes at 1/2, 1/4 or 1/8 for a fraction of the price; the rest is done below.
    image.draft("RGB", (max(1, int(width / scale)), max(1, int(height / scale))))
    upright = image.transpose(turn) if turn else image
    if upright.mode in _INDEXED:
        upright = _to_rgb(upright)
    upright.thumbnail((WORKING_SIDE_PX, WORKING_SIDE_PX), Image.Resampling.BICUBIC, reducing_gap=2.0)
    full_size = (width, height) if turn in _SIDEWAYS else (height, width)
    return Photograph(np.asarray(_to_rgb(upright), dtype=np.uint8), full_size)


def _orientation(image: Image.Image) -> int:
    """Orientation by EXIF, 1 (upright) where it is absent or damaged: the pixels are what matters."""
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # noqa: BLE001  # damaged EXIF raises almost anything
        return 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # Pillow would clip 16-bit greys at 255 instead of scaling them.
        values = np.asarray(image, dtype=np.float64)
        if values.max() > 65535:
            raise _unknown_range("32-bit integers")
        grey = (values / 257.0).round().astype(np.uint8)
        return Image.fromarray(grey, mode="L").convert("RGB")
    if image.mode == "F":
        raise _unknown_range("floating-point numbers")
    if "transparency" in image.info or image.mode in {"RGBA", "LA", "PA", "RGBa", "La"}:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")


def _unknown_range(kind: str) -> ImageError:
    return ImageError("8 or 16 bits per channel", f"{kind} without a known range", "Save it as JPEG or 16-bit PNG.")


def is_indexed_and_reduced(path: Path) -> bool:
    """Whether a file holds a palette or a black-and-white picture that is reduced; no if it cannot be read."""
    try:
        with (
            open(path, "rb", opener=open_at_once) as file,  # Path.open takes no opener
            warnings.catch_warnings(action="ignore"),
            Image.open(file) as image,
        ):
            return image.mode in _INDEXED and max(image.size) > WORKING_SIDE_PX
    except Exception:  # noqa: BLE001  # damaged bytes raise almost anything, and `decode` says what is wrong with them
        return False


def load_photograph(path: Path) -> Photograph:
    """Read and decode a file; see `decode`."""
    return decode(read_bytes(path), path.name)


def read_bytes(path: Path) -> bytes:
    """Read a photograph's file; one that cannot be read, or is a pipe or a device, is an `ImageError`."""
    try:
        # Path.open takes no opener.
        with open(path, "rb", buffering=0, opener=open_at_once) as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return file.readall()
    except OSError as error:
        gone = isinstance(error, FileNotFoundError)
        remedy = "Correct the path, or restore the file." if gone else "Restore the file."
        raise ImageError("a readable photograph", error.strerror or "an error", remedy, path.name) from error
    raise ImageError("a photograph", "a pipe or device", "Remove or replace it.", path.name)


def stamp(path: str | Path) -> tuple[int, int]:
    """Size and time of a file, -1 where it cannot be seen."""
    try:
        status = os.stat(path)  # noqa: PTH116  # a Path would have to be made of the string first
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns


def resize(image: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    """Resize (h, w, 3) to (side, side, 3), bilinear with anti-aliasing; the aspect ratio is not kept."""
    if image.shape[:2] == (side_px, side_px):
        return image
    resized = Image.fromarray(image).resize((side_px, side_px), Image.Resampling.BILINEAR)
    return np.asarray(resized, dtype=np.uint8)


def load_crop(path: Path, box: Box, side_px: int, recipe: ViewRecipe) -> NDArray[np.uint8]:
    """Cut the region that a feature store knows: the very pixels that its backbones saw.

    Parameters
    ----------
    box
        Top, left, bottom, right in px of the full upright photograph, as the store keeps it.
    recipe
        The store's recipe for the photograph's view; it decides whether the ground of a leaf scan is whitened.

    Returns
    -------
    (side_px, side_px, 3) RGB uint8.
    """
    photograph = load_photograph(path)
    return resize(cut(photograph.pixels, photograph.to_working(box), recipe), side_px)
