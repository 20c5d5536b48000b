"""Records: one small file per unit of rows says what is known of them; a row without a record does not count.

A unit is what one worker owns: a chunk, or a shard where the store has shards. Its chunks are written first, of
every network, then its record in one step: that is the moment from which the rows count.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, cast

from featstore.provenance import Json
from featstore.roi import Box
from featstore.shell import warn
from featstore.store.place import Place

Region: TypeAlias = tuple[Box, str]
"""A box in px of the full upright photograph, and why the whole image was kept ("" if it was not)."""

_READ_TOGETHER = 256


@dataclass(frozen=True)
class Fact:
    """One photograph as it was decoded.

    Attributes
    ----------
    sha256
        Of its file; "" if that could not be read.
    status
        ``done`` or ``failed``.
    reason
        Why it failed.
    file_bytes, file_mtime_ns
        The file's size and time by then.
    boxes
        Region by identity of the view's recipe.
    """

    image_id: str
    sha256: str
    status: str
    reason: str
    file_bytes: int
    file_mtime_ns: int
    boxes: Mapping[str, Region] = field(default_factory=dict)


@dataclass(frozen=True)
class FeatureRows:
    """The rows of one feature array in a unit, by place.

    Attributes
    ----------
    identity
        Number of what made each row, -1 where there is none.
    sha256
        Of the photograph behind each row, "" where there is none.
    digest
        sha256 of the unit's rows as little-endian float32.
    """

    identity: Sequence[int]
    sha256: Sequence[str]
    digest: str


@dataclass(frozen=True)
class Record:
    """What is known of a unit's rows, by place; None where a photograph was not decoded yet."""

    facts: Sequence[Fact | None] = ()
    features: Mapping[str, FeatureRows] = field(default_factory=dict)

    def without(self, names: Sequence[str]) -> Record:
        """The record with the rows of some feature arrays withdrawn."""
        return Record(self.facts, {name: rows for name, rows in self.features.items() if name not in names})

    def n_rows(self, name: str) -> int:
        """Rows of a feature array that it vouches for."""
        return sum(number >= 0 for number in self.features[name].identity) if name in self.features else 0

    def counts(self, name: str, place: int, image_id: str, accepted: Collection[int]) -> bool:
        """Whether the row of a photograph counts: made by an accepted identity, of the photograph as it is now."""
        rows, fact = self.features.get(name), self.facts[place] if place < len(self.facts) else None
        if rows is None or fact is None or place >= len(rows.identity):
            return False
        vouched = fact.image_id == image_id and fact.status == "done"
        return vouched and rows.identity[place] in accepted and rows.sha256[place] == fact.sha256

    def to_bytes(self) -> bytes:
        """As one line of compact JSON and a line with its sha256, by which a flipped byte is noticed."""
        content = {
            "photographs": [
                fact and [
                    fact.image_id, fact.sha256, fact.status, fact.reason, fact.file_bytes, fact.file_mtime_ns,
                    {key: [*box, reason] for key, (box, reason) in fact.boxes.items()},
                ]
                for fact in self.facts
            ],
            "features": {
                name: {"identity": list(rows.identity), "sha256": list(rows.sha256), "digest": rows.digest}
                for name, rows in self.features.items()
            },
        }  # fmt: skip
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
        return text + b"\n" + hashlib.sha256(text).hexdigest().encode() + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes) -> Record:
        """Parse what `to_bytes` wrote; a `ValueError` if it is anything else."""
        text, _, digest = data.rstrip(b"\n").rpartition(b"\n")
        if hashlib.sha256(text).hexdigest().encode() != digest:
            raise ValueError("a record that was changed or cut")
        content = cast("dict[str, Json]", json.loads(text))
        photographs = cast("list[list[Json] | None]", content["photographs"])
        features = cast("dict[str, dict[str, Json]]", content["features"])
        return cls(
            [None if row is None else _fact(row) for row in photographs],
            {
                name: FeatureRows(
                    cast("list[int]", rows["identity"]), cast("list[str]", rows["sha256"]), str(rows["digest"])
                )
                for name, rows in features.items()
            },
        )


def _fact(row: list[Json]) -> Fact:
    image_id, sha256, status, reason, file_bytes, file_mtime_ns, boxes = row
    regions = {
        key: (cast("Box", tuple(cast("list[int]", region[:4]))), str(region[4]))
        for key, region in cast("dict[str, list[Json]]", boxes).items()
    }
    return Fact(
        str(image_id), str(sha256), str(status), str(reason),
        cast("int", file_bytes), cast("int", file_mtime_ns), regions,
    )  # fmt: skip


class Records:
    """The records of a store, ``records/<View>/<unit>.json``."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def read(self, view: str, unit: int) -> Record | None:
        """One record; None where there is none that can be read."""
        key = _key(view, unit)
        data = self._place.read(key)
        return None if data is None else _parsed(data, key)

    def read_all(self, view: str) -> Iterator[tuple[int, Record]]:
        """Every readable record of a view with its unit, a few at a time in memory."""
        units = self.units(view)
        for start in range(0, len(units), _READ_TOGETHER):
            some = units[start : start + _READ_TOGETHER]
            data = self._place.read_many([_key(view, unit) for unit in some])
            for unit in some:
                key = _key(view, unit)
                record = _parsed(data[key], key) if key in data else None
                if record is not None:
                    yield unit, record

    def units(self, view: str) -> list[int]:
        """Units of a view that have a record, ascending."""
        names = (key.rpartition("/")[2] for key in self._place.sizes(f"records/{view}"))
        return sorted(int(name.removesuffix(".json")) for name in names if name.removesuffix(".json").isdigit())

    def withdraw(self, view: str, name: str) -> int:
        """Let no record of a view vouch for a name of features any more; how many rows that were."""
        n_rows = 0
        for unit, record in self.read_all(view):
            if name in record.features:
                self.write(view, unit, record.without([name]))
                n_rows += record.n_rows(name)
        return n_rows

    def write(self, view: str, unit: int, record: Record) -> None:
        """Write one record, whole or not at all."""
        self._place.write(_key(view, unit), record.to_bytes())


def _key(view: str, unit: int) -> str:
    return f"records/{view}/{unit}.json"


def _parsed(data: bytes, key: str) -> Record | None:
    try:
        return Record.from_bytes(data)
    except ValueError:
        warn(f"{key} is no record; its rows count as not computed until the next build makes them again")
        return None
