"""What a reader is, and the files that all readers look for."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from featstore.catalog import NUMBER_COLUMNS, VIEWS, Catalog, number_of, view_of
from featstore.errors import DatasetError, counted, listed

PHOTOGRAPH_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".heic", ".heif", ".avif"}
)
"""What photographs are called. Those of phones (HEIC) cannot be opened: each fails with what to do, and is not lost."""


@dataclass(frozen=True)
class Reader:
    """One form of data set.

    Attributes
    ----------
    name
        What `--reader` calls it.
    description
        The form in a few words, for messages and help.
    recognises
        Whether a path has this form; looks at names only.
    read
        Turns the path into a catalogue; raises `DatasetError`.
    read_new
        The same for photographs that are to be identified, whose classes need not be there; None where `read` does.
    """

    name: str
    description: str
    recognises: Callable[[Path], bool]
    read: Callable[[Path], Catalog]
    read_new: Callable[[Path], Catalog] | None = None


def is_photograph(path: str | Path) -> bool:
    """Whether a file's name says that it is a photograph."""
    return os.path.splitext(path)[1].casefold() in PHOTOGRAPH_SUFFIXES  # noqa: PTH122  # a Path costs ten times as much


def walk_folders(root: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield each folder below `root`, itself first, with the names of its files, in a fixed order, and of hidden ones.

    Links to folders are followed, each folder once; hidden folders and feature stores are left out.

    Raises
    ------
    DatasetError
        If a folder cannot be read: its photographs would be missing without a word.
    """
    seen: set[str] = set()
    for folder, subfolders, names in os.walk(root, onerror=_unreadable, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen or "zarr.json" in names:
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        hidden = {name for name in names if name.startswith(".")}
        yield folder, sorted(name for name in names if name not in hidden), sorted(hidden)


def walk(root: Path) -> Iterator[Path]:
    """Yield the files of `walk_folders` that are not hidden."""
    for folder, names, _ in walk_folders(root):
        for name in names:
            yield Path(folder, name)


def _unreadable(error: OSError) -> None:
    got = f"{error.filename}: {error.strerror}"
    raise DatasetError("folders that can be read", got, "Give permission to read it, or move it away.") from error


def hidden_warning(names: list[str]) -> list[str]:
    """Say which of some hidden files are called like photographs: they were passed over."""
    photographs = [name for name in names if is_photograph(name)]
    if not photographs:
        return []
    told = counted(len(photographs), "photograph is hidden by its name", "photographs are hidden by their names")
    return [f"{told}, and passed over: {listed(photographs)}"]


def others_warning(paths: list[Path]) -> list[str]:
    """Say which files were passed over because their names are not those of photographs."""
    if not paths:
        return []
    suffixes = sorted({path.suffix or path.name for path in paths})
    told = counted(len(paths), "file is no photograph by its name", "files are no photographs by their names")
    return [f"{told}, and passed over ({', '.join(suffixes[:8])})"]


def views_warning(given: Iterable[tuple[str, str]]) -> list[str]:
    """Say which views mean none of the known ones, each with how often it occurs; `given` are image_ids and views."""
    unknown: dict[str, list[str]] = {}
    for image_id, view in given:
        if view_of(view) == "Unknown" and view.strip().casefold() != "unknown":
            unknown.setdefault(view.strip(), []).append(image_id)
    if not unknown:
        return []
    told = counted(
        sum(map(len, unknown.values())),
        "photograph is of no known view and is",
        "photographs are of no known view and are",
    )
    cases = [
        f"{repr(view) if view else 'none given'} ({counted(len(ids), 'photograph')}, the first is {ids[0]})"
        for view, ids in sorted(unknown.items(), key=lambda case: -len(case[1]))
    ]
    return [f"{told} kept as Unknown (known are {', '.join(VIEWS[:-1])}): {listed(cases)}"]


def plants_warning(n_alone: int, remedy: str) -> list[str]:
    """Say how many photographs name no plant, what that means, and by which words of `remedy` it is mended."""
    if not n_alone:
        return []
    told = counted(n_alone, "photograph names no plant and counts", "photographs name no plant, and each counts")
    danger = "photographs of one plant may land on both sides of a split, which flatters every score"
    return [f"{told} as a plant of its own: {danger}. Where several show one plant, {remedy}"]


def numbers_warning(given: Iterable[tuple[str, Mapping[str, str]]]) -> list[str]:
    """Say which votes and places are no numbers, and so count as unknown; `given` are image_ids and metadata."""
    wrong: dict[str, list[str]] = {}
    for image_id, texts in given:
        for name in NUMBER_COLUMNS:
            text = texts.get(name, "").strip()
            if text and math.isnan(number_of(text)) and text.casefold() != "nan":
                wrong.setdefault(name, []).append(f"{text!r} of {image_id}")
    return [
        f"{counted(len(cases), f'{name} is no number and is', f'{name}s are no numbers and are')} kept as unknown: "
        f"{listed(cases, 3)}"
        for name, cases in wrong.items()
    ]
