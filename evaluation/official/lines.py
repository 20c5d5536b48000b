"""Lines: the predictions of a run file as columns, with the number of the line that each came from.

A file without a fault is parsed in one go by Arrow. Where that fails, or the count of lines does not add up, the file
is read again line by line, as columns of text, so that every fault has its line.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import csv

from evaluation.official.faults import Fault, RunFileError
from evaluation.official.layouts import AUTO, SEPARATOR, Layout, is_header, layout_of, recognise

BOM = b"\xef\xbb\xbf"
OTHER_BOMS = (b"\xff\xfe", b"\xfe\xff")
N_LOOKED_AT = 100
"""Lines that are looked at to tell the layout."""
_BLOCK_BYTES = 1 << 24
_NAMES = ("query", "class", "third", "fourth")
_WHOLE = r"^\s*[0-9]{1,9}\s*$"
_NUMBER = r"^\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*$"
_COMMA = r"^\s*[+-]?[0-9]*,[0-9]+([eE][+-]?[0-9]+)?\s*$"


@dataclass(frozen=True, eq=False)
class Lines:
    """Every line of a run file that could be read.

    Parameters
    ----------
    path, layout
        The file, and how it is written.
    queries, classes
        (q,) and (c,) distinct names, in the order in which they appear.
    query, class_index
        (n,) positions in these.
    rank, score
        (n,) as they stand in the file.
    number
        (n,) line in the file, from 1.
    faults
        Of lines that could not be read, and of the file as a whole.
    torn
        Queries with such lines; what is missing there is no further fault.
    """

    path: Path
    layout: Layout
    queries: NDArray[np.str_]
    classes: NDArray[np.str_]
    query: NDArray[np.int32]
    class_index: NDArray[np.int32]
    rank: NDArray[np.int32]
    score: NDArray[np.float64]
    number: NDArray[np.int64]
    faults: tuple[Fault, ...] = ()
    torn: frozenset[str] = frozenset()


def read_lines(path: Path, layout: str = AUTO) -> Lines:
    """Read a run file.

    Parameters
    ----------
    layout
        A name in `LAYOUTS`, or ``"auto"`` to tell it by the first lines.

    Raises
    ------
    RunFileError
        If there is no such file, or its header is that of another layout.
    SettingsError
        If there is no such layout.
    """
    if layout != AUTO:
        layout_of(layout)
    if not path.is_file():
        raise RunFileError("a run file", f"{path}, which is {'a folder' if path.is_dir() else 'not there'}", "Name it.")
    data = path.read_bytes()
    if data.startswith(OTHER_BOMS) or b"\0" in data[:1000]:
        return _nothing(path, layout, Fault(1, "encoding", "UTF-16 or binary content"))
    data, faults = _tidied(data)
    if not data or data.isspace():
        return _nothing(path, layout, Fault(1, "empty", f"{len(data)} bytes"))
    first = data[: 1 << 16].decode("utf-8", "replace").split("\n")[:N_LOOKED_AT]
    chosen = recognise(first) if layout == AUTO else layout_of(layout)
    n_head = int(is_header(first[0]))
    if n_head:
        faults += _header_faults(first[0], chosen)
    columns = _at_once(data, chosen, n_head)
    if columns is not None:
        number = np.arange(1 + n_head, 1 + n_head + len(columns[2]), dtype=np.int64)
        return _lines(path, chosen, columns, number, faults, [])
    return _carefully(path, data, chosen, n_head, faults)


def _tidied(data: bytes) -> tuple[bytes, list[Fault]]:
    """Take away what says nothing: the byte order mark, and carriage returns at line ends."""
    faults = []
    if data.startswith(BOM):
        faults.append(Fault(1, "bom", "EF BB BF"))
        data = data[len(BOM) :]
    if (at := data.find(b"\r")) >= 0:
        faults.append(Fault(data.count(b"\n", 0, at) + 1, "line-end", "CR"))
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return data, faults


def _header_faults(line: str, layout: Layout) -> list[Fault]:
    other = recognise([line])
    if other.rank_column != layout.rank_column:
        got = f"the header {line.strip()!r} of layout {other.name}"
        raise RunFileError(f"a file of layout {layout.name}", got, f"Pass `--layout {other.name}`.")
    return [] if layout.may_have_header else [Fault(1, "header", line.strip())]


def _nothing(path: Path, layout: str, fault: Fault) -> Lines:
    names, codes = np.empty(0, dtype=np.str_), np.empty(0, dtype=np.int32)
    chosen = layout_of("2014" if layout == AUTO else layout)
    return Lines(path, chosen, names, names, codes, codes, codes, np.empty(0), np.empty(0, dtype=np.int64), (fault,))


_Columns = tuple[pa.DictionaryArray, pa.DictionaryArray, NDArray[np.int32], NDArray[np.float64]]
"""Query, class, rank, score."""


def _at_once(data: bytes, layout: Layout, n_head: int) -> _Columns | None:
    """Parse all lines, or give None if any of them needs a closer look."""
    coded = pa.dictionary(pa.int32(), pa.string())
    numeric = (pa.int32(), pa.float64())
    third, fourth = numeric if layout.rank_column == 2 else numeric[::-1]
    try:
        table = csv.read_csv(
            pa.BufferReader(data),
            csv.ReadOptions(column_names=_NAMES, skip_rows=n_head, block_size=_BLOCK_BYTES),
            csv.ParseOptions(delimiter=SEPARATOR, quote_char=False, double_quote=False),
            csv.ConvertOptions(
                column_types=dict(zip(_NAMES, (coded, coded, third, fourth), strict=True)),
                null_values=[],
                strings_can_be_null=False,
            ),
        ).unify_dictionaries()
    except (pa.ArrowInvalid, pa.ArrowKeyError):
        return None
    n_lines = data.count(b"\n") + (not data.endswith(b"\n")) - n_head
    if table.num_rows != n_lines:
        return None
    query, class_, *numbers = (table.column(position).combine_chunks() for position in range(4))
    rank, score = numbers if layout.rank_column == 2 else numbers[::-1]
    return query, class_, rank.to_numpy(), score.to_numpy()


def _carefully(path: Path, data: bytes, layout: Layout, n_head: int, faults: list[Fault]) -> Lines:
    """Read columns of text, taking out each line that cannot be read and saying why."""
    found, torn = list(faults), list[str]()
    texts = _decoded(data, found)
    number = np.arange(1, len(texts) + 1, dtype=np.int64)[n_head:]
    lines = pa.array(texts[n_head:], pa.large_string())

    blank = _mask(pc.equal(pc.utf8_trim_whitespace(lines), ""))
    found += [Fault(line, "blank", "nothing") for line in number[blank].tolist()]
    lines, number = lines.filter(~blank), number[~blank]

    n_fields = pc.add(pc.count_substring(lines, SEPARATOR), 1).to_numpy(zero_copy_only=False)
    wrong = n_fields != 4
    for line, count, text in zip(*_at(wrong, number, n_fields), lines.filter(wrong).to_pylist(), strict=True):
        found.append(Fault(line, "fields", f"{count} in {text[:80]!r}"))
        torn.append(text.partition(SEPARATOR)[0])
    lines, number = lines.filter(~wrong), number[~wrong]

    fields = pc.split_pattern(lines, SEPARATOR).flatten()
    column = [fields.take(np.arange(position, len(fields), 4)) for position in range(4)]
    rank, score = column[layout.rank_column], column[5 - layout.rank_column]
    bad = np.zeros(len(number), dtype=np.bool_)
    for kind, text, wrong in _bad_numbers(rank, score):
        found += _told(kind, number, text, wrong)
        bad |= wrong
    torn += column[0].filter(bad).unique().to_pylist()
    query, class_ = (names.filter(~bad).cast(pa.string()).dictionary_encode() for names in column[:2])
    ranks = pc.utf8_trim_whitespace(rank.filter(~bad)).cast(pa.int32()).to_numpy(zero_copy_only=False)
    unsigned = pc.utf8_ltrim(pc.utf8_trim_whitespace(score.filter(~bad)), "+")
    scores = unsigned.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return _lines(path, layout, (query, class_, ranks, scores), number[~bad], found, torn)


def _bad_numbers(rank: pa.Array, score: pa.Array) -> Iterator[tuple[str, pa.Array, NDArray[np.bool_]]]:
    """Kinds of fault, the texts that may have them, and which do."""
    comma = _mask(pc.match_substring_regex(score, _COMMA))
    yield "rank", rank, ~_mask(pc.match_substring_regex(rank, _WHOLE))
    yield "decimal-comma", score, comma
    yield "score", score, ~_mask(pc.match_substring_regex(score, _NUMBER)) & ~comma


def _told(kind: str, number: NDArray[np.int64], text: pa.Array, wrong: NDArray[np.bool_]) -> list[Fault]:
    pairs = zip(number[wrong].tolist(), text.filter(wrong).to_pylist(), strict=True)
    return [Fault(line, kind, repr(what)) for line, what in pairs]


def _decoded(data: bytes, faults: list[Fault]) -> list[str]:
    """Lines as text; the faults gain those that are not UTF-8, which are read with a mark in place of the bytes."""
    try:
        texts = data.decode().split("\n")
    except UnicodeDecodeError:
        texts = []
        for number, line in enumerate(data.split(b"\n"), start=1):
            texts.append(line.decode("utf-8", "replace"))
            if "\ufffd" in texts[-1]:
                faults.append(Fault(number, "encoding", repr(line[:80])))
    # The end of the last line begins no other.
    return texts[:-1] if texts[-1] == "" else texts


def _mask(array: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(array.to_numpy(zero_copy_only=False), dtype=np.bool_)


def _at(mask: NDArray[np.bool_], *columns: NDArray[np.int64]) -> list[list[int]]:
    return [column[mask].tolist() for column in columns]


def _lines(
    path: Path,
    layout: Layout,
    columns: _Columns,
    number: NDArray[np.int64],
    faults: list[Fault],
    torn: list[str],
) -> Lines:
    query, class_, rank, score = columns
    return Lines(
        path=path,
        layout=layout,
        queries=np.array(query.dictionary.to_pylist(), dtype=np.str_),
        classes=np.array(class_.dictionary.to_pylist(), dtype=np.str_),
        query=query.indices.to_numpy(),
        class_index=class_.indices.to_numpy(),
        rank=rank,
        score=score,
        number=number,
        faults=tuple(faults),
        torn=frozenset(torn),
    )
