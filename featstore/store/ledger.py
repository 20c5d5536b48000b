"""The ledger: all that a view's records say, in arrays over its rows, so that millions of them fit into memory."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from featstore.store.records import Fact, FeatureRows, Record

if TYPE_CHECKING:
    import pandas as pd

PENDING, DONE, FAILED = 0, 1, 2
STATUS = ("pending", "done", "failed")
EDGES = ("box_top", "box_left", "box_bottom", "box_right")


@dataclass
class FeatureColumn:
    """One feature array of a view: what made each row (-1: none), of which photograph, and the units' digests."""

    identity: NDArray[np.int32]
    sha256: NDArray[np.bytes_]
    digests: dict[int, str] = field(default_factory=dict)


@dataclass
class BoxColumn:
    """Regions by one recipe: (n, 4) px of the full photograph, all 0 where unknown, and reasons where there are any."""

    boxes: NDArray[np.int32]
    reasons: dict[int, str] = field(default_factory=dict)


class Ledger:
    """What is known of each row of a view, by place.

    Attributes
    ----------
    keys
        image_id of each row.
    sha256, status, file_bytes, file_mtime_ns
        (n,) arrays; status is one of `PENDING`, `DONE`, `FAILED`.
    reasons
        Why photographs failed, by place.
    boxes, features
        Columns by identity of the view's recipe, and by name of the feature array.
    """

    def __init__(self, keys: list[str]) -> None:
        n_rows = len(keys)
        self.keys = keys
        self.sha256 = np.zeros(n_rows, dtype="S64")
        self.status = np.zeros(n_rows, dtype=np.uint8)
        self.file_bytes = np.full(n_rows, -1, dtype=np.int64)
        self.file_mtime_ns = np.full(n_rows, -1, dtype=np.int64)
        self.reasons: dict[int, str] = {}
        self.boxes: dict[str, BoxColumn] = {}
        self.features: dict[str, FeatureColumn] = {}

    @classmethod
    def of(cls, keys: list[str], records: Iterable[tuple[int, Record]], unit_rows: int) -> Ledger:
        """Collect the records of a view."""
        ledger = cls(keys)
        for unit, record in records:
            for place, fact in enumerate(record.facts, start=unit * unit_rows):
                # A place that was given to another photograph keeps nothing of the one before.
                if fact is not None and place < len(keys) and fact.image_id == keys[place]:
                    ledger._take(place, fact)
            for name, rows in record.features.items():
                ledger._take_features(unit, unit * unit_rows, name, rows)
        return ledger

    def _take(self, place: int, fact: Fact) -> None:
        self.sha256[place] = fact.sha256.encode()
        self.status[place] = STATUS.index(fact.status)
        self.file_bytes[place] = fact.file_bytes
        self.file_mtime_ns[place] = fact.file_mtime_ns
        if fact.reason:
            self.reasons[place] = fact.reason
        for recipe, (box, reason) in fact.boxes.items():
            if recipe not in self.boxes:
                self.boxes[recipe] = BoxColumn(np.zeros((len(self.keys), 4), dtype=np.int32))
            self.boxes[recipe].boxes[place] = box
            if reason:
                self.boxes[recipe].reasons[place] = reason

    def _take_features(self, unit: int, start: int, name: str, rows: FeatureRows) -> None:
        n_rows = len(self.keys)
        if name not in self.features:
            self.features[name] = FeatureColumn(np.full(n_rows, -1, dtype=np.int32), np.zeros(n_rows, dtype="S64"))
        column = self.features[name]
        stop = min(n_rows, start + len(rows.identity))
        column.identity[start:stop] = rows.identity[: stop - start]
        column.sha256[start:stop] = [digest.encode() for digest in rows.sha256[: stop - start]]
        column.digests[unit] = rows.digest

    def counts(self, name: str, accepted: Collection[int]) -> NDArray[np.bool_]:
        """Which rows of a feature array count: made by an accepted identity, of the photograph as it is now."""
        column = self.features.get(name)
        if column is None:
            return np.zeros(len(self.keys), dtype=np.bool_)
        counting: NDArray[np.bool_] = (
            (self.status == DONE)
            & np.isin(column.identity, np.asarray(sorted(accepted), dtype=np.int32))
            & (column.sha256 == self.sha256)
        )
        return counting

    def facts_of(self, image_ids: list[str], recipe: str) -> pd.DataFrame:
        """What is known of photographs, in their order, with their regions by one recipe; see `Store.papers_of`."""
        import pandas as pd

        place = pd.Index(self.keys, dtype="str").get_indexer(pd.Index(image_ids, dtype="str"))
        regions = self.boxes.get(recipe) or BoxColumn(np.zeros((len(self.keys), 4), dtype=np.int32))
        known = place >= 0

        def at(values: NDArray[np.generic], absent: int) -> NDArray[np.int64]:
            found = np.full((len(place), *values.shape[1:]), absent, dtype=np.int64)
            found[known] = values[place[known]]
            return found

        boxes = at(regions.boxes, 0)
        return pd.DataFrame(
            {
                "row": place,
                "sha256": [self.sha256[row].decode() if row >= 0 else "" for row in place],
                "status": [STATUS[code] for code in at(self.status, PENDING)],
                "reason": [self.reasons.get(int(row), "") for row in place],
                "box_reason": [regions.reasons.get(int(row), "") for row in place],
                "file_bytes": at(self.file_bytes, -1),
                "file_mtime_ns": at(self.file_mtime_ns, -1),
                **{edge: boxes[:, column] for column, edge in enumerate(EDGES)},
            }
        )

    def region(self, recipe: str, place: int) -> tuple[tuple[int, int, int, int], str] | None:
        """Box and reason of one row; None where this recipe has not seen it."""
        column = self.boxes.get(recipe)
        if column is None or not column.boxes[place].any():
            return None
        top, left, bottom, right = (int(edge) for edge in column.boxes[place])
        return (top, left, bottom, right), column.reasons.get(place, "")
