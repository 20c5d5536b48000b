"""Papers in zarr: the catalogue, one array per column, in generations that replace one another at once."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, cast

import numpy as np

from featstore.catalog import NUMBER_COLUMNS, TEXT_COLUMNS
from featstore.errors import StoreError, listed
from featstore.store.arrays import ArraySpec
from featstore.store.place import Place

if TYPE_CHECKING:
    import pandas as pd
    import zarr
    from zarr.core.metadata import ArrayV3Metadata

_CHUNK_ROWS = 65_536


def read_generation(place: Place, group: zarr.Group, generation: str) -> pd.DataFrame:
    """Read a generation of the catalogue.

    Raises
    ------
    StoreError
        If there is none yet, or it is damaged.
    """
    if not generation:
        raise StoreError("a catalogue in the store", f"none in {place.url}", "Run featstore build again.")
    folder = f"catalog/{generation}"
    try:
        papers = _read_papers(cast("zarr.Group", group[folder]))
        # To zarr a chunk that is not there is an empty one.
        files = place.sizes(folder)
        lost = [key for name in papers for key in _chunks(str(name), len(papers)) if f"{folder}/{key}" not in files]
    except (KeyError, ValueError, RuntimeError, OSError) as error:
        raise _damaged(place.url, str(error)) from error
    if lost:
        raise _damaged(place.url, f"none of {listed(lost)}")
    return papers


def is_intact(place: Place, group: zarr.Group, generation: str, digest: str) -> bool:
    """Whether a generation can be read and is of the digest that it was written with."""
    try:
        return papers_digest(read_generation(place, group, generation)) == digest
    except StoreError:
        return False


def write_generation(group: zarr.Group, papers: pd.DataFrame, old: str) -> str:
    """Write the generation after `old` ("" before the first), every column an array of its own; return its name."""
    new = f"g{int(old[1:]) + 1 if old else 1:06d}"
    generation = group.require_group("catalog").create_group(new, overwrite=True)
    for names, dtype in ((TEXT_COLUMNS, "str"), (NUMBER_COLUMNS, "float64")):
        for name in names:
            values = papers[name].to_numpy(dtype=object if dtype == "str" else dtype)
            spec = ArraySpec(name, values.shape, (min(len(values), _CHUNK_ROWS),), dtype)
            spec.create(generation)[:] = values
    return new


def keep_generation(group: zarr.Group, generation: str) -> None:
    """Remove every other generation."""
    generations = group.require_group("catalog")
    for name in [name for name, _ in generations.groups() if name != generation]:
        del generations[name]


def _read_papers(group: zarr.Group) -> pd.DataFrame:
    import pandas as pd

    columns = {}
    for name in (*TEXT_COLUMNS, *NUMBER_COLUMNS):
        values = np.asarray(cast("zarr.Array[ArrayV3Metadata]", group[name])[:])
        columns[name] = pd.Series(values.astype(object), dtype="str") if name in TEXT_COLUMNS else pd.Series(values)
    return pd.DataFrame(columns)


def _chunks(column: str, n_rows: int) -> list[str]:
    return [f"{column}/c/{chunk}" for chunk in range(-(-n_rows // _CHUNK_ROWS))]


def _damaged(location: str, got: str) -> StoreError:
    remedy = "Run featstore build again: it writes the catalogue anew and keeps the features."
    return StoreError(f"a readable catalogue in {location}", got, remedy)


def papers_digest(papers: pd.DataFrame) -> str:
    """A digest that tells whether two catalogues say the same of the same photographs in the same order."""
    import pandas as pd

    columns = papers[[*TEXT_COLUMNS, *NUMBER_COLUMNS]]
    rows = pd.util.hash_pandas_object(columns, index=False).to_numpy()
    return hashlib.sha256(rows.tobytes()).hexdigest()
