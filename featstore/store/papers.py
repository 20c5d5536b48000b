"""Papers in zarr: the catalogue, one array per column, in generations that replace one another at once."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, cast

import numpy as np
from zarr.codecs import Crc32cCodec

from featstore.catalog import NUMBER_COLUMNS, TEXT_COLUMNS

if TYPE_CHECKING:
    import pandas as pd
    import zarr
    from zarr.core.metadata import ArrayV3Metadata

_CHUNK_ROWS = 65_536


def read_papers(group: zarr.Group) -> pd.DataFrame:
    """Read every column of one generation of the catalogue."""
    import pandas as pd

    columns = {}
    for name in (*TEXT_COLUMNS, *NUMBER_COLUMNS):
        values = np.asarray(cast("zarr.Array[ArrayV3Metadata]", group[name])[:])
        columns[name] = pd.Series(values.astype(object), dtype="str") if name in TEXT_COLUMNS else pd.Series(values)
    return pd.DataFrame(columns)


def write_papers(group: zarr.Group, papers: pd.DataFrame) -> None:
    """Write every column as an array of its own."""
    for names, dtype, fill in ((TEXT_COLUMNS, str, ""), (NUMBER_COLUMNS, "float64", np.nan)):
        for name in names:
            values = papers[name].to_numpy(dtype=object if dtype is str else dtype)
            array = group.create_array(
                name,
                shape=values.shape,
                chunks=(min(len(values), _CHUNK_ROWS),),
                dtype=dtype,
                fill_value=fill,
                compressors=[Crc32cCodec()],
            )
            array[:] = values


def papers_digest(papers: pd.DataFrame) -> str:
    """A digest that tells whether two catalogues say the same of the same photographs in the same order."""
    import pandas as pd

    columns = papers[[*TEXT_COLUMNS, *NUMBER_COLUMNS]]
    rows = pd.util.hash_pandas_object(columns, index=False).to_numpy()
    return hashlib.sha256(rows.tobytes()).hexdigest()
