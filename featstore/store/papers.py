"""Papers in zarr: the catalogue, one array per column, in generations that replace one another at once."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
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
_COLUMNS = (*((name, "str") for name in TEXT_COLUMNS), *((name, "float64") for name in NUMBER_COLUMNS))

GROUP: dict[str, object] = {"attributes": {}, "zarr_format": 3, "node_type": "group"}
"""What every group but the root says of itself."""

UNREADABLE = (KeyError, ValueError, TypeError, AttributeError, IndexError, RuntimeError, OSError)
"""What zarr raises where metadata is not what it was."""


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
        papers = _read_papers(group, folder)
        # To zarr a chunk that is not there is an empty one.
        files = place.sizes(folder)
        lost = [key for name in papers for key in _chunks(str(name), len(papers)) if f"{folder}/{key}" not in files]
    except UNREADABLE as error:
        raise _damaged(place.url, repr(error)) from error
    if lost:
        raise _damaged(place.url, f"none of {listed(lost)}")
    return papers


def intact_generation(place: Place, group: zarr.Group, generation: str, digest: str) -> pd.DataFrame | None:
    """Read a generation of the catalogue if it is there and says what was written."""
    try:
        papers = read_generation(place, group, generation)
    except StoreError:
        return None
    return papers if papers_digest(papers) == digest else None


def write_generation(place: Place, group: zarr.Group, papers: pd.DataFrame, old: str) -> str:
    """Write the generation after `old` ("" before the first), every column an array of its own; return its name."""
    new = f"g{int(old[1:]) + 1 if old else 1:06d}"
    if group_fault(place.read("catalog/zarr.json")):
        place.write("catalog/zarr.json", group_layout())
    group.create_group(f"catalog/{new}", overwrite=True)
    for spec in _specs(new, len(papers)):
        column = papers[spec.path.rpartition("/")[2]]
        values = column.to_numpy(dtype=object if spec.dtype == "str" else spec.dtype)
        spec.create(group)[:] = values
    return new


def keep_generation(place: Place, group: zarr.Group, generation: str) -> None:
    """Remove every other generation."""
    # By their files: what is damaged cannot be listed.
    found = {key.split("/")[1] for key in place.sizes("catalog") if key.count("/") > 1}
    for name in sorted(found - {generation}):
        del group[f"catalog/{name}"]


def group_layout() -> bytes:
    """What lies at the ``zarr.json`` of a group."""
    return json.dumps(GROUP, indent=2).encode()


def group_fault(found: bytes | None) -> str:
    """What is wrong with the ``zarr.json`` of a group, "" if nothing is."""
    try:
        content = json.loads(found or b"")
        # Later versions of zarr may write more, never less.
        differing = [key for key, value in GROUP.items() if content.get(key) != value]
    except (ValueError, AttributeError) as error:
        return f"no layout of a group: {error}"
    return f"another {', '.join(differing)}" if differing else ""


def n_rows_of(layout: bytes | None) -> int:
    """Rows of an array by its layout, -1 where that cannot be read."""
    try:
        return int(json.loads(layout or b"")["shape"][0])
    except UNREADABLE:
        return -1


def layout_faults(place: Place, generation: str) -> Iterator[tuple[str, str, bytes]]:
    """Where the layout of a catalogue is not as it was written: key, what was found, and what has to lie there."""
    for key in ("catalog/zarr.json", f"catalog/{generation}/zarr.json"):
        detail = group_fault(place.read(key))
        if detail:
            yield key, detail, group_layout()
    found = {spec.layout_key: place.read(spec.layout_key) for spec in _specs(generation, 1)}
    # All columns have as many rows; most of them will tell how many.
    n_rows = Counter(n for n in map(n_rows_of, found.values()) if n > 0).most_common(1)
    for spec in _specs(generation, n_rows[0][0]) if n_rows else ():
        layout = found[spec.layout_key]
        detail = spec.layout_fault(layout) or ("" if n_rows_of(layout) == spec.shape[0] else "another number of rows")
        if detail:
            yield spec.layout_key, detail, spec.layout()


def _specs(generation: str, n_rows: int) -> Iterator[ArraySpec]:
    for name, dtype in _COLUMNS:
        yield ArraySpec(f"catalog/{generation}/{name}", (n_rows,), (min(n_rows, _CHUNK_ROWS),), dtype)


def _read_papers(group: zarr.Group, folder: str) -> pd.DataFrame:
    import pandas as pd

    columns = {}
    for name, dtype in _COLUMNS:
        values = np.asarray(cast("zarr.Array[ArrayV3Metadata]", group[f"{folder}/{name}"])[:])
        columns[name] = pd.Series(values.astype(object), dtype="str") if dtype == "str" else pd.Series(values)
    sizes = {name: len(values) for name, values in columns.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"columns of different lengths: {sizes}")
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
