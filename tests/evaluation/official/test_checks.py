"""Every fault of a run file is found, by the line that it stands in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.official.checks import Known, check
from evaluation.official.faults import KINDS, Faults, RunFileError
from evaluation.official.layouts import LAYOUTS
from evaluation.official.lines import read_lines
from featstore.errors import SettingsError

GOOD = """\
12;7;1;0.5
12;8;2;0.25
12;9;3;0.25
13;9;1;0.9
13;7;2;0
13;8;3;0
"""
KNOWN = Known(np.array(["12", "13", "14"]), np.array(["7", "8", "9"]))


def faults_of(folder: Path, content: str | bytes, layout: str = "2014", known: Known | None = KNOWN) -> Faults:
    path = folder / "run.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return check(read_lines(path, layout), known)


def found(faults: Faults) -> list[tuple[int, str]]:
    return [(fault.line, fault.kind) for fault in faults.found]


def changed(line: int, text: str) -> str:
    """The good file with another line in one place."""
    lines = GOOD.splitlines()
    lines[line - 1] = text
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("content", [GOOD, GOOD.rstrip("\n"), GOOD.replace("0.25", " 2.5e-1 ").replace("0.9", "+0.9")])
def test_a_good_file_has_no_fault(tmp_path: Path, content: str) -> None:
    faults = faults_of(tmp_path, content)
    assert found(faults) == []
    faults.require_none()


def test_lines_may_stand_in_any_order_within_a_query(tmp_path: Path) -> None:
    lines = GOOD.splitlines()
    assert found(faults_of(tmp_path, "\n".join([*lines[2::-1], *lines[:2:-1]]))) == []


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", [(1, "empty")]),
        ("\n \n", [(1, "empty")]),
        (GOOD.encode("utf-16"), [(1, "encoding")]),
        (GOOD.replace("8;2;0.25", "é;2;0.25", 1).encode("latin-1"), [(2, "encoding"), (2, "class-unknown")]),
        (b"\xef\xbb\xbf" + GOOD.encode(), [(1, "bom")]),
        (GOOD.replace("\n", "\r\n"), [(1, "line-end")]),
        (GOOD.replace("0.9\n", "0.9\r\n"), [(4, "line-end")]),
        ("ObservationId;ClassId;rank;score\n" + GOOD, [(1, "header")]),
        (GOOD + "\n", [(7, "blank")]),
        (GOOD.replace("13;9", "\n13;9"), [(4, "blank")]),
        (changed(2, "12;8;2"), [(2, "fields")]),
        (changed(2, "12;8;2;0.25;"), [(2, "fields")]),
        (changed(2, "12,8,2,0.25"), [(2, "fields"), (3, "rank-gap")]),
        (changed(2, "12; 8;2;0.25"), [(2, "text"), (2, "class-unknown")]),
        (changed(2, '12;"8";2;0.25'), [(2, "text"), (2, "class-unknown")]),
        (changed(2, "12;;2;0.25"), [(2, "text"), (2, "class-unknown")]),
        (changed(2, "12;8;two;0.25"), [(2, "rank")]),
        (changed(2, "12;8;2.0;0.25"), [(2, "rank")]),
        (changed(2, "12;8;-2;0.25"), [(2, "rank")]),
        (changed(1, "12;7;0;0.5"), [(1, "rank")]),
        (changed(1, "12;7;2;0.5"), [(1, "rank-gap"), (2, "rank-twice")]),
        (changed(3, "12;9;2;0.25"), [(3, "rank-twice")]),
        (changed(3, "12;9;4;0.25"), [(3, "rank-gap")]),
        (changed(3, "12;9;3;0.26"), [(3, "order-2014")]),
        (changed(3, "12;9;3;low"), [(3, "score")]),
        (changed(3, "12;9;3;"), [(3, "score")]),
        (changed(3, "12;9;3;nan"), [(3, "score")]),
        (changed(3, "12;9;3;-inf"), [(3, "score")]),
        (changed(3, "12;9;3;1e999"), [(3, "score")]),
        (changed(3, "12;9;3;0,25"), [(3, "decimal-comma")]),
        (changed(3, "12;7;3;0.25"), [(3, "class-twice")]),
        (changed(3, "12;10;3;0.25"), [(3, "class-unknown")]),
        (GOOD.replace("13;", "15;"), [(4, "query-unknown")]),
        (GOOD.replace("12;9;3;0.25\n", "") + "12;9;3;0.25\n", [(6, "query-twice")]),
        (GOOD + "13;10;4;0\n", [(7, "class-unknown"), (7, "too-many")]),
    ],
)
def test_every_fault_names_its_line(tmp_path: Path, content: str | bytes, expected: list[tuple[int, str]]) -> None:
    faults = faults_of(tmp_path, content)
    assert found(faults) == expected
    refused = [(line, kind) for line, kind in expected if KINDS[kind].refused]
    if not refused:
        faults.require_none()
        assert len(faults.warnings) == len(expected)
        return
    with pytest.raises(RunFileError) as error:
        faults.require_none()
    for line, kind in refused:
        assert f"line {line}: {KINDS[kind].meaning}" in str(error.value)


@pytest.mark.parametrize("layout", ["2020", "2022"])
@pytest.mark.parametrize(
    ("line", "expected"),
    [("12;9;1.5;3", ["outside", "order"]), ("12;9;-0.1;3", ["outside"]), ("12;9;0.3;3", ["order"])],
)
def test_probabilities_decide_in_later_layouts(tmp_path: Path, layout: str, line: str, expected: list[str]) -> None:
    content = f"12;7;0.5;1\n12;8;0.25;2\n{line}\n"
    faults = faults_of(tmp_path, content, layout)
    assert found(faults) == [(3, kind) for kind in expected]
    assert len(faults.refused) == len(expected)


def test_layout_2022_allows_30_lines(tmp_path: Path) -> None:
    lines = [f"12;{number};0.5;{number}" for number in range(1, 34)]
    assert found(faults_of(tmp_path, "\n".join(lines), "2022", None)) == [(31, "too-many")]
    assert found(faults_of(tmp_path, "\n".join(lines), "2020", None)) == []
    header = "obsid;classid;probability;rank\n"
    assert found(faults_of(tmp_path, header + "\n".join(lines), "2022", None)) == [(32, "too-many")]


def test_missing_lines_are_one_fault_not_many(tmp_path: Path) -> None:
    faults = faults_of(tmp_path, changed(1, "12;7;one;0.5"))
    assert found(faults) == [(1, "rank")], "rank 2 as the first follows from the line that could not be read"


def test_all_faults_are_counted_and_written(tmp_path: Path) -> None:
    lines = [f"12;{number};{number};none" for number in range(1, 51)]
    faults = faults_of(tmp_path, "\n".join(lines), known=None)
    assert faults.counts == {"score": 50}
    with pytest.raises(RunFileError, match=r"50 faults in .*(?s:.*)line 20: (?s:.*)and 30 more") as error:
        faults.require_none()
    assert "line 21" not in str(error.value)
    faults.write(tmp_path / "faults.csv")
    written = (tmp_path / "faults.csv").read_text().splitlines()
    assert written[0] == "line,fault,meaning,got"
    assert [int(line.partition(",")[0]) for line in written[1:]] == list(range(1, 51))
    document = faults.to_json()
    assert (document["n_faults"], len(document["first"])) == (50, 20)


@pytest.mark.parametrize(
    ("first", "layout"),
    [
        ("12;7;1;0.5\n12;8;2;0.25", "2014"),
        ("12.jpg;7;1;0.5", "2014-image"),
        ("12;7;0.5;1\n12;8;0.25;2", "2020"),
        ("obsid;classid;probability;rank\n12;7;0.5;1", "2022"),
        ("ObservationId;ClassId;Probability;Rank\n12;7;0.5;1", "2020"),
        ("12;7;1;1", "2014"),
    ],
)
def test_the_layout_is_told_by_the_first_lines(tmp_path: Path, first: str, layout: str) -> None:
    path = tmp_path / "run.txt"
    path.write_text(first)
    assert read_lines(path).layout.name == layout


def test_another_layouts_header_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.txt"
    path.write_text("obsid;classid;probability;rank\n12;7;1;1\n")
    with pytest.raises(RunFileError, match="Pass `--layout 2022`"):
        read_lines(path, "2014")
    with pytest.raises(SettingsError, match="2014-image"):
        read_lines(path, "2014-images")
    for other in (tmp_path, tmp_path / "none"):
        with pytest.raises(RunFileError, match="a run file"):
            read_lines(other)


@given(st.data())
def test_one_altered_field_of_a_large_good_file_is_found(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    n_queries, n_classes = data.draw(st.integers(1, 5)), data.draw(st.integers(2, 6))
    rows = [
        [f"q{query}", f"c{number}", str(rank), repr(score)]
        for query in range(n_queries)
        for rank, (number, score) in enumerate(
            zip(rng.permutation(n_classes), np.sort(rng.random(n_classes))[::-1].tolist(), strict=True), start=1
        )
    ]
    known = Known(np.array([f"q{query}" for query in range(n_queries)]), np.array([f"c{n}" for n in range(n_classes)]))
    at = data.draw(st.integers(0, len(rows) - 1))
    column, text, kinds = data.draw(
        st.sampled_from(
            [
                (0, "other", {"query-unknown", "query-twice"}),
                (1, "other", {"class-unknown"}),
                (2, "0", {"rank"}),
                (2, "99", {"rank-gap"}),
                (3, "2", {"order-2014"} if int(rows[at][2]) > 1 else set()),
                (3, "0,5", {"decimal-comma"}),
            ]
        )
    )
    rows[at][column] = text
    content = "".join(";".join(row) + "\n" for row in rows)
    faults = faults_of(tmp_path_factory.mktemp("run"), content, "2014", known)
    assert kinds == {fault.kind for fault in faults.found if fault.line == at + 1} & kinds | (
        kinds & {"query-twice"}
    ), "the altered line is named"
    assert bool(kinds) == bool(faults.found)


def test_every_layout_has_its_rank_and_its_score() -> None:
    assert {name: layout.rank_column for name, layout in LAYOUTS.items()} == {
        "2014": 2,
        "2014-image": 2,
        "2020": 3,
        "2022": 3,
    }
