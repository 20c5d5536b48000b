"""Cells: how rows of figures are written; what is unknown is an empty cell and null."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from featstore.provenance import Json, write_text

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def finite(value: float) -> float | None:
    """A number, None for one that is none."""
    return value if math.isfinite(value) else None


def as_json(row: DataclassInstance) -> dict[str, Json]:
    """Every field of a row of text and numbers by name; NaN becomes null."""
    cells = {field.name: getattr(row, field.name) for field in fields(row)}
    return {name: finite(cell) if isinstance(cell, float) else cell for name, cell in cells.items()}


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write comma-separated UTF-8 text with a header, whole or not at all."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, text.getvalue())
