"""Truth from records alone, from packages and from tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from evaluation.official.layouts import LAYOUTS
from evaluation.official.truth import Truth, read_truth
from featstore.errors import DatasetError, SettingsError

WriteRecord = Callable[..., Path]


def write_truth(folder: Path, write_record: WriteRecord) -> Path:
    for image, observation, class_id, author in (
        ("11", "b", "7", "anna"),
        ("12", "b", "7", "otto"),
        ("13", "a", "8", ""),
        ("14", "c", "", ""),
    ):
        tags = {"ObservationId": observation, "MediaId": image, "ClassId": class_id, "Author": author}
        write_record(folder / f"{image}.xml", **tags, Content="Leaf")
    return folder


def queries(truth: Truth, layout: str) -> list[str]:
    known = truth.known(LAYOUTS[layout]).queries
    assert known is not None
    return sorted(known.tolist())


def test_a_folder_of_records_is_enough(tmp_path: Path, write_record: WriteRecord) -> None:
    truth = read_truth(write_truth(tmp_path / "testwithgroundtruthxml", write_record))
    assert truth.split == "test"
    assert truth.observation_id.tolist() == ["a", "b"]
    assert truth.true_class.tolist() == ["8", "7"]
    assert truth.author.tolist() == ["", "anna"]
    assert truth.image_id.tolist() == ["11", "12", "13"]
    assert truth.plant.tolist() == [1, 1, 0]
    assert (truth.left_out.tolist(), truth.left_out_images.tolist()) == (["c"], ["14"])
    assert truth.classes is None, "the species of the contest are not those of its test plants"
    authors, unknown = truth.warnings
    assert "b" in authors
    assert "1 of 3 observations" in unknown
    assert queries(truth, "2014") == ["a", "b", "c"]
    assert queries(truth, "2014-image") == ["11.jpg", "12.jpg", "13.jpg", "14.jpg"]


def test_a_package_knows_the_species_of_train(
    tmp_path: Path, write_record: WriteRecord, write_photo: Callable[..., Path]
) -> None:
    write_photo(tmp_path / "train" / "1.jpg")
    write_record(tmp_path / "train" / "1.xml", ObservationId="t", MediaId="1", ClassId="9")
    write_photo(tmp_path / "test" / "11.jpg")
    write_record(tmp_path / "test" / "11.xml", ObservationId="b", MediaId="11")
    write_truth(tmp_path / "truth", write_record)
    truth = read_truth(tmp_path)
    assert truth.observation_id.tolist() == ["b"]
    assert truth.classes is not None
    assert truth.classes.tolist() == ["7", "9"]
    assert read_truth(tmp_path, "train").observation_id.tolist() == ["t"]
    with pytest.raises(SettingsError, match="valid photographs"):
        read_truth(tmp_path, "valid")


def test_a_table_names_its_photographs_by_file(tmp_path: Path) -> None:
    (tmp_path / "truth.csv").write_text("path,class_id,observation_id\nx/1.jpg,7,a\nx/2.jpg,7,a\n")
    truth = read_truth(tmp_path / "truth.csv")
    assert truth.split == "train"
    assert queries(truth, "2014-image") == ["x/1.jpg", "x/2.jpg"]


def test_truth_without_a_class_or_with_a_broken_record_is_refused(tmp_path: Path, write_record: WriteRecord) -> None:
    write_record(tmp_path / "test" / "1.xml", ObservationId="a", MediaId="1")
    with pytest.raises(DatasetError, match="testwithgroundtruthxml"):
        read_truth(tmp_path / "test")
    (tmp_path / "test" / "2.xml").write_text("<Image><Obs")
    with pytest.raises(DatasetError, match=r"2\.xml"):
        read_truth(tmp_path / "test")
    with pytest.raises(DatasetError, match="no such path"):
        read_truth(tmp_path / "nowhere")
    write_truth(tmp_path / "torn", write_record)
    write_record(tmp_path / "torn" / "15.xml", ObservationId="b", MediaId="15", ClassId="8")
    with pytest.raises(DatasetError, match="one class per observation"):
        read_truth(tmp_path / "torn")


@pytest.mark.shared_data
def test_real_truth_folders(shared: Path) -> None:
    alone = read_truth(shared / "data" / "plants39" / "test_truth")
    package = read_truth(shared / "data" / "plants39")
    assert (len(alone.image_id), len(alone.observation_id)) == (817, 570)
    for name in ("observation_id", "true_class", "author"):
        assert getattr(alone, name).tolist() == getattr(package, name).tolist()
    assert sorted(alone.image_id.tolist()) == sorted(package.image_id.tolist())
    assert package.classes is not None
    assert len(package.classes) == 39
    real = read_truth(shared / "data" / "plantclef2015_xml" / "train")
    assert len(real.image_id) == 568
