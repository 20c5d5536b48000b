"""Cross-validation between plants: each photograph to learn from is predicted by a head that has not seen its plant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from featstore.errors import SplitError
from featstore.groups import Links, groups_of
from featstore.provenance import write_text
from featstore.splits import draw_folds, most_folds
from featstore.table import FeatureTable
from heads.examples import Examples
from heads.head import Head, Tell, say_nothing
from heads.material import examples_of
from heads.protocol import FEWEST_FOLDS, Protocol

FOLDS = "folds.csv"


@dataclass(frozen=True, eq=False)
class Folds:
    """Divisions of the photographs to learn from, between plants and equal files.

    Attributes
    ----------
    image_id
        (n,) the photographs.
    number
        (r, n) part of each photograph in each repeat, from 0.
    """

    image_id: NDArray[np.str_]
    number: NDArray[np.int64]

    @property
    def n_folds(self) -> int:
        """Parts of each division."""
        return int(self.number.max()) + 1

    def of(self, papers: pd.DataFrame, repeat: int) -> NDArray[np.int64]:
        """Part of each row of `papers`."""
        return pd.Series(self.number[repeat], self.image_id)[papers["image_id"]].to_numpy(np.int64)


def open_folds(papers: pd.DataFrame, n_folds: int, n_repeats: int, seed: int, path: Path, links: Links) -> Folds:
    """Read the divisions of `papers` in the file `path`; draw and write them if there is none.

    Raises
    ------
    SplitError
        If there are not plants enough for as many parts, or the file's divisions are others than asked for or put a
        plant on two sides.
    """
    if not path.exists():
        require_plants(papers, n_folds, links)
        number = np.stack([draw_folds(papers, seed + repeat, n_folds, links) for repeat in range(n_repeats)])
        frame = papers[["image_id", "observation_id"]].reset_index(drop=True)
        frame = frame.assign(**{f"repeat_{repeat}": row for repeat, row in enumerate(number)})
        write_text(path, frame.to_csv(index=False, lineterminator="\n"))
    try:
        frame = pd.read_csv(path, dtype={"image_id": "str", "observation_id": "str"}, keep_default_na=False)
        found = frame.set_index("image_id")[[f"repeat_{repeat}" for repeat in range(n_repeats)]]
        number = found.loc[papers["image_id"]].to_numpy(np.int64).T
    except (OSError, ValueError, KeyError) as error:
        got = f"{path}: {type(error).__name__} {error}"
        raise SplitError("divisions of these photographs", got, f"Delete {path} to draw new ones.") from error
    _require_sound(papers, number, n_folds, path, links)
    return Folds(papers["image_id"].to_numpy(np.str_), number)


def require_plants(papers: pd.DataFrame, n_folds: int, links: Links) -> None:
    """Refuse more parts than can be drawn of `papers`."""
    most = most_folds(papers, links)
    if n_folds > most:
        remedy = "Lower --folds." if most >= FEWEST_FOLDS else "Add plants, or leave --folds out."
        raise SplitError(f"at most {most} parts, the plants of the class that has most", f"--folds {n_folds}", remedy)


def _require_sound(papers: pd.DataFrame, number: NDArray[np.int64], n_folds: int, path: Path, links: Links) -> None:
    remedy = f"Delete {path} to draw new ones."
    if set(np.unique(number)) != set(range(n_folds)):
        raise SplitError(f"{n_folds} parts in {path}", f"parts {np.unique(number).tolist()}", remedy)
    group = groups_of(papers, links)
    for repeat, row in enumerate(number):
        if len(np.unique(np.stack([group, row]), axis=1).T) > int(group.max()) + 1:
            raise SplitError(f"every plant on one side in {path}", f"several in repeat_{repeat}", remedy)


def predict_held_out(
    create: Callable[[], Head],
    table: FeatureTable,
    part: NDArray[np.int64],
    held: int,
    classes: NDArray[np.str_],
    protocol: Protocol,
    tell: Tell = say_nothing,
    *,
    nested: bool = True,
) -> NDArray[np.float32]:
    """Predict one part of a table with a head fitted on the others.

    Parameters
    ----------
    create
        Gives an unfitted head.
    part, held
        (n,) part of each row, and which one is held out.
    classes
        What is learnt, and the columns of the result; a class that the other parts do not show has probability 0.
    protocol
        Which photographs are learnt from, and with which weights; what a head chooses it chooses on all of a part, each
        counting once, as on valid.
    nested
        Whether what the head chooses (epochs, a temperature) is chosen on the part that follows, before a fit on all
        others; otherwise it is chosen on the part that is held out.

    Returns
    -------
    (m, k) for the rows that are held out.
    """

    def examples(rows: NDArray[np.bool_], learning: Protocol | None = protocol) -> Examples:
        found = examples_of(table.select(rows), learning).of(classes)
        if found is None:
            raise SplitError("photographs of the classes that are learnt", "none in a part", "Use fewer parts.")
        return found

    first, n_folds = create(), int(part.max()) + 1
    rest, asked = part != held, table.select(part == held)
    if not first.chooses:
        head = first.learn(examples(rest), None, tell)
    elif nested:
        choosing = part == (held + 1) % n_folds
        first.learn(examples(rest & ~choosing), examples(choosing, None), tell)
        head = first.for_refit().learn(examples(rest), None, tell)
    else:
        head = first.learn(examples(rest), examples(~rest, None), tell)
    views = asked.papers["view"].to_numpy(np.str_)
    found = head.predict_proba(asked.features, views)
    lifted = np.zeros((len(asked), len(classes)), dtype=np.float32)
    lifted[:, np.searchsorted(classes, head.classes_)] = found
    return lifted
