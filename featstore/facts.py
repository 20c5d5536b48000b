"""Facts: what decoding found out about each photograph, kept so that nothing is decoded twice in vain."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from featstore.catalog import Catalog
from featstore.prepare import NO_BOX, Prepared
from featstore.provenance import Json
from featstore.records import PHOTOGRAPHS
from featstore.roi import Box

if TYPE_CHECKING:
    import pandas as pd

    from featstore.store import Store


@dataclass(frozen=True)
class Fact:
    """One photograph as it was decoded: digest, region, outcome, and the file's size and time by then."""

    sha256: str
    status: str
    reason: str
    box: Box
    file_bytes: int
    file_mtime_ns: int


PENDING = Fact("", "pending", "", NO_BOX, -1, -1)


class Facts:
    """Facts by (view, image_id), loaded from and saved to a store's records.

    The view is part of the key because it decides the region of interest.
    """

    def __init__(self, facts: dict[tuple[str, str], Fact]) -> None:
        self._facts = facts

    @classmethod
    def load(cls, store: Store) -> Facts:
        """Read every fact a store holds."""
        facts: dict[tuple[str, str], Fact] = {}
        for view in store.views:
            for record in store.records.chunks(view, PHOTOGRAPHS).values():
                for image_id, row in cast("dict[str, list[object]]", record["rows"]).items():
                    sha256, status, reason, box, file_bytes, file_mtime_ns = row
                    facts[view, image_id] = Fact(
                        str(sha256), str(status), str(reason), cast("Box", tuple(cast("list[int]", box))),
                        cast("int", file_bytes), cast("int", file_mtime_ns),
                    )  # fmt: skip
        return cls(facts)

    def save(self, store: Store, view: str, chunk: int, image_ids: list[str]) -> None:
        """Write the facts of one chunk's photographs."""
        known = ((key, self._facts.get((view, key))) for key in image_ids)
        rows = {key: list(astuple(fact)) for key, fact in known if fact}
        store.records.write(view, PHOTOGRAPHS, chunk, {"rows": cast("Json", rows)})

    def forget_changed(self, catalog: Catalog) -> None:
        """Forget photographs whose file has another size or time than when it was decoded."""
        columns = (catalog.frame[name] for name in ("view", "image_id", "path"))
        for view, image_id, path in zip(*columns, strict=True):
            known = self._facts.get((view, image_id))
            if known and (known.file_bytes, known.file_mtime_ns) != _stamp(catalog.root / path):
                del self._facts[view, image_id]

    def get(self, view: str, image_id: str) -> Fact:
        """What is known of a photograph; `PENDING` before it was decoded."""
        return self._facts.get((view, image_id), PENDING)

    def learn(self, view: str, prepared: Prepared, path: Path) -> None:
        """Take in what decoding found."""
        status = "failed" if prepared.failed else "done"
        self._facts[view, prepared.image_id] = Fact(
            prepared.sha256, status, prepared.reason, prepared.box, *_stamp(path)
        )

    def papers(self, catalog: Catalog) -> pd.DataFrame:
        """The catalogue with a column for each fact; photographs with a `problem` have failed."""
        papers = catalog.frame.copy()
        columns = (papers[name] for name in ("view", "image_id", "problem"))
        facts = [
            Fact("", "failed", problem, NO_BOX, -1, -1) if problem else self.get(view, image_id)
            for view, image_id, problem in zip(*columns, strict=True)
        ]
        for name in ("sha256", "status", "reason", "file_bytes", "file_mtime_ns"):
            papers[name] = [getattr(fact, name) for fact in facts]
        for place, name in enumerate(("box_top", "box_left", "box_bottom", "box_right")):
            papers[name] = [fact.box[place] for fact in facts]
        return papers


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns
