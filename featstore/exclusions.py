"""Lists that later stages heed: photographs to leave out (``exclusions/1``), and pairs of copies (``copies/1``)."""

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
COPIES = "copies.csv"
"""Name of the pairs that hold for all runs of a folder."""
_COPIES = ("exact_duplicate", "near_duplicate", "split_leak")


@dataclass(frozen=True)
class Exclusion:
    """One photograph to leave out, and why."""

    image_id: str
    reason: str


def write_exclusions(exclusions: Sequence[Exclusion], path: Path) -> None:
    """Write a CSV with one line per photograph, whole or not at all."""
    _write(path, COLUMNS, [(exclusion.image_id, exclusion.reason) for exclusion in exclusions])


def read_exclusions(path: Path) -> tuple[Exclusion, ...]:
    """Read a list; columns other than image_id and reason are ignored, a missing reason is "".

    Raises
    ------
    DatasetError
        If the file cannot be read or has no column image_id.
    """
    lines = _lines(path, ("image_id",), "Write it by featstore doctor, or add it.")
    found = {line["image_id"]: line.get("reason") or "" for line in lines if line["image_id"]}
    return tuple(Exclusion(image_id, reason) for image_id, reason in found.items())


def read_copies(path: Path) -> tuple[tuple[str, str], ...]:
    """Read pairs of copies: a CSV with image_id and partner, such as the findings of `featstore doctor`.

    Of a file that has the column kind, only findings of copies count; lines without a partner do not.

    Raises
    ------
    DatasetError
        If the file cannot be read or lacks one of the columns.
    """
    lines = _lines(path, ("image_id", "partner"), "Take the findings.csv of featstore doctor, or add the columns.")
    pairs = [(line["image_id"], line["partner"]) for line in lines if line.get("kind", _COPIES[0]) in _COPIES]
    return tuple(dict.fromkeys((one, other) for one, other in pairs if one and other))


def write_copies(pairs: Sequence[tuple[str, str]], path: Path) -> None:
    """Write a CSV with one line per pair, whole or not at all."""
    _write(path, ("image_id", "partner"), pairs)


def copies_in(runs: Path) -> tuple[tuple[str, str], ...]:
    """The pairs that stay together in all runs of a folder, by `COPIES` in it; none if there is no list."""
    path = runs / COPIES
    return read_copies(path) if path.exists() else ()


def excluded_in(runs: Path) -> frozenset[str]:
    """The photographs that are left out of all runs of a folder, by `EXCLUSIONS` in it; none if there is no list."""
    path = runs / EXCLUSIONS
    return frozenset(exclusion.image_id for exclusion in read_exclusions(path)) if path.exists() else frozenset()


def _write(path: Path, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def _lines(path: Path, columns: Sequence[str], remedy: str) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.DictReader(file)
            found = list(lines.fieldnames or ())
            if not set(columns) <= set(found):
                expected = f"a CSV with the column{'s' if len(columns) > 1 else ''} {' and '.join(columns)}"
                raise DatasetError(expected, f"{listed(found)} in {path}", remedy)
            return list(lines)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError("a readable list", f"{path}: {error}", "Correct the path or the file.") from error
