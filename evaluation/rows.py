"""Rows: a matrix of probabilities in memory, or one that stays in its file and is read a few rows at a time."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import h5py
import numpy as np
from numpy.typing import NDArray

from evaluation.invariants import check_distributions
from featstore.provenance import require_room

CELLS_AT_ONCE = 1 << 17
"""Cells of one block: as float64 they fill 1 MiB, which a processor's cache holds."""

Index = NDArray[np.intp] | NDArray[np.bool_] | slice


class Matrix(Protocol):
    """An (n, k) matrix that gives its rows; every two-dimensional array is one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, k)."""

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """Of the cells."""

    def __len__(self) -> int:
        """Number n of rows."""

    def __getitem__(self, index: Index, /) -> NDArray[np.floating]:
        """The rows at these positions, in this order."""

    def __array__(self) -> NDArray[np.floating]:
        """All rows, in memory."""


class StoredRows:
    """Float32 rows in an open file; proved when they were opened, read when asked for.

    `open_rows` makes them. The file that was proved is the one that is read, even when another takes its name.

    Parameters
    ----------
    pages
        The file, mapped for reading.
    matrix
        (n_stored, k) the rows in `pages`.
    position
        (n,) which of them each row is.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, pages: mmap.mmap, matrix: NDArray[np.float32], position: NDArray[np.intp]) -> None:
        self._pages, self._matrix, self._position = pages, matrix, position

    @property
    def shape(self) -> tuple[int, int]:
        """(n, k)."""
        return len(self._position), self._matrix.shape[1]

    def __len__(self) -> int:
        """Number n of rows."""
        return len(self._position)

    def take(self, rows: NDArray[np.intp]) -> StoredRows:
        """Give the rows at these positions, in that order, still in the file."""
        return StoredRows(self._pages, self._matrix, self._position[rows])

    def __getitem__(self, index: Index) -> NDArray[np.float32]:
        """Read rows into memory; several threads may read at once."""
        found = self._matrix[self._position[index]]
        # Pages that were looked at count as this process' memory until they are let go.
        if hasattr(mmap, "MADV_DONTNEED"):
            self._pages.madvise(mmap.MADV_DONTNEED)
        return found

    def __array__(self, dtype: np.dtype[np.floating] | None = None, copy: bool | None = None) -> NDArray[np.floating]:
        """All rows, in memory."""
        if copy is False:
            raise ValueError("rows in a file cannot become an array without a copy")
        found = np.empty(self.shape, dtype=self.dtype if dtype is None else dtype)
        for block in row_blocks(self.shape):
            found[block] = self[block]
        return found


def row_blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Cut the rows of a matrix into blocks of `CELLS_AT_ONCE` cells, at least a row each."""
    step = max(1, CELLS_AT_ONCE // shape[1])
    for low in range(0, shape[0], step):
        yield slice(low, min(low + step, shape[0]))


def same_rows(first: Matrix, second: Matrix) -> bool:
    """Whether two matrices are equal; no more is read than it takes to know."""
    blocks = row_blocks(first.shape)
    return first.shape == second.shape and all(np.array_equal(first[block], second[block]) for block in blocks)


def open_rows(dataset: h5py.Dataset, image_id: NDArray[np.str_]) -> StoredRows:
    """Prove every row of a two-dimensional dataset, a block at a time, and leave them in their file.

    Compressed or chunked rows, and those of another floating width, are unpacked into a temporary file first: in any
    order a row would cost the unpacking of its whole chunk.

    Parameters
    ----------
    dataset
        (n, k) floating-point numbers of an open file.
    image_id
        (n,) names of the rows, for the message.

    Raises
    ------
    PredictionsError
        If a row is no distribution.
    OSError
        If the temporary folder has no room.
    """
    offset = dataset.id.get_offset()
    if offset is None or dataset.dtype != StoredRows.dtype:
        return _unpacked(dataset, image_id)
    rows = _mapped(dataset.file.id.get_vfd_handle(), offset, dataset.shape)
    for block in row_blocks(rows.shape):
        check_distributions(rows[block], image_id[block], block.start)
    return rows


def _unpacked(dataset: h5py.Dataset, image_id: NDArray[np.str_]) -> StoredRows:
    require_room(Path(tempfile.gettempdir()), dataset.size * StoredRows.dtype.itemsize)
    # Whole chunks, so that none is unpacked twice.
    step = max((dataset.chunks or (1,))[0], CELLS_AT_ONCE // dataset.shape[1])
    with tempfile.TemporaryFile() as file:
        for low in range(0, len(dataset), step):
            rows = np.asarray(dataset[low : low + step], dtype=StoredRows.dtype)
            check_distributions(rows, image_id[low : low + step], low)
            file.write(rows.tobytes())
        file.flush()
        return _mapped(file.fileno(), 0, dataset.shape)


def _mapped(descriptor: int, offset: int, shape: tuple[int, int]) -> StoredRows:
    # The map keeps the file, whatever becomes of the descriptor and the name.
    pages = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
    matrix = np.frombuffer(pages, StoredRows.dtype, shape[0] * shape[1], offset).reshape(shape)
    return StoredRows(pages, matrix, np.arange(shape[0]))
