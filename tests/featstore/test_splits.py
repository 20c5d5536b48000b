"""Splits: 3:1 by observation, stratified, seeded, and without any plant or file on both sides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from featstore.errors import SplitError
from featstore.groups import Leak, find_leaks, groups_of
from featstore.splits import SPARE, added_rows, make_split, read_split, write_split


def papers(n_classes: int = 10, n_observations: int = 12, n_images: int = 3) -> pd.DataFrame:
    rows = [
        {"image_id": f"{c}-{o}-{i}", "observation_id": f"{c}-{o}", "class_id": str(c), "split": "train",
         "sha256": f"{c}{o}{i}"}
        for c in range(n_classes) for o in range(n_observations) for i in range(n_images)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_three_to_one_by_observation_in_every_class() -> None:
    split = make_split(papers(), seed=0).frame
    assert split.groupby("observation_id")["split"].nunique().max() == 1
    plants = split.drop_duplicates("observation_id")
    per_class = plants[plants["split"] == "valid"]["observation_id"].str.split("-").str[0].value_counts()
    assert per_class.to_dict() == {str(c): 3 for c in range(10)}
    assert split["fold"].nunique() == 4


def with_test(frame: pd.DataFrame) -> pd.DataFrame:
    """The last plant of every class is test; photographs differ in view."""
    last = frame["observation_id"].str.endswith("-11")
    return frame.assign(split=np.where(last, "test", "train"), view=["Leaf", "Flower", "Leaf"] * (len(frame) // 3))


@pytest.mark.parametrize("seed", range(5))
def test_photographs_that_come_later_move_no_others(seed: int) -> None:
    """Of a random part the split is drawn; the rest joins its plants and copies, or is drawn by the seed."""
    every, rng = with_test(papers()), np.random.default_rng(seed)
    plants = every["observation_id"].unique()
    new = np.isin(every["observation_id"], rng.choice(plants, 25, replace=False))
    late = new | (rng.random(len(every)) < 0.1)
    # A new plant that shows a file of a known one, and one that is listed as its copy.
    ids = every["image_id"].to_numpy()
    learnt = np.flatnonzero((every["split"] == "train").to_numpy() & new)
    anchor = np.flatnonzero((every["split"] == "train").to_numpy() & ~late)
    every.loc[learnt[0], "sha256"] = every.loc[anchor[0], "sha256"]
    links = [(ids[learnt[-1]], ids[anchor[-1]])]
    old = make_split(every[~late], seed, links=links).frame
    added = added_rows(old, every, seed, links)
    assert sorted([*old["image_id"], *added["image_id"]]) == sorted(ids)
    assert list(added.columns) == list(old.columns)
    whole = pd.concat([old, added]).set_index("image_id").loc[ids].reset_index()
    assert (whole["split"] == "test").equals(every["split"] == "test")
    learn = every[every["split"] != "test"].reset_index(drop=True)
    sides = whole[every["split"] != "test"].reset_index(drop=True)
    assert sides.groupby(groups_of(learn, links))["fold"].nunique().max() == 1
    assert ((sides["fold"] == 0) == (sides["split"] == "valid")).all()
    assert (sides.groupby(learn["class_id"])["split"].nunique() == 2).all()
    assert added.equals(added_rows(old.sample(frac=1, random_state=seed), every, seed, links))
    assert not added.equals(added_rows(old, every, seed + 1, links))
    assert added_rows(pd.concat([old, added]), every, seed, links).empty


def test_what_is_left_out_now_still_says_where_its_plant_is() -> None:
    every = with_test(papers())
    old = make_split(every, 0).frame
    for side in ("train", "valid"):
        own = old.index[old["split"] == side][:3]
        now = every.drop(index=own[:2])
        added = added_rows(old.drop(index=own[2]), now, 3)
        assert added.to_dict("records") == old.loc[[own[2]]].to_dict("records")


def test_a_class_that_comes_later_with_one_plant_trains() -> None:
    every = papers(n_classes=5)
    new = every["class_id"].eq("4") & every["observation_id"].ne("4-0")
    every = every[~new].reset_index(drop=True)
    old = make_split(every[every["class_id"] != "4"], 0).frame
    assert all(added_rows(old, every, seed)["split"].eq("train").all() for seed in range(8))
    # Nor does one judge that comes later while the only plant that taught its class is left out.
    two = every[every["observation_id"].isin(["3-0", "3-1"]) | every["class_id"].ne("3")]
    old = make_split(two, 0).frame
    plant = old["observation_id"]
    old.loc[plant.isin(["3-0", "3-1"]), ["split", "fold"]] = ["train", 1]
    old.loc[plant == "3-1", ["split", "fold"]] = ["valid", 0]
    now = every[every["observation_id"].isin(["3-1", "3-2"]) | every["class_id"].ne("3")]
    assert all(added_rows(old, now, seed)["split"].eq("train").all() for seed in range(8))


def test_a_data_set_that_divides_itself_says_where_later_photographs_go() -> None:
    every = with_test(papers(n_classes=2))
    every.loc[every["observation_id"].str.endswith(("-0", "-1")), "split"] = "valid"
    late = every["observation_id"].isin(["0-0", "0-5", "1-11"])
    old = make_split(every[~late], 0).frame
    added = added_rows(old, every, 0)
    assert dict(zip(added["observation_id"], added["split"], strict=True)) == {
        "0-0": "valid", "0-5": "train", "1-11": "test",
    }  # fmt: skip


def test_a_split_like_test_stays_so() -> None:
    every = with_test(papers(n_classes=6))
    # Test shows one photograph of a plant.
    every = every[(every["split"] != "test") | every["image_id"].str.endswith("-0")].reset_index(drop=True)
    late = every["observation_id"].str.endswith(("-0", "-1", "-2")) | (np.arange(len(every)) % 7 == 0)
    old = make_split(every[~late], 0, like_test=True).frame
    added = added_rows(old, every, 0)
    judged = pd.concat([old, added]).query("split == 'valid'")["observation_id"].value_counts()
    assert judged.max() == 1
    known = added["observation_id"].isin(old["observation_id"])
    assert {"valid", SPARE} <= set(added[~known]["split"])
    assert {"train", SPARE} == set(added[known]["split"]) - {"test"}


def test_the_seed_decides() -> None:
    assert make_split(papers(), 1).frame.equals(make_split(papers(), 1).frame)
    assert not make_split(papers(), 1).frame.equals(make_split(papers(), 2).frame)


@pytest.mark.parametrize("seed", range(5))
def test_equal_files_stay_together(seed: int) -> None:
    frame = papers(n_classes=4)
    # A chain: an image of each plant is also in the next plant of its class.
    for place in range(0, len(frame) - 3, 3):
        if frame.loc[place, "class_id"] == "0":
            frame.loc[place + 2, "sha256"] = frame.loc[place + 3, "sha256"]
    split = make_split(frame, seed).frame
    sides = split.assign(sha256=frame["sha256"]).groupby("sha256")["split"].nunique()
    assert sides.max() == 1


def test_groups_join_by_observation_or_content() -> None:
    frame = pd.DataFrame({
        "image_id": list("abcdef"),
        "observation_id": ["1", "1", "2", "3", "4", "5"],
        "sha256": ["x", "y", "y", "z", "", ""],
    })  # fmt: skip
    assert groups_of(frame).tolist() == [0, 0, 0, 1, 2, 3]


def test_groups_equal_a_brute_force_closure() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        n = int(rng.integers(2, 15))
        frame = pd.DataFrame({
            "image_id": [str(i) for i in range(n)],
            "observation_id": rng.integers(0, 8, n).astype(str),
            "sha256": rng.integers(0, 8, n).astype(str),
        })  # fmt: skip
        linked = (frame["observation_id"].to_numpy()[:, None] == frame["observation_id"].to_numpy()) | (
            frame["sha256"].to_numpy()[:, None] == frame["sha256"].to_numpy()
        )
        reachable = np.linalg.matrix_power(linked.astype(float), n) > 0
        group = groups_of(frame)
        assert np.array_equal(group[:, None] == group, reachable)


@pytest.mark.parametrize("sha256", ["its own", "000"])
def test_a_class_with_one_plant_trains(sha256: str) -> None:
    """Also where one of its files equals a photograph of another class."""
    rare = {"image_id": "r", "observation_id": "r", "class_id": "rare", "split": "train", "sha256": sha256}
    frame = pd.concat([papers(n_classes=3), pd.DataFrame([rare])], ignore_index=True)
    for seed in range(8):
        assert make_split(frame, seed).of(frame)[-1] == "train"


def test_test_images_stay_test_and_supplied_valid_is_kept() -> None:
    frame = papers()
    frame.loc[frame["observation_id"].str.endswith("-1"), "split"] = "test"
    split = make_split(frame, 0)
    assert (split.of(frame)[frame["split"] == "test"] == "test").all()
    frame.loc[frame["observation_id"].str.endswith("-2"), "split"] = "valid"
    assert (make_split(frame, 0).of(frame) == frame["split"]).all()


def test_a_supplied_valid_part_gives_up_what_leaks() -> None:
    frame = papers(3)
    frame.loc[frame["observation_id"].str.endswith(("-2", "-3")), "split"] = "valid"
    # A photograph of plant 0-2, which validates, is also in plant 0-5, which trains.
    frame.loc[frame["image_id"] == "0-2-1", "sha256"] = frame.loc[frame["image_id"] == "0-5-0", "sha256"].item()
    used = make_split(frame, 0).of(frame)
    assert set(used[frame["observation_id"] == "0-2"]) == {"train"}
    assert set(used[frame["observation_id"] == "0-3"]) == {"valid"}


def test_what_cannot_be_divided() -> None:
    with pytest.raises(SplitError, match="at least two observations"):
        make_split(papers(1, 1), 0)
    with pytest.raises(SplitError, match="one in each"):
        make_split(papers(5, 1), 0)


def test_an_observation_in_train_and_test_is_refused() -> None:
    frame = papers()
    frame.loc[0, "split"] = "test"
    with pytest.raises(SplitError, match="0-0 in several"):
        make_split(frame, 0)


def test_files_round_trip_and_name_what_is_missing(tmp_path: Path) -> None:
    frame = papers(2)
    split = make_split(frame, 0)
    write_split(split, tmp_path / "split.csv")
    again = read_split(tmp_path / "split.csv")
    assert (again.of(frame) == split.of(frame)).all()
    grown = pd.concat([frame, papers(1).assign(image_id="new")])
    with pytest.raises(SplitError, match=r"that are not \(new"):
        again.of(grown)
    with pytest.raises(SplitError, match="Run `heads compare` first"):
        read_split(tmp_path / "none.csv")
    (tmp_path / "split.csv").write_text("image_id,observation_id,split,fold\n1,1,train,0\n1,1,train,0\n")
    with pytest.raises(SplitError, match="1 twice"):
        read_split(tmp_path / "split.csv")


def test_listed_copies_stay_together() -> None:
    frame = papers(n_classes=2)
    links = [("0-0-0", "0-1-1"), ("0-1-0", "0-5-0"), ("0-2-0", "not there")]
    for seed in range(5):
        split = make_split(frame, seed, links=links).frame.set_index("image_id")["split"]
        assert len({split["0-0-0"], split["0-1-1"], split["0-5-2"]}) == 1
    assert len(set(groups_of(frame, links))) == 24 - 2


def test_leaks_are_found_with_their_reason() -> None:
    frame = papers(n_classes=1, n_observations=6, n_images=2)
    frame.loc[frame["observation_id"].isin(["0-0", "0-1"]), "split"] = "test"
    assert find_leaks(frame) == []
    frame.loc[frame["image_id"] == "0-2-1", "sha256"] = "000"
    frame.loc[frame["image_id"] == "0-3-0", "observation_id"] = "0-1"
    found = find_leaks(frame, [("0-4-1", "0-0-1"), ("0-5-0", "0-4-0")])
    assert found == [
        Leak("0-2-0", "0-0-0", "linked through others"),
        Leak("0-2-1", "0-0-0", "equal files"),
        Leak("0-3-0", "0-1-0", "one plant"),
        Leak("0-4-0", "0-0-0", "linked through others"),
        Leak("0-4-1", "0-0-1", "listed as copies"),
        Leak("0-5-0", "0-0-0", "linked through others"),
        Leak("0-5-1", "0-0-0", "linked through others"),
    ]
