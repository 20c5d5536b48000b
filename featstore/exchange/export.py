"""Export: papers and features of a store as one Parquet, NPZ or HDF5 file, a batch of rows at a time."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from featstore import shell
from featstore.errors import SettingsError
from featstore.provenance import provenance, replacing
from featstore.store.rows import CHUNK_ROWS
from featstore.table import FeatureTable, LazyTable

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA = "export/1"
BATCH_ROWS = 64 * CHUNK_ROWS
"""Rows in memory at a time."""

ABOUT = "about"
"""Where each format keeps, as JSON, what made the features."""


def export_table(table: LazyTable, path: Path) -> int:
    """Write a table to a file whose suffix names the format.

    Parquet has one column per paper and one list column of float32 per name of features; NPZ one array per paper
    column and name; HDF5 the groups ``papers`` and ``features``. Each says under `ABOUT` what made the features.

    Returns
    -------
    Number of rows.

    Raises
    ------
    SettingsError
        If the suffix names no format.
    """
    writer = WRITERS.get(path.suffix.lower())
    if writer is None:
        raise SettingsError(f"a file that ends in {', '.join(WRITERS)}", repr(path.name), "Rename the output.")
    with replacing(path) as temporary:
        writer(table, temporary)
    return len(table)


def about(table: LazyTable) -> str:
    """What made the features, as JSON."""
    store = table.store
    content = {
        "schema": SCHEMA,
        "dataset": store.name,
        "features": {name: {**asdict(store.identity(name)), **store.essence(name)} for name in table.backbones},
        "recipes": {name: store.recipe(name).to_json() for name in table.backbones},
        "provenance": provenance(),
    }
    return json.dumps(content, ensure_ascii=False)


def _batches(table: LazyTable) -> Iterator[FeatureTable]:
    with shell.progress(len(table), "exporting", "images") as bar:
        for batch in table.batches(BATCH_ROWS):
            yield batch
            bar.update(len(batch))


def _by_name(table: LazyTable, features: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
    """The features of each name out of those that stand side by side."""
    ends = np.cumsum([table.store.column(name).dimension for name in table.backbones])
    return dict(zip(table.backbones, np.split(features, ends[:-1], axis=1), strict=True))


def _write_parquet(table: LazyTable, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer: pq.ParquetWriter | None = None
    try:
        for batch in _batches(table):
            rows = _arrow(table, batch)
            if writer is None:
                writer = pq.ParquetWriter(path, rows.schema.with_metadata({ABOUT: about(table)}))
            writer.write_table(rows.cast(pa.schema(writer.schema)))
    finally:
        if writer is not None:
            writer.close()


def _arrow(table: LazyTable, batch: FeatureTable) -> pa.Table:
    import pyarrow as pa

    rows = pa.Table.from_pandas(batch.papers, preserve_index=False)
    for name, features in _by_name(table, batch.features).items():
        column = pa.FixedSizeListArray.from_arrays(pa.array(features.ravel()), features.shape[1])
        rows = rows.append_column(name, column)
    return rows


def _write_npz(table: LazyTable, path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for column in table.papers.columns:
            values = table.papers[column]
            array = values.to_numpy(dtype=np.str_) if values.dtype.kind not in "fiu" else values.to_numpy()
            _write_array(archive, column, np.asarray(array))
        _write_array(archive, ABOUT, np.asarray(about(table)))
        for name in table.backbones:
            alone = LazyTable(table.store, table.papers, (name,))
            shape = (len(table), table.store.column(name).dimension)
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                header = {"descr": "<f4", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_2_0(file, header)
                for batch in _batches(alone):
                    file.write(np.ascontiguousarray(batch.features, dtype="<f4").tobytes())


def _write_array(archive: zipfile.ZipFile, name: str, array: NDArray[np.generic]) -> None:
    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        np.lib.format.write_array(file, array, allow_pickle=False)


def _write_hdf5(table: LazyTable, path: Path) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs["schema"] = SCHEMA
        file.attrs[ABOUT] = about(table)
        for column in table.papers.columns:
            values = table.papers[column]
            text = values.dtype.kind not in "fiu"
            data = values.to_numpy(dtype=object) if text else values.to_numpy()
            file.create_dataset(f"papers/{column}", data=data, dtype=h5py.string_dtype() if text else None)
        for name in table.backbones:
            shape = (len(table), table.store.column(name).dimension)
            file.create_dataset(f"features/{name}", shape=shape, dtype="float32")
        start = 0
        for batch in _batches(table):
            for name, features in _by_name(table, batch.features).items():
                file["features"][name][start : start + len(batch)] = features
            start += len(batch)


WRITERS: Mapping[str, Callable[[LazyTable, Path], None]] = {
    ".parquet": _write_parquet,
    ".npz": _write_npz,
    ".h5": _write_hdf5,
    ".hdf5": _write_hdf5,
}
