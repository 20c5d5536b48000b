"""Papers in zarr: the catalogue and what decoding found, one array per column."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from featstore.catalog import NUMBER_COLUMNS, TEXT_COLUMNS

if TYPE_CHECKING:
    import pandas as pd
    import zarr
    from zarr.core.metadata import ArrayV3Metadata

_CHUNK_ROWS = 65_536

TEXTS = (*TEXT_COLUMNS, "sha256", "status", "reason")
INTEGERS = ("box_top", "box_left", "box_bottom", "box_right", "file_bytes", "file_mtime_ns")
NUMBERS = NUMBER_COLUMNS
"""Columns of a store's papers: those of the catalogue, then what decoding found."""


def read_papers(group: zarr.Group) -> pd.DataFrame:
    """Read every column of one generation of the catalogue."""
    import pandas as pd

    columns = {}
    for name in (*TEXTS, *NUMBERS, *INTEGERS):
        values = np.asarray(cast("zarr.Array[ArrayV3Metadata]", group[name])[:])
        columns[name] = pd.Series(values.astype(object), dtype="str") if name in TEXTS else pd.Series(values)
    return pd.DataFrame(columns)


def write_papers(group: zarr.Group, papers: pd.DataFrame) -> None:
    """Write every column as an array of its own."""
    for names, dtype in ((TEXTS, str), (NUMBERS, "float64"), (INTEGERS, "int64")):
        for name in names:
            values = papers[name].to_numpy(dtype=object if dtype is str else dtype)
            array = group.create_array(name, shape=values.shape, chunks=(min(len(values), _CHUNK_ROWS),), dtype=dtype)
            array[:] = values
