"""Arrays of a saved head in one ``.npz``, written whole or not at all, read without pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from featstore.provenance import replacing


def write_arrays(path: Path, **arrays: NDArray[Any]) -> None:
    """Write arrays by name."""
    with replacing(path) as temporary:
        np.savez(temporary, **arrays)  # type: ignore[arg-type]  # no array is called allow_pickle


def read_arrays(path: Path, *names: str) -> list[NDArray[Any]]:
    """Read some arrays of a file; `ValueError` or `OSError` if that cannot be done."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return [arrays[name] for name in names]
    except (BadZipFile, KeyError) as error:
        raise ValueError(f"{path.name}: {error}") from error
