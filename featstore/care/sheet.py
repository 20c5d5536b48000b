"""Contact sheets: pictures and captions in a grid that is read without colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from featstore.roi import Box, Trace

PANEL_PX = 224
"""Side of each of a cell's three pictures: what most networks see."""

HEADS = ("photograph and box", "mask", "what a network sees")

LEGEND = "Mask: white is the object, black its ground, hatched was cut off before."
UNCUT_LEGEND = "A network sees the whole photograph, drawn into a square."
_GAP, _MARGIN, _LINE = 8, 24, 20
_N_COLUMNS = 2
_CELL_WIDTH = 3 * PANEL_PX + 2 * _GAP
_CELL_HEIGHT = PANEL_PX + 3 * _LINE + _GAP


@dataclass(frozen=True)
class Cell:
    """One photograph: its three pictures, at most `PANEL_PX` wide and high, and what is said of it."""

    name: str
    remark: str
    kind: Literal["found", "fallback", "lost"]
    pictures: tuple[Image.Image, Image.Image, Image.Image]


@dataclass(frozen=True)
class Sheet:
    """The photographs of one view under a heading."""

    title: str
    subtitle: str
    cells: Sequence[Cell]
    legend: str = LEGEND


def compose(sheet: Sheet) -> Image.Image:
    """Draw a sheet, two photographs to a row."""
    n_columns = min(_N_COLUMNS, len(sheet.cells))
    n_rows = -(-len(sheet.cells) // n_columns)
    top = _MARGIN + 34 + 2 * 24 + 36
    width = 2 * _MARGIN + n_columns * _CELL_WIDTH + (n_columns - 1) * 2 * _MARGIN
    picture = Image.new("RGB", (width, top + n_rows * (_CELL_HEIGHT + _MARGIN)), "white")
    pen = ImageDraw.Draw(picture)
    pen.text((_MARGIN, _MARGIN), fitted(sheet.title, 22, width - 2 * _MARGIN), "black", font(22, bold=True))
    for line, text in enumerate((sheet.subtitle, sheet.legend)):
        pen.text((_MARGIN, _MARGIN + 34 + line * 24), fitted(text, 15, width - 2 * _MARGIN), "black", font(15))
    for column in range(n_columns):
        for panel, head in enumerate(HEADS):
            x = _MARGIN + column * (_CELL_WIDTH + 2 * _MARGIN) + panel * (PANEL_PX + _GAP)
            pen.text((x, top - 24), fitted(head, 12, PANEL_PX), "black", font(12))
    for number, cell in enumerate(sheet.cells):
        row, column = divmod(number, n_columns)
        corner = (_MARGIN + column * (_CELL_WIDTH + 2 * _MARGIN), top + row * (_CELL_HEIGHT + _MARGIN))
        _draw_cell(picture, pen, cell, corner)
    return picture


def _draw_cell(picture: Image.Image, pen: ImageDraw.ImageDraw, cell: Cell, corner: tuple[int, int]) -> None:
    x, y = corner
    for panel, content in enumerate(cell.pictures):
        left = x + panel * (PANEL_PX + _GAP)
        pen.rectangle((left, y, left + PANEL_PX - 1, y + PANEL_PX - 1), fill="#e4e4e4")
        picture.paste(content, (left + (PANEL_PX - content.width) // 2, y + (PANEL_PX - content.height) // 2))
        # Without it the edge of a white picture would not be seen.
        pen.rectangle((left - 1, y - 1, left + PANEL_PX, y + PANEL_PX), outline="#b0b0b0")
    pen.text((x, y + PANEL_PX + 4), fitted_name(cell.name, 14, _CELL_WIDTH), "black", font(14, bold=True))
    lines, ink = wrapped(cell.remark, 14, _CELL_WIDTH - 12), "black"
    band = (x, y + PANEL_PX + _LINE + 4, x + _CELL_WIDTH - 1, y + PANEL_PX + (1 + len(lines)) * _LINE + 5)
    if cell.kind != "found":
        # White on black, within a frame: seen in grey print as well.
        pen.rectangle(band, fill="black")
        pen.rectangle((x - 6, y - 6, x + _CELL_WIDTH + 5, band[3] + 6), outline="black", width=4)
        ink = "white"
    for line, text in enumerate(lines):
        pen.text((x + (6 if ink == "white" else 0), band[1] + 1 + line * _LINE), text, ink, font(14))


def boxed(pixels: NDArray[np.uint8], traced: Trace) -> Image.Image:
    """The photograph, small, with its box in black between white lines; without one where it is kept whole."""
    picture, scale = small(pixels)
    if traced.found.box != (0, 0, *pixels.shape[:2]):
        pen = ImageDraw.Draw(picture)
        top, left, bottom, right = _scaled(traced.found.box, scale)
        for inward, colour in ((0, "white"), (1, "black"), (2, "black"), (3, "white")):
            if right - left > 2 * inward and bottom - top > 2 * inward:
                pen.rectangle((left + inward, top + inward, right - 1 - inward, bottom - 1 - inward), outline=colour)
    return picture


def masked(traced: Trace, shape: tuple[int, ...]) -> Image.Image:
    """The mask of a photograph of this (height, width): object white, ground black, margin hatched."""
    scale = PANEL_PX / max(shape)
    size = (max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale)))
    columns, rows = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    picture = Image.fromarray(np.where((columns + rows) % 8 < 2, 90, 205).astype(np.uint8))
    top, left, bottom, right = _scaled(traced.area, scale)
    if traced.mask is not None:
        mask = Image.fromarray(traced.mask.astype(np.uint8) * 255)
        # A thin part that falls between the pixels of the panel would vanish: the mask is softened, not sampled.
        picture.paste(mask.resize((max(1, right - left), max(1, bottom - top)), Image.Resampling.BOX), (left, top))
    return picture.convert("RGB")


def note(text: str) -> Image.Image:
    """A light panel with a few words in place of a picture."""
    picture = Image.new("RGB", (PANEL_PX, PANEL_PX), "#e4e4e4")
    pen = ImageDraw.Draw(picture)
    for line, words in enumerate(wrapped(text, 14, PANEL_PX - 20)):
        pen.text((10, PANEL_PX // 2 - _LINE + line * _LINE), words, "#404040", font(14))
    return picture


def small(pixels: NDArray[np.uint8]) -> tuple[Image.Image, float]:
    """A photograph at most `PANEL_PX` wide and high, and its scale."""
    scale = PANEL_PX / max(pixels.shape[:2])
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    return Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS), scale


def _scaled(box: Box, scale: float) -> Box:
    top, left, bottom, right = (round(side * scale) for side in box)
    return top, left, bottom, right


@cache
def font(size_px: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """The font of all sheets."""
    import matplotlib as mpl

    # Matplotlib's own font, so that a sheet looks the same everywhere and names in Greek or Cyrillic are legible.
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(mpl.get_data_path()) / "fonts" / "ttf" / name), size_px)


def fitted(text: str, size_px: int, width: int, *, bold: bool = True) -> str:
    """The text, its end cut off where it is too long."""
    letters, kept = font(size_px, bold=bold), text
    while kept and letters.getlength(kept + "...") > width:
        kept = kept[:-1]
    return text if letters.getlength(text) <= width else f"{kept}..."


def fitted_name(name: str, size_px: int, width: int) -> str:
    """The name of a photograph in bold, its beginning cut off where it is too long: folders are alike, files differ."""
    letters, kept = font(size_px, bold=True), name
    while kept and letters.getlength("..." + kept) > width:
        kept = kept[1:]
    return name if letters.getlength(name) <= width else f"...{kept}"


def wrapped(text: str, size_px: int, width: int) -> list[str]:
    """The text in at most two lines."""
    letters, words = font(size_px), text.split()
    first = 0
    while first < len(words) and letters.getlength(" ".join(words[: first + 1])) <= width:
        first += 1
    first = max(1, first)
    lines = [" ".join(words[:first]), " ".join(words[first:])]
    return [fitted(line, size_px, width, bold=False) for line in lines if line]
