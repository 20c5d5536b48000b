"""Matching: the papers of photographs with what the records say of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from featstore.errors import StoreError
from featstore.roi import Recipe
from featstore.store.ledger import Ledger

if TYPE_CHECKING:
    import pandas as pd


def match(
    papers: pd.DataFrame,
    ledger_of: Callable[[str], Ledger],
    recipe: Recipe | None,
    accepted: Mapping[str, Mapping[str, Collection[int]]],
) -> tuple[pd.DataFrame, NDArray[np.bool_]]:
    """Add to each photograph what the ledgers of its view say, and tell which features it has.

    Parameters
    ----------
    papers
        Catalogue, index 0..n-1.
    ledger_of
        Gives the ledger of a view.
    recipe
        Whose regions are wanted.
    accepted
        Numbers of identities that count, by name of features and view.

    Returns
    -------
    papers
        With the columns that `featstore.store.Store.papers_of` describes.
    counting
        (n, number of names), whether a photograph has features of a name.
    """
    import pandas as pd

    counting = np.zeros((len(papers), len(accepted)), dtype=np.bool_)
    found = []
    for key, of_view in papers.groupby("view", sort=False):
        view = str(key)
        ledger = ledger_of(view)
        facts = ledger.facts_of(list(of_view["image_id"]), recipe.of(view).identity if recipe else "")
        found.append(facts.set_index(of_view.index))
        rows = facts["row"].to_numpy()
        here = rows >= 0
        for column, (name, by_view) in enumerate(accepted.items()):
            counting[of_view.index[here], column] = ledger.counts(name, by_view.get(view, ()))[rows[here]]
    papers = papers.join(pd.concat(found).sort_index() if found else Ledger([]).facts_of([], ""))
    unusable = papers["problem"] != ""
    papers.loc[unusable, "status"] = "failed"
    papers.loc[unusable, "reason"] = papers.loc[unusable, "problem"]
    return papers, counting & ~unusable.to_numpy()[:, None]


def lost_rows(location: str, view: str, name: str, number: int) -> StoreError:
    """The error of rows that count but are not there."""
    return StoreError(
        f"an intact store at {location}",
        f"{number} rows of {view}/{name} that are lost",
        "Run featstore build again: it makes them anew.",
    )
