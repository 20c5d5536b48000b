"""The table a head sees: papers and features side by side, one row per photograph, in memory or on demand."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from featstore.errors import SettingsError, StoreError
from featstore.store import Store
from featstore.store.matching import lost_rows


@dataclass(frozen=True)
class FeatureTable:
    """Features with their papers.

    Attributes
    ----------
    papers
        n rows, index 0..n-1, columns as `Store.papers_of`.
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

    def frame(self) -> pd.DataFrame:
        """Papers and features as one table, the features in columns ``f0000``, ``f0001``, ..."""
        names = [f"f{column:04d}" for column in range(self.features.shape[1])]
        return pd.concat([self.papers, pd.DataFrame(self.features, columns=names, copy=False)], axis=1)


@dataclass(frozen=True)
class LazyTable:
    """A table whose features stay in the store until they are asked for; only the papers are in memory.

    Attributes
    ----------
    papers
        n rows, index 0..n-1, columns as `Store.papers_of`; each photograph has features of all `backbones`.
    """

    store: Store
    papers: pd.DataFrame
    backbones: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.papers)

    @property
    def dimension(self) -> int:
        """Number of features of a row, all backbones together."""
        return sum(self.store.column(name).dimension for name in self.backbones)

    def rows(self, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Features of some rows of `papers`, (b, d); only the chunks that hold them are opened.

        Raises
        ------
        StoreError
            If a chunk is damaged or lost.
        """
        features = np.empty((len(positions), self.dimension), dtype=np.float32)
        some = self.papers.iloc[positions]
        for view, at in some.reset_index(drop=True).groupby("view", sort=False).indices.items():
            rows = np.asarray(at, dtype=np.int64)
            self._read(str(view), some["row"].to_numpy(np.int64)[rows], rows, features)
        return features

    def load(self) -> FeatureTable:
        """Everything, in memory."""
        return FeatureTable(self.papers, self.rows(np.arange(len(self), dtype=np.int64)), self.backbones)

    def batches(self, size: int) -> Iterator[FeatureTable]:
        """Tables of at most `size` rows, in the order of `papers`, one at a time in memory."""
        for start in range(0, len(self), size):
            positions = np.arange(start, min(len(self), start + size), dtype=np.int64)
            yield FeatureTable(self.papers.iloc[positions].reset_index(drop=True), self.rows(positions), self.backbones)

    def _read(self, view: str, places: NDArray[np.int64], at: NDArray[np.int64], features: NDArray[np.float32]) -> None:
        """Fill the rows `at` of `features` from the rows `places` of a view."""
        start = 0
        for name in self.backbones:
            stop = start + self.store.column(name).dimension
            of_name = features[:, start:stop]
            self.store.rows.read_into(view, name, places, of_name, at)
            n_lost = int(np.isnan(of_name[at, 0]).sum())
            if n_lost:
                raise lost_rows(self.store.location, view, name, n_lost)
            start = stop


def open_table(
    store: Store,
    backbones: Sequence[str],
    *,
    views: Collection[str] | None = None,
    splits: Collection[str] | None = None,
    image_ids: Collection[str] | None = None,
) -> LazyTable:
    """Find every photograph that was read and has features of all `backbones`, in the catalogue's order.

    Parameters
    ----------
    views, splits, image_ids
        Keep only photographs of these; None keeps all. `splits` are those that the data set itself names.

    Raises
    ------
    SettingsError
        If no backbone is named.
    StoreError
        If a backbone is not in the store, or no such photograph has features of all of them.
    """
    if not backbones:
        raise SettingsError("at least one name of features", "none", f"Name some of {', '.join(store.backbones)}.")
    papers, counting = store.survey(backbones, views)
    keep = np.asarray(counting.all(axis=1), dtype=np.bool_)
    for column, wanted in (("split", splits), ("image_id", image_ids)):
        if wanted is not None:
            keep &= papers[column].isin(set(wanted)).to_numpy()
    if not keep.any():
        names = ", ".join(backbones)
        raise StoreError(f"photographs with features of {names}", "none", "Run featstore build again to complete it.")
    return LazyTable(store, papers.loc[keep].reset_index(drop=True), tuple(backbones))


def load_table(
    store: Store,
    backbones: Sequence[str],
    *,
    views: Collection[str] | None = None,
    splits: Collection[str] | None = None,
    image_ids: Collection[str] | None = None,
) -> FeatureTable:
    """As `open_table`, with the features in memory."""
    return open_table(store, backbones, views=views, splits=splits, image_ids=image_ids).load()
