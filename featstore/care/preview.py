"""Preview: contact sheets that show, view by view, what a recipe makes of a few photographs, and where it gave up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from featstore.care.sheet import LEGEND, PANEL_PX, UNCUT_LEGEND, Cell, Sheet, boxed, compose, masked, note
from featstore.catalog import VIEWS, Catalog
from featstore.errors import ImageError, SettingsError, counted
from featstore.images import load_photograph, resize
from featstore.provenance import replacing
from featstore.roi import Recipe, Trace, ViewRecipe, cut, trace
from featstore.shell import Bar, progress

if TYPE_CHECKING:
    import pandas as pd


_SIGNED = ("Software", "phytobench preview")
"""What a sheet says in its file, so that an old one is told from a picture of the user's."""


@dataclass(frozen=True)
class _Shot:
    """A photograph of the sample: its id, its file and, from the catalogue, why it cannot be used."""

    image_id: str
    path: Path
    problem: str


def draw_sheets(catalog: Catalog, recipe: Recipe, out: Path, *, n_per_view: int, seed: int) -> list[Path]:
    """Draw one contact sheet per view of a catalogue.

    A sheet shows a random sample of the view's photographs: each with its box, what was taken for the object, and the
    square that a network sees; below, in words, why the whole image was kept or the file could not be read.

    Parameters
    ----------
    catalog
        The photographs; they are read where they lie and not changed.
    recipe
        What is shown.
    out
        Folder of the sheets, ``<View>.png``; made if absent, sheets of an earlier preview are replaced or removed.
    n_per_view
        Photographs per sheet at most, 1 to 200.
    seed
        The same seed draws the same photographs, whatever the recipe.

    Returns
    -------
    list of Path
        The sheets, in the order of the views.

    Raises
    ------
    SettingsError
        If `n_per_view` is out of range.
    """
    if not 1 <= n_per_view <= 200:
        raise SettingsError("1 to 200 photographs per view", str(n_per_view), "Draw another seed to see others.")
    samples = {view: sample(catalog, view, n_per_view, seed) for view in VIEWS}
    sheets = []
    with progress(sum(len(shots) for shots in samples.values()), "preview", "photographs") as bar:
        for view, shots in samples.items():
            if shots:
                n_known = int((catalog.frame["view"] == view).sum())
                sheets.append(out / f"{view}.png")
                _write(sheets[-1], _sheet(view, recipe, shots, (n_known, seed), bar))
    _remove_earlier(out, sheets)
    return sheets


def views_told(catalog: Catalog, recipe: Recipe) -> list[tuple[str, int, str]]:
    """Each view of a catalogue with the number of its photographs and what a recipe does with them, in a few words."""
    counts = catalog.frame["view"].value_counts()
    return [(view, int(counts[view]), _method(recipe.of(view))) for view in VIEWS if view in counts]


def uncut_told(catalog: Catalog, recipe: Recipe) -> str:
    """Say how many photographs stay whole because nobody knows their view; "" where that makes no difference."""
    n_found, n_unknown = len(catalog.frame), int((catalog.frame["view"] == "Unknown").sum())
    cuts = any(recipe.of(view).method != "keep" for view in VIEWS)
    if not n_unknown or not cuts or recipe.of("Unknown").method != "keep":
        return ""
    if n_unknown < n_found:
        which = counted(n_unknown, "photograph")
        return f"{which} of {n_found:,} {'is' if n_unknown == 1 else 'are'} of no known view and kept whole."
    return (
        "No view is known of these photographs, so nothing is cut from them: networks see them whole. "
        "A table with a column view tells views, class folders do not."
    )


def sample(catalog: Catalog, view: str, n: int, seed: int) -> list[_Shot]:
    """Draw up to `n` photographs of a view without repetition, in the catalogue's order."""
    rows: pd.DataFrame = catalog.frame[catalog.frame["view"] == view]
    # A stream for each view: more photographs of one do not change the sample of another.
    rng = np.random.default_rng((seed, VIEWS.index(view)))
    chosen = rows.iloc[np.sort(rng.choice(len(rows), size=min(n, len(rows)), replace=False))]
    return [
        _Shot(str(image_id), catalog.root / str(path), str(problem))
        for image_id, path, problem in zip(chosen["image_id"], chosen["path"], chosen["problem"], strict=True)
    ]


def _sheet(view: str, recipe: Recipe, shots: Iterable[_Shot], drawn: tuple[int, int], bar: Bar) -> Sheet:
    treatment, (n_known, seed), cells = recipe.of(view), drawn, []
    for shot in shots:
        cells.append(_cell(shot, treatment))
        bar.update()
    n_lost, n_kept = (sum(cell.kind == kind for cell in cells) for kind in ("lost", "fallback"))
    n_read = len(cells) - n_lost
    uncut = treatment.method == "keep"
    if not n_read:
        share = "none could be read"
    elif uncut:
        share = "No view is known, so nothing is cut" if view == "Unknown" else "Nothing is cut in this view"
    else:
        share = f"{n_kept} of {n_read} ({n_kept / n_read:.0%}) fell back to the whole image"
    lost = f"; {n_lost} could not be read" if n_lost and n_read else ""
    made_by = "" if uncut else f". By {treatment.identity}"
    return Sheet(
        title=f"{view} - recipe {recipe.name}: {_method(treatment)}",
        subtitle=f"{share}{lost}. Shown: {len(cells)} of {n_known:,} (seed {seed}){made_by}.",
        cells=tuple(cells),
        legend=UNCUT_LEGEND if uncut else LEGEND,
    )


def _cell(shot: _Shot, recipe: ViewRecipe) -> Cell:
    if shot.problem:
        return _lost(shot, shot.problem)
    try:
        pixels = load_photograph(shot.path).pixels
    except ImageError as error:
        return _lost(shot, error.problem)
    traced = trace(pixels, recipe)
    result = resize(cut(pixels, traced.found.box, recipe), PANEL_PX)
    without = note("nothing is cut" if recipe.method == "keep" else "no object was found")
    mask = without if traced.mask is None else masked(traced, pixels.shape[:2])
    return Cell(
        name=shot.image_id,
        remark=_remark(traced, recipe),
        kind="fallback" if traced.found.reason else "found",
        pictures=(boxed(pixels, traced), mask, Image.fromarray(result)),
    )


def _lost(shot: _Shot, why: str) -> Cell:
    return Cell(shot.image_id, f"NOT READ: {why}", "lost", (note("not read"), note(""), note("")))


def _method(recipe: ViewRecipe) -> str:
    """What the recipe does with the view, in a few words."""
    if recipe.method == "contour":
        return f"box around the contour on {recipe.channel.replace('_star', '*')}"
    return {"keep": "kept whole", "whiten": "ground painted white"}[recipe.method]


def _remark(traced: Trace, recipe: ViewRecipe) -> str:
    """What happened, in a few words."""
    if traced.found.reason:
        return f"WHOLE IMAGE: {traced.found.reason}"
    if recipe.method == "keep" or traced.mask is None:
        return "kept whole, as the recipe says"
    if recipe.method == "whiten":
        return f"whole image, {1 - traced.mask.mean():.0%} of it ground and painted white"
    top, left, bottom, right = traced.found.box
    return f"box of {bottom - top} x {right - left} px (height x width)"


def _write(path: Path, sheet: Sheet) -> None:
    picture, signed = compose(sheet), PngInfo()
    signed.add_text(*_SIGNED)
    with replacing(path) as temporary:
        picture.save(temporary, pnginfo=signed)


def _remove_earlier(out: Path, sheets: Sequence[Path]) -> None:
    """Remove the sheets of views that an earlier preview drew and this one did not."""
    for path in [out / f"{view}.png" for view in VIEWS]:
        if path not in sheets and _is_ours(path):
            path.unlink()


def _is_ours(path: Path) -> bool:
    try:
        with Image.open(path) as picture:
            return picture.info.get(_SIGNED[0]) == _SIGNED[1]
    except OSError:
        return False
