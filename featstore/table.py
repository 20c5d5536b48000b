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
    n_missing
        Photographs that were asked for and can be used, as far as is known, but lack features.
    """

    store: Store
    papers: pd.DataFrame
    backbones: tuple[str, ...]
    n_missing: int = 0

    def __len__(self) -> int:
        return len(self.papers)

    @property
    def dimension(self) -> int:
        """Number of features of a row, all backbones together."""
        return sum(self.store.column(name).dimension for name in self.backbones)

    def rows(self, positions: NDArray[np.int64] | NDArray[np.bool_]) -> NDArray[np.float32]:
        """Features of some rows of `papers`, (b, d); only the chunks that hold them are opened.

        Parameters
        ----------
        positions
            Places in `papers`, from the end if negative, or a mask (n,).

        Raises
        ------
        StoreError
            If a chunk is damaged or lost.
        SettingsError
            If positions lie outside of `papers`, or a mask has another length.
        """
        positions = _positions(positions, len(self))
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
        if size < 1:
            raise SettingsError("batches of at least 1 row", str(size), "Choose a larger size.")
        return self._batches(size)

    def _batches(self, size: int) -> Iterator[FeatureTable]:
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
    backbones: str | Sequence[str],
    *,
    views: str | Collection[str] | None = None,
    splits: str | Collection[str] | None = None,
    image_ids: str | Collection[str] | None = None,
) -> LazyTable:
    """Find every photograph that was read and has features of all `backbones`, in the catalogue's order.

    Parameters
    ----------
    backbones
        Names of features, or a single one.
    views, splits, image_ids
        Keep only photographs of these; None keeps all. `splits` are those that the data set itself names. An image_id
        that the store does not have is passed over: splits and predictions may be older than it.

    Raises
    ------
    SettingsError
        If no backbone, view or split is named.
    StoreError
        If a backbone, view or split is not in the store, or no such photograph has features of all of them.
    """
    names = _named(backbones, "name of features", store.backbones)
    only = None if views is None else _named(views, "view", ())
    papers, counting = store.survey(names, only)
    keep = np.ones(len(papers), dtype=np.bool_)
    if only is not None:
        _require_known(store, "view", only, papers)
    for column, wanted in (("split", splits), ("image_id", image_ids)):
        if wanted is not None:
            some = _named(wanted, column, ())
            if column == "split":
                _require_known(store, column, some, papers)
            keep &= papers[column].isin(set(some)).to_numpy()
    asked = keep & (papers["status"] != "failed").to_numpy()
    keep &= np.asarray(counting.all(axis=1), dtype=np.bool_)
    if not keep.any():
        raise _no_rows(store, names, int(asked.sum()))
    n_missing = int((asked & ~keep).sum())
    return LazyTable(store, papers.loc[keep].reset_index(drop=True), names, n_missing)


def load_table(
    store: Store,
    backbones: str | Sequence[str],
    *,
    views: str | Collection[str] | None = None,
    splits: str | Collection[str] | None = None,
    image_ids: str | Collection[str] | None = None,
) -> FeatureTable:
    """As `open_table`, with the features in memory."""
    return open_table(store, backbones, views=views, splits=splits, image_ids=image_ids).load()


def _named(names: str | Collection[str], what: str, known: Sequence[str]) -> tuple[str, ...]:
    """Names as they were given; a plain string is one of them, not its letters."""
    found = (names,) if isinstance(names, str) else tuple(names)
    if not found:
        remedy = f"Name some of {', '.join(known)}." if known else "Name some, or leave it out for all."
        raise SettingsError(f"at least one {what}", "none", remedy)
    return found


def _require_known(store: Store, column: str, wanted: Collection[str], papers: pd.DataFrame) -> None:
    unknown = set(wanted) - set(papers[column])
    if unknown:
        # Another view may have it.
        known = sorted(set(store.catalog[column]))
        unknown -= set(known)
    if unknown:
        expected = f"{column}s of {store.location}: {', '.join(known)}"
        raise StoreError(expected, ", ".join(map(repr, sorted(unknown))), f"Correct the {column}.")


def _no_rows(store: Store, names: Sequence[str], n_asked: int) -> StoreError:
    expected = f"photographs with features of {', '.join(names)}"
    if n_asked:
        return StoreError(expected, f"none of {n_asked}", "Run featstore build again to complete it.")
    remedy = f"`featstore info {store.location}` tells what is there, and what failed and why."
    return StoreError(expected, "none: no photograph that was asked for can be used", remedy)


def _positions(positions: NDArray[np.int64] | NDArray[np.bool_], n_rows: int) -> NDArray[np.int64]:
    """Places from 0 on; a mask tells them by its length."""
    given = np.asarray(positions)
    if given.dtype == np.bool_:
        if given.shape != (n_rows,):
            raise SettingsError(f"a mask of {n_rows} rows", f"one of shape {given.shape}", "Make it of this table.")
        return np.flatnonzero(given).astype(np.int64)
    if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
        got = f"an array of {given.dtype} of shape {given.shape}"
        raise SettingsError("whole numbers in one dimension, or a mask", got, "Correct the positions.")
    places = given.astype(np.int64)
    outside = places[(places < -n_rows) | (places >= n_rows)]
    if outside.size:
        raise SettingsError(f"positions from 0 to {n_rows - 1}", str(outside[0]), "Take them from this table.")
    return np.where(places < 0, places + n_rows, places)
