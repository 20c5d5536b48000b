"""Lists beside the runs: photographs to leave out, pairs that show the same picture, and a split of one's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from featstore.errors import SplitError
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
from featstore.splits import read_split, write_split
from featstore.store import Store
from heads.material import divide, photographs_read

SPLIT = "split.csv"


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
        Whether photographs to learn from that test shows, too, are added to what is left out, instead of refused.
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
            path = out / EXCLUSIONS
            before = read_exclusions(path) if path.exists() else ()
            left = photographs_read(store, [exclusion.image_id for exclusion in before])
            leaks = [Exclusion(leak.image_id, f"leak: {leak}") for leak in find_leaks(left, copies_in(out))]
            if leaks:
                write_exclusions([*before, *leaks], path)

        if self.split is not None:
            self._enter_split(self.split, store, out)

    def _enter_split(self, given: Path, store: Store, out: Path) -> None:
        # Looked at before it is kept: a split that is refused must not stand in the way of the corrected one.
        split = read_split(given)
        divide(photographs_read(store, excluded_in(out)), 0, given, copies_in(out))
        path = out / SPLIT
        if path.exists() and not read_split(path).frame.equals(split.frame):
            raise SplitError(f"the split of {given} in {out}", "another", "Choose another --out.")
        write_split(split, path)
