"""Tables of a page: captioned, with scopes, in a frame that scrolls by itself; a script makes them sort and filter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.report.markup import Child, Markup, element

NOTHING = "-"


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes
    ----------
    content
        Text or markup.
    value
        What the column sorts by; None sorts by the text.
    """

    content: Child
    value: float | None = None


@dataclass(frozen=True)
class Column:
    """The head of a column.

    Attributes
    ----------
    title
        Text or markup.
    numeric
        Aligned right; sorts highest first at the first click.
    wide
        Given the room that is left over.
    """

    title: str
    numeric: bool = False
    wide: bool = False


def figure_cell(value: float | None, digits: int = 3) -> Cell:
    """A number; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return Cell(NOTHING, -math.inf)
    return Cell(f"{value:.{digits}f}", value)


def count_cell(value: int) -> Cell:
    """A count."""
    return Cell(f"{value:,}", value)


def speed_cell(images_per_second: float) -> Cell:
    """Images per second; a dash where they are unknown."""
    if not math.isfinite(images_per_second):
        return Cell(NOTHING, -math.inf)
    return Cell(f"{images_per_second:,.{0 if images_per_second >= 100 else 1}f}", images_per_second)


def table(
    caption: str,
    columns: Sequence[Column],
    rows: Sequence[Sequence[Cell]],
    *,
    filtered: str | None = None,
    best: int | None = None,
) -> Markup:
    """Write a table whose first cell of each row names it.

    Parameters
    ----------
    filtered
        What a filter box above it searches for; None for no box.
    best
        Row to set off.
    """
    heads = [
        element("th", column.title, scope="col", class_=_class(column), data_numeric=column.numeric)
        for column in columns
    ]
    body = [
        element(
            "tr",
            *(_cell(cell, column, first=column is columns[0]) for cell, column in zip(row, columns, strict=True)),
            class_="best" if number == best else None,
        )
        for number, row in enumerate(rows)
    ]
    grid = element(
        "table",
        element("caption", element("span", caption)),
        element("thead", element("tr", *heads)),
        element("tbody", *body),
        data_sortable=True,
        data_filter=filtered,
    )
    # A region that scrolls must be reachable by keyboard.
    return element("div", grid, class_="scroll", role="region", aria_label=str(caption), tabindex=0)


def _cell(cell: Cell, column: Column, *, first: bool) -> Markup:
    value = None if cell.value is None else f"{cell.value:.6g}"
    if first:
        return element("th", cell.content, scope="row", class_=_class(column), data_value=value)
    return element("td", cell.content, class_=_class(column), data_value=value)


def _class(column: Column) -> str | None:
    return " ".join(name for name in ("numeric", "wide") if getattr(column, name)) or None
