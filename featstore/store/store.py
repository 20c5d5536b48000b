"""The feature store, in zarr: rows are found by (view, image_id), and each knows what made it.

Layout (zarr v3), `schema` = ``features/2``::

    attrs                            schema, dataset, root, grid, catalog (its generation), identities, features, ...;
                                     sealed by a digest, and again in description.json
    catalog/<generation>/<column>    the papers of every photograph, also of those that failed
    <View>/image_id                  (n_view,) row keys; again as image_id_utf8 (n_view, width) uint8
    <View>/<name>                    (n_view, d) float32, NaN where not computed; name is a backbone's, or given by --as
    <View>/identity/<name>           (n_view,) number of what made the row in attrs' identities, -1 where not computed
    records/<View>/<unit>.json       what is known of the rows of a unit, see `featstore.store.records`
    locks/                           who is writing, see `featstore.store.lease`

Every array has a crc32c per chunk. A unit is one chunk of rows, or one shard of several. Its arrays are written, then
its record. A row counts only if a record names it for the very photograph (sha256) that the record has decoded, made
by an identity that attrs accept for its view; so a killed writer leaves nothing that could be mistaken for a result.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import zarr
from numpy.typing import NDArray

from featstore.catalog import Catalog
from featstore.errors import StoreError
from featstore.provenance import Json, provenance
from featstore.store.described import Described
from featstore.store.description import is_described, open_described, sealed, write_copy
from featstore.store.ledger import Ledger
from featstore.store.matching import lost_rows, match
from featstore.store.papers import intact_generation, keep_generation, papers_digest, read_generation, write_generation
from featstore.store.place import Place, open_place
from featstore.store.records import Fact, FeatureRows, Record, Records
from featstore.store.row_keys import RowKeys
from featstore.store.rows import Grid, Rows

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = "features/2"


class Store(Described):
    """An open feature store. Create one with `Store.create`, open one with `Store.open`.

    What it says is read when asked, except for `index`, which an open store keeps.
    """

    def __init__(self, place: Place, group: zarr.Group) -> None:
        super().__init__(place, group)
        grid = cast("dict[str, int]", group.attrs["grid"])
        self.row_keys = RowKeys(place, group)
        self.rows = Rows(place, group, Grid(**grid), self.row_keys)
        self.records = Records(place)
        self.known_before: tuple[str, ...] | None = None
        """Photographs of the catalogue that `write_catalog` has replaced; None if there was none to be read."""

    @classmethod
    def create(cls, place: Place, catalog: Catalog, grid: Grid) -> Store:
        """Create an empty store for a data set."""
        attributes: dict[str, Json] = {
            "schema": SCHEMA, "dataset": catalog.name, "root": str(catalog.root.resolve()), "grid": asdict(grid),
            "catalog": "", "catalog_digest": "", "identities": [], "features": {}, "warnings": [],
            "provenance": provenance(),
        }  # fmt: skip
        # The copy second: a place with a copy alone would be no store.
        store = cls(place, zarr.create_group(place.zarr_store(), attributes=sealed(attributes)))
        write_copy(place, attributes)
        return store

    @staticmethod
    def exists(place: Place) -> bool:
        """Whether there is a store at a place, of whatever schema."""
        return is_described(place)

    @classmethod
    def open(cls, location: str | Path | Place) -> Store:
        """Open an existing store.

        Parameters
        ----------
        location
            Folder, or address in an object store such as ``s3://bucket/features.zarr``.

        Raises
        ------
        StoreError
            If there is none, it has another schema, or its description is damaged.
        """
        place = open_place(location) if isinstance(location, str | Path) else location
        return cls(place, open_described(place, SCHEMA))

    # -- rows -------------------------------------------------------------------------------------------------------

    @property
    def views(self) -> tuple[str, ...]:
        """Views that have rows, in the order of `featstore.catalog.VIEWS`; also one that has lost its row keys."""
        return self.row_keys.views

    def keys(self, view: str) -> list[str]:
        """image_id of each row of a view; none before it has rows.

        Raises
        ------
        StoreError
            If they are damaged, or gone and only their copy is there.
        """
        return self.row_keys.read(view)

    def ledger(self, view: str) -> Ledger:
        """What the records say of a view's rows.

        Raises
        ------
        StoreError
            If there are records, but no keys to tell of which photographs.
        """
        keys = self.keys(view)
        if not keys and self.records.units(view):
            raise self.row_keys.lost(view, "none", "Run featstore build again: it gives the photographs rows anew.")
        return Ledger.of(keys, self.records.read_all(view), self.rows.grid.unit_rows)

    @cached_property
    def index(self) -> Mapping[str, Mapping[str, int]]:
        """Place of each row by view and image_id, of the photographs that count; read once per open store."""
        papers = self.catalog
        usable = papers[papers["problem"] == ""]
        index: dict[str, dict[str, int]] = {}
        for view, of_view in usable.groupby("view", sort=False):
            # Rows of photographs that went, or have another view by now, stay in the store.
            counting = set(of_view["image_id"])
            keys = enumerate(self.keys(str(view)))
            index[str(view)] = {key: place for place, key in keys if key in counting}
        return index

    def row(self, view: str, image_id: str, name: str) -> NDArray[np.float32]:
        """Features of one photograph, (d,).

        Raises
        ------
        StoreError
            If the store has no such photograph, or no features of this name for it, or they are lost or damaged.
        """
        place = self.index.get(view, {}).get(image_id)
        if place is None:
            raise StoreError("a photograph of this store", f"({view}, {image_id})", "Look it up: featstore explain.")
        unit, within = divmod(place, self.rows.grid.unit_rows)
        record = self.records.read(view, unit)
        accepted = self.column(name).accepted.get(view, ())
        if record is None or not record.counts(name, within, image_id, accepted):
            got = f"none for ({view}, {image_id})"
            raise StoreError(f"features of {name}", got, "See why: featstore explain; then run featstore build.")
        features: NDArray[np.float32] = self.rows.read(view, name, np.asarray([place], dtype=np.int64))[0]
        if np.isnan(features[0]):
            raise lost_rows(self.location, view, name, 1)
        return features

    def commit(
        self,
        view: str,
        unit: int,
        facts: Sequence[Fact | None],
        before: Record,
        fresh: Mapping[str, tuple[NDArray[np.float32], FeatureRows]],
    ) -> None:
        """Write a unit: the rows of some names of features, then the record by which they count.

        Parameters
        ----------
        before
            The record that is there now; rows of other names stay as it says.
        fresh
            Block of rows, (rows, d), and what vouches for them, by name.
        """
        if any(name in before.features for name in fresh):
            # The record before must not vouch for new rows if we are killed in between.
            self.records.write(view, unit, before.without(list(fresh)))
        features = dict(before.features)
        for name, (block, rows) in fresh.items():
            self.rows.write_unit(view, name, unit, block, np.asarray(rows.identity, dtype=np.int32))
            features[name] = rows
        self.records.write(view, unit, Record(facts, features))

    # -- papers -----------------------------------------------------------------------------------------------------

    @property
    def catalog(self) -> pd.DataFrame:
        """The catalogue's columns, one row per photograph.

        Raises
        ------
        StoreError
            If there is none yet, or it is damaged.
        """
        return read_generation(self.place, self._group, str(self.attrs["catalog"]))

    def write_catalog(self, catalog: Catalog) -> None:
        """Replace the catalogue if it says anything else: the new one is written beside the old, which then goes."""
        attrs, digest = self.attrs, papers_digest(catalog.frame)
        old, old_digest = str(attrs["catalog"]), str(attrs["catalog_digest"])
        before = intact_generation(self.place, self._group, old, old_digest)
        self.known_before = None if before is None else tuple(before["image_id"])
        if before is not None and old_digest == digest:
            return
        new = write_generation(self.place, self._group, catalog.frame, old)
        self.update_attrs(catalog=new, catalog_digest=digest)
        keep_generation(self.place, self._group, new)

    @property
    def papers(self) -> pd.DataFrame:
        """As `papers_of`, with the regions of the first features."""
        return self.papers_of(self.backbones[0] if self.backbones else None)

    def papers_of(self, name: str | None) -> pd.DataFrame:
        """One row per photograph: the catalogue's columns and what decoding found.

        Adds sha256, status (done, failed with a `reason`, or pending), file_bytes, file_mtime_ns and `row` (place in
        its view, -1 if it has none); and of the recipe behind a name of features box_top, box_left, box_bottom,
        box_right in px of the full upright photograph, with `box_reason` where the whole image was kept for lack of
        a region.
        """
        return self.survey([name] if name else [])[0]

    def survey(
        self, names: Sequence[str], views: Collection[str] | None = None
    ) -> tuple[pd.DataFrame, NDArray[np.bool_]]:
        """Papers of the photographs of some views (None: of all), and which names of features each one has.

        Returns
        -------
        papers
            n rows, columns as `papers_of` with the regions of the first name; index 0..n-1.
        counting
            (n, len(names)).
        """
        papers = self.catalog
        if views is not None:
            papers = papers[papers["view"].isin(set(views))].reset_index(drop=True)
        accepted = {name: self.column(name).accepted for name in names}
        return match(papers, self.ledger, self.recipe(names[0]) if names else None, accepted)
