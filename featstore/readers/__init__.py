"""Readers: whatever form a data set has, one `Catalog` comes out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from featstore.catalog import Catalog
from featstore.errors import DatasetError, counted, listed
from featstore.readers import folders, plantclef, table
from featstore.readers.reader import Reader, walk

READERS: dict[str, Reader] = {reader.name: reader for reader in (plantclef.READER, table.READER, folders.READER)}
"""Every known form, in the order in which it is looked for."""


def read_dataset(root: Path, reader: str | None = None, *, new: bool = False) -> Catalog:
    """Read the papers of a data set.

    Parameters
    ----------
    root
        A folder of photographs, or a CSV or Parquet table.
    reader
        One of `READERS`; None chooses by looking.
    new
        The photographs are to be identified: what need not tell their classes is read all the same.

    Raises
    ------
    DatasetError
        If nothing is there, no reader recognises it, or its records contradict each other.
    """
    require_path(root)
    if reader is not None:
        if reader not in READERS:
            raise DatasetError(f"a reader among {', '.join(READERS)}", repr(reader), "Choose one of these.")
        return _read(READERS[reader], root, new=new)
    found = reader_of(root)
    if found is not None:
        return _read(found, root, new=new)
    forms = "; ".join(f"{known.name}: {known.description}" for known in READERS.values())
    raise DatasetError("a data set of photographs", _instead(root), f"Give one of these forms: {forms}.")


def reader_of(root: Path) -> Reader | None:
    """The first of `READERS` that recognises what is there, None if none does."""
    return next((candidate for candidate in READERS.values() if candidate.recognises(root)), None)


def _instead(root: Path) -> str:
    """Say what is there that no reader recognises."""
    if root.is_file():
        return f"a file that is no table of photographs: {root}"
    if (root / "zarr.json").is_file():
        return f"a feature store: {root}"
    kinds = Counter(path.suffix or path.name for path in walk(root))
    if not kinds:
        return f"a folder without files: {root}"
    told = listed([f"{counted(n, 'file')} of {kind}" for kind, n in kinds.most_common()])
    return f"{told} in {root}, but no photograph, no XML record and no table that lists photographs"


def require_path(root: Path) -> None:
    """Refuse photographs where nothing is, with a `DatasetError`."""
    if not root.exists():
        raise DatasetError("a folder or table of photographs", f"no such path: {root}", "Check the spelling.")


def _read(reader: Reader, root: Path, *, new: bool) -> Catalog:
    return reader.read_new(root) if new and reader.read_new is not None else reader.read(root)


__all__ = ["READERS", "Reader", "read_dataset", "reader_of", "require_path"]
