"""Lists beside the runs: photographs to leave out, pairs that show the same picture, and a split of one's own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from evaluation.runs import SPLIT_FILE
from featstore.errors import PhytobenchError, SplitError, listed
from featstore.exclusions import (
    COPIES,
    EXCLUSIONS,
    Exclusion,
    copies_in,
    excluded_in,
    read_copies,
    read_exclusions,
    write_copies,
    write_exclusions,
)
from featstore.groups import find_leaks
from featstore.provenance import replacing
from featstore.splits import Split, added_rows, read_rows, sides_of, write_split
from featstore.store import Store
from heads.dividing import LEAKS, fitting, leaks_within, require_no_leaks
from heads.material import photographs_read

KEPT = (SPLIT_FILE, EXCLUSIONS, COPIES)
"""Files in the folder of the runs that hold for all later ones."""
_BEFORE = "before"


@dataclass(frozen=True)
class Lists:
    """What to leave out and what belongs together; both are kept in the folder of the runs and hold there from then on.

    Attributes
    ----------
    exclude
        List of photographs to leave out, also of fine-tuning.
    copies
        Pairs of photographs that show the same picture, such as `featstore doctor` finds.
    drop_leaks
        Whether photographs to learn from that test shows, too, and those of train that belong together with one of
        valid in a split that is there, are added to what is left out, instead of refused.
    split
        A split to use instead of drawing one, with the columns of ``split.csv``.
    """

    exclude: Path | None = None
    copies: Path | None = None
    drop_leaks: bool = False
    split: Path | None = None

    def enter(self, store: Store, out: Path) -> None:
        """Write them into the folder of the runs.

        Raises
        ------
        SplitError
            If the split cannot be used, or the folder has another.
        """
        if self.exclude is not None:
            write_exclusions(read_exclusions(self.exclude), out / EXCLUSIONS)
        if self.copies is not None:
            write_copies(read_copies(self.copies), out / COPIES)
        if self.drop_leaks:
            self._drop_leaks(store, out)
        if self.split is not None:
            _enter_split(self.split, store, out)

    def _drop_leaks(self, store: Store, out: Path) -> None:
        path, links, split = out / EXCLUSIONS, copies_in(out), self.split or out / SPLIT_FILE
        before = read_exclusions(path) if path.exists() else ()
        papers = photographs_read(store, [exclusion.image_id for exclusion in before])
        leaks = find_leaks(papers, links)
        if self.split or split.exists():
            papers = papers[~papers["image_id"].isin({leak.image_id for leak in leaks})].reset_index(drop=True)
            rows = read_rows(split)
            if self.split is None:
                # Of photographs that the split lacks: those that are drawn leak nowhere, whatever the seed.
                rows = pd.concat([rows, added_rows(rows, papers, 0, links)], ignore_index=True)
            sides = sides_of(rows, papers, f"Add them to {split}, or use another split.")
            leaks += leaks_within(papers, sides, links)
        if leaks:
            write_exclusions([*before, *(Exclusion(leak.image_id, f"leak: {leak}") for leak in leaks)], path)


def _enter_split(given: Path, store: Store, out: Path) -> None:
    rows, path, excluded, links = read_rows(given), out / SPLIT_FILE, excluded_in(out), copies_in(out)
    papers = photographs_read(store, excluded)
    require_no_leaks(papers, links)
    fitting(papers, rows, given, links, f"Correct {given}.")
    # What is left out may be divided as it likes, and is not handed on.
    split = Split(_without(rows, excluded))
    if not path.exists():
        write_split(split, path)
    elif not _without(read_rows(path), excluded).equals(split.frame):
        raise SplitError(f"the split of {given} in {out}", "another", "Choose another --out.")


def _without(rows: pd.DataFrame, excluded: Collection[str]) -> pd.DataFrame:
    return rows[~rows["image_id"].isin(set(excluded))].reset_index(drop=True)


@contextmanager
def staging(out: Path) -> Iterator[Path]:
    """Give a copy of the split and the lists in a folder of runs: what is entered there counts once it is `kept`.

    Errors tell of `out`, not of the copy.
    """
    with tempfile.TemporaryDirectory() as folder:
        before = Path(folder) / _BEFORE
        before.mkdir()
        for name in KEPT:
            if (out / name).is_file():
                shutil.copy(shutil.copy(out / name, before), folder)
        try:
            yield Path(folder)
        except PhytobenchError as error:
            told = (text.replace(folder, str(out)) for text in (error.expected, error.got, error.remedy))
            raise type(error)(*told) from error


def keep(staged: Path, out: Path) -> None:
    """Write what has changed in a copy by `staging` into the folder of the runs, each file whole or not at all.

    Raises
    ------
    SplitError
        If the folder's own are others by now.
    """
    other = [name for name in KEPT if _content(out / name) != _content(staged / _BEFORE / name)]
    if other:
        got = f"others than when this one began: {listed(other)}"
        raise SplitError(f"the lists in {out} to stay while a comparison starts", got, "Compare again.")
    for name in KEPT:
        new, old = staged / name, out / name
        if new.is_file() and _content(new) != _content(old):
            with replacing(old) as temporary:
                shutil.copyfile(new, temporary)
    (out / LEAKS).unlink(missing_ok=True)


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
