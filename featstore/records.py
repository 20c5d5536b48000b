"""Completion records: one small JSON file per finished chunk; what has none does not count."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from featstore.provenance import Json, write_json
from featstore.shell import warn

PHOTOGRAPHS = "photographs"
"""Kind of the records that hold what decoding found, beside one kind per backbone."""


@dataclass(frozen=True)
class Records:
    """The records of a store, `<folder>/<View>/<kind>/<chunk>.json`; a kind is a backbone or `PHOTOGRAPHS`."""

    folder: Path

    def chunks(self, view: str, kind: str) -> dict[int, dict[str, Json]]:
        """Every record of a kind, by chunk number.

        A record that cannot be read counts as absent, with a warning: its rows are then made again.
        """
        found: dict[int, dict[str, Json]] = {}
        for path in (self.folder / view / kind).glob("[0-9]*.json"):
            record = self.chunk(view, kind, int(path.stem))
            if record is not None:
                found[int(path.stem)] = record
        return found

    def chunk(self, view: str, kind: str, chunk: int) -> dict[str, Json] | None:
        """One record, None where there is none that can be read."""
        path = self.folder / view / kind / f"{chunk}.json"
        try:
            return cast("dict[str, Json]", json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except ValueError:
            warn(f"{path} is no record; its rows are made again")
            return None

    def write(self, view: str, kind: str, chunk: int, content: Mapping[str, Json]) -> None:
        """Write one record, whole or not at all."""
        write_json(self.folder / view / kind / f"{chunk}.json", content)

    def forget(self, view: str, kind: str, chunk: int | None = None) -> None:
        """Remove the record of one chunk, or all of a kind, so that its rows are made again."""
        for path in (self.folder / view / kind).glob("[0-9]*.json" if chunk is None else f"{chunk}.json"):
            path.unlink()
