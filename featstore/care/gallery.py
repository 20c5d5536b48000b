"""Gallery: the doctor's findings as pictures, a photograph beside its partner, one sheet per kind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from featstore.care.sheet import PANEL_PX, fitted, font, note, small, wrapped
from featstore.errors import ImageError
from featstore.images import load_photograph
from featstore.provenance import replacing

if TYPE_CHECKING:
    import pandas as pd

_MARGIN, _GAP, _LINE, _N_COLUMNS = 24, 8, 19, 3
_CELL = (2 * PANEL_PX + _GAP, PANEL_PX + 4 * _LINE + 12)
_TITLES = {
    "exact_duplicate": "Equal files",
    "near_duplicate": "Copies that were saved anew, or nearly the same picture",
    "split_leak": "Copies on both sides of the split",
    "label_disagreement": "Labels that the nearest photographs contradict (right: the nearest of the other class)",
    "outlier": "Photographs unlike all others of their view",
}


def draw_findings(
    findings: pd.DataFrame, paths: Mapping[str, Path], labels: Mapping[str, str], out: Path, n_each: int
) -> list[Path]:
    """Draw the surest findings of each kind.

    Parameters
    ----------
    findings
        As `featstore.care.doctor.examine` gives them.
    paths, labels
        File and class of each photograph by image_id.
    n_each
        Findings per sheet at most.

    Returns
    -------
    The sheets, ``<kind>.png``.
    """
    sheets = []
    for kind, title in _TITLES.items():
        of_kind = findings[findings["kind"] == kind]
        if of_kind.empty:
            continue
        shown = of_kind.head(n_each)
        path = out / f"{kind}.png"
        picture = _sheet(f"{title}: {len(shown)} of {len(of_kind)}", shown, paths, labels)
        with replacing(path) as temporary:
            picture.save(temporary)
        sheets.append(path)
    return sheets


def _sheet(title: str, shown: pd.DataFrame, paths: Mapping[str, Path], labels: Mapping[str, str]) -> Image.Image:
    n_columns = min(_N_COLUMNS, len(shown))
    n_rows = -(-len(shown) // n_columns)
    top = _MARGIN + 44
    size = (_MARGIN + n_columns * (_CELL[0] + _MARGIN), top + n_rows * (_CELL[1] + _MARGIN))
    picture = Image.new("RGB", (max(size[0], 620), size[1]), "white")
    pen = ImageDraw.Draw(picture)
    pen.text((_MARGIN, _MARGIN), fitted(title, 20, picture.width - 2 * _MARGIN), "black", font(20, bold=True))
    lines = shown[["image_id", "partner", "detail"]].itertuples(index=False, name=None)
    for number, (image_id, partner, detail) in enumerate(lines):
        row, column = divmod(number, n_columns)
        x, y = _MARGIN + column * (_CELL[0] + _MARGIN), top + row * (_CELL[1] + _MARGIN)
        for place, key in enumerate((image_id, partner)):
            if not key:
                continue
            panel = _panel(paths.get(key))
            left = x + place * (PANEL_PX + _GAP)
            picture.paste(panel, (left + (PANEL_PX - panel.width) // 2, y + (PANEL_PX - panel.height) // 2))
            told = f"{key}  ({labels.get(key) or 'no class'})"
            pen.text((left, y + PANEL_PX + 4), fitted(told, 13, PANEL_PX), "black", font(13, bold=True))
        for line, text in enumerate(wrapped(str(detail), 13, _CELL[0])):
            pen.text((x, y + PANEL_PX + 4 + (line + 1) * _LINE), text, "black", font(13))
    return picture


def _panel(path: Path | None) -> Image.Image:
    if path is None:
        return note("not in the store")
    try:
        return small(load_photograph(path).pixels)[0]
    except ImageError as error:
        return note(error.got)
