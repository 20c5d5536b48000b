"""Gallery: the doctor's findings as pictures, a photograph beside its partner, one sheet per kind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from featstore.care.sheet import PANEL_PX, fitted, fitted_name, font, note, small, wrapped
from featstore.errors import ImageError
from featstore.images import load_photograph
from featstore.provenance import replacing

if TYPE_CHECKING:
    import pandas as pd

_MARGIN, _GAP, _LINE, _N_PANELS = 24, 8, 19, 6
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
    lines = list(shown[["image_id", "partner", "detail"]].itertuples(index=False, name=None))
    n_panels = 2 if any(partner for _, partner, _ in lines) else 1
    width = n_panels * PANEL_PX + (n_panels - 1) * _GAP
    n_columns = min(_N_PANELS // n_panels, len(lines))
    cells = [[_panel(paths.get(key)) for key in keys if key] for *keys, _ in lines]
    texts = [wrapped(str(detail), 13, width) for *_, detail in lines]
    starts = range(0, len(cells), n_columns)
    heights = [max(panel.height for cell in cells[start : start + n_columns] for panel in cell) for start in starts]
    below = [(2 + max(map(len, texts[start : start + n_columns]))) * _LINE + 4 for start in starts]
    top = _MARGIN + 44
    size = (max(_MARGIN + n_columns * (width + _MARGIN), 620), top + sum(heights) + sum(below) + len(below) * _MARGIN)
    picture = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(picture)
    pen.text((_MARGIN, _MARGIN), fitted(title, 20, picture.width - 2 * _MARGIN), "black", font(20, bold=True))
    for start, height, space in zip(starts, heights, below, strict=True):
        for column, number in enumerate(range(start, min(len(cells), start + n_columns))):
            x = _MARGIN + column * (width + _MARGIN)
            for place, (panel, key) in enumerate(zip(cells[number], lines[number][:2], strict=False)):
                left = x + place * (PANEL_PX + _GAP)
                picture.paste(panel, (left, top + height - panel.height))
                label = fitted(labels.get(key) or "no class", 13, PANEL_PX, bold=False)
                pen.text((left, top + height + 4), fitted_name(key, 13, PANEL_PX), "black", font(13, bold=True))
                pen.text((left, top + height + 4 + _LINE), label, "black", font(13))
            for line, text in enumerate(texts[number], start=2):
                pen.text((x, top + height + 4 + line * _LINE), text, "black", font(13))
        top += height + space + _MARGIN
    return picture


def _panel(path: Path | None) -> Image.Image:
    if path is None:
        return note("not in the store")
    try:
        return small(load_photograph(path).pixels)[0]
    except ImageError as error:
        return note(error.problem)
