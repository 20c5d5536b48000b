"""Runs without some species, judged by `evaluate unknown` with the store they were fitted on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evaluation.predictions import Predictions
from evaluation.runs import predictions_path
from evaluation.unknown.closeness import closeness_of, read_learnt
from evaluation.unknown.evidence import REJECTIONS
from evaluation.unknown.judge import UnknownSettings, judge_unknown
from evaluation.unknown.threshold import read_threshold
from featstore.errors import PredictionsError
from featstore.store import Store
from featstore.table import load_table
from heads.compare import CompareSettings, compare_heads

MakeStore = Callable[..., Store]


def test_every_score_is_told_of_a_run_without_some_species(make_store: MakeStore, tmp_path: Path) -> None:
    store, out = make_store(), tmp_path / "runs"
    compare_heads(store, CompareSettings(("net_b",), ("logistic",), n_held_out=1), out)
    run = out / "net_b-logistic"
    test = Predictions.read(predictions_path(run, "test"))
    learnt = read_learnt(store, ("net_b",), run, test.classes)
    split = pd.read_csv(out / "split.csv", dtype=str)
    papers = store.papers.merge(split[["image_id", "split"]], on="image_id", suffixes=("_own", ""))
    train = papers[(papers["split"] == "train") & papers["class_id"].isin(test.classes.tolist())]
    assert sorted(learnt.class_id) == sorted(train["class_id"]), "neither valid nor the species left out"

    report = judge_unknown([run], UnknownSettings(store=store.location), out)
    assert [one.score for one in report.judged] == list(REJECTIONS)
    assert all(one.threshold is not None for one in report.judged)
    assert report.notes == ()
    found = closeness_of(test, learnt, load_table(store, "net_b"))["neighbours"]
    plants = [found[test.observation_id == plant].mean() for plant in np.unique(test.observation_id)]
    named = [(test.true_class[test.observation_id == plant] != "").any() for plant in np.unique(test.observation_id)]
    neighbours = next(one for one in report.judged if one.score == "neighbours")
    np.testing.assert_allclose(neighbours.accepted.threshold, np.unique(np.array(plants)[named])[::-1])
    threshold = read_threshold(out / "unknown" / run.name / "threshold.json", "neighbours")
    assert threshold == neighbours.threshold


def test_features_of_something_else_are_refused(make_store: MakeStore, tmp_path: Path) -> None:
    store, out = make_store(), tmp_path / "runs"
    compare_heads(store, CompareSettings(("net_b",), ("logistic",)), out)
    test = Predictions.read(predictions_path(out / "net_b-logistic", "test"))
    learnt = read_learnt(store, ("net_b",), out / "net_b-logistic", test.classes)
    some = load_table(store, "net_b", image_ids=test.image_id[1:].tolist())
    with pytest.raises(PredictionsError, match=r"got none of 1 \("):
        closeness_of(test, learnt, some)
    with pytest.raises(PredictionsError, match=r"got no .*split\.csv"):
        read_learnt(store, ("net_b",), tmp_path / "elsewhere" / "run", test.classes)
