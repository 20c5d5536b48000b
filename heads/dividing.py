"""Division: train, valid and test of a comparison, drawn or read, and refused by name where they leak."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evaluation.cells import write_csv
from featstore.catalog import SPLITS
from featstore.errors import SplitError, counted, listed
from featstore.groups import Leak, Links, find_crossings, find_leaks
from featstore.splits import SPARE, Split, added_rows, make_split, read_rows, sides_of, write_rows, write_split

LEAKS = "leaks.csv"
"""Every leak for which a comparison was refused: image_id, partner, reason."""


class LeakError(SplitError):
    """Photographs to learn from show what is judged on.

    Parameters
    ----------
    leaks
        All of them; the message names the first.
    """

    def __init__(self, expected: str, got: str, remedy: str, leaks: Sequence[Leak] = ()) -> None:
        super().__init__(expected, f"{got} ({listed([str(leak) for leak in leaks])})" if leaks else got, remedy)
        self.leaks = tuple(leaks)

    def kept_in(self, path: Path) -> SplitError:
        """Write the leaks, and give the error that says where they are."""
        write_csv(path, ("image_id", "partner", "reason"), [[it.image_id, it.partner, it.why] for it in self.leaks])
        return SplitError(self.expected, self.got, f"{self.remedy} All of them are in {path}.")


def divide(
    papers: pd.DataFrame, seed: int, path: Path, links: Links = (), *, like_test: bool = False
) -> tuple[Split, list[str]]:
    """Give the split in the file `path`; if there is none, draw it and write it there.

    Photographs that the file lacks are added to it by `added_rows`; the second that is given says so.

    Raises
    ------
    LeakError
        If test shows a photograph or a plant that is learnt from, or the file's split divides a plant.
    SplitError
        If the file's split trains on test, or nothing can be divided.
    """
    require_no_leaks(papers, links)
    if not path.exists():
        split = make_split(papers, seed, links=links, like_test=like_test)
        write_split(split, path)
        return split, []
    remedy = f"Delete {path} to draw a new split, or choose another --out."
    rows = read_rows(path)
    added = added_rows(rows, papers, seed, links)
    known = pd.concat([rows, added], ignore_index=True)
    split = fitting(papers, known, path, links, remedy)
    if added.empty:
        return split, []
    write_rows(known, path)
    return split, [_added(added, rows, path)]


def _added(added: pd.DataFrame, rows: pd.DataFrame, path: Path) -> str:
    """Say what a split was completed by."""
    of_known = added["observation_id"].isin(rows["observation_id"])
    told = [
        f"{counted(int(some.sum()), 'photograph')} of {counted(plants, *what)} ({_by_side(added[some])})"
        for some, what in (
            (of_known, ("plant that it knew", "plants that it knew")),
            (~of_known, ("new plant", "new plants")),
        )
        if (plants := added.loc[some, "observation_id"].nunique())
    ]
    again = "networks fine-tuned before and fusions are to be made again: finetune run --restart, evaluate fuse"
    return f"{path.name} was completed by {' and '.join(told)}; nothing that it had was moved; {again}"


def _by_side(rows: pd.DataFrame) -> str:
    count = rows["split"].value_counts()
    return ", ".join(f"{count[side]} {side}" for side in (*SPLITS, SPARE) if side in count)


def require_no_leaks(papers: pd.DataFrame, links: Links) -> None:
    """Refuse photographs whose own division, into test and the others, leaks."""
    leaks = find_leaks(papers, links)
    if leaks:
        raise LeakError(
            "photographs to learn from that test does not show, too",
            f"{len(leaks)} that it does",
            "--drop-leaks leaves them out of train and valid; or correct the data set.",
            leaks,
        )


def fitting(papers: pd.DataFrame, rows: pd.DataFrame, path: Path, links: Links, remedy: str) -> Split:
    """Give what the rows of a split say of `papers`, if that can be used; of others they may say anything.

    Parameters
    ----------
    rows
        As `read_rows`.
    path, remedy
        For errors: where the rows are from, and what to do about them.
    """
    sides = sides_of(rows, papers, remedy)
    moved = papers.loc[(papers["split"] == "test") != (sides == "test"), "image_id"]
    if len(moved):
        got = f"{counted(len(moved), 'photograph')} on the other side ({listed(list(moved))})"
        raise SplitError(f"the data set's own test photographs as test in {path}", got, remedy)
    leaks = leaks_within(papers, sides, links)
    if leaks:
        got = f"{counted(len(leaks), 'photograph')} of train that belong together with some of valid"
        told = f"{remedy} Or leave them out of train: --drop-leaks."
        raise LeakError(f"a split in {path} between plants", got, told, leaks)
    return Split(rows[rows["image_id"].isin(papers["image_id"])].reset_index(drop=True))


def leaks_within(papers: pd.DataFrame, sides: NDArray[np.str_], links: Links) -> list[Leak]:
    """Photographs of train that share a group with one of valid, spare ones included; `sides` (n,) as in a split."""
    learn = sides != "test"
    trains = sides[learn] == "train"
    return find_crossings(papers[learn].reset_index(drop=True), trains, ~trains, links)
