"""Exclusion lists: photographs that later stages leave out, and why (schema ``exclusions/1``)."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from featstore.errors import DatasetError, listed
from featstore.provenance import write_text

COLUMNS = ("image_id", "reason")
EXCLUSIONS = "exclusions.csv"
"""Name of the list that holds for all runs of a folder."""


@dataclass(frozen=True)
class Exclusion:
    """One photograph to leave out, and why."""

    image_id: str
    reason: str


def write_exclusions(exclusions: Sequence[Exclusion], path: Path) -> None:
    """Write a CSV with one line per photograph, whole or not at all."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows((exclusion.image_id, exclusion.reason) for exclusion in exclusions)
    write_text(path, text.getvalue())


def read_exclusions(path: Path) -> tuple[Exclusion, ...]:
    """Read a list; columns other than image_id and reason are ignored, a missing reason is "".

    Raises
    ------
    DatasetError
        If the file cannot be read or has no column image_id.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.DictReader(file)
            if "image_id" not in (lines.fieldnames or ()):
                got = f"{listed(list(lines.fieldnames or ()))} in {path}"
                raise DatasetError("a CSV with the column image_id", got, "Write it by featstore doctor, or add it.")
            found = {line["image_id"]: line.get("reason") or "" for line in lines if line["image_id"]}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError("a readable exclusion list", f"{path}: {error}", "Correct the path or the file.") from error
    return tuple(Exclusion(image_id, reason) for image_id, reason in found.items())


def excluded_in(runs: Path) -> frozenset[str]:
    """The photographs that are left out of all runs of a folder, by `EXCLUSIONS` in it; none if there is no list."""
    path = runs / EXCLUSIONS
    return frozenset(exclusion.image_id for exclusion in read_exclusions(path)) if path.exists() else frozenset()
