"""Layouts: how the contests of different years write one prediction per line.

References
----------
.. [1] LifeCLEF 2014 and 2015 plant tasks: ``ObservationId;ClassId;rank;score``, the rank being the key that sorts.
.. [2] PlantCLEF 2020 submission instructions: ``ObservationId;ClassId;Probability;Rank``, the rank for equal ones.
.. [3] PlantCLEF 2022 test data description: ``obsid;classid;probability;rank``, at most 30 lines per observation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType

from featstore.errors import SettingsError
from featstore.readers.reader import is_photograph

AUTO = "auto"
SEPARATOR = ";"
AROUND = " \t\"'"
"""What may not stand around a name: it would match no name of the truth."""


@dataclass(frozen=True)
class Layout:
    """One way to write a run file.

    Parameters
    ----------
    name
        What `--layout` calls it.
    columns
        Four names as the contest writes them: the query, the class, then rank and score in the contest's order.
    by_image
        Whether a query is a photograph, ``<MediaId>.jpg``, instead of an observation.
    may_have_header
        Whether the contest's files may begin with the names of the columns.
    probabilities
        Whether a score has to lie in [0, 1] and decides before the rank does; otherwise any number is a score.
    max_lines
        Lines that the contest allows for one query, None for one per species.
    """

    name: str
    columns: tuple[str, str, str, str]
    by_image: bool = False
    may_have_header: bool = False
    probabilities: bool = False
    max_lines: int | None = None

    @property
    def rank_column(self) -> int:
        """Position of the rank in a line, 2 or 3; the score is the other one."""
        return [name.casefold() for name in self.columns].index("rank")

    @property
    def header(self) -> str:
        """The names of the columns as one line."""
        return SEPARATOR.join(self.columns)


_LAYOUTS = (
    Layout("2014", ("ObservationId", "ClassId", "rank", "score")),
    Layout("2014-image", ("MediaId", "ClassId", "rank", "score"), by_image=True),
    Layout("2020", ("ObservationId", "ClassId", "Probability", "Rank"), probabilities=True),
    Layout(
        "2022",
        ("obsid", "classid", "probability", "rank"),
        may_have_header=True,
        probabilities=True,
        max_lines=30,
    ),
)
LAYOUTS: Mapping[str, Layout] = MappingProxyType({layout.name: layout for layout in _LAYOUTS})


def layout_of(name: str) -> Layout:
    """Find a layout by its name.

    Raises
    ------
    SettingsError
        If there is none of this name.
    """
    if name not in LAYOUTS:
        near = get_close_matches(name, LAYOUTS, n=1)
        remedy = f"Did you mean {near[0]}?" if near else "Pass one of these."
        raise SettingsError(f"a layout out of {', '.join(LAYOUTS)}", f"{name!r}", remedy)
    return LAYOUTS[name]


def is_header(line: str) -> bool:
    """Whether a line holds names of columns, of any layout and in any case."""
    return line.strip().casefold() in {layout.header.casefold() for layout in _LAYOUTS}


def recognise(lines: Sequence[str]) -> Layout:
    """Tell the layout by the first lines of a file.

    A header names it. Otherwise a photograph's name in the first column means 2014-image. Then the column
    that holds whole numbers above 0 is the rank; where both or neither do, it is the third, as in 2014. Without
    a header 2022 reads as 2020, whose columns it shares: name it for its limit of 30 lines.
    """
    if lines and is_header(lines[0]):
        found = [layout for layout in _LAYOUTS if layout.header.casefold() == lines[0].strip().casefold()]
        # 2020 and 2022 are told apart by their first names, and 2014 from both by its order.
        return found[0]
    rows = [fields for line in lines if len(fields := line.strip().split(SEPARATOR)) == 4]
    if rows and all(is_photograph(fields[0]) for fields in rows):
        return LAYOUTS["2014-image"]
    ranks = [all(fields[column].strip().isdecimal() for fields in rows) for column in (2, 3)]
    return LAYOUTS["2020" if ranks == [False, True] else "2014"]
