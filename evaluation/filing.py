"""Filing: how predictions lie in their HDF5 file (schema predictions/1), opened to be read or written row by row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import h5py
import numpy as np
from numpy.typing import NDArray

from evaluation.invariants import REBUILD, check_distributions
from evaluation.rows import StoredRows
from featstore.errors import PredictionsError
from featstore.provenance import replacing, require_room

SCHEMA = "predictions/1"
STRINGS = ("image_id", "observation_id", "author", "view", "true_class")
OPTIONAL = ("unseen", "log_sum_exp")


class RowWriter:
    """Takes the rows of a file that is being written, in any order and from any thread; `open_writer` makes it."""

    def __init__(self, dataset: h5py.Dataset, image_id: NDArray[np.str_]) -> None:
        self._dataset, self._image_id, self._lock = dataset, image_id, Lock()

    def __call__(self, low: int, rows: NDArray[np.floating]) -> None:
        """Write rows (m, k) as numbers `low` and following.

        Raises
        ------
        PredictionsError
            If one of them is no distribution.
        """
        high = low + len(rows)
        narrow = rows.astype(StoredRows.dtype, copy=False)
        check_distributions(narrow, self._image_id[low:high], low)
        with self._lock:
            self._dataset[low:high] = narrow


@contextmanager
def open_writer(
    path: Path,
    attributes: Mapping[str, str | float],
    strings: Mapping[str, NDArray[np.str_]],
    optional: Mapping[str, NDArray[np.bool_] | NDArray[np.float32]],
) -> Iterator[RowWriter]:
    """Create a file that has everything but its probabilities, and wait for these; it appears whole or not at all.

    Probabilities lie uncompressed: gzip saves 12 % of them and writes fifty times slower.

    Parameters
    ----------
    path
        Where it shall lie.
    attributes
        Model, split and what else is known of the whole.
    strings
        `STRINGS`, each (n,), and ``classes`` (k,).
    optional
        Those of `OPTIONAL` that are known, each (n,).

    Raises
    ------
    PredictionsError
        If an id cannot be written as UTF-8.
    OSError
        If the disk has no room.
    """
    shape = len(strings["image_id"]), len(strings["classes"])
    n_bytes = StoredRows.dtype.itemsize * shape[0] * shape[1] + sum(values.nbytes for values in strings.values())
    require_room(path.parent, int(1.1 * n_bytes))
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        try:
            file.attrs.update({"schema": SCHEMA, **attributes})
            for name, values in strings.items():
                file.create_dataset(name, data=values.astype(object), dtype=h5py.string_dtype("utf-8"))
        except ValueError as error:
            raise PredictionsError(
                "ids and names that are UTF-8 text without NUL",
                f"{error} while writing {path}",
                "Rename the photographs or correct the metadata, then build the feature store again.",
            ) from error
        for name, known in optional.items():
            file.create_dataset(name, data=known)
        yield RowWriter(file.create_dataset("probability", shape, StoredRows.dtype), strings["image_id"])


@contextmanager
def open_file(path: Path) -> Iterator[h5py.File]:
    """Open a file of this schema; whatever fails while it is read names the file.

    Raises
    ------
    PredictionsError
        If the file is absent, damaged or of another schema.
    """
    if not path.is_file():
        raise PredictionsError("a file of predictions", f"{path}, which is not a file", "Check the path.")
    try:
        with h5py.File(path, "r") as file:
            _require_schema(file, path)
            yield file
    except (AttributeError, OSError, TypeError, ValueError) as error:
        got = f"{path}, which is damaged or of another kind ({error})"
        raise PredictionsError("a readable HDF5 file of predictions", got, REBUILD) from error


def _require_schema(file: h5py.File, path: Path) -> None:
    schema = file.attrs.get("schema", "none")
    if schema != SCHEMA:
        raise PredictionsError(f"schema {SCHEMA}", f"{schema} in {path}", REBUILD)
    absent = [name for name in (*STRINGS, "classes", "probability") if name not in file]
    if absent:
        raise PredictionsError("the datasets of schema predictions/1", f"{path} without {', '.join(absent)}", REBUILD)


def text_attribute(file: h5py.File, name: str) -> str:
    """Read an attribute that has to be text.

    Raises
    ------
    PredictionsError
        If it is absent or none.
    """
    value = file.attrs.get(name)
    if not isinstance(value, str):
        raise PredictionsError(f"the text attribute `{name}`", repr(value), REBUILD)
    return value
