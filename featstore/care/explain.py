"""Explanation: the story of one photograph in a store, from its file to each of its feature rows."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, cast

from featstore.build.plan import stamp
from featstore.errors import StoreError, listed
from featstore.provenance import Json, sha256_of_file
from featstore.store import Store
from featstore.store.identity import Identity, differences
from featstore.store.records import Fact, Record

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class RowStory:
    """One name of features of one photograph.

    Attributes
    ----------
    counts
        Whether the row counts.
    why_not
        Why it does not; "" if it does.
    identity
        What made the row; None if it was never computed.
    region
        Box (top, left, bottom, right) in px of the full upright photograph.
    region_reason
        Why the whole image was kept.
    """

    name: str
    counts: bool
    why_not: str
    identity: Identity | None
    region: tuple[int, int, int, int] | None
    region_reason: str


@dataclass(frozen=True)
class Story:
    """All that a store knows of one photograph.

    Attributes
    ----------
    papers
        Its line in the catalogue.
    place, unit
        Its row in its view, and the unit that holds it; -1 where it has none.
    status, reason, sha256
        What decoding found.
    file
        What its file looks like now, compared with then.
    """

    image_id: str
    view: str
    papers: Mapping[str, Json]
    path: str
    place: int
    unit: int
    status: str
    reason: str
    sha256: str
    file: str
    rows: tuple[RowStory, ...]

    def to_json(self) -> dict[str, Json]:
        """As one document."""
        return cast("dict[str, Json]", {"schema": "story/1"} | asdict(self))


def explain(store: Store, image: str) -> Story:
    """Tell the story of a photograph.

    Parameters
    ----------
    image
        Its image_id, its file's name, or the path to it: from where one stands, or from the data set's folder.

    Raises
    ------
    StoreError
        If the store has no such photograph, or several of that name.
    """
    catalog = store.catalog
    found = catalog[_named(store, catalog, image)]
    if len(found) != 1:
        raise _none_or_several(store, catalog, found, image)
    papers = _papers(found)
    image_id = str(papers["image_id"])
    view, path = str(papers["view"]), store.root / str(papers["path"])
    place = store.index.get(view, {}).get(image_id, -1)
    unit, within = divmod(place, store.rows.grid.unit_rows) if place >= 0 else (-1, -1)
    record = store.records.read(view, unit) if unit >= 0 else None
    fact = record.facts[within] if record and within < len(record.facts) else None
    problem = str(papers["problem"])
    return Story(
        image_id=image_id,
        view=view,
        papers=papers,
        path=str(path),
        place=place,
        unit=unit,
        status="failed" if problem else fact.status if fact else "pending",
        reason=problem or (fact.reason if fact else ""),
        sha256=fact.sha256 if fact else "",
        file=_file(fact, path),
        rows=tuple(_row(store, name, view, within, fact, record) for name in store.backbones),
    )


def _named(store: Store, catalog: pd.DataFrame, image: str) -> pd.Series[bool]:
    """Which photographs a word means: that of the image_id, else of the path, else those whose paths end with it.

    Capitals matter where that decides.
    """
    ids, paths = catalog["image_id"], catalog["path"]
    # Links in the word's own path are followed, as the root's are; a table may list paths that leave its folder.
    root, here = store.root.resolve(), str(Path(image).resolve())
    end = f"/{PurePath(image).as_posix()}"
    # The later ways look at every path, and most words need none of them.
    ways: tuple[Callable[[], pd.Series[bool]], ...] = (
        lambda: ids == image,
        lambda: paths == end[1:],
        lambda: paths.map(lambda path: os.path.normpath(root / path) == here),
        lambda: paths.map(lambda path: f"/{path}".endswith(end)),
        # Cameras write .JPG, programs that list their files .jpg.
        lambda: paths.map(lambda path: f"/{path}".casefold().endswith(end.casefold())),
    )
    return next((found for way in ways if (found := way()).any()), ids == image)


def _none_or_several(store: Store, catalog: pd.DataFrame, found: pd.DataFrame, image: str) -> StoreError:
    if len(found):
        got = f"{image!r}, which {len(found)} have: {listed(list(found['image_id']))}"
        return StoreError(f"one photograph of {store.location}", got, "Name one of these.")
    same_name = catalog["path"].map(lambda path: PurePath(path).name) == PurePath(image).name
    near = list(catalog.loc[same_name, "image_id"]) or get_close_matches(image, list(catalog["image_id"]), n=3)
    remedy = f"Did you mean {listed(near)}?" if near else f"`featstore export {store.location} all.parquet` lists all."
    return StoreError(f"an image_id, file name or path of a photograph in {store.location}", repr(image), remedy)


def _papers(found: pd.DataFrame) -> dict[str, Json]:
    line = found.iloc[0].to_dict()
    return {str(key): value if isinstance(value, str) else _number(float(value)) for key, value in line.items()}


def _number(value: float) -> float | None:
    return None if value != value else value  # noqa: PLR0124  # NaN is the one number that differs from itself


def _file(fact: Fact | None, path: Path) -> str:
    now = stamp(path)
    if now == (-1, -1):
        return "not there"
    if fact is None:
        return "never decoded"
    try:
        # A build goes by size and time; of one photograph the bytes are soon read.
        same = sha256_of_file(path) == fact.sha256
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if same:
        touched = (fact.file_bytes, fact.file_mtime_ns) != now
        return "as it was decoded, but for its time" if touched else "as it was decoded"
    sizes = f"{fact.file_bytes} bytes then, {now[0]} now"
    if (fact.file_bytes, fact.file_mtime_ns) == now:
        sizes = f"the same {now[0]} bytes and time, but another sha256; featstore build sees it with --content"
    return f"changed since it was decoded: {sizes}"


def _row(store: Store, name: str, view: str, within: int, fact: Fact | None, record: Record | None) -> RowStory:
    column = store.column(name)
    recipe = column.recipe.of(view).identity
    region = fact.boxes.get(recipe) if fact else None
    rows = record.features.get(name) if record else None
    number = rows.identity[within] if rows and 0 <= within < len(rows.identity) else -1
    made_by = store.identities[number] if number >= 0 else None
    sha256 = rows.sha256[within] if rows and number >= 0 else ""
    why_not = _why_not(store, name, view, fact, made_by, sha256)
    if not why_not and number not in column.accepted.get(view, ()):
        why_not = "made by other software than the store's rows now are"
    return RowStory(name, not why_not, why_not, made_by, region[0] if region else None, region[1] if region else "")


def _why_not(store: Store, name: str, view: str, fact: Fact | None, made_by: Identity | None, sha256: str) -> str:
    if fact is None:
        return "the photograph was never decoded"
    if fact.status != "done":
        return "the photograph cannot be used"
    if made_by is None:
        return "never computed"
    if sha256 != fact.sha256:
        return "made of another file than the photograph is now"
    if view not in store.column(name).current:
        return "no features of this view were asked for yet"
    now = store.identity(name, view)
    differing = differences(made_by.essence(), now.essence())
    return f"made with another {', '.join(differing)}" if differing else ""
