"""The table a head sees: papers and features side by side, one row per photograph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from featstore.errors import StoreError
from featstore.store import Store


@dataclass(frozen=True)
class FeatureTable:
    """Features with their papers.

    Attributes
    ----------
    papers
        n rows, index 0..n-1, columns as `Store.papers`.
    features
        (n, d) float32, finite; several backbones stand side by side in the order of `backbones`.
    backbones
        What the features come from.
    """

    papers: pd.DataFrame
    features: NDArray[np.float32]
    backbones: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.papers) != len(self.features):
            sizes = f"{len(self.papers)} and {len(self.features)}"
            raise StoreError("as many papers as feature rows", sizes, "Load them together with load_table.")

    def __len__(self) -> int:
        return len(self.papers)

    def select(self, mask: NDArray[np.bool_]) -> FeatureTable:
        """Keep the rows where `mask` (n,) is true, in their order."""
        return FeatureTable(self.papers.loc[mask].reset_index(drop=True), self.features[mask], self.backbones)


def load_table(store: Store, backbones: Sequence[str]) -> FeatureTable:
    """Load every photograph that was read and has features of all `backbones`, in the catalogue's order.

    Raises
    ------
    StoreError
        If a backbone is not in the store, a chunk is damaged, or no photograph has features of all of them.
    """
    papers = store.papers
    papers = papers.loc[papers["status"] == "done"].reset_index(drop=True)
    columns = [_features(store, papers, backbone) for backbone in backbones]
    features = np.concatenate(columns, axis=1)
    complete = np.asarray(~np.isnan(features).any(axis=1), dtype=np.bool_)
    if not complete.any():
        names = ", ".join(backbones)
        raise StoreError(f"photographs with features of {names}", "none", "Run featstore build again to complete it.")
    return FeatureTable(papers.loc[complete].reset_index(drop=True), features[complete], tuple(backbones))


def _features(store: Store, papers: pd.DataFrame, backbone: str) -> NDArray[np.float32]:
    """Rows of one backbone for each row of `papers`, NaN where none counts."""
    dimension = store.dimension(backbone)
    features = np.full((len(papers), dimension), np.nan, dtype=np.float32)
    for view, of_view in papers.groupby("view", sort=False):
        name = str(view)
        if not store.has_features(name, backbone):
            continue
        damaged = store.damaged(name, backbone)
        if damaged:
            got = f"chunks {', '.join(map(str, damaged))} of {name}/{backbone} changed or lost"
            raise StoreError(f"an intact store at {store.path}", got, "Run featstore build again: it makes them anew.")
        computed = store.computed(name, backbone)
        fresh = of_view["image_id"].map(computed) == of_view["sha256"]
        rows = pd.Index(store.row_keys(name)).get_indexer(pd.Index(of_view.loc[fresh, "image_id"]))
        features[of_view.index[fresh]] = store.read_features(name, backbone)[rows]
    return features
