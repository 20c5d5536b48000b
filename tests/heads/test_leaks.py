"""What a leak does to a score, and that it is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from featstore.errors import SplitError
from featstore.splits import read_split
from featstore.store import Store
from featstore.table import load_table
from heads.compare import CompareSettings, compare_heads
from heads.lists import Lists
from heads.registry import create_head

MakeStore = Callable[..., Store]


def copies_of_test(papers: pd.DataFrame) -> None:
    """Give the training photographs of ten plants the files of test photographs, as if they had been sent in twice."""
    learnt, tested = papers["split"] == "train", papers["split"] == "test"
    papers.loc[learnt, "sha256"] = [*papers.loc[tested, "sha256"][:20], *papers.loc[learnt, "sha256"][20:]]


def test_a_leak_is_refused_by_name(make_store: MakeStore, tmp_path: Path) -> None:
    with pytest.raises(SplitError, match=r"20 that it does \(i000.*--drop-leaks"):
        compare_heads(make_store(copies_of_test), CompareSettings(("net_b",), ("knn",)), tmp_path)


@pytest.mark.parametrize("head", ["knn", "logistic"])
def test_what_is_refused_would_have_raised_the_score(make_store: MakeStore, head: str) -> None:
    table = load_table(make_store(), ["net_b"])
    known = (table.papers["class_id"] != "").to_numpy()
    learnt = (table.papers["split"] == "train").to_numpy() & known
    tested = (table.papers["split"] == "test").to_numpy() & known & (table.papers["class_id"] != "7").to_numpy()
    # Features without any signal: whatever is right beyond a third is known by heart.
    features = np.random.default_rng(0).normal(size=(len(table), 64)).astype(np.float32)
    labels = table.papers["class_id"].to_numpy(np.str_)

    def top_1(rows: np.ndarray) -> float:
        fitted = create_head(head).fit(features[rows], labels[rows])
        said = fitted.classes_[fitted.predict_proba(features[tested]).argmax(axis=1)]
        return float(np.mean(said == labels[tested]))

    assert top_1(learnt) < 0.55
    assert top_1(learnt | tested) > 0.95


def test_a_split_of_ones_own_is_used_or_refused(make_store: MakeStore, tmp_path: Path) -> None:
    store, own = make_store(), tmp_path / "own.csv"
    one = CompareSettings(("net_b",), ("ridge",))
    compare_heads(store, one, tmp_path / "first")
    frame = pd.read_csv(tmp_path / "first" / "split.csv", dtype=str, keep_default_na=False)
    swapped = frame.assign(split=frame["split"].map({"train": "valid", "valid": "train", "test": "test"}))
    swapped.to_csv(own, index=False)
    compare_heads(store, one, tmp_path / "second", Lists(split=own))
    used = pd.read_csv(tmp_path / "second" / "split.csv", dtype=str, keep_default_na=False)
    assert used["split"].tolist() == swapped["split"].tolist()
    compare_heads(store, one, tmp_path / "second", Lists(split=own))
    with pytest.raises(SplitError, match=r"the split of .*own\.csv in .*first"):
        compare_heads(store, one, tmp_path / "first", Lists(split=own))

    leaky = swapped.assign(split=swapped["split"].mask(swapped["image_id"] == "i470", "train"))
    leaky = leaky.assign(split=leaky["split"].mask(leaky["observation_id"] == "o47", "train"))
    leaky.to_csv(own, index=False)
    with pytest.raises(SplitError, match="as test in"):
        compare_heads(store, one, tmp_path / "third", Lists(split=own))
    torn = swapped.copy()
    torn.loc[torn["image_id"] == "i000", "split"] = "valid" if torn["split"][0] == "train" else "train"
    torn.to_csv(own, index=False)
    with pytest.raises(
        SplitError, match=r"between plants, got 1 photograph of train.*i00. and i00.: one plant.*Correct .*own.csv"
    ):
        compare_heads(store, one, tmp_path / "third", Lists(split=own))
    assert not (tmp_path / "third" / "split.csv").exists()


KNN = CompareSettings(("net_b",), ("knn",))


def without_signal(papers: pd.DataFrame) -> None:
    """All photographs are made as one class: whatever is right beyond chance is known by heart."""
    papers["made_as"] = "10"


def show_test_again(store: Store, plants: range) -> list[tuple[str, str]]:
    """Give the photographs of training plants the features of test plants of their class, 33 further on, less a grain.

    As if a photograph had been saved anew: its bytes are others, and nothing in the papers tells. Gives the pairs.
    """
    pairs = [(f"i{plant:02}{shot}", f"i{plant + 33}{shot}") for plant in plants for shot in range(2)]
    for view in store.views:
        keys, block = store.keys(view), store.rows.read(view, "net_b")
        place = {key: row for row, key in enumerate(keys)}
        for one, other in pairs:
            if one in place:
                block[place[one]] = block[place[other]] * 1.0001
        store.rows.write_unit(view, "net_b", 0, block, store.rows.read_identity(view, "net_b", 0))
    return pairs


def test_copies_that_no_digest_tells_raise_the_score_until_they_are_listed(
    make_store: MakeStore, tmp_path: Path
) -> None:
    honest = compare_heads(make_store(without_signal), KNN, tmp_path / "honest").entries[0].value("test")
    store = make_store(without_signal, name="disguised.zarr")
    pairs = show_test_again(store, range(13))
    leaky = compare_heads(store, KNN, tmp_path / "disguised").entries[0].value("test")
    assert honest is not None
    assert leaky is not None
    # Chance is 0.57, and 0.93 the most: one plant is of a class that nobody could learn.
    assert leaky > 0.85
    assert honest < leaky - 0.15

    copies = tmp_path / "copies.csv"
    copies.write_text("\n".join(["image_id,partner", *(",".join(pair) for pair in pairs)]))
    listed = tmp_path / "listed"
    with pytest.raises(SplitError, match=r"26 that it does \(i000 and i330: listed as copies.*All of them are in"):
        compare_heads(store, KNN, listed, Lists(copies=copies))
    assert len(pd.read_csv(listed / "leaks.csv")) == 26
    dropped = compare_heads(store, KNN, listed, Lists(copies=copies, drop_leaks=True)).entries[0].value("test")
    assert dropped is not None
    assert dropped < leaky - 0.15
    assert not (listed / "leaks.csv").exists()


def own_split(store: Store, path: Path) -> None:
    """Plants 0 to 7 are valid, as is one photograph each of plants 8 to 15, whose other one is train."""
    papers = store.papers
    plant, first = papers["observation_id"].str[1:].astype(int), papers["image_id"].str.endswith("0")
    sides = np.where((plant < 8) | ((plant < 16) & first), "valid", "train")
    frame = papers[["image_id", "observation_id"]].assign(split=np.where(papers["split"] == "test", "test", sides))
    frame.assign(fold=0).to_csv(path, index=False)


def test_a_split_that_leaks_is_refused_with_every_pair_or_the_photographs_of_train_are_dropped(
    make_store: MakeStore, tmp_path: Path
) -> None:
    def equal_files(papers: pd.DataFrame) -> None:
        papers.loc[papers["image_id"] == "i200", "sha256"] = papers.loc[papers["image_id"] == "i000", "sha256"].item()

    store, own, copies, out = make_store(equal_files), tmp_path / "own.csv", tmp_path / "pairs.csv", tmp_path / "runs"
    own_split(store, own)
    copies.write_text("image_id,partner\ni220,i010\n")
    reasons = {
        **{f"i{plant:02}1": (f"i{plant:02}0", "one plant") for plant in range(8, 16)},
        "i200": ("i000", "equal files"),
        "i201": ("i000", "linked through others"),
        "i220": ("i010", "listed as copies"),
        "i221": ("i010", "linked through others"),
    }
    given = own.read_bytes()
    with pytest.raises(
        SplitError, match=r"got 12 .*i081 and i080: one plant.*Correct .*own\.csv.*--drop-leaks"
    ) as told:
        compare_heads(store, KNN, out, Lists(copies=copies, split=own))
    assert str(out / "leaks.csv") in told.value.remedy
    assert "Delete" not in told.value.remedy
    listed = pd.read_csv(out / "leaks.csv", dtype=str)
    assert {row.image_id: (row.partner, row.reason) for row in listed.itertuples()} == reasons
    assert [path.name for path in out.iterdir()] == ["leaks.csv"], "nothing else of a call that was refused"

    board = compare_heads(store, KNN, out, Lists(copies=copies, split=own, drop_leaks=True))
    assert not board.failed
    left = pd.read_csv(out / "exclusions.csv", dtype=str)
    assert dict(zip(left["image_id"], left["reason"], strict=True)) == {
        key: f"leak: {key} and {partner}: {why}" for key, (partner, why) in reasons.items()
    }
    used = read_split(out / "split.csv").frame
    assert not set(reasons) & set(used["image_id"])
    assert len(used) == 96 - 12
    assert own.read_bytes() == given
    for lists in (Lists(), Lists(split=own), Lists(split=own, drop_leaks=True)):
        assert compare_heads(store, KNN, out, lists).entries[0].reused


def test_a_full_split_over_a_plant_in_train_and_test_serves_once_its_leaks_are_dropped(
    make_store: MakeStore, tmp_path: Path
) -> None:
    def plant_in_both(papers: pd.DataFrame) -> None:
        papers.loc[papers["image_id"] == "i311", "split"] = "test"

    store, own, out = make_store(plant_in_both), tmp_path / "own.csv", tmp_path / "runs"
    own_split(store, own)
    with pytest.raises(SplitError, match=r"got 1 that it does .*i310 and i311: one plant"):
        compare_heads(store, KNN, out, Lists(split=own))
    board = compare_heads(store, KNN, out, Lists(split=own, drop_leaks=True))
    assert not board.failed
    side = read_split(out / "split.csv").frame.set_index("image_id")["split"]
    assert side["i311"] == "test"
    assert "i310" not in side


def test_a_later_photograph_that_joins_both_sides_is_a_leak_that_can_be_dropped(
    make_store: MakeStore, tmp_path: Path
) -> None:
    out, one = tmp_path / "runs", make_store()
    compare_heads(one, KNN, out)
    rows = read_split(out / "split.csv").frame
    train, valid = (rows.loc[rows["split"] == side, "image_id"].iloc[0] for side in ("train", "valid"))
    partner = rows.loc[(rows["split"] == "train") & (rows["image_id"].str[:3] != train[:3]), "image_id"].iloc[0]
    # i090 comes later, as a copy of two photographs.
    rows[rows["observation_id"] != "o09"].to_csv(out / "split.csv", index=False)
    assert {train[:3], valid[:3], partner[:3]}.isdisjoint({"i09"})
    copies = tmp_path / "copies.csv"
    copies.write_text(f"image_id,partner\ni090,{train}\ni090,{valid}\n")
    with pytest.raises(SplitError, match=r"a split in .* between plants, got 4 photographs of train .*--drop-leaks"):
        compare_heads(one, KNN, out, Lists(copies=copies))
    board = compare_heads(one, KNN, out, Lists(copies=copies, drop_leaks=True))
    assert not board.failed
    left = set(pd.read_csv(out / "exclusions.csv", dtype=str)["image_id"])
    assert left == {"i090", "i091", train, f"{train[:3]}{1 - int(train[3])}"}


def test_a_split_that_trains_on_test_is_refused_whatever_is_dropped(make_store: MakeStore, tmp_path: Path) -> None:
    store, own, out = make_store(), tmp_path / "own.csv", tmp_path / "runs"
    own_split(store, own)
    frame = pd.read_csv(own, dtype=str)
    frame.assign(split=frame["split"].mask(frame["observation_id"] == "o40", "train")).to_csv(own, index=False)
    with pytest.raises(SplitError, match=r"as test in .*i400, i401.*Correct .*own\.csv"):
        compare_heads(store, KNN, out, Lists(split=own, drop_leaks=True))
    assert not out.exists()


def test_a_call_that_is_refused_leaves_no_list_behind(make_store: MakeStore, tmp_path: Path) -> None:
    store, copies, exclude, out = make_store(), tmp_path / "pairs.csv", tmp_path / "list.csv", tmp_path / "runs"
    copies.write_text("image_id,partner\ni000,i330\n")
    exclude.write_text("image_id,reason\ni100,blurred\n")
    with pytest.raises(SplitError, match="i000 and i330: listed as copies"):
        compare_heads(store, KNN, out, Lists(exclude=exclude, copies=copies))
    board = compare_heads(store, KNN, out)
    assert not board.failed
    assert not {"copies.csv", "exclusions.csv", "leaks.csv"} & {path.name for path in out.iterdir()}
    assert len(read_split(out / "split.csv").frame) == 96
