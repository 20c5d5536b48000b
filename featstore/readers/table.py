"""A CSV, TSV or Parquet table with one row per photograph; what separates the cells of a text is seen in its header."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from featstore.catalog import COLUMNS, NOT_THERE, NUMBER_COLUMNS, SPLITS, Catalog, make_catalog, number_of, view_of
from featstore.errors import DatasetError, counted, listed
from featstore.readers.columns import means, renamings, require_columns, spelt
from featstore.readers.reader import (
    Reader,
    is_photograph,
    numbers_warning,
    plants_warning,
    views_warning,
    walk,
)

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".tsv", ".parquet")
REQUIRED = ("path", "class_id")
DEFAULT_NAMES = ("catalog", "metadata", "images")
_NAMED = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}
"""What may separate the cells of a text: programs write semicolons where the decimal sign is a comma."""

_SPLIT_OF = {"val": "valid", "validation": "valid", "training": "train", "testing": "test"}


def read(root: Path) -> Catalog:
    """Read a table; photographs' paths are relative to its folder.

    Needs `path` and `class_id` (which may be empty in test rows); every other catalogue column is optional. Without
    `image_id` the path is the key; without `observation_id` each image is a plant of its own.

    Raises
    ------
    DatasetError
        If the table cannot be read, lacks a column, leaves a path empty or names an unknown split.
    """
    return _read(root)


def read_new(root: Path) -> Catalog:
    """Read a table of photographs that are to be identified: `path` is enough, and without a `split` they are test.

    Raises
    ------
    DatasetError
        As `read`.
    """
    return _read(root, new=True)


def _read(root: Path, *, new: bool = False) -> Catalog:
    """Read a table, of photographs with classes or of new ones."""
    required, split = (REQUIRED[:1], "test") if new else (REQUIRED, "train")
    path = root if root.is_file() else _table_in(root)
    if path is None:
        raise DatasetError("a .csv, .tsv or .parquet table", f"none in {root}", "Name the table itself.")
    frame = _load(path, required)
    require_columns([str(name) for name in frame.columns], required, path)
    records = []
    given = []
    for number, row in zip(frame.index, frame.to_dict(orient="records"), strict=True):
        texts = {str(name): str(value).strip() for name, value in row.items()}
        if not texts["path"]:
            raise DatasetError(f"a path in every row of {path.name}", f"none in line {number}", "Fill it in.")
        records.append(_entry({**texts, "split": texts.get("split") or split}, path, number))
        given.append((str(records[-1]["image_id"]), texts))
    _refuse_twice(given, frame.index, path)
    warnings = _ignored_warning([str(name) for name in frame.columns], path)
    warnings += views_warning((image_id, texts["view"]) for image_id, texts in given if texts.get("view"))
    warnings += numbers_warning(given)
    warnings += _unlisted_warning(root, path, [str(record["path"]) for record in records])
    if not new:
        # New photographs are on no side of a split.
        n_alone = sum(not texts.get("observation_id") for _, texts in given)
        warnings += plants_warning(n_alone, "give them one name in a column observation_id")
    return make_catalog(records, path.parent, path.resolve().stem, warnings)


def _unlisted_warning(root: Path, table: Path, paths: Sequence[str]) -> list[str]:
    """Say which photographs of a folder its table does not list; who names the table itself means what it lists."""
    if root == table:
        return []
    known = {os.path.normpath(table.parent / path) for path in paths}
    others = [path for path in walk(root) if is_photograph(path) and os.path.normpath(path) not in known]
    told = counted(len(others), "photograph is", "photographs are")
    names = listed([path.relative_to(root).as_posix() for path in others])
    return [f"{told} not in {table.name}, and passed over: {names}"] if others else []


def _refuse_twice(given: Sequence[tuple[str, Mapping[str, str]]], lines: Iterable[int], path: Path) -> None:
    """Refuse a table that lists a photograph twice, naming its lines and what they say of it."""
    found: dict[str, list[str]] = {}
    for line, (image_id, texts) in zip(lines, given, strict=True):
        said = [texts["path"]] if texts["path"] != image_id else []
        said += [f"observation {texts['observation_id']}"] if texts.get("observation_id") else []
        found.setdefault(image_id, []).append(f"{line} ({', '.join(said)})" if said else f"{line}")
    twice = [f"{image_id} in the lines {' and '.join(told)}" for image_id, told in found.items() if len(told) > 1]
    if twice:
        by_id = any(texts.get("image_id") for _, texts in given)
        remedy = (
            "Leave one line of each, or give them an image_id of their own." if by_id else "Leave one line of each."
        )
        raise DatasetError(f"every photograph once in {path.name}", listed(twice), f"{remedy} Nothing was written.")


def _load(path: Path, required: Sequence[str]) -> pd.DataFrame:
    """Read the cells; the index is the line of each row, the header's being 1."""
    import pandas as pd

    try:
        if path.suffix.casefold() == ".parquet":
            # Whole numbers that an empty cell has turned into floats become whole again: class 1, not 1.0.
            frame = pd.read_parquet(path).convert_dtypes()
            frame.columns = pd.Index(spelt(list(frame.columns), path))
            frame.index = pd.RangeIndex(2, len(frame) + 2)
            return frame.astype("object").where(frame.notna(), "")
        lines, rows = zip(*_lines(path, required), strict=True)
        return pd.DataFrame.from_records(rows, index=lines)
    except (ValueError, OSError, csv.Error) as error:
        raise DatasetError(f"a readable table in {path}", *_fault_of(error)) from error


def _fault_of(error: ValueError | OSError | csv.Error) -> tuple[str, str]:
    """What is wrong with a table that cannot be read, and what to do."""
    if isinstance(error, UnicodeDecodeError):
        return "letters that are not UTF-8", 'Save it as "CSV UTF-8", as spreadsheets call it, or as Parquet.'
    if isinstance(error, OSError) and error.strerror:
        return error.strerror, "Give permission to read it, or name another."
    if isinstance(error, csv.Error):
        return f"{error}", "Every quote needs its second one; a quote within a cell is written twice."
    return str(error), "Save it again as UTF-8 CSV or Parquet."


def _lines(path: Path, required: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """Line and cells by column name of each row of a CSV or TSV file; one of another length is refused."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        usual = "\t" if path.suffix.casefold() == ".tsv" else ","
        separator = _separator(file.readline(), usual, required)
        file.seek(0)
        reader = csv.reader(file, delimiter=separator, strict=True)
        header = spelt(next(reader, []), path)
        rows = []
        for row in reader:
            # A separator at the end of a line is no column.
            cells = row[:-1] if len(row) == len(header) + 1 and not row[-1] else row
            if cells and len(cells) != len(header):
                raise DatasetError(
                    f"{len(header)} cells in every row of {path.name}",
                    f"{len(cells)} in line {reader.line_num}",
                    f"Put quotes around cells that hold {_NAMED[separator]}, which separates the cells here."
                    if len(cells) > len(header)
                    else f"Add what is missing; an empty cell, too, has {_NAMED[separator]} before the next.",
                )
            rows += [(reader.line_num, dict(zip(header, cells, strict=True)))] if cells else []
    if not rows:
        remedy = f"Write {', '.join(required)} into the first line, and a photograph into each below."
        raise DatasetError(f"rows in {path.name}", "none", remedy)
    return rows


def _separator(header: str, usual: str, required: Sequence[str]) -> str:
    """What separates the columns: by which the header has most that are required, then most at all, the usual first."""

    def found(separator: str) -> tuple[int, int]:
        names = [name.strip().casefold() for name in next(csv.reader([header], delimiter=separator), [])]
        return len(set(required) & set(names)), len(names)

    return max([usual, *_NAMED], key=found)


def _entry(texts: dict[str, str], path: Path, line: int) -> dict[str, object]:
    split = texts["split"].casefold()
    split = _SPLIT_OF.get(split, split)
    if split not in SPLITS:
        raise DatasetError(
            f"a split among {', '.join(SPLITS)}", f"{texts['split']!r} in line {line} of {path.name}", "Correct it."
        )
    image_id = texts.get("image_id") or texts["path"]
    file = path.parent / texts["path"]
    entry: dict[str, object] = {name: texts.get(name, "") for name in COLUMNS if name not in NUMBER_COLUMNS}
    entry |= {name: number_of(texts.get(name, "")) for name in NUMBER_COLUMNS}
    return entry | {
        "image_id": image_id,
        "path": texts["path"],
        "observation_id": texts.get("observation_id") or image_id,
        "view": view_of(texts.get("view", "")),
        "species": texts.get("species") or texts.get("class_id", ""),
        "split": split,
        # The image_id stands before it, which often is the path.
        "problem": "" if file.is_file() else NOT_THERE + ("" if image_id == texts["path"] else f": {texts['path']}"),
    }


def _ignored_warning(columns: list[str], path: Path) -> list[str]:
    """Say which columns are not kept, and which of them would be under another name."""
    if not (ignored := [name for name in columns if name not in COLUMNS]):
        return []
    hints = renamings(columns)
    return [
        f"{path.name}: unknown columns are not kept: {listed(ignored)}"
        + (f"; perhaps rename {listed(hints)}" if hints else "")
    ]


def _table_in(root: Path) -> Path | None:
    tables = sorted(path for path in root.iterdir() if path.suffix.casefold() in SUFFIXES)
    named = [path for path in tables if path.stem.casefold() in DEFAULT_NAMES]
    if len(named) == 1:
        return named[0]
    return tables[0] if len(tables) == 1 else None


def _recognises(root: Path) -> bool:
    """A table that is named, or one in the folder that lists photographs; other tables may lie about."""
    if root.is_file():
        return root.suffix.casefold() in SUFFIXES
    found = _table_in(root)
    if found is None or found.suffix.casefold() == ".parquet":
        return found is not None
    with found.open(encoding="utf-8-sig", errors="replace") as file:
        columns = re.split("[,;|\t]", file.readline().casefold().replace('"', ""))
    return any(name.strip() == "path" or means(name, "path") for name in columns)


READER = Reader("table", "a CSV, TSV or Parquet table with the columns path and class_id", _recognises, read, read_new)
