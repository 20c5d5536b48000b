"""The papers of every photograph: one row per image, checked once, whatever form they came in."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from featstore.errors import DatasetError, counted, listed

if TYPE_CHECKING:
    import pandas as pd

VIEWS = ("Branch", "Entire", "Flower", "Fruit", "Leaf", "LeafScan", "Stem", "Unknown")
"""The seven views (`Content`) of LifeCLEF 2014, and the one for photographs without."""

SPLITS = ("train", "valid", "test")

TEXT_COLUMNS = (
    "image_id", "path", "view", "observation_id", "author", "class_id", "species", "genus", "family", "date", "split",
    "problem",
)  # fmt: skip
NUMBER_COLUMNS = ("vote", "latitude", "longitude")
COLUMNS = (*TEXT_COLUMNS, *NUMBER_COLUMNS)

NOT_THERE = "no photograph there"
"""Problem of a photograph whose file is not where the papers say."""

_FURTHEST = {"latitude": 90, "longitude": 180}
_DATE = re.compile(
    r"(?:(?P<year>\d{4})([-/.:])(?P<month>\d{1,2})(?:\2(?P<day>\d{1,2}))?"
    r"|(?P<day_first>\d{1,2})\.\s?(?P<month_second>\d{1,2})\.\s?(?P<year_last>\d{4}))(?:[T ]\d{1,2}:.*)?"
)

_EITHER_ORDER = re.compile(r"(\d{1,2})([-/])(\d{1,2})\2(\d{4})(?:[T ]\d{1,2}:.*)?")
"""Dates in which day or month may come first."""

_VIEW_OF = {view.casefold(): view for view in VIEWS} | {"leaf scan": "LeafScan", "bark": "Stem", "habit": "Entire"}


@dataclass(frozen=True)
class Catalog:
    """A data set's papers.

    Attributes
    ----------
    frame
        One row per photograph found, with `COLUMNS`. `path` is relative to `root`; text is "" and numbers are
        NaN where unknown; `problem` says why a photograph cannot be used, "" when it can.
    root
        The folder that `path` starts from.
    name
        What the data set is called in results.
    warnings
        What is doubtful but was kept, one sentence each that names every case.

    Raises
    ------
    DatasetError
        If two photographs share an image_id or one observation has two classes.
    """

    frame: pd.DataFrame
    root: Path
    name: str
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.frame.empty:
            raise DatasetError("photographs", f"none in {self.root}", "Name the folder or table that lists them.")
        _refuse_shared_ids(self.frame)
        _refuse_two_classes(self.frame)

    @property
    def lost(self) -> list[tuple[str, str]]:
        """image_id and reason of every photograph that cannot be used; one that is not there has its full path.

        `problem` has it from `root` on: wherever the parts of a build run, their papers are alike.
        """
        found = self.frame.loc[self.frame["problem"] != "", ["image_id", "path", "problem"]]
        return [
            (image_id, f"no photograph at {(self.root / path).absolute()}" if why.startswith(NOT_THERE) else why)
            for image_id, path, why in found.itertuples(index=False)
        ]


def make_catalog(
    records: Sequence[Mapping[str, object]], root: Path, name: str, warnings: Iterable[str] = ()
) -> Catalog:
    """Build a catalogue from one mapping per photograph; absent columns are unknown.

    Adds warnings for observations with two authors or days, training images without a class or a data set without any,
    classes that appear in test alone, dates that tell no month and places that are none; these are kept as unknown.
    """
    import pandas as pd

    frame = pd.DataFrame.from_records([_as_unicode(record) for record in records], columns=list(COLUMNS))
    for column in TEXT_COLUMNS:
        frame[column] = frame[column].astype("object").fillna("").astype("str")
    for column in NUMBER_COLUMNS:
        frame[column] = pd.to_numeric(frame[column], errors="coerce").astype("float64")
    frame["split"] = frame["split"].replace("", "train")
    warnings = [*warnings, *_without_places_out_of_range(frame), *_unread_dates(frame)]
    found = [*warnings, *_two_values(frame, "author", "authors"), *_two_values(frame, "date", "days")]
    return Catalog(frame, root, name, (*found, *_class_warnings(frame)))


def _as_unicode(record: Mapping[str, object]) -> Mapping[str, object]:
    """A record whose text can be written; a name in another encoding is escaped and cannot be used."""
    try:
        "".join(text for text in record.values() if isinstance(text, str)).encode()
    except UnicodeEncodeError:
        escaped = {
            name: text.encode("utf-8", "backslashreplace").decode() if isinstance(text, str) else text
            for name, text in record.items()
        }
        return {**escaped, "problem": "its name is not UTF-8; rename it"}
    return record


def view_of(text: str) -> str:
    """Name of the view that a metadata entry means, ``"Unknown"`` if it means none.

    >>> view_of("leafscan"), view_of("bark"), view_of("")
    ('LeafScan', 'Stem', 'Unknown')
    """
    return _VIEW_OF.get(text.strip().casefold(), "Unknown")


def number_of(text: str) -> float:
    """Number that a metadata entry holds (decimal comma allowed), NaN if it holds none; infinity is none.

    >>> number_of("3,67"), number_of("-inf")
    (3.67, nan)
    """
    try:
        number = float(text.strip().replace(",", "."))
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan


def month_of(text: str) -> int:
    """Month that a date tells, 1 to 12, and 0 if it tells none or is on no calendar; a time may follow.

    >>> month_of("2014-6-21"), month_of("2014-06"), month_of("2014:06:21 10:30:00"), month_of("21.06.2014")
    (6, 6, 6, 6)
    >>> month_of("31.02.2014"), month_of("6/7/2014"), month_of("")
    (0, 0, 0)
    """
    found = _DATE.fullmatch(text.strip())
    if found is None:
        return 0
    year, month = found["year"] or found["year_last"], int(found["month"] or found["month_second"])
    try:
        # Some write day 0 where only the month is known.
        return date(int(year), month, int(found["day"] or found["day_first"] or 0) or 1).month
    except ValueError:
        return 0


def months_of(texts: Iterable[str]) -> dict[str, int]:
    """Month that each date of a column tells, as `month_of`; where day or month may come first, the others decide.

    They do where some have a day beyond 12 in the one place, and none has one in the other.

    >>> months_of(["6/7/2014", "21/6/2014"]), months_of(["6/7/2014", "6/21/2014"]), months_of(["6/7/2014"])
    ({'6/7/2014': 7, '21/6/2014': 6}, {'6/7/2014': 6, '6/21/2014': 6}, {'6/7/2014': 0})
    """
    months = {text: month_of(text) for text in dict.fromkeys(texts)}
    either = {text: pair for text in months if any(pair := _in_both_orders(text))}
    day_first = {bool(pair[0]) for pair in either.values() if not all(pair)}
    if len(day_first) == 1:
        place = 0 if day_first.pop() else 1
        months |= {text: pair[place] for text, pair in either.items()}
    return months


def _in_both_orders(text: str) -> tuple[int, int]:
    """Month that a date would tell with the day first, and with the month first; 0 for no such date."""
    found = _EITHER_ORDER.fullmatch(text.strip())
    if found is None:
        return 0, 0
    first, _, second, year = found.groups()
    return month_of(f"{year}-{second}-{first}"), month_of(f"{year}-{first}-{second}")


def _without_places_out_of_range(frame: pd.DataFrame) -> list[str]:
    """Make places that are none on earth unknown, and say so."""
    told = []
    for name, furthest in _FURTHEST.items():
        beyond = frame[name].abs() > furthest
        cases = [f"{value:g} of {key}" for key, value in frame.loc[beyond, ["image_id", name]].to_numpy()]
        frame.loc[beyond, name] = float("nan")
        if cases:
            which = counted(len(cases), f"{name} is", f"{name}s are")
            told.append(f"{which} not from -{furthest} to {furthest} and kept as unknown: {listed(cases, 3)}")
    return told


def _unread_dates(frame: pd.DataFrame) -> list[str]:
    unread = {text for text, month in months_of(frame["date"]).items() if text and not month}
    rows = frame.loc[frame["date"].isin(unread), ["image_id", "date"]].to_numpy()
    if not len(rows):
        return []
    which = counted(len(rows), "date cannot be read and tells", "dates cannot be read and tell")
    cases = listed([f"{text!r} of {key}" for key, text in rows], 3)
    told = f"{which} no month (readable are 2014-06-21, 2014-06 and 21.06.2014): {cases}"
    n_either = sum(all(_in_both_orders(text)) for _, text in rows)
    end = f"; {n_either} may have day or month first, and the other dates do not decide" if n_either else ""
    return [told + end]


def _refuse_shared_ids(frame: pd.DataFrame) -> None:
    shared = frame[frame["image_id"].duplicated(keep=False)]
    if shared.empty:
        return
    pairs = [f"{key}: {' and '.join(rows['path'])}" for key, rows in shared.groupby("image_id", sort=False)]
    raise DatasetError(
        "a different image_id for every photograph",
        f"{counted(len(pairs), 'shared one')} ({listed(pairs)})",
        "Rename them or take one of each out; nothing was written.",
    )


def _refuse_two_classes(frame: pd.DataFrame) -> None:
    known = frame[(frame["class_id"] != "") & (frame["observation_id"] != "")]
    torn = known[known.groupby("observation_id")["class_id"].transform("nunique") > 1]
    if torn.empty:
        return
    cases = [
        f"{observation}: "
        + ", ".join(f"{name} ({listed(list(ids), 3)})" for name, ids in found.groupby("class_id")["image_id"])
        for observation, found in torn.groupby("observation_id", sort=False)
    ]
    raise DatasetError(
        "one class per observation (an observation is one plant)",
        f"{len(cases)} with several ({listed(cases)})",
        "Correct class_id or observation_id of the images in brackets; nothing was written.",
    )


def _two_values(frame: pd.DataFrame, column: str, plural: str) -> list[str]:
    known = frame[(frame[column] != "") & (frame["observation_id"] != "")]
    values = known.groupby("observation_id", sort=False)[column].nunique()
    several = [str(observation) for observation in values.index[values > 1]]
    told = counted(
        len(several), f"observation has several {plural} and was", f"observations have several {plural} and were"
    )
    return [f"{told} kept: {', '.join(several)}"] if several else []


def _class_warnings(frame: pd.DataFrame) -> list[str]:
    train, test = frame[frame["split"] != "test"], frame[frame["split"] == "test"]
    nameless = train.loc[(train["class_id"] == "") & (train["problem"] == ""), "image_id"]
    untrained = sorted(set(test["class_id"]) - set(train["class_id"]) - {""})
    warnings = []
    if len(nameless) and not frame["class_id"].any():
        warnings.append("no photograph has a class: a model can answer for them, and none can learn from them")
    elif len(nameless):
        told = counted(len(nameless), "training image has no class", "training images have no class")
        warnings.append(f"{told} and cannot train: {', '.join(nameless)}")
    if untrained and len(train):
        told = counted(len(untrained), "test class has no training images", "test classes have no training images")
        warnings.append(f"{told} and cannot be found: {listed(untrained)}")
    return warnings
