"""Readers: three forms of data set, their variants, and what is wrong with each."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from featstore.build.build import read_photographs
from featstore.errors import DatasetError
from featstore.readers import READERS, read_dataset

TAGS = {
    "ObservationId": 11, "MediaId": 1, "FileName": "1.jpg", "Vote": 2.5, "Content": "Flower", "ClassId": 30001,
    "Family": "Rosaceae", "Species": "Rosa canina L.", "Genus": "Rosa", "Author": "an author", "Date": "2013-3-21",
    "Latitude": "42.9", "Longitude": "3.0",
}  # fmt: skip


@pytest.fixture
def add(write_photo: Callable[..., Path], write_record: Callable[..., Path]) -> Callable[..., None]:
    """Write one photograph with its record; tags override `TAGS`, None leaves one out."""

    def write(folder: Path, media: int, **tags: object) -> None:
        write_photo(folder / f"{media}.jpg", seed=media)
        merged = {**TAGS, "MediaId": media, "FileName": f"{media}.jpg", "ObservationId": media + 10, **tags}
        write_record(folder / f"{media}.xml", **{tag: text for tag, text in merged.items() if text is not None})

    return write


def test_a_package_with_truth(tmp_path: Path, add: Callable[..., None], write_record: Callable[..., Path]) -> None:
    add(tmp_path / "PlantCLEF2014train" / "train", 1)
    taxa = dict.fromkeys(("ClassId", "Family", "Species", "Genus", "Vote"))
    add(tmp_path / "PlantCLEF2014test" / "test", 2, **taxa)
    write_record(
        tmp_path / "PlantCLEF2014test" / "testwithgroundtruthxml" / "2.xml",
        **{**TAGS, "MediaId": 2, "ObservationId": 12},
    )
    frame = read_dataset(tmp_path).frame.set_index("image_id")
    assert frame.loc["1", "split"] == "train"
    assert frame.loc["2", "split"] == "test"
    assert frame.loc["2", "class_id"] == "30001"
    assert frame.loc["2", "species"] == "Rosa canina L."
    assert frame.loc["1", "path"] == "PlantCLEF2014train/train/1.jpg"
    assert frame.loc["1", ["vote", "latitude", "longitude"]].tolist() == [2.5, 42.9, 3.0]
    assert (frame["problem"] == "").all()


def test_photographs_that_lie_with_the_truth_are_test(tmp_path: Path, add: Callable[..., None]) -> None:
    add(tmp_path / "train", 1)
    add(tmp_path / "test_truth", 2)
    frame = read_dataset(tmp_path).frame.set_index("image_id")
    assert frame["split"].to_dict() == {"1": "train", "2": "test"}


def test_truth_of_another_package_is_refused(
    tmp_path: Path, add: Callable[..., None], write_record: Callable[..., Path]
) -> None:
    add(tmp_path / "test", 2, ObservationId=5, ClassId=None)
    write_record(tmp_path / "truth" / "2.xml", **{**TAGS, "MediaId": 2, "ObservationId": 6})
    with pytest.raises(DatasetError, match=r"'5' in the test record and '6' in 2.xml"):
        read_dataset(tmp_path)


def test_tags_of_2013(tmp_path: Path, write_photo: Callable[..., Path]) -> None:
    write_photo(tmp_path / "train" / "9.jpg")
    (tmp_path / "train" / "9.xml").write_text(
        "<Image><IndividualPlantId>77</IndividualPlantId><FileName>9.jpg</FileName><Content>Leaf</Content>"
        "<Type>SheetAsBackground</Type><ClassId>Acer campestre</ClassId><Author>x</Author><Date>1/6/12</Date>"
        "<Taxon><Species>campestre</Species><Genus>Acer</Genus><Family>Aceraceae</Family></Taxon>"
        "<GPSLocality><GPSLatitude>43.6</GPSLatitude><GPSLongitude>3.8</GPSLongitude></GPSLocality></Image>",
        encoding="utf-8",
    )
    row = read_dataset(tmp_path).frame.iloc[0]
    assert row["image_id"] == "9"
    assert row["observation_id"] == "77"
    assert row["view"] == "LeafScan"
    assert row["genus"] == "Acer"
    assert row["latitude"] == 43.6


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("<Image><Content>Leaf</Content></Image>", "lacks ObservationId (it has Content)"),
        ("<Image/>", "lacks ObservationId (it has no filled tag)"),
        ("<Image><Content>", "cannot be read"),
        ("", "cannot be read"),
        ("<Annotation><ObservationId>1</ObservationId></Annotation>", "root <Annotation> instead of <Image>"),
        ('<?xml version="1.0" encoding="nonsense"?><Image/>', "cannot be read"),
        ('<!DOCTYPE Image [<!ENTITY a "b">]><Image><ObservationId>&a;</ObservationId></Image>', "document type"),
    ],
)
def test_unusable_records_fail_alone(tmp_path: Path, add: Callable[..., None], text: str, problem: str) -> None:
    add(tmp_path / "train", 1)
    add(tmp_path / "train", 2)
    (tmp_path / "train" / "2.xml").write_text(text, encoding="utf-8")
    frame = read_dataset(tmp_path).frame.set_index("image_id")
    assert frame.loc["1", "problem"] == ""
    assert problem in frame.loc["2", "problem"]


def test_entities_are_never_expanded(tmp_path: Path, add: Callable[..., None]) -> None:
    add(tmp_path / "train", 1)
    bomb = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    document = f'<!DOCTYPE x [<!ENTITY e0 "ha">{bomb}]><Image><ObservationId>&e11;</ObservationId></Image>'
    (tmp_path / "train" / "1.xml").write_bytes(document.encode("utf-16"))
    assert "document type" in read_dataset(tmp_path).frame.loc[0, "problem"]


def test_what_has_no_partner_is_listed(
    tmp_path: Path, add: Callable[..., None], write_photo: Callable[..., Path]
) -> None:
    add(tmp_path / "train", 1)
    add(tmp_path / "train", 2)
    (tmp_path / "train" / "2.jpg").unlink()
    write_photo(tmp_path / "train" / "3.jpg")
    frame = read_dataset(tmp_path).frame
    assert frame["problem"].tolist() == ["", "no photograph 2.jpg beside 2.xml", "no XML record beside it"]


@pytest.mark.parametrize("name", ["1.JPG", "1.png", "1.jpeg"])
def test_other_suffixes_belong_to_their_record(tmp_path: Path, add: Callable[..., None], name: str) -> None:
    add(tmp_path / "train", 1)
    (tmp_path / "train" / "1.jpg").rename(tmp_path / "train" / name)
    (row,) = read_dataset(tmp_path).frame.itertuples()
    assert (row.path, row.problem) == (f"train/{name}", "")


def test_two_photographs_of_one_name_are_both_listed(
    tmp_path: Path, add: Callable[..., None], write_photo: Callable[..., Path]
) -> None:
    add(tmp_path / "train", 1)
    write_photo(tmp_path / "train" / "1.png")
    problems = read_dataset(tmp_path).frame.set_index("path")["problem"].to_dict()
    assert problems == {"train/1.jpg": "", "train/1.png": "no XML record beside it"}


VIEWS_KNOWN = "(known are Branch, Entire, Flower, Fruit, Leaf, LeafScan, Stem)"


def test_unknown_content_is_kept_and_told(tmp_path: Path, add: Callable[..., None]) -> None:
    for media, content in enumerate(("Roots", "", "roots", "LEAF", "Roots ", "Unknown"), start=1):
        add(tmp_path / "train", media, Content=content)
    add(tmp_path / "train", 7, Content="Seed", ObservationId=None)
    catalog = read_dataset(tmp_path)
    assert catalog.frame["view"].tolist() == ["Unknown", "Unknown", "Unknown", "Leaf", "Unknown", "Unknown", "Unknown"]
    (told,) = catalog.warnings
    assert told == (
        f"4 photographs are of no known view and are kept as Unknown {VIEWS_KNOWN}: 'Roots' (2 photographs, the first "
        "is 1), none given (1 photograph, the first is 2), 'roots' (1 photograph, the first is 3)"
    )


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_misspelt_views_of_a_table_are_told_once(tmp_path: Path, write_photo: Callable[..., Path], suffix: str) -> None:
    views = ["flowers", "Flower", " leaf scan ", "STEM", "bark", "", "unknown", "flowers", "rinde"]
    paths = [write_photo(tmp_path / f"{n}.jpg").name for n in range(len(views))]
    columns = {"path": paths, "class_id": ["a"] * len(views), "observation_id": paths}
    catalog = read_dataset(table(tmp_path / f"t{suffix}", **columns, view=views))
    assert catalog.frame["view"].tolist()[:6] == ["Unknown", "Flower", "LeafScan", "Stem", "Stem", "Unknown"]
    (told,) = catalog.warnings
    assert told == (
        f"3 photographs are of no known view and are kept as Unknown {VIEWS_KNOWN}: "
        "'flowers' (2 photographs, the first is 0.jpg), 'rinde' (1 photograph, the first is 8.jpg)"
    )


def test_a_data_set_of_one_class_is_told_before_its_features_are_made(
    tmp_path: Path, write_photo: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [write_photo(tmp_path / f"{n}.jpg").name for n in range(3)]
    for classes, is_told in ((["a", "a", ""], True), (["a", "a", "b"], False)):
        read_photographs(table(tmp_path / "t.csv", path=paths, class_id=classes), None)
        assert ("are of one, a: heads and fine-tuning need two" in capsys.readouterr().err) == is_told


def test_photographs_that_the_table_of_a_folder_does_not_list_are_told(
    tmp_path: Path, write_photo: Callable[..., Path]
) -> None:
    for name in ("1.jpg", "leaves/2.jpg", "leaves/3.jpg"):
        write_photo(tmp_path / name)
    paths = ["./1.jpg", str(tmp_path / "leaves" / "2.jpg")]
    path = table(tmp_path / "t.csv", path=paths, class_id=["a", "b"], observation_id=["1", "2"])
    assert read_dataset(tmp_path).warnings == ("1 photograph is not in t.csv, and passed over: leaves/3.jpg",)
    assert read_dataset(path).warnings == ()


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_votes_and_places_that_are_no_numbers_are_told(
    tmp_path: Path, write_photo: Callable[..., Path], suffix: str
) -> None:
    votes = ["4", "four", "", "nan", "2,5", "-Infinity"]
    latitudes = ["43.6", "43°36'N", "north", "", "43,6", "inf"]
    paths = [write_photo(tmp_path / f"{n}.jpg").name for n in range(6)]
    columns = {"path": paths, "class_id": ["a"] * 6, "observation_id": paths, "vote": votes, "latitude": latitudes}
    catalog = read_dataset(table(tmp_path / f"t{suffix}", **columns))
    np.testing.assert_array_equal(catalog.frame["vote"], [4, np.nan, np.nan, np.nan, 2.5, np.nan])
    np.testing.assert_array_equal(catalog.frame["latitude"], [43.6, np.nan, np.nan, np.nan, 43.6, np.nan])
    assert catalog.warnings == (
        "2 votes are no numbers and are kept as unknown: 'four' of 1.jpg, '-Infinity' of 5.jpg",
        "3 latitudes are no numbers and are kept as unknown: \"43°36'N\" of 1.jpg, 'north' of 2.jpg, 'inf' of 5.jpg",
    )


@pytest.mark.shared_data
def test_all_700_real_records_parse(shared: Path) -> None:
    frame = read_dataset(shared / "data" / "plantclef2015_xml").frame
    assert frame["split"].value_counts().to_dict() == {"train": 568, "test": 132}
    assert frame["problem"].str.startswith("no photograph").all()
    assert (frame["observation_id"] != "").all()
    assert (frame["author"] != "").all()
    assert set(frame["view"]) == {"Branch", "Entire", "Flower", "Fruit", "Leaf", "LeafScan", "Stem"}
    train = frame[frame["split"] == "train"]
    assert (train[["class_id", "species", "genus", "family"]] != "").all(axis=None)
    assert {2.5, 3.67} <= set(train["vote"].round(2))
    assert frame["latitude"].isna().sum() == 361


@pytest.mark.shared_data
def test_the_real_package(shared: Path) -> None:
    catalog = read_dataset(shared / "data" / "plants39")
    frame = catalog.frame
    assert (len(frame), frame["class_id"].nunique(), frame["observation_id"].nunique()) == (2462, 39, 1713)
    assert frame["split"].value_counts().to_dict() == {"train": 1645, "test": 817}
    assert frame["view"].value_counts().to_dict() == {"Flower": 1523, "LeafScan": 800, "Leaf": 139}
    assert (frame["problem"] == "").all()
    assert catalog.warnings == ()


def table(file: Path, /, **columns: list[object]) -> Path:
    frame = pd.DataFrame(columns)
    if file.suffix == ".parquet":
        frame.to_parquet(file)
    else:
        frame.to_csv(file, index=False, sep="\t" if file.suffix == ".tsv" else ",")
    return file


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_tables(tmp_path: Path, write_photo: Callable[..., Path], suffix: str) -> None:
    write_photo(tmp_path / "a" / "1.jpg")
    path = table(
        tmp_path / f"mine{suffix}", path=["a/1.jpg", "a/2.jpg"], class_id=[7, 8], view=["leaf", ""],
        observation_id=["o", ""], vote=[3.5, None], split=["val", "test"], colour=["red", "blue"],
    )  # fmt: skip
    for root in (path, tmp_path):
        catalog = read_dataset(root)
        first, second = (row for _, row in catalog.frame.iterrows())
        assert first[["image_id", "class_id", "view", "split", "problem"]].tolist() == [
            "a/1.jpg",
            "7",
            "Leaf",
            "valid",
            "",
        ]
        assert first["vote"] == 3.5
        assert second["observation_id"] == "a/2.jpg"
        assert second["problem"] == "no photograph there"
        assert np.isnan(second["vote"])
        assert catalog.name == "mine"
        assert any("unknown columns are not kept: colour" in text for text in catalog.warnings)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_the_header_tells_what_separates_the_cells(
    tmp_path: Path, write_photo: Callable[..., Path], suffix: str, separator: str
) -> None:
    write_photo(tmp_path / "1.jpg")
    path = tmp_path / f"t{suffix}"
    rows = [["path", " class_id", "latitude", '"remarks, found; seen"'], ["1.jpg", "rosa", '"43,6"', '"a,;\tb"']]
    path.write_text("".join(f"{separator.join(row)}\n" for row in rows), encoding="utf-8-sig")
    for root in (path, tmp_path):
        (row,) = read_dataset(root).frame.itertuples()
        assert (row.path, row.class_id, row.latitude, row.problem) == ("1.jpg", "rosa", 43.6, "")


def test_a_table_by_semicolons_keeps_decimal_commas_and_hints(tmp_path: Path, write_photo: Callable[..., Path]) -> None:
    write_photo(tmp_path / "1.jpg")
    path = tmp_path / "t.csv"
    path.write_text("path;class_id;latitude;longitude\n1.jpg;rosa;43,6;-3,25\n")
    assert read_dataset(path).frame.loc[0, ["latitude", "longitude"]].tolist() == [43.6, -3.25]
    path.write_text("file;label;latitude\n1.jpg;rosa;43,6\n")
    with pytest.raises(DatasetError, match=r"file, label, latitude .*rename 'file' to 'path' and 'label' to"):
        read_dataset(path)
    path.write_text("path;class_id\n1.jpg;a;b\n")
    with pytest.raises(DatasetError, match=r"3 in line 2. Put quotes around cells that hold a semicolon, which"):
        read_dataset(path)
    path.write_text("path;class_id;view\n1.jpg;rosa\n")
    with pytest.raises(
        DatasetError, match=r"3 cells .* 2 in line 2\. Add what is missing; an empty cell, too, has a semicolon"
    ):
        read_dataset(path)
    path.write_text("path,class_id,latitude\n1.jpg,rosa,43,6\n")
    with pytest.raises(DatasetError, match=r"4 in line 2\. Put quotes around cells that hold a comma"):
        read_dataset(path)


def test_a_missing_column_is_named_with_the_nearest(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", paths=["a"], class_id=[1])
    with pytest.raises(DatasetError, match=r"missing: path\). Perhaps rename 'paths' to 'path'"):
        read_dataset(path)
    path = table(tmp_path / "t.csv", file=["a"], label=[1])
    with pytest.raises(DatasetError, match=r"rename 'file' to 'path' and 'label' to 'class_id'"):
        read_dataset(path)


def test_columns_under_other_names_are_named_for_what_they_mean(tmp_path: Path) -> None:
    """Letters alone would make `side` the class: a model would have learnt dorsal and ventral."""
    path = table(tmp_path / "t.csv", file=["a"], taxon=[1], Specimen_ID=[1], photographer=["Ada"], side=["dorsal"])
    with pytest.raises(DatasetError) as caught:
        read_dataset(path)
    assert caught.value.remedy == (
        "Perhaps rename 'file' to 'path' and 'taxon' to 'class_id'. For photographs that nobody has named yet, add "
        "class_id as an empty column. Perhaps also rename 'side' to 'view', "
        "'Specimen_ID' to 'observation_id' and 'photographer' to 'author', which are optional."
    )
    path = table(tmp_path / "t.csv", path=["a"], side=["dorsal"])
    with pytest.raises(DatasetError) as caught:
        read_dataset(path)
    assert "to 'class_id'" not in caught.value.remedy
    assert "Perhaps also rename 'side' to 'view', which is optional." in caught.value.remedy
    path = table(tmp_path / "t.csv", path=["a"], label=[1], taxon=[1])
    with pytest.raises(DatasetError, match=r"Perhaps rename 'label' or 'taxon' to 'class_id'\. "):
        read_dataset(path)


def test_columns_that_are_not_kept_are_told_with_the_names_that_would_keep_them(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", path=["a"], class_id=[1], colour=["red"], specimen=["o"], auther=["Ada"])
    (warning, *_) = read_dataset(path).warnings
    assert warning == (
        "t.csv: unknown columns are not kept: colour, specimen, auther; "
        "perhaps rename 'specimen' to 'observation_id', 'auther' to 'author'"
    )


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_known_columns_may_be_written_in_any_case(
    tmp_path: Path, write_photo: Callable[..., Path], suffix: str
) -> None:
    write_photo(tmp_path / "1.jpg")
    columns = {"Path": ["1.jpg"], "Class_ID": ["7"], "SPECIES": ["Rosa"], "Observation_Id": ["o"], "Vote": ["3"]}
    path = table(tmp_path / f"t{suffix}", **columns)
    if suffix == ".csv":
        # The header tells the separator, too, in whatever case.
        path.write_text("Remarks, all of them;Path;Class_ID;SPECIES;Observation_Id;Vote\n;1.jpg;7;Rosa;o;3\n")
    for root in (path, tmp_path):
        catalog = read_dataset(root)
        (row,) = catalog.frame.itertuples()
        assert (row.path, row.class_id, row.species, row.observation_id, row.vote) == ("1.jpg", "7", "Rosa", "o", 3)
        assert [text for text in catalog.warnings if "Remarks" not in text] == []


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_two_columns_that_become_one_are_refused(tmp_path: Path, suffix: str) -> None:
    path = table(tmp_path / f"t{suffix}", path=["a"], Class_ID=[1], class_id=[2])
    with pytest.raises(DatasetError, match=r"got 'Class_ID' and 'class_id'\. Only one can be class_id"):
        read_dataset(path)
    with pytest.raises(DatasetError, match=r"missing: path\)\. Add them"):
        read_dataset(table(tmp_path / f"t{suffix}", Class_ID=[1], Species=["a"]))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"path": ["", "b"], "class_id": [1, 2]}, "none in line 2"),
        ({"path": ["a", "b"], "class_id": [1, 2], "split": ["train", "Tset"]}, "'Tset' in line 3"),
    ],
)
def test_bad_rows_name_their_line(tmp_path: Path, columns: dict[str, list[object]], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read_dataset(table(tmp_path / "t.csv", **columns))


def test_a_photograph_listed_twice_is_refused_with_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("path,class_id,observation_id\n\na.jpg,7,o1\nb.jpg,7,o1\na.jpg,7,o2\nc.jpg,7,\nc.jpg,7,\n")
    with pytest.raises(DatasetError) as caught:
        read_dataset(path)
    assert str(caught.value) == (
        "Expected every photograph once in t.csv, got a.jpg in the lines 3 (observation o1) and 5 (observation o2), "
        "c.jpg in the lines 6 and 7. Leave one line of each. Nothing was written."
    )
    path = table(tmp_path / "t.parquet", image_id=["1", "2", "1"], path=["a", "b", "c"], class_id=[7, 7, 7])
    with pytest.raises(DatasetError, match=r"got 1 in the lines 2 \(a\) and 4 \(c\)\. .* image_id of their own"):
        read_dataset(path)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_of_new_photographs_needs_no_classes(
    tmp_path: Path, write_photo: Callable[..., Path], suffix: str
) -> None:
    write_photo(tmp_path / "1.jpg")
    path = table(tmp_path / f"new{suffix}", path=["1.jpg", "2.jpg"], observation_id=["o", "o"])
    with pytest.raises(DatasetError, match=r"missing: class_id\)\. .*nobody has named yet, add class_id as an empty"):
        read_dataset(path)
    for catalog in (
        read_dataset(path, new=True),
        read_dataset(path, "table", new=True),
        read_dataset(tmp_path, new=True),
    ):
        assert catalog.frame[["class_id", "species", "split"]].to_numpy().tolist() == [["", "", "test"]] * 2
        assert catalog.frame["observation_id"].tolist() == ["o", "o"]
        assert catalog.warnings == ()
    named = table(tmp_path / f"new{suffix}", path=["1.jpg", "2.jpg"], class_id=["a", ""], split=["", "train"])
    frame = read_dataset(named, new=True).frame
    assert frame[["class_id", "split"]].to_numpy().tolist() == [["a", "test"], ["", "train"]]
    with pytest.raises(DatasetError, match=r"missing: path\)"):
        read_dataset(table(tmp_path / "t.csv", paths=["a"]), new=True)


@pytest.mark.parametrize(
    ("content", "got", "remedy"),
    [
        (b"", "got none", "Write path, class_id into the first line"),
        (b"path,class_id\n", "got none", "and a photograph into each below"),
        (b'path,class_id\n"a.jpg,rosa\n', "got unexpected end of data", "Every quote needs its second one"),
        (b"path,class_id\ncaf\xe9.jpg,rosa\n", "got letters that are not UTF-8. Save it as", "CSV UTF-8"),
        (b"path,view,latitude\na,Leaf,4\n", "(missing: class_id). Add them", "docs/datasets.md"),
    ],
)
def test_what_is_wrong_with_a_table_is_said_with_what_helps(
    tmp_path: Path, content: bytes, got: str, remedy: str
) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(DatasetError) as caught:
        read_dataset(tmp_path / "t.csv")
    assert got in str(caught.value)
    assert remedy in caught.value.remedy


def test_a_table_without_permission_is_named_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Permissions do not stop root, so the call fails."""

    def denied(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    path = table(tmp_path / "t.csv", path=["a"], class_id=[1])
    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(DatasetError, match=r"got Permission denied\. Give permission to read it") as caught:
        read_dataset(path, "table")
    assert str(caught.value).count("t.csv") == 1


def test_class_folders_are_no_file(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"got a file: .*t\.csv\. Name the folder"):
        read_dataset(table(tmp_path / "t.csv", path=["a"], class_id=[1]), "folders")


def test_photographs_of_phones_are_found_by_their_names(tmp_path: Path, write_photo: Callable[..., Path]) -> None:
    """None can be opened; passed over, they would be lost with a warning of other files."""
    write_photo(tmp_path / "rosa" / "1.jpg")
    for name in ("2.HEIC", "3.heif", "4.avif"):
        (tmp_path / "rosa" / name).write_bytes(b"\x00\x00\x00\x18ftypheic")
    assert len(read_dataset(tmp_path).frame) == 4


def test_a_folder_of_loose_photographs_is_told_how_to_come_without_names(
    tmp_path: Path, write_photo: Callable[..., Path]
) -> None:
    write_photo(tmp_path / "1.jpg")
    with pytest.raises(DatasetError, match=r"nobody has named yet, write a table with an empty column class_id\.$"):
        read_dataset(tmp_path)


def test_a_broken_table(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(b"no parquet")
    with pytest.raises(DatasetError, match="a readable table"):
        read_dataset(tmp_path / "t.parquet")


def test_class_folders(tmp_path: Path, write_photo: Callable[..., Path]) -> None:
    for name in (
        "train/Rosa_canina/1.jpg",
        "val/Rosa_canina/2.jpg",
        "test/Acer/tree 1/3.jpg",
        "test/Acer/tree 1/4.jpg",
    ):
        write_photo(tmp_path / name)
    (tmp_path / "train" / "Rosa_canina" / "notes.txt").write_text("x")
    catalog = read_dataset(tmp_path)
    frame = catalog.frame.set_index("image_id")
    assert frame["split"].to_dict() == {
        "test/Acer/tree 1/3.jpg": "test", "test/Acer/tree 1/4.jpg": "test",
        "train/Rosa_canina/1.jpg": "train", "val/Rosa_canina/2.jpg": "valid",
    }  # fmt: skip
    assert frame.loc["train/Rosa_canina/1.jpg", ["class_id", "species"]].tolist() == ["Rosa_canina", "Rosa canina"]
    assert frame["observation_id"].nunique() == 3
    assert any("1 file is no photograph" in text for text in catalog.warnings)


@pytest.mark.parametrize("form", ["folders", "column", "no column"])
def test_photographs_that_name_no_plant_are_counted(
    tmp_path: Path, write_photo: Callable[..., Path], form: str
) -> None:
    """Each is a plant of its own, so that a split may tear apart those of one plant."""
    names = ["rosa/1.jpg", "rosa/2.jpg", "rosa/plant/3.jpg", "rosa/plant/4.jpg"]
    for name in names:
        write_photo(tmp_path / name)
    path = tmp_path
    if form != "folders":
        plants = {"observation_id": ["", "", "plant", "plant"]} if form == "column" else {}
        path = table(tmp_path / "t.csv", path=names, class_id=["rosa"] * 4, **plants)
    catalog = read_dataset(path)
    assert catalog.frame["observation_id"].nunique() == (4 if form == "no column" else 3)
    (told,) = catalog.warnings
    assert told.startswith(f"{4 if form == 'no column' else 2} photographs name no plant, and each counts as a plant")
    assert "photographs of one plant may land on both sides of a split" in told
    assert told.endswith("inside the class folder" if form == "folders" else "in a column observation_id")
    # The command line tells it whole.
    assert len(told) <= 300


def test_photographs_that_all_name_their_plant_are_not_warned_of(
    tmp_path: Path, write_photo: Callable[..., Path]
) -> None:
    write_photo(tmp_path / "rosa" / "plant" / "1.jpg")
    assert read_dataset(tmp_path).warnings == ()
    named = table(tmp_path / "t.csv", path=["rosa/plant/1.jpg"], class_id=["rosa"], observation_id=["plant"])
    assert read_dataset(named).warnings == ()
    new = table(tmp_path / "new.csv", path=["rosa/plant/1.jpg"])
    assert read_dataset(new, new=True).warnings == ()


def test_class_folders_without_splits(tmp_path: Path, write_photo: Callable[..., Path]) -> None:
    write_photo(tmp_path / "a" / "1.jpg")
    write_photo(tmp_path / "loose.jpg")
    frame = read_dataset(tmp_path).frame.set_index("image_id")
    assert frame.loc["a/1.jpg", "split"] == "train"
    assert frame.loc["loose.jpg", "problem"] == "it lies outside every class folder"


def test_a_stray_file_does_not_choose_the_reader(tmp_path: Path, write_photo: Callable[..., Path]) -> None:
    write_photo(tmp_path / "rose" / "1.jpg")
    (tmp_path / "rose" / "1.xml").write_text("<annotation><object>rose</object></annotation>")
    (tmp_path / "species.csv").write_text("species,colour\nrose,red\n")
    (row,) = read_dataset(tmp_path).frame.itertuples()
    assert (row.image_id, row.class_id, row.problem) == ("rose/1.jpg", "rose", "")


def test_linked_folders_are_followed_once(tmp_path: Path, write_photo: Callable[..., Path]) -> None:
    write_photo(tmp_path / "elsewhere" / "1.jpg")
    photos = tmp_path / "photos"
    write_photo(photos / "lily" / "2.jpg")
    (photos / "rose").symlink_to(tmp_path / "elsewhere")
    (photos / "rose" / "loop").symlink_to(photos)
    assert sorted(read_dataset(photos).frame["class_id"]) == ["lily", "rose"]


def test_a_folder_that_cannot_be_read_is_refused(
    tmp_path: Path, write_photo: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its photographs would otherwise be missing without a word. (Permissions do not stop root, so the call fails.)"""
    for name in ("lily", "rose"):
        write_photo(tmp_path / name / "1.jpg")
    scan = os.scandir

    def guarded(path: str) -> object:
        if str(path).endswith("rose"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", guarded)
    with pytest.raises(DatasetError, match=r"rose: Permission denied"):
        read_dataset(tmp_path, "folders")


def test_names_in_another_encoding_fail_alone(tmp_path: Path, write_photo: Callable[..., Path]) -> None:
    write_photo(tmp_path / "rose" / "1.jpg")
    odd = os.fsdecode(b"caf\xe9.jpg")
    try:
        write_photo(tmp_path / "rose" / "2.jpg").rename(tmp_path / "rose" / odd)
    except OSError:
        pytest.skip("this file system takes UTF-8 names alone")
    frame = read_dataset(tmp_path).frame.set_index("image_id")
    assert frame["problem"].to_dict() == {
        "rose/1.jpg": "", "rose/caf\\udce9.jpg": "its name is not UTF-8; rename it"
    }  # fmt: skip


def test_folders_that_only_sound_like_test_train(tmp_path: Path, add: Callable[..., None]) -> None:
    add(tmp_path / "photos" / "latest", 1)
    add(tmp_path / "photos" / "Contest2014" / "PlantCLEF2014test", 2)
    frame = read_dataset(tmp_path / "photos").frame.set_index("image_id")
    assert frame["split"].to_dict() == {"1": "train", "2": "test"}


def test_whole_numbers_stay_whole_in_parquet(tmp_path: Path) -> None:
    path = table(tmp_path / "t.parquet", path=["a", "b"], class_id=[1, None], observation_id=[7, 8])
    frame = read_dataset(path).frame
    assert frame["class_id"].tolist() == ["1", ""]
    assert frame["observation_id"].tolist() == ["7", "8"]


def test_ragged_rows_name_their_line(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path,class_id\na.jpg,1,\nb.jpg,2\n")
    assert read_dataset(tmp_path / "t.csv").frame["class_id"].tolist() == ["1", "2"]
    (tmp_path / "t.csv").write_text("path,class_id\na.jpg,1\nb.jpg,2,3\n")
    with pytest.raises(DatasetError, match="3 in line 3"):
        read_dataset(tmp_path / "t.csv")


def test_nothing_to_recognise(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such path"):
        read_dataset(tmp_path / "typo")
    with pytest.raises(DatasetError, match=f"got a folder without files: {re.escape(str(tmp_path))}"):
        read_dataset(tmp_path)
    for name in ("readme.txt", "more.txt", "sub/deep.txt", "sub/list.md", "Makefile"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    told = (
        r"got 3 files of \.txt, 1 file of Makefile, 1 file of \.md in .*, but no photograph, no XML record and no table"
    )
    with pytest.raises(DatasetError, match=told) as caught:
        read_dataset(tmp_path)
    assert all(f"{reader.name}: {reader.description}" in caught.value.remedy for reader in READERS.values())
    with pytest.raises(DatasetError, match=r"a file that is no table of photographs: .*readme\.txt"):
        read_dataset(tmp_path / "readme.txt")
    (tmp_path / "zarr.json").write_text("{}")
    with pytest.raises(DatasetError, match="got a feature store"):
        read_dataset(tmp_path)


def test_the_reader_can_be_named(tmp_path: Path, write_photo: Callable[..., Path]) -> None:
    write_photo(tmp_path / "a" / "1.jpg")
    table(tmp_path / "list.csv", path=["a/1.jpg"], class_id=["b"])
    assert read_dataset(tmp_path).frame.loc[0, "class_id"] == "b"
    assert read_dataset(tmp_path, "folders").frame.loc[0, "class_id"] == "a"
    with pytest.raises(DatasetError, match=", ".join(READERS)):
        read_dataset(tmp_path, "xlsx")
