"""The feature store: the only module that knows zarr. Rows are found by (view, image_id); each knows what made it.

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

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import zarr
from numpy.typing import NDArray

from featstore.catalog import VIEWS, Catalog
from featstore.errors import StoreError
from featstore.identity import Identity
from featstore.papers import read_papers, write_papers
from featstore.provenance import Json, provenance
from featstore.records import Records

if TYPE_CHECKING:
    import pandas as pd
    from zarr.core.metadata import ArrayV3Metadata

SCHEMA = "features/1"
CHUNK_ROWS = 64
KEY_CHUNK_ROWS = 65_536


class Store:
    """An open feature store. Create one with `Store.create`, open one with `Store.open`."""

    def __init__(self, path: Path, group: zarr.Group) -> None:
        self.path = path
        self.records = Records(path / "records")
        self._group = group

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

    @property
    def views(self) -> tuple[str, ...]:
        """Views that have rows, in the order of `VIEWS`."""
        return tuple(view for view in VIEWS if f"{view}/image_id" in self._group)

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

    # -- rows -------------------------------------------------------------------------------------------------------

    def row_keys(self, view: str) -> list[str]:
        """image_id of each row of a view; "" where a row is not taken."""
        if f"{view}/image_id" not in self._group:
            return []
        return [str(key) for key in np.asarray(self._array(f"{view}/image_id")[:])]

    def write_row_keys(self, view: str, keys: Sequence[str]) -> None:
        """Set the rows of a view. Known keys keep their places, so that features stay with their images."""
        path = f"{view}/image_id"
        if path not in self._group:
            self._group.create_array(path, shape=(0,), chunks=(KEY_CHUNK_ROWS,), dtype=str)
        array = self._array(path)
        array.resize((len(keys),))
        array[:] = np.asarray(keys, dtype=object)
        encoded = [key.encode() for key in keys]
        width = max(map(len, encoded))
        utf8 = np.frombuffer(b"".join(key.ljust(width, b"\0") for key in encoded), dtype=np.uint8).reshape(-1, width)
        # Derived from image_id for readers that know numbers only, so it may be replaced.
        copy = self._group.create_array(
            f"{view}/image_id_utf8",
            shape=utf8.shape,
            chunks=(KEY_CHUNK_ROWS, width),
            dtype="uint8",
            overwrite=True,
        )
        copy[:] = utf8

    def prepare_features(self, view: str, backbone: str, dimension: int) -> None:
        """Give a backbone an array with one row per row key of the view, keeping what is there."""
        n_rows = len(self.row_keys(view))
        for path, shape, chunks, dtype, fill in (
            (f"{view}/{backbone}", (n_rows, dimension), (CHUNK_ROWS, dimension), "float32", np.nan),
            (f"{view}/identity/{backbone}", (n_rows,), (CHUNK_ROWS,), "int32", -1),
        ):
            if path in self._group:
                array = self._array(path)
                if array.shape != shape:
                    array.resize(shape)
                continue
            self._group.create_array(path, shape=shape, chunks=chunks, dtype=dtype, fill_value=fill, compressors=None)

    def read_chunk(self, view: str, backbone: str, chunk: int) -> NDArray[np.float32]:
        """Rows of one chunk, (rows, d) float32, NaN where not computed."""
        return np.asarray(self._array(f"{view}/{backbone}")[self._rows(chunk)], dtype=np.float32)

    def write_chunk(
        self, view: str, backbone: str, chunk: int, rows: NDArray[np.float32], contents: Mapping[str, str]
    ) -> None:
        """Write a whole chunk, then the record that makes its rows count.

        Parameters
        ----------
        rows
            (rows, d) float32, NaN where not computed.
        contents
            sha256 of the photograph behind each computed row, by image_id.
        """
        number = self.identity_number(backbone)
        computed = ~np.isnan(rows).all(axis=1)
        # An old record must not vouch for new rows if we are killed in between.
        self.records.forget(view, backbone, chunk)
        self._array(f"{view}/{backbone}")[self._rows(chunk)] = rows
        self._array(f"{view}/identity/{backbone}")[self._rows(chunk)] = np.where(computed, number, -1).astype(np.int32)
        self.records.write(
            view,
            backbone,
            chunk,
            {"identity": number, "n_rows": len(rows), "rows": dict(contents), "sha256": _digest(rows)},
        )

    def read_features(self, view: str, backbone: str) -> NDArray[np.float32]:
        """All rows of a view, (n_view, d) float32, NaN where not computed."""
        return np.asarray(self._array(f"{view}/{backbone}")[:], dtype=np.float32)

    def dimension(self, backbone: str) -> int:
        """Number of features of a backbone; `StoreError` if the store has none."""
        self.identity_number(backbone)
        for view in VIEWS:
            if self.has_features(view, backbone):
                return int(self._array(f"{view}/{backbone}").shape[1])
        raise StoreError(f"features of {backbone}", f"none computed in {self.path}", "Run featstore build again.")

    def has_features(self, view: str, backbone: str) -> bool:
        """Whether a view has an array of this backbone."""
        return f"{view}/{backbone}" in self._group

    def _array(self, path: str) -> zarr.Array[ArrayV3Metadata]:
        return cast("zarr.Array[ArrayV3Metadata]", self._group[path])

    @staticmethod
    def _rows(chunk: int) -> slice:
        return slice(chunk * CHUNK_ROWS, (chunk + 1) * CHUNK_ROWS)

    def damaged(self, view: str, backbone: str) -> list[int]:
        """Chunks whose bytes are not those that their record vouches for."""
        found = []
        for chunk, record in sorted(self.records.chunks(view, backbone).items()):
            n_rows = int(cast("int", record["n_rows"]))
            try:
                intact = _digest(self.read_chunk(view, backbone, chunk)[:n_rows]) == record["sha256"]
            except (ValueError, RuntimeError, OSError):
                intact = False
            if not intact:
                found.append(chunk)
        return found

    def computed_in(self, view: str, backbone: str, chunk: int) -> dict[str, str]:
        """As `computed`, for one chunk."""
        record = self.records.chunk(view, backbone, chunk)
        if record is None or record["identity"] != self.identity_number(backbone):
            return {}
        return cast("dict[str, str]", record["rows"])

    def computed(self, view: str, backbone: str) -> dict[str, str]:
        """sha256 of the photograph behind every row that counts, by image_id."""
        current = self.identity_number(backbone)
        rows: dict[str, str] = {}
        for record in self.records.chunks(view, backbone).values():
            if record["identity"] == current:
                rows |= cast("dict[str, str]", record["rows"])
        return rows


def _digest(rows: NDArray[np.float32]) -> str:
    return hashlib.sha256(np.ascontiguousarray(rows).data).hexdigest()
