"""Foreign features: ids and rows as they lie in an HDF5, NPZ or Parquet file that another program wrote."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from featstore.errors import DatasetError, listed
from featstore.provenance import sha256_of_file

ID_NAMES = ("image_id", "id", "ids", "key", "keys", "filename", "filenames", "file", "path", "paths", "name", "names")
"""What ids are called, the first that is there wins."""

_SINGLE = re.compile(r"f?\d+")
"""What columns of one feature each are called by `featstore.table.FeatureTable.frame`, or by pandas."""

_OBJECTS = np.dtype("V1")
"""Stands for Python objects, which are never read: that could run code."""


@dataclass(frozen=True)
class ForeignFeatures:
    """Features by id.

    Attributes
    ----------
    ids
        n ids, each once.
    features
        (n, d) float32, finite.
    source, sha256
        Name and digest of the file.

    Raises
    ------
    DatasetError
        If ids and rows do not match, an id is there twice, or a row is not finite.
    """

    ids: tuple[str, ...]
    features: NDArray[np.float32]
    source: str
    sha256: str

    def __post_init__(self) -> None:
        if self.features.ndim != 2 or len(self.ids) != len(self.features) or not self.features.size:
            got = f"{len(self.ids)} ids and features of shape {self.features.shape}"
            raise DatasetError(f"one row of features per id in {self.source}", got, "Correct the file.")
        seen: set[str] = set()
        twice = [key for key in self.ids if key in seen or seen.add(key)]  # type: ignore[func-returns-value]  # add() answers nothing, which is what is wanted
        if twice:
            got = f"{listed(twice)} twice"
            raise DatasetError(f"each id once in {self.source}", got, "Leave one row of each.")
        broken = np.flatnonzero(~np.isfinite(self.features).all(axis=1))
        if len(broken):
            got = f"NaN or infinity in those of {listed([self.ids[row] for row in broken])}"
            raise DatasetError(f"finite features in {self.source}", got, "Leave these rows out.")


def read_foreign(path: Path, ids: str = "", features: str = "") -> ForeignFeatures:
    """Read features that another program computed.

    Parameters
    ----------
    ids, features
        Name of the array or column of each (in HDF5 with its groups, ``features/dino``); "" finds them: ids by one
        of `ID_NAMES`, features as the only two-dimensional numbers, else as columns ``f0000``, ``f0001``, ...
        `features` may also be what columns of one feature each begin with.

    Raises
    ------
    DatasetError
        If the file cannot be read, or holds no such arrays.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DatasetError(f"a file that ends in {', '.join(READERS)}", repr(path.name), "Convert it.")
    try:
        arrays = reader(path)
    except (OSError, ValueError, KeyError) as error:
        raise DatasetError(f"a readable {path.suffix} file", f"{path}: {error}", "Write it again.") from error
    keys = _chosen(arrays, ids, "--ids", path, lambda name, _: name.rpartition("/")[2] in ID_NAMES)
    _refuse_objects(arrays, keys, "str", path)
    rows = _features(arrays, features, keys, path)
    texts = tuple(_text(key) for key in arrays[keys].tolist())
    return ForeignFeatures(texts, np.asarray(rows, dtype=np.float32), path.name, sha256_of_file(path))


def _features(arrays: Mapping[str, NDArray[np.generic]], named: str, keys: str, path: Path) -> NDArray[np.generic]:
    """The array of features, or columns of one feature each side by side."""
    whole = [name for name, array in arrays.items() if array.ndim == 2 and array.dtype.kind == "f"]
    if named not in arrays and (named or not whole):
        singles = _singles(arrays, named, keys)
        if singles:
            columns = np.column_stack([arrays[name] for name in singles])
            return _require_floats(columns, f"{singles[0]} to {singles[-1]}", path, named)
    if not named and not whole:
        for name, array in arrays.items():
            if array.ndim == 2 and array.dtype.kind in "iu":
                _require_floats(array, name, path, named)
    chosen = _chosen(arrays, named, "--features", path, lambda name, _: name in whole)
    _refuse_objects(arrays, chosen, "float32", path)
    return arrays[chosen]


def _singles(arrays: Mapping[str, NDArray[np.generic]], prefix: str, keys: str) -> list[str]:
    """Names of columns of numbers that begin alike, those that go on with a number in its order."""
    numbers = [name for name, array in arrays.items() if array.ndim == 1 and array.dtype.kind in "fiu" and name != keys]
    if not prefix:
        found = [name for name in numbers if _SINGLE.fullmatch(name)]
        # A single one is a number of another sort.
        return sorted(found, key=lambda name: int(name.removeprefix("f"))) if len(found) > 1 else []
    found = [name for name in numbers if name.startswith(prefix)]
    numbered = [name for name in found if name.removeprefix(prefix).isdecimal()]
    return sorted(numbered, key=lambda name: int(name.removeprefix(prefix))) or found


def _require_floats(array: NDArray[np.generic], name: str, path: Path, named: str) -> NDArray[np.generic]:
    """Refuse whole numbers that nobody has asked for by name: they may be classes, counts or codes."""
    if array.dtype.kind == "f" or named:
        return array
    raise DatasetError(
        f"features as float in {path.name}",
        f"{name}, which are {array.dtype}",
        "Write them with .astype('float32'), or name them: --features NAME.",
    )


def _refuse_objects(arrays: Mapping[str, NDArray[np.generic]], name: str, dtype: str, path: Path) -> None:
    if arrays[name].dtype == _OBJECTS:
        raise DatasetError(
            f"text or numbers as {name} in {path.name}",
            "Python objects (as columns of pandas are), which are never read because they can run code",
            f"Write it with {name}=np.asarray(values).astype({dtype!r}).".replace("'str'", "str"),
        )


def _chosen(
    arrays: Mapping[str, NDArray[np.generic]],
    named: str,
    option: str,
    path: Path,
    fits: Callable[[str, NDArray[np.generic]], bool],
) -> str:
    shapes = {name: "of objects" if array.dtype == _OBJECTS else array.shape for name, array in arrays.items()}
    there = listed([f"{name} {shape}" for name, shape in shapes.items()], 12) or "nothing"
    if named:
        if named not in arrays:
            raise DatasetError(f"{named} in {path.name}", there, f"Correct {option}.")
        return named
    found = [name for name, array in arrays.items() if fits(name, array)]
    if option == "--ids" and found:
        return min(found, key=lambda name: ID_NAMES.index(name.rpartition("/")[2]))
    if len(found) != 1:
        what = "ids" if option == "--ids" else "two-dimensional features"
        raise DatasetError(f"one array of {what} in {path.name}", there, f"Name it: {option} NAME.")
    return found[0]


def _text(key: object) -> str:
    if isinstance(key, bytes):
        return key.decode("utf-8", errors="replace")
    return str(int(key)) if isinstance(key, float) and key.is_integer() else str(key)


def _read_npz(path: Path) -> dict[str, NDArray[np.generic]]:
    arrays: dict[str, NDArray[np.generic]] = {}
    with np.load(path, allow_pickle=False) as archive:
        for name in archive.files:
            try:
                arrays[name] = archive[name]
            except ValueError as error:
                if "allow_pickle" not in str(error):
                    raise
                arrays[name] = np.empty(0, dtype=_OBJECTS)
    return arrays


def _read_hdf5(path: Path) -> dict[str, NDArray[np.generic]]:
    import h5py

    arrays: dict[str, NDArray[np.generic]] = {}
    with h5py.File(path, "r") as file:

        def collect(name: str, item: object) -> None:
            if isinstance(item, h5py.Dataset):
                arrays[name] = np.asarray(item[()])

        file.visititems(collect)
    return arrays


def _read_parquet(path: Path) -> dict[str, NDArray[np.generic]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays: dict[str, NDArray[np.generic]] = {}
    table = pq.read_table(path)
    for name in table.column_names:
        column = table[name].combine_chunks()
        if pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type):
            rows = column.to_pylist()
            if len({len(row) for row in rows if row is not None}) == 1 and None not in rows:
                arrays[name] = np.asarray(column.flatten()).reshape(len(rows), -1)
        elif pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
            arrays[name] = column.to_numpy(zero_copy_only=False)
        else:
            arrays[name] = np.asarray(column.to_pylist(), dtype=object if pa.types.is_string(column.type) else None)
    return arrays


READERS: Mapping[str, Callable[[Path], Mapping[str, NDArray[np.generic]]]] = {
    ".npz": _read_npz,
    ".h5": _read_hdf5,
    ".hdf5": _read_hdf5,
    ".parquet": _read_parquet,
}
