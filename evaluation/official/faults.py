"""Faults of a run file: the line, what is wrong there, and whether it leaves the score in doubt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from evaluation.cells import write_csv
from featstore.errors import PhytobenchError, counted
from featstore.provenance import Json

SCHEMA = "run-faults/1"
N_SHOWN = 20
FAULT_COLUMNS = ("line", "fault", "what it means", "what stands there")


class Kind(NamedTuple):
    """What can be wrong, and whether a score is refused for it."""

    meaning: str
    refused: bool


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "empty": Kind("no line at all", refused=True),
        "encoding": Kind("text that is not UTF-8", refused=True),
        "bom": Kind("a byte order mark before the first line", refused=False),
        "line-end": Kind("lines that end as on Windows (CR LF)", refused=False),
        "blank": Kind("a line without anything", refused=False),
        "header": Kind("names of columns where the layout has none", refused=False),
        "fields": Kind("other than 4 fields", refused=True),
        "text": Kind("a query or class that is empty, or has spaces or quotes around it", refused=True),
        "rank": Kind("a rank that is no whole number from 1", refused=True),
        "score": Kind("a score that is no finite number", refused=True),
        "decimal-comma": Kind("a score with a decimal comma", refused=True),
        "outside": Kind("a probability outside of [0, 1]", refused=True),
        "rank-gap": Kind("ranks of a query that are not 1, 2, ..., n", refused=True),
        "rank-twice": Kind("a rank twice in one query", refused=True),
        "order": Kind("a score above that of a better rank", refused=True),
        "order-2014": Kind("a score above that of a better rank; the rank decides", refused=False),
        "class-twice": Kind("a class twice in one query", refused=True),
        "query-twice": Kind("a query that is listed again, apart from its first lines", refused=True),
        "query-unknown": Kind("a query that the truth does not know", refused=True),
        "class-unknown": Kind("a class that is none of the species", refused=True),
        "too-many": Kind("more lines for a query than are allowed", refused=True),
    }
)
"""Name -> meaning. What leaves every rank as clear as before is told and not refused."""


class Fault(NamedTuple):
    """One fault.

    Attributes
    ----------
    line
        From 1.
    kind
        A name in `KINDS`.
    got
        What stands there.
    """

    line: int
    kind: str
    got: str

    def __str__(self) -> str:
        return f"line {self.line}: {KINDS[self.kind].meaning}: {self.got}"


class RunFileError(PhytobenchError):
    """A run file cannot be scored as it is."""


@dataclass(frozen=True)
class Faults:
    """All faults of one file, by line.

    Parameters
    ----------
    path
        The file.
    found
        Sorted by line.
    """

    path: Path
    found: tuple[Fault, ...]

    @classmethod
    def of(cls, path: Path, found: Sequence[Fault]) -> Faults:
        """Sort them by line; faults of one line keep the order in which they were looked for."""
        return cls(path, tuple(sorted(found, key=lambda fault: fault.line)))

    @property
    def counts(self) -> dict[str, int]:
        """Kind -> number of such faults, only kinds that occur, in the order of `KINDS`."""
        counted = Counter(fault.kind for fault in self.found)
        return {kind: counted[kind] for kind in KINDS if kind in counted}

    @property
    def refused(self) -> tuple[Fault, ...]:
        """Those that leave the score in doubt."""
        return tuple(fault for fault in self.found if KINDS[fault.kind].refused)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is wrong and was scored all the same, one sentence per kind."""
        kept = [kind for kind in self.counts if not KINDS[kind].refused]
        first = {kind: next(fault for fault in self.found if fault.kind == kind) for kind in kept}
        return tuple(
            f"{self.path.name} has {KINDS[kind].meaning}: {self.counts[kind]} (first in line {first[kind].line})."
            for kind in kept
        )

    def require_none(self) -> None:
        """Refuse a file whose score would be in doubt.

        Raises
        ------
        RunFileError
            With the first faults by line, and the count of all.
        """
        if not self.refused:
            return
        shown = "".join(f"\n  {fault}" for fault in self.refused[:N_SHOWN])
        n_more = len(self.refused) - N_SHOWN
        more = f"\n  and {n_more:,} more" if n_more > 0 else ""
        got = f"{counted(len(self.refused), 'fault')} in {self.path}:{shown}{more}"
        remedy = "Correct them; `evaluate check-run RUN --out faults.csv` writes all of them."
        raise RunFileError("a run file without a fault", got, remedy)

    def table(self) -> list[list[str]]:
        """The first faults under `FAULT_COLUMNS`."""
        return [[str(fault.line), fault.kind, KINDS[fault.kind].meaning, fault.got] for fault in self.found[:N_SHOWN]]

    def to_json(self) -> dict[str, Json]:
        """Count every kind and give the first faults."""
        first: list[Json] = [{**fault._asdict()} for fault in self.found[:N_SHOWN]]
        return {
            "schema": SCHEMA,
            "file": str(self.path),
            "n_faults": len(self.found),
            "n_refused": len(self.refused),
            "counts": dict(self.counts),
            "first": first,
        }

    def write(self, path: Path) -> None:
        """Write all of them as CSV: line, fault, meaning, got."""
        rows = [(str(fault.line), fault.kind, KINDS[fault.kind].meaning, fault.got) for fault in self.found]
        write_csv(path, ("line", "fault", "meaning", "got"), rows)
