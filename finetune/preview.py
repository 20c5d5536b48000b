"""Preview: a sheet of augmented photographs, one row per group, that shows whether the settings suit the plants."""

from __future__ import annotations

import itertools
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from featstore.errors import SettingsError, StoreError
from featstore.provenance import replacing
from featstore.store import Store
from featstore.table import open_table
from finetune.augment import draw, draw_one, group_shares
from finetune.crops import Crops, cut_photographs
from finetune.settings import TrainSettings
from finetune.transforms import NAMES, TRANSFORMS, Draws, Strength, apply

_DPI = 100  # one pixel of a photograph is one pixel of the sheet: blur and noise are seen as they are
_LEAST_PANEL_PX = 192  # smaller photographs are drawn in blocks of pixels, so that the words below them fit
_GAP, _MARGIN, _LINE, _HEADING, _TITLE = 10, 24, 17, 40, 64
_N_LINES = 3
_EXPLAINED = (
    "Each row begins with a photograph as it is. Pictures of one group show one transform each; all groups together "
    "give a photograph none or one of each."
)
_SPARE = 3  # photographs that are drawn from the store for each that is shown: some may be unreadable


def _shifted(strength: Strength) -> str:
    x, y = strength[:2]
    return f"shift {abs(x):.0%} {'right' if x > 0 else 'left'}, {abs(y):.0%} {'down' if y > 0 else 'up'}"


_TOLD: Mapping[str, Callable[[Strength], str]] = {
    "flip": lambda _: "flip",
    "rotation": lambda s: f"rotation {s[0]:+.0f}°",
    "zoom": lambda s: f"zoom x{1 + s[0]:.2f}",
    "shift": _shifted,
    "crop": lambda s: f"crop to {s[0]:.0%} of the side",
    "brightness": lambda s: f"brightness {s[0]:+.0%}",
    "contrast": lambda s: f"contrast x{1 + s[0]:.2f}",
    "saturation": lambda s: f"saturation x{1 + s[0]:.2f}",
    "hue": lambda s: f"hue {s[0]:+.1f}°",
    "blur": lambda s: f"blur {s[0]:.1f} px of 224",
    "noise": lambda s: f"noise {s[0]:.1f} grey levels",
}


@dataclass(frozen=True)
class Preview:
    """What was drawn.

    Attributes
    ----------
    path
        The picture.
    photographs
        image_id of the photograph of each row.
    failures
        image_id and reason of photographs that could not be used; others took their places.
    """

    path: Path
    photographs: tuple[str, ...]
    failures: Mapping[str, str]


@dataclass(frozen=True)
class _Row:
    """A heading and pictures (s, s, 3) uint8, each with the lines of its label."""

    heading: str
    pictures: Sequence[tuple[NDArray[np.uint8], list[str]]]


def draw_preview(
    location: str | Path, settings: TrainSettings, out: Path, *, n: int = 8, photos: Path | None = None
) -> Preview:
    """Draw a sheet of photographs of a store as training varies them.

    Each row shows one photograph, first untouched, then `n` times varied by one group; the last row shows `n` draws as
    training makes them. The views take turns from row to row.

    Parameters
    ----------
    location
        Feature store; its photographs are cut by the boxes that it keeps.
    settings
        `augment`, `seed` (another one draws other photographs and strengths, and moves the views on by a row) and
        `side_px`, None for that of the stored features.
    out
        The PNG that is written.
    n
        Varied pictures per row, 1 to 20.
    photos
        Where the photographs are now; None for where the store was built from.

    Raises
    ------
    SettingsError
        If `n` is out of range.
    StoreError
        If there is no store, or it has only features of other programs.
    TrainingError
        If no photograph can be read.
    """
    if not 1 <= n <= 20:
        raise SettingsError("1 to 20 pictures per row", str(n), "Draw another seed to see more.")
    store = Store.open(location)
    name = next((name for name in store.backbones if not store.identity(name).foreign), None)
    if name is None:
        raise StoreError(
            "features that were built from photographs",
            f"those of other programs alone in {store.location}",
            "Build features of a network: featstore build.",
        )
    groups = [group for group, share in group_shares(settings.augment).items() if share > 0]
    papers = _sample(open_table(store, name).papers, (1 + len(groups)) * _SPARE, settings.seed)
    side_px = settings.side_px or store.identity(name).side_px
    # Windows does not remove pixels that are still mapped.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        crops = cut_photographs(papers, photos or store.root, side_px, store.recipe(name), Path(folder) / "pixels")
        rows = list(_rows(crops, settings, groups, n))
    shown = tuple(str(crops.papers["image_id"].iloc[row % len(crops.papers)]) for row in range(len(rows)))
    title = f"How training varies photographs: {store.name}, {side_px} px, seed {settings.seed}"
    _draw(rows, out, title)
    return Preview(out, shown, crops.failures)


def _sample(papers: pd.DataFrame, n: int, seed: int) -> pd.DataFrame:
    """Draw up to `n` photographs without repetition, the views in turn."""
    # Leaf scans come first, where geometry shows what it does to their white borders.
    views = sorted(papers["view"].unique(), key=lambda view: (view != "LeafScan", view))
    views = views[seed % len(views) :] + views[: seed % len(views)]
    rng = np.random.default_rng(seed)
    shuffled = [rng.permutation(np.flatnonzero(papers["view"] == view)).tolist() for view in views]
    in_turn = [row for rank in itertools.zip_longest(*shuffled) for row in rank if row is not None]
    return papers.iloc[in_turn[:n]].reset_index(drop=True)


def _rows(crops: Crops, settings: TrainSettings, groups: Sequence[str], n: int) -> Iterator[_Row]:
    shares = group_shares(settings.augment)
    for number, group in enumerate(groups):
        members = [name for name in NAMES if TRANSFORMS[name].group == group]
        several = ", one of these in each" if len(members) > 1 else ""
        heading = f"{group}: {', '.join(members)}   ({shares[group]:.0%} of the photographs{several})"
        yield _row(heading, crops, number, _of_group(group, n, settings.seed, _ground(crops, number)))
    untouched = 1 - settings.augment.probability
    heading = f"all groups, as training draws them   ({untouched:.0%} of the photographs untouched)"
    ground = np.full(n, _ground(crops, len(groups)))
    yield _row(heading, crops, len(groups), draw(settings.augment, (settings.seed, 1), np.arange(n), ground))


def _ground(crops: Crops, number: int) -> bool:
    """Whether the photograph of a row lies on white ground."""
    return bool(crops.white[number % len(crops.papers)])


def _row(heading: str, crops: Crops, number: int, draws: Draws) -> _Row:
    row = number % len(crops.papers)
    pixels, paper = crops.read(np.array([row]))[0], crops.papers.iloc[row]
    ground = ["on white ground"] if draws.white[0] else []
    pictures = [(pixels, ["UNTOUCHED", f"{paper['view']} {paper['image_id']}", *ground])]
    varied = apply(np.repeat(pixels[None], len(draws.key), axis=0), draws)
    for picture, strength in zip(varied, draws.strength, strict=True):
        told = [_TOLD[name](one) for name, one in zip(NAMES, strength, strict=True) if one.any()]
        pictures.append((picture, told or ["untouched"]))
    return _Row(heading, pictures)


def _of_group(group: str, n: int, seed: int, white: bool) -> Draws:
    """Draw a group `n` times, its transforms in turn; then in order, so that a row reads like a scale."""
    members = [name for name in NAMES if TRANSFORMS[name].group == group]
    # One mirror image is enough.
    again = [name for name in members if any(low < high for low, high in TRANSFORMS[name].ranges)]
    chosen = list(itertools.islice(itertools.chain(members, itertools.cycle(again)), n))
    zero, ground = np.zeros(1, dtype=np.int64), np.array([white])
    draws = [draw_one(name, (seed, number + 1), zero, ground) for number, name in enumerate(chosen)]

    def in_order(number: int) -> tuple[int, float]:
        column = NAMES.index(chosen[number])
        return column, float(draws[number].strength[0, column, 0])

    order = sorted(range(n), key=in_order)
    return Draws(
        np.concatenate([draws[i].strength for i in order]),
        np.concatenate([draws[i].key for i in order]),
        np.full(n, white),
    )


def _draw(rows: Sequence[_Row], path: Path, title: str) -> None:
    side = len(rows[0].pictures[0][0])
    zoom = -(-_LEAST_PANEL_PX // side)
    panel = side * zoom + 2  # a thin frame: without it the edge of a white picture would not be seen
    step = panel + _HEADING + _N_LINES * _LINE
    width = 2 * _MARGIN + len(rows[0].pictures) * (panel + _GAP) - _GAP
    height = _MARGIN + _TITLE + len(rows) * step
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
    FigureCanvasAgg(figure)

    def write(text: str, x: int, y: int, size: float, weight: str = "normal") -> None:
        figure.text(x / width, 1 - y / height, text, fontsize=size, va="top", weight=weight)

    write(title, _MARGIN, _MARGIN, 15, weight="bold")
    write(_EXPLAINED, _MARGIN, _MARGIN + 28, 10)
    for number, row in enumerate(rows):
        top = _MARGIN + _TITLE + number * step
        write(row.heading, _MARGIN, top + 12, 11, weight="bold")
        for column, (pixels, label) in enumerate(row.pictures):
            left = _MARGIN + column * (panel + _GAP)
            framed = np.full((panel, panel, 3), 176, dtype=np.uint8)
            framed[1:-1, 1:-1] = pixels.repeat(zoom, axis=0).repeat(zoom, axis=1)
            figure.figimage(framed, left, height - top - _HEADING - panel, origin="upper")
            write("\n".join(_lines(label, panel // 7)), left, top + _HEADING + panel + 4, 8.5)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=_DPI)


def _lines(label: Sequence[str], width: int) -> list[str]:
    """One line for each part of a label, or all in one text where that is too long."""
    if len(label) <= _N_LINES and all(len(part) <= width for part in label):
        return list(label)
    return textwrap.wrap(", ".join(label), width)[:_N_LINES]
