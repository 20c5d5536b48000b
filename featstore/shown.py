"""Results as a notebook shows them: a table, and pictures below it."""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Shown(Generic[T]):
    """What a function of the Python interface found.

    Attributes
    ----------
    title
        One line that says what it is.
    table
        The figures that matter most, one row per thing.
    details
        Everything, as the rest of the suite knows it.
    pictures
        Files that a notebook shows below the table.
    notes
        What is doubtful and was kept, and where files are.
    """

    title: str
    table: pd.DataFrame
    details: T
    pictures: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Title, table and notes as text."""
        return "\n".join([self.title, self.table.to_string(index=False), *self.notes])

    def _repr_html_(self) -> str:
        """Title, table, notes and pictures as one piece of HTML; pictures travel inside it."""
        table = self.table.to_html(index=False, border=0, na_rep="")
        notes = "".join(f"<p><small>{escape(note)}</small></p>" for note in self.notes)
        return f"<p><b>{escape(self.title)}</b></p>{table}{notes}{''.join(_inline(path) for path in self.pictures)}"


def rounded(rows: Sequence[dict[str, object]], digits: int = 4) -> pd.DataFrame:
    """Make a table of rows by column name; numbers with so many digits."""
    import pandas as pd

    return pd.DataFrame(rows).round(digits)


def _inline(path: Path) -> str:
    """A picture as an element that needs no other file; a word where it is gone."""
    kind = mimetypes.guess_type(path.name)[0] or "image/png"
    try:
        content = base64.b64encode(path.read_bytes()).decode("ascii")
    except OSError:
        return f"<p><small>{escape(path.name)} is not there any more.</small></p>"
    name = escape(path.stem, quote=True)
    return f'<p><img alt="{name}" src="data:{kind};base64,{content}" style="max-width:100%"></p>'
