from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from featstore.errors import PhytobenchError, SplitError, StoreError, TrainingError
from featstore.splits import read_rows, read_split
from featstore.store import Store
from featstore.table import load_table
from heads.material import examples_of, load_material

MakeStore = Callable[..., Store]
BOTH = ("net_a", "net_b")


def test_the_split_is_drawn_once_and_kept(make_store: MakeStore, tmp_path: Path) -> None:
    store, path = make_store(), tmp_path / "runs" / "split.csv"
    first = load_material(store, BOTH, 0, path)
    written = path.read_bytes()
    again = load_material(store, BOTH, 1, path)
    assert path.read_bytes() == written
    np.testing.assert_array_equal(first.split, again.split)
    other = load_material(store, BOTH, 1, tmp_path / "other" / "split.csv")
    assert (first.split != other.split).any(), "another seed draws another split"


def test_a_grown_store_completes_the_split_and_moves_nothing(make_store: MakeStore, tmp_path: Path) -> None:
    """Photographs that were repaired join their plants, new plants are drawn, and the file is whole again."""
    store, path = make_store(), tmp_path / "split.csv"
    whole = load_material(store, BOTH, 0, path)
    rows = read_rows(path)
    lacking = rows["image_id"].isin(["i000", "i011", "i400"]) | rows["observation_id"].isin(["o05", "o06", "o41"])
    rows[~lacking].to_csv(path, index=False)
    material = load_material(store, BOTH, 0, path)
    found = read_rows(path)
    pd.testing.assert_frame_equal(
        found.iloc[: len(rows) - 9].reset_index(drop=True), rows[~lacking].reset_index(drop=True)
    )
    assert sorted(found["image_id"]) == sorted(rows["image_id"])
    side, before = (frame.set_index("image_id")["split"] for frame in (found, rows))
    assert [side[name] for name in ("i000", "i011", "i400")] == [before[name] for name in ("i000", "i011", "i400")]
    assert {side["i410"], side["i411"]} == {"test"}
    np.testing.assert_array_equal(material.split, side.loc[material.table.papers["image_id"]])
    (told,) = set(material.warnings) - set(whole.warnings)
    assert re.fullmatch(
        r"split.csv was completed by 3 photographs of 3 plants that it knew \(.*, 1 test\) and 6 photographs of "
        r"3 new plants \(.*, 2 test\); nothing that it had was moved; networks fine-tuned before .*",
        told,
    )
    written = path.read_bytes()
    assert told not in load_material(store, BOTH, 0, path).warnings
    assert path.read_bytes() == written


def test_no_plant_is_on_two_sides(make_store: MakeStore, tmp_path: Path) -> None:
    material = load_material(make_store(), BOTH, 0, tmp_path / "split.csv")
    sides = pd.Series(material.split).groupby(material.table.papers["observation_id"]).nunique()
    assert (sides == 1).all()
    assert material.sizes() == {"train": (48, 24), "valid": (18, 9), "test": (30, 15)}


def test_a_part_holds_the_columns_of_its_networks(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store()
    material = load_material(store, BOTH, 0, tmp_path / "split.csv")
    for networks in (("net_a",), ("net_b",), BOTH):
        for splits in (("train",), ("train", "valid"), ("test",)):
            whole = load_table(store, networks)
            expected = whole.select(np.isin(material.split, splits))
            part = material.part(networks, *splits)
            np.testing.assert_array_equal(part.features, expected.features)
            pd.testing.assert_frame_equal(part.papers, expected.papers)
            assert part.backbones == networks


def test_examples_are_the_rows_of_known_class(make_store: MakeStore, tmp_path: Path) -> None:
    material = load_material(make_store(), BOTH, 0, tmp_path / "split.csv")
    test = material.part(BOTH, "test")
    examples = examples_of(test)
    assert len(test) - len(examples.labels) == 2
    known = (test.papers["class_id"] != "").to_numpy()
    np.testing.assert_array_equal(examples.features, test.features[known])


def test_classes_without_training_photographs_are_named(make_store: MakeStore, tmp_path: Path) -> None:
    material = load_material(make_store(), BOTH, 0, tmp_path / "split.csv")
    (warning,) = material.warnings
    assert warning.startswith("2 test photographs show 1 class without training photographs")
    assert warning.endswith("7 Only in test")
    assert material.species() == {
        "10": "Acer campestre",
        "100": "Iris sp.",
        "7": "Only in test",
        "9": "Tussilago farfara",
    }


def test_classes_that_nothing_judges_are_named(make_store: MakeStore, tmp_path: Path) -> None:
    def one_plant_of_its_own(frame: pd.DataFrame) -> None:
        frame.loc[frame["observation_id"] == "o00", ["class_id", "species"]] = ["Meloe", "Meloe"]

    material = load_material(make_store(one_plant_of_its_own), BOTH, 0, tmp_path / "split.csv")
    told = "1 class is learnt and never judged, for valid and test show no plant of them: Meloe (1 plant)"
    assert told in material.warnings


def test_photographs_without_all_features_are_left_out_for_everyone(make_store: MakeStore, tmp_path: Path) -> None:
    material = load_material(make_store(lacking=("i000", "i051")), BOTH, 0, tmp_path / "split.csv")
    assert len(material.table) == 94
    assert any("2 photographs lack features" in text and "i000, i051" in text for text in material.warnings)
    assert len(read_split(tmp_path / "split.csv").frame) == 96, "the split knows them, for when they are completed"


def test_a_network_that_is_not_there_is_named(make_store: MakeStore, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="net_c"):
        load_material(make_store(), ("net_c",), 0, tmp_path / "split.csv")


def train_on_test(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(split=frame["split"].where(frame["observation_id"] != "o40", "train"))


def nothing_valid(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(split=frame["split"].replace("valid", "train"))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (train_on_test, "own test photographs as test.*2 photographs.*i400, i401"),
        (nothing_valid, "valid photographs of the classes in train"),
    ],
)
def test_a_split_that_does_not_fit_is_refused(
    make_store: MakeStore, tmp_path: Path, spoil: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    store, path = make_store(), tmp_path / "split.csv"
    load_material(store, BOTH, 0, path)
    spoil(read_split(path).frame).to_csv(path, index=False)
    with pytest.raises(SplitError, match=message):
        load_material(store, BOTH, 0, path)


def test_a_split_that_divides_equal_files_is_refused(make_store: MakeStore, tmp_path: Path) -> None:
    """The same file is in two observations: the split between them leaks."""
    path = tmp_path / "split.csv"
    material = load_material(make_store(), BOTH, 0, path)
    plants = material.table.papers.groupby(material.split)["observation_id"].first()

    def same_file(frame: pd.DataFrame) -> None:
        frame.loc[frame["observation_id"].isin([plants["train"], plants["valid"]]), "sha256"] = "same"

    with pytest.raises(SplitError, match="between plants, got 2 photographs of train"):
        load_material(make_store(same_file, name="other.zarr"), BOTH, 0, path)


def one_class(frame: pd.DataFrame) -> None:
    frame["class_id"] = "10"


def no_class(frame: pd.DataFrame) -> None:
    frame.loc[frame["split"] == "train", "class_id"] = ""


@pytest.mark.parametrize(("change", "got"), [(one_class, r"1 \(10\)"), (no_class, "none of known class")])
def test_fewer_than_two_classes_are_refused(
    make_store: MakeStore, tmp_path: Path, change: Callable[[pd.DataFrame], None], got: str
) -> None:
    with pytest.raises(TrainingError, match=f"at least two classes, got {got}"):
        load_material(make_store(change), BOTH, 0, tmp_path / "split.csv")


def test_a_store_of_test_photographs_alone_is_refused(make_store: MakeStore, tmp_path: Path) -> None:
    def all_test(frame: pd.DataFrame) -> None:
        frame["split"] = "test"

    with pytest.raises(PhytobenchError, match="at least two observations"):
        load_material(make_store(all_test), BOTH, 0, tmp_path / "split.csv")
