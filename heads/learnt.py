"""Which photographs a run has learnt and chosen from, known by their content under any name."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evaluation.identify.contract import OPEN_VIEW
from featstore.errors import PredictionsError
from featstore.provenance import replacing
from featstore.roi import Recipe

LEARNT = "learnt.csv"
"""File of a run that lists the photographs it has learnt and chosen from."""
COLUMNS = ("image_id", "sha256", "view", "split")


def write_learnt(
    folder: Path, papers: pd.DataFrame, split: NDArray[np.str_], before: pd.DataFrame | None = None
) -> None:
    """Write which photographs the run, or the head it started from, has learnt and chosen from.

    Parameters
    ----------
    papers, split
        Of n photographs, and their split; "" of one that nothing has looked at. Neither these nor test are written.
    before
        What it was started from had learnt, as `read_learnt` gives it: perhaps photographs that are no longer there.
    """
    table = papers[["image_id", "sha256", "view"]].assign(split=split)
    table = table[~table["split"].isin(["", "test"])]
    if before is not None:
        table = pd.concat([table, before[~before["sha256"].isin(table["sha256"])]])
    with replacing(folder / LEARNT) as temporary:
        table.to_csv(temporary, index=False)


def read_learnt(folder: Path) -> pd.DataFrame:
    """Read what `write_learnt` wrote.

    Raises
    ------
    PredictionsError
        If it is absent or damaged.
    """
    try:
        table = pd.read_csv(folder / LEARNT, dtype=str, keep_default_na=False)
        if "view" not in table:
            table["view"] = ""  # An earlier version wrote none.
        return table[list(COLUMNS)]
    except FileNotFoundError as error:
        raise PredictionsError(f"{LEARNT} in {folder}", "none", "Make the run again.") from error
    except (OSError, ValueError, KeyError) as error:
        raise PredictionsError(f"a readable {LEARNT} in {folder}", str(error), "Make the run again.") from error


def views_learnt(run: Path, recipes: Iterable[Recipe]) -> dict[str, bool]:
    """Which views a run has learnt; see `evaluation.identify.contract.Identifier.views`.

    Parameters
    ----------
    recipes
        How its photographs were cut, for each of its networks.

    Raises
    ------
    PredictionsError
        If its list of photographs is damaged.
    """
    if not (run / LEARNT).is_file():
        return {}
    views, cuts = sorted(set(read_learnt(run)["view"]) - {""}), list(recipes)
    return {view: any(cut.of(view) != cut.of(OPEN_VIEW) for cut in cuts) for view in views}


def is_learnt(run: Path, digests: Iterable[str]) -> NDArray[np.bool_]:
    """Whether a run has learnt or chosen from photographs, under whatever names.

    Parameters
    ----------
    digests
        sha256 of each of n photographs; "" of one that cannot be read, which counts as not learnt.

    Returns
    -------
    (n,) bool

    Raises
    ------
    PredictionsError
        As `read_learnt`.
    """
    known = set(read_learnt(run)["sha256"]) - {""}
    return np.fromiter((digest in known for digest in digests), dtype=np.bool_)
