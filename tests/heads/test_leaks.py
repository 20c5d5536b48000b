"""What a leak does to a score, and that it is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from featstore.errors import SplitError
from featstore.store import Store
from featstore.table import load_table
from heads.compare import CompareSettings, compare_heads
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
    from heads.lists import Lists

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
    with pytest.raises(SplitError, match=r"each observation in one split.*o00"):
        compare_heads(store, one, tmp_path / "third", Lists(split=own))
    assert not (tmp_path / "third" / "split.csv").exists()
