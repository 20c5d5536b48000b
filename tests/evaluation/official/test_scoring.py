"""Scores of run files, against sums taken straight from the lines, and scikit-learn."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.official.faults import RunFileError
from evaluation.official.layouts import LAYOUTS
from evaluation.official.scoring import score_run
from evaluation.official.truth import Truth, truth_of
from featstore.catalog import COLUMNS, make_catalog
from featstore.errors import SettingsError

CLASSES = ("55", "7", "8", "9")


def papers_of(rows: list[dict[str, str]]) -> pd.DataFrame:
    return make_catalog([{"split": "test", **row} for row in rows], Path(), "made up").frame


def plants(seed: int, n_plants: int, n_authors: int) -> pd.DataFrame:
    """Test photographs of some plants, one to three of each; authors may be unknown."""
    rng = np.random.default_rng(seed)
    rows = []
    for plant in range(n_plants):
        author = str(rng.integers(n_authors) or "")
        class_id = str(rng.choice(CLASSES))
        for _ in range(rng.integers(1, 4)):
            rows.append(
                {
                    "image_id": str(1000 + len(rows)),
                    "observation_id": str(plant),
                    "author": author,
                    "class_id": class_id,
                    "view": str(rng.choice(["Leaf", "Flower"])),
                }
            )
    return papers_of(rows)


def write_random_run(path: Path, queries: list[str], layout: str, seed: int, *, complete: bool) -> list[list[str]]:
    """Write ranked classes with tied scores; unless complete, some classes and queries are missing."""
    rng = np.random.default_rng(seed)
    rows = []
    for query in queries:
        n_listed = len(CLASSES) if complete else rng.integers(0, len(CLASSES) + 1)
        scores = np.sort(rng.integers(0, 4, n_listed) / 4)[::-1]
        for rank, class_id in enumerate(rng.permutation(CLASSES)[:n_listed].tolist(), start=1):
            numbers = [str(rank), str(scores[rank - 1])]
            rows.append([query, class_id, *(numbers if LAYOUTS[layout].rank_column == 2 else numbers[::-1])])
    rng.shuffle(rows)
    rows.sort(key=lambda row: queries.index(row[0]))
    path.write_text("".join(";".join(row) + "\n" for row in rows))
    return rows


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def by_hand(rows: list[list[str]], papers: pd.DataFrame, layout: str) -> dict[str, float]:
    """The official definitions, one line and one plant at a time."""
    column = LAYOUTS[layout].rank_column
    rank = {(row[0], row[1]): int(row[column]) for row in rows}
    users: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for _, paper in papers.iterrows():
        query = f"{paper['image_id']}.jpg" if LAYOUTS[layout].by_image else paper["observation_id"]
        user = paper["author"] or f"the unknown author of {paper['observation_id']}"
        users[user][paper["observation_id"]].append(1 / rank.get((query, paper["class_id"]), math.inf))
    if LAYOUTS[layout].by_image:
        everything = [one for owned in users.values() for values in owned.values() for one in values]
        score = mean([mean([mean(values) for values in owned.values()]) for owned in users.values()])
        suffix, name = "_image", "S_image"
    else:
        everything = [values[0] for owned in users.values() for values in owned.values()]
        score = mean([mean([values[0] for values in owned.values()]) for owned in users.values()])
        suffix, name = "", "S"
    tops = {f"top_{k}{suffix}": mean([float(one > 0 and 1 / one <= k + 1e-9) for one in everything]) for k in (1, 3, 5)}
    found = {name: score, f"mrr{suffix}": mean(everything), **tops}
    if not LAYOUTS[layout].by_image:
        of_species: dict[str, list[float]] = defaultdict(list)
        for plant, class_id in set(zip(papers["observation_id"], papers["class_id"], strict=True)):
            of_species[class_id].append(1 / rank.get((plant, class_id), math.inf))
        found["ma_mrr"] = mean([mean(values) for values in of_species.values()])
    return found


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_plants=st.integers(1, 12),
    n_authors=st.integers(1, 5),
    layout=st.sampled_from(list(LAYOUTS)),
    complete=st.booleans(),
)
def test_scores_are_those_of_the_definitions(
    tmp_path_factory: pytest.TempPathFactory, seed: int, n_plants: int, n_authors: int, layout: str, complete: bool
) -> None:
    papers = plants(seed, n_plants, n_authors)
    names = [f"{name}.jpg" for name in papers["image_id"]] if LAYOUTS[layout].by_image else papers["observation_id"]
    queries = list(dict.fromkeys(names))
    path = tmp_path_factory.mktemp("run") / "run.txt"
    rows = write_random_run(path, queries, layout, seed, complete=complete)
    if not {row[1] for row in rows} & set(papers["class_id"]):
        return
    found = score_run(path, truth_of(papers, "made up"), layout)
    expected = by_hand(rows, papers, layout)
    assert {name: found.value(name) for name in expected} == pytest.approx(expected)
    assert {score.metric for score in found.scores} == set(expected)
    assert found.n_missing == len(set(queries) - {row[0] for row in rows})
    told = [text for text in found.warnings if "counted 0" in text]
    assert len(told) == (found.n_missing > 0)


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1))
def test_views_are_scored_from_their_own_photographs(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    papers = plants(seed, 6, 3)
    path = tmp_path_factory.mktemp("run") / "run.txt"
    rows = write_random_run(path, [f"{name}.jpg" for name in papers["image_id"]], "2014-image", seed, complete=True)
    found = score_run(path, truth_of(papers, "made up"))
    for view, own in papers.groupby("view"):
        expected = by_hand(rows, own, "2014-image")
        values = {score.metric: score.value for score in found.scores if score.view == view}
        assert values == pytest.approx(expected)


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1))
def test_average_ranks_of_tied_scores_are_scipys(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    from scipy.stats import rankdata

    papers = plants(seed, 8, 3)
    path = tmp_path_factory.mktemp("run") / "run.txt"
    queries = sorted(set(papers["observation_id"]))
    rows = write_random_run(path, queries, "2014", seed, complete=True)
    truth = dict(zip(papers["observation_id"], papers["class_id"], strict=True))
    ranks, n_tied = [], 0
    for query in queries:
        own = [row for row in rows if row[0] == query]
        scores = np.array([float(row[3]) for row in own])
        at = [row[1] for row in own].index(truth[query])
        ranks.append(rankdata(-scores)[at])
        n_tied += np.count_nonzero(scores == scores[at]) > 1
    found = score_run(path, truth_of(papers, "made up"), ties="average")
    assert found.value("mrr") == pytest.approx(mean([1 / rank for rank in ranks]))
    assert found.n_tied == n_tied
    official = score_run(path, truth_of(papers, "made up"))
    assert any("--ties average" in text for text in official.warnings) == (n_tied > 0)


def test_the_mean_of_top_labels_is_scikit_learns(tmp_path: Path) -> None:
    from sklearn.metrics import label_ranking_average_precision_score, top_k_accuracy_score

    rng = np.random.default_rng(1)
    probability, number = rng.dirichlet(np.ones(4), 30), np.arange(30) % 4
    papers = papers_of(
        [{"image_id": f"i{n}", "observation_id": f"o{n}", "class_id": CLASSES[number[n]]} for n in range(30)]
    )
    order = np.argsort(-probability, axis=1)
    lines = [
        f"o{n};{CLASSES[order[n, place]]};{place + 1};{probability[n, order[n, place]]}\n"
        for n in range(30)
        for place in range(4)
    ]
    (tmp_path / "run.txt").write_text("".join(lines))
    found = score_run(tmp_path / "run.txt", truth_of(papers, "made up"))
    one_hot = np.eye(4, dtype=int)[number]
    assert found.value("mrr") == pytest.approx(label_ranking_average_precision_score(one_hot, probability))
    assert found.value("top_3") == pytest.approx(top_k_accuracy_score(number, probability, k=3))
    assert found.value("S") == pytest.approx(found.value("mrr")), "every unknown author is one of its own"
    assert all(score.low <= score.value <= score.high for score in found.scores)


def truth() -> Truth:
    return truth_of(plants(0, 5, 3), "made up")


def test_what_cannot_be_scored_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.txt"
    path.write_text("0;7;1;0.5\n99;7;1;0.5\n")
    with pytest.raises(RunFileError, match=r"line 2: a query that the truth does not know: 99 \(1 lines\)"):
        score_run(path, truth())
    path.write_text("0;1007;1;0.5\n")
    with pytest.raises(RunFileError, match="1007 in the run, "):
        score_run(path, truth())
    with pytest.raises(SettingsError, match="rank, average"):
        score_run(path, truth(), ties="lucky")


def test_plants_of_unknown_class_are_left_out_and_may_be_answered(tmp_path: Path) -> None:
    papers = papers_of(
        [
            {"image_id": "1", "observation_id": "1", "class_id": "7"},
            {"image_id": "2", "observation_id": "2", "class_id": ""},
        ]
    )
    path = tmp_path / "run.txt"
    path.write_text("1;8;1;0.5\n1;7;2;0.5\n2;7;1;1\n")
    found = score_run(path, truth_of(papers, "made up"))
    assert (found.value("S"), found.n_queries, found.n_observations) == (0.5, 1, 2)
    assert any("left out of the scores: 1 of 2 observations" in text for text in found.warnings)
    assert list(papers.columns) == list(COLUMNS)
