"""The feature store, in zarr: rows are found by (view, image_id), and each knows what made it.

Layout (zarr v3), `schema` = ``features/1``::

    attrs                                schema, dataset, root, roi, catalog (its generation), identities, warnings, ...
    catalog/<generation>/<column>        the papers of every photograph, also of those that failed
    <View>/image_id                      (n_view,) row keys; again as image_id_utf8 (n_view, width) uint8
    <View>/<backbone>                    (n_view, d) float32, NaN where not computed; a chunk is CHUNK_ROWS whole rows
    <View>/identity/<backbone>           (n_view,) number of the row's identity in attrs, -1 where not computed
    records/<View>/<backbone>/<chunk>    completion record: its rows, their photographs' sha256, the chunk's sha256
    records/<View>/photographs/<chunk>   what decoding found: sha256, size, time, box, status and reason per row

A chunk is written whole, then its record. A row counts only if a record names it for the very photograph (sha256)
that the catalogue holds, so a killed writer leaves nothing that could be mistaken for a result.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, cast

import zarr

from featstore.catalog import Catalog
from featstore.errors import StoreError
from featstore.identity import Identity
from featstore.papers import read_papers, write_papers
from featstore.provenance import Json, provenance
from featstore.records import Records
from featstore.rows import Rows

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = "features/1"


class Store(Rows):
    """An open feature store. Create one with `Store.create`, open one with `Store.open`."""

    def __init__(self, path: Path, group: zarr.Group) -> None:
        super().__init__(group, Records(path / "records"))
        self.path = path

    @classmethod
    def create(cls, path: Path, catalog: Catalog, roi: str) -> Store:
        """Create an empty store for a data set."""
        cls.refuse_other_files(path)
        attributes: dict[str, Json] = {
            "schema": SCHEMA,
            "dataset": catalog.name,
            "root": str(catalog.root.resolve()),
            "roi": roi,
            "catalog": "",
            "identities": [],
            "provenance": provenance(),
        }
        return cls(path, zarr.create_group(path, attributes=attributes))

    @staticmethod
    def refuse_other_files(path: Path) -> None:
        """Refuse a place for a new store that holds anything but its lock, with a `StoreError`."""
        if path.exists() and (not path.is_dir() or any(file.name != ".lock" for file in path.iterdir())):
            got = f"{path}, which holds something else"
            raise StoreError("a new folder for the store", got, "Name another --store.")

    @classmethod
    def open(cls, path: Path) -> Store:
        """Open an existing store.

        Raises
        ------
        StoreError
            If there is none, or it has another schema.
        """
        if not (path / "zarr.json").is_file():
            raise StoreError("a feature store", f"none at {path}", "Build it: featstore build DATASET --store PATH.")
        try:
            group = zarr.open_group(path, mode="r+")
        except (ValueError, KeyError, OSError, TypeError) as error:
            raise StoreError(
                f"a readable feature store at {path}", str(error), "Build it anew in another folder."
            ) from error
        schema = group.attrs.get("schema")
        if schema != SCHEMA:
            raise StoreError(
                f"a store of schema {SCHEMA}", f"{schema!r} in {path}", "Build it anew with featstore build."
            )
        return cls(path, group)

    # -- what the store is ------------------------------------------------------------------------------------------

    @property
    def attrs(self) -> dict[str, Json]:
        """Schema, dataset, root, roi, identities and provenance."""
        return cast("dict[str, Json]", self._group.attrs.asdict())

    @property
    def name(self) -> str:
        """What the data set is called."""
        return str(self.attrs["dataset"])

    @property
    def roi(self) -> str:
        """ROI recipe and version that every row was cut with."""
        return str(self.attrs["roi"])

    @property
    def root(self) -> Path:
        """Folder that the photographs' paths start from."""
        return Path(str(self.attrs["root"]))

    def update_attrs(self, **changes: Json) -> None:
        """Replace attributes in one write."""
        self._group.attrs.update(changes)

    @property
    def identities(self) -> tuple[Identity, ...]:
        """Every identity the store has known; a row points at its place in this table."""
        table = cast("list[dict[str, object]]", self.attrs["identities"])
        return tuple(Identity(**entry) for entry in table)  # type: ignore[arg-type]  # JSON keeps what asdict wrote

    @property
    def backbones(self) -> tuple[str, ...]:
        """Names of the backbones with features, in the order in which they came."""
        return tuple(dict.fromkeys(identity.backbone for identity in self.identities))

    def identity(self, backbone: str) -> Identity:
        """What makes the features of a backbone now.

        Raises
        ------
        StoreError
            If the store has none of this backbone.
        """
        return self.identities[self.identity_number(backbone)]

    def identity_number(self, backbone: str) -> int:
        """Place of a backbone's current identity in the table."""
        places = [place for place, identity in enumerate(self.identities) if identity.backbone == backbone]
        if not places:
            known = ", ".join(self.backbones) or "none"
            raise StoreError(f"features of {backbone} in {self.path.name}", f"those of {known}", "Build them first.")
        return places[-1]

    def add_identity(self, identity: Identity) -> None:
        """Make `identity` the current one of its backbone."""
        table = cast("list[Json]", self.attrs["identities"])
        self.update_attrs(identities=[*table, cast("Json", asdict(identity))])

    # -- papers -----------------------------------------------------------------------------------------------------

    @property
    def papers(self) -> pd.DataFrame:
        """One row per photograph: the catalogue's columns and what decoding found, see `featstore.papers`.

        `status` is done, failed (see `reason`) or pending; boxes are in px of the full upright photograph.
        """
        generation = str(self.attrs["catalog"])
        if not generation:
            raise StoreError("a catalogue in the store", f"none in {self.path}", "Run featstore build again.")
        try:
            return read_papers(cast("zarr.Group", self._group[f"catalog/{generation}"]))
        except (KeyError, ValueError, RuntimeError) as error:
            remedy = "Run featstore build again: it writes the catalogue anew and keeps the features."
            raise StoreError(f"a readable catalogue in {self.path}", str(error), remedy) from error

    def write_papers(self, papers: pd.DataFrame) -> None:
        """Replace the catalogue: a new generation is written beside the old one and takes its place at once."""
        old = str(self.attrs["catalog"])
        new = f"g{int(old[1:]) + 1 if old else 1:06d}"
        generations = self._group.require_group("catalog")
        write_papers(generations.create_group(new, overwrite=True), papers)
        self.update_attrs(catalog=new)
        for name in [name for name, _ in generations.groups() if name != new]:
            del generations[name]

    def photograph(self, image_id: str) -> Path:
        """Path of a photograph.

        Raises
        ------
        StoreError
            If the catalogue has no such image.
        """
        papers = self.papers
        found = papers.loc[papers["image_id"] == image_id, "path"]
        if found.empty:
            raise StoreError("an image_id of this store", repr(image_id), "Look it up in the catalogue.")
        return self.root / str(found.iloc[0])
