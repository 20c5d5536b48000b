"""Columns of a table: the names that the catalogue has for them, and those that others write instead."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Sequence
from pathlib import Path

from featstore.catalog import COLUMNS
from featstore.errors import DatasetError

OTHER_NAMES = {
    "path": {"file", "filename", "filepath", "image", "imagepath", "imagefile", "photo", "photograph", "picture"},
    "class_id": {
        "class", "label", "target", "category", "taxon", "taxonname",
        "name", "species", "speciesname", "scientificname",
    },
    "observation_id": {"observation", "plant", "specimen", "individual", "object", "item", "occurrence", "sample"},
    "author": {"photographer", "observer", "user", "username", "creator", "recordedby"},
    "view": {"side", "aspect", "organ", "plantpart"},
    "vote": {"rating", "votes", "quality"},
    "date": {"day", "eventdate", "datetime", "observedon"},
    "latitude": {"lat", "decimallatitude"},
    "longitude": {"lon", "lng", "long", "decimallongitude"},
    "split": {"set", "subset", "partition"},
}  # fmt: skip
"""Column of the catalogue -> what others call it, in small letters alone and without an `id` at the end."""

_ADD = "Add them (docs/datasets.md), or choose another --reader."


def spelt(header: Sequence[str], path: Path) -> list[str]:
    """Names of columns as the catalogue spells those that it knows, whatever their case; each may stand there once."""
    given = [str(name).strip() for name in header]
    names = [name.casefold() if name.casefold() in COLUMNS else name for name in given]
    twice = next((name for name in names if name in COLUMNS and names.count(name) > 1), None)
    if twice is not None:
        both = " and ".join(repr(one) for one, name in zip(given, names, strict=True) if name == twice)
        remedy = f"Only one can be {twice}: rename or remove the others."
        raise DatasetError(f"each column once in {path.name}", both, remedy)
    return names


def means(name: str, column: str) -> bool:
    """Whether a name is one that others write for a column of the catalogue.

    >>> means("Specimen ID", "observation_id"), means("side", "class_id")
    (True, False)
    """
    return _bare(name) in OTHER_NAMES.get(column, ())


def require_columns(columns: Sequence[str], required: Sequence[str], path: Path) -> None:
    """Refuse a table without a column that it needs, saying which others probably hold it, and the rest by the way."""
    missing = [name for name in required if name not in columns]
    if not missing:
        return
    needed = renamings(columns, missing)
    helpful = [hint for hint in renamings(columns) if hint not in needed]
    advice = [f"Perhaps rename {_joined(needed)}."] if needed else [_ADD]
    if "class_id" in missing:
        advice += ["For photographs that nobody has named yet, add class_id as an empty column."]
    if helpful:
        advice += [f"Perhaps also rename {_joined(helpful)}, which {'is' if len(helpful) == 1 else 'are'} optional."]
    raise DatasetError(
        f"the columns {', '.join(required)} in {path.name}",
        f"{', '.join(columns)} (missing: {', '.join(missing)})",
        " ".join(advice),
    )


def renamings(columns: Sequence[str], wanted: Collection[str] = COLUMNS) -> list[str]:
    """Say what to rename so that a table has those `wanted` columns that it lacks, where others seem to hold them.

    >>> renamings(["path", "class_id", "Specimen", "side"])
    ["'side' to 'view'", "'Specimen' to 'observation_id'"]
    """
    probable = {name: _probable(name, columns) for name in COLUMNS if name in wanted and name not in columns}
    return [f"{' or '.join(map(repr, found))} to {name!r}" for name, found in probable.items() if found]


def _probable(name: str, columns: Sequence[str]) -> list[str]:
    """The columns that may hold what `name` should: those that mean it, or the one that is spelt nearly like it."""
    if found := [column for column in columns if means(column, name)]:
        return found
    # A name that means another column ("side") is no misspelling of this one ("class_id").
    free = [
        column for column in columns if column not in COLUMNS and not any(means(column, other) for other in COLUMNS)
    ]
    return difflib.get_close_matches(name, free, n=1, cutoff=0.8)


def _bare(name: str) -> str:
    """A name in small letters, without what stands between its words and without "id" at its end."""
    return re.sub(r"[^a-z]", "", name.casefold()).removesuffix("id")


def _joined(hints: list[str]) -> str:
    return " and ".join(", ".join(hints).rsplit(", ", 1))
