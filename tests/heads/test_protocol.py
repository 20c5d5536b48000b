"""What a comparison can be asked for beyond its defaults: settings, tuning, folds, calibration, unknown species."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from evaluation.calibration import fit_calibration
from evaluation.predictions import Predictions
from evaluation.runs import predictions_path, read_run_card
from featstore.errors import SettingsError, SplitError
from featstore.splits import SPARE, make_split, read_split
from featstore.store import Store
from featstore.table import load_table
from heads.candidates import Candidate, Tuned
from heads.choice import HeadChoice, parse_choices
from heads.compare import CompareSettings, Crew, compare_heads, foresee
from heads.examples import Examples
from heads.experts import ViewExpertsHead
from heads.folds import open_folds, predict_held_out
from heads.head import Tell
from heads.linear import LogisticHead
from heads.lists import Lists
from heads.margin import RidgeHead
from heads.protocol import Protocol
from heads.tuning import Tuning
from heads.weights import vote_weights
from heads.work import Source, folds_of, is_assembled, learnable

MakeStore = Callable[..., Store]
ONE = CompareSettings(("net_b",), ("logistic",), concat=False)


def test_settings_are_read_as_what_they_are() -> None:
    choice = HeadChoice.parse("wide=mlp:units=64,dropout=0.25,unit_length=yes,activation=relu")
    assert (choice.label, choice.head) == ("wide", "mlp")
    assert choice.settings == {"units": 64, "dropout": 0.25, "unit_length": True, "activation": "relu"}
    assert choice.create(3).settings()["units"] == 64


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mlp:depth=3", "a setting of mlp"),
        ("mlp:units=many", "units of mlp as a whole number"),
        ("mlp:dropout=2", "`dropout`"),
        ("mlp:activation=loud", "`activation`"),
        ("a/b=mlp", "a label"),
        ("logistic:reduction=umap", "`reduction`"),
    ],
)
def test_bad_settings_are_refused(text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        HeadChoice.parse(text)


def test_two_heads_of_one_label_are_refused() -> None:
    with pytest.raises(SettingsError, match="one head per label"):
        parse_choices(("mlp", "mlp:units=64"))
    assert len(parse_choices(("mlp", "mlp", "small=mlp:units=64"))) == 2


def test_folds_predict_every_photograph_without_its_plant(make_store: MakeStore, tmp_path: Path) -> None:
    settings = replace(ONE, protocol=Protocol(n_folds=3, n_repeats=2))
    board = compare_heads(make_store(), settings, tmp_path / "runs")
    folder = tmp_path / "runs" / "net_b-logistic"
    found = Predictions.read(predictions_path(folder, "train", "oof"))
    split = read_split(tmp_path / "runs" / "split.csv").frame
    assert set(found.image_id) == set(split.loc[split["split"] != "test", "image_id"])
    folds = pd.read_csv(tmp_path / "runs" / "folds.csv", dtype=str)
    sides = folds.drop_duplicates(["observation_id", "repeat_0", "repeat_1"])
    assert len(sides) == folds["observation_id"].nunique(), "a plant is on one side"
    assert board.deciding == "train"
    assert board.best()["overall"]["value"] == board.entries[0].value("train")
    assert not (tmp_path / "runs" / ".folds").exists()
    again = compare_heads(make_store(name="other.zarr"), settings, tmp_path / "runs")
    assert again.entries[0].reused


def test_more_folds_than_plants_are_refused_before_anything_is_fitted(make_store: MakeStore, tmp_path: Path) -> None:
    store, out = make_store(), tmp_path / "runs"
    plants = store.papers[store.papers["split"] == "train"].drop_duplicates("observation_id")
    most = int(plants["class_id"].value_counts().max())
    for work in (compare_heads, foresee):
        with pytest.raises(SplitError, match=f"at most {most} parts, .*got --folds 50. Lower --folds"):
            work(store, replace(ONE, protocol=Protocol(n_folds=50)), out)
    assert not out.exists()
    few = plants.groupby("class_id").head(2).reset_index(drop=True)
    with pytest.raises(SplitError, match=r"at most 2 parts, .*got --folds 3. Add plants, or leave --folds out"):
        open_folds(few, 3, 1, 0, tmp_path / "folds.csv", ())
    assert not (tmp_path / "folds.csv").exists()
    found = open_folds(plants, most, 1, 0, tmp_path / "folds.csv", ())
    assert found.n_folds == most


def test_processes_find_what_one_process_finds(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store()
    settings = CompareSettings(("net_a",), ("logistic", "knn"), protocol=Protocol(n_folds=3))
    compare_heads(store, settings, tmp_path / "one")
    compare_heads(store, settings, tmp_path / "two", crew=Crew(n_jobs=2))
    for path in sorted((tmp_path / "one").rglob("*.predictions.h5")):
        same = tmp_path / "two" / path.relative_to(tmp_path / "one")
        np.testing.assert_array_equal(Predictions.read(path).probability, Predictions.read(same).probability)


def test_tuning_keeps_every_trial_and_goes_on(make_store: MakeStore, tmp_path: Path) -> None:
    store, out = make_store(), tmp_path / "runs"
    compare_heads(store, replace(ONE, tuning=Tuning(budget_s=0)), out)
    first = pd.read_csv(out / "net_b-logistic" / "tuning.csv")
    assert first["settings"].tolist() == ["{}"], "the defaults are tried whatever the budget"
    board = compare_heads(store, replace(ONE, tuning=Tuning(budget_s=600)), out)
    tried = pd.read_csv(out / "net_b-logistic" / "tuning.csv")
    assert len(tried) == 8
    assert tried.iloc[0].equals(first.iloc[0]), "what was tried is not tried again"
    card = read_run_card(out / "net_b-logistic")
    assert json.dumps(card.details["tuned"]) in tried["settings"].tolist()
    assert not board.failed


def test_of_what_cannot_be_told_apart_the_lowest_loss_is_taken() -> None:
    rng = np.random.default_rng(0)
    hard = rng.uniform(0.3, 1.0, 400)

    def tried(number: int, by_author: NDArray[np.float64], loss: float) -> Candidate:
        return Candidate({"a": number}, float(by_author.mean()), 0.01, loss, 1, by_author=by_author.tolist())

    best = tried(1, hard, 0.5)
    # As far below the best: on the whole lower by luck, or lower for every single author.
    luck, worse = tried(2, hard - 0.004 + rng.normal(0, 0.2, 400), 0.3), tried(3, hard - 0.01, 0.1)
    failed = Candidate({"a": 4}, float("nan"), float("nan"), float("nan"), 1, "failed")
    assert luck.close_to(best)
    assert not worse.close_to(best)
    assert Tuned((best, luck, worse, failed)).settings == {"a": 2}
    assert Tuned(()).settings == {}


def test_optuna_searches_within_the_grid(make_store: MakeStore, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    compare_heads(make_store(), replace(ONE, tuning=Tuning("optuna", 600, most=4)), tmp_path)
    tried = [json.loads(line) for line in pd.read_csv(tmp_path / "net_b-logistic" / "tuning.csv")["settings"]]
    assert len(tried) == 4
    assert all(0.01 <= settings["inverse_penalty"] <= 10 for settings in tried[1:])


def test_calibration_keeps_rankings_and_lowers_the_loss(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store()
    plain = replace(ONE, heads=("logistic:inverse_penalty=1000",))
    compare_heads(store, plain, tmp_path / "plain")
    protocol = Protocol(calibrate="all", calibration_share=0.5)
    board = compare_heads(store, replace(plain, protocol=protocol), tmp_path / "calibrated")
    before, after = (
        Predictions.read(predictions_path(tmp_path / name / "net_b-logistic", "test")).probability
        for name in ("plain", "calibrated")
    )
    told = board.entries[0].calibrated
    assert told is not None
    assert told.unseen
    assert told.applied
    assert told.calibration.temperatures[""] != 1
    assert (before.argmax(axis=1) == after.argmax(axis=1)).all()
    assert set(told.reliability) == {"valid", "test"}
    unseen = Predictions.read(predictions_path(tmp_path / "calibrated" / "net_b-logistic", "valid")).unseen
    assert unseen is not None
    assert unseen.any()
    assert not unseen.all()
    assert Predictions.read(predictions_path(tmp_path / "plain" / "net_b-logistic", "valid")).unseen is None


def test_a_cross_validation_calibrates(make_store: MakeStore, tmp_path: Path) -> None:
    store, bold = make_store(), replace(ONE, heads=("logistic:inverse_penalty=1000",))
    folds = Protocol(n_folds=4)
    compare_heads(store, replace(bold, protocol=folds), tmp_path / "plain")
    (entry,) = compare_heads(store, replace(bold, protocol=replace(folds, calibrate="all")), tmp_path / "runs").entries
    assert entry.calibrated is not None
    assert (entry.calibrated.applied, entry.calibrated.unseen) == (True, True)
    plain, run = tmp_path / "plain" / "net_b-logistic", tmp_path / "runs" / "net_b-logistic"

    said = Predictions.read(predictions_path(plain, "train", "oof"))
    assert said.unseen is not None
    assert said.unseen.all()
    temperatures = fit_calibration(said)
    assert entry.calibrated.calibration == temperatures
    assert temperatures.temperatures[""] > 1.2
    for split in ("valid", "test"):
        before, after = Predictions.read(predictions_path(plain, split)), Predictions.read(predictions_path(run, split))
        np.testing.assert_array_equal(after.probability, temperatures.apply(before).probability)
    assert is_assembled(entry.trial, Source(store.location, ("net_b",), 0, tmp_path / "runs").open(), tmp_path / "runs")

    # Other folds choose another temperature: what depends on them is made again.
    other = replace(bold, protocol=replace(folds, n_folds=3, calibrate="all"))
    (tmp_path / "runs" / "folds.csv").unlink()
    (again,) = compare_heads(store, other, tmp_path / "runs").entries
    assert not again.reused


@pytest.mark.parametrize("tuning", [None, Tuning(budget_s=0)])
def test_what_tuning_has_seen_is_not_called_unseen(
    make_store: MakeStore, tmp_path: Path, tuning: Tuning | None
) -> None:
    settings = replace(ONE, protocol=Protocol(n_folds=3, calibrate="all"), tuning=tuning)
    compare_heads(make_store(), settings, tmp_path)
    run = tmp_path / "net_b-logistic"
    told = json.loads((run / "calibration.json").read_text())["unseen"]
    said = Predictions.read(predictions_path(run, "train", "oof")).unseen
    assert said is not None
    assert told == said.all() == (tuning is None)


def test_species_that_are_held_out_are_not_learnt(make_store: MakeStore, tmp_path: Path) -> None:
    board = compare_heads(make_store(), replace(ONE, n_held_out=1), tmp_path)
    card = read_run_card(tmp_path / "net_b-logistic")
    assert len(card.classes) == 2
    (out,) = {"10", "100", "9"} - set(card.classes)
    assert f"1 species is held out, in place of unknown ones, and counted as missed: {out}" in board.warnings
    missed = board.entries[0].by_class["test"]
    assert missed.mrr[missed.class_id == out] == 0
    assert 0 <= board.entries[0].unknown_auroc["valid"] <= 1
    with pytest.raises(SplitError, match="5 species"):
        compare_heads(make_store(name="b.zarr"), replace(ONE, n_held_out=5), tmp_path / "more")


def test_valid_like_test_judges_as_many_photographs_of_a_plant() -> None:
    rng = np.random.default_rng(0)
    rows = []
    for plant in range(400):
        test = plant >= 300
        views = rng.choice(["Flower", "Leaf"], 1 if test else 4, p=[0.9, 0.1] if test else [0.5, 0.5])
        rows += [
            {"image_id": f"{plant}-{n}", "observation_id": str(plant), "class_id": str(plant % 5), "view": view,
             "split": "test" if test else "train", "sha256": f"{plant}-{n}"}
            for n, view in enumerate(views)
        ]  # fmt: skip
    papers = pd.DataFrame(rows)
    split = make_split(papers, seed=1, like_test=True)
    joined = split.frame.assign(view=papers["view"])
    judged = joined[joined["split"] == "valid"]
    assert judged.groupby("observation_id").size().eq(1).all()
    assert set(joined["split"]) == {"train", "valid", SPARE, "test"}
    assert (judged["view"] == "Flower").mean() > 0.75, "half of what is there, nine tenths of test"
    plain = make_split(papers, seed=1).frame
    np.testing.assert_array_equal(plain["split"], joined["split"].replace(SPARE, "valid"))


def test_experts_of_views_learn_what_the_common_head_cannot() -> None:
    """The same feature means the opposite in two views."""
    rng = np.random.default_rng(3)

    def draw(n: int) -> Examples:
        features = rng.normal(size=(n, 4)).astype(np.float32)
        views = np.array(["Flower", "Leaf"])[rng.integers(0, 2, n)]
        sign = np.where(views == "Flower", 1, -1)
        labels = np.where(features[:, 0] * sign > 0, "yes", "no")
        return Examples(features, labels, None, views)

    train, valid, test = draw(400), draw(200), draw(400)
    head = ViewExpertsHead().learn(train, valid)
    found = head.classes_[head.predict_proba(test.features, test.views).argmax(axis=1)]
    common = LogisticHead().learn(train)
    assert np.mean(found == test.labels) > 0.95
    assert np.mean(common.classes_[common.predict_proba(test.features).argmax(axis=1)] == test.labels) < 0.65
    assert head.chosen_["shares"] == {"Flower": 0.9, "Leaf": 0.9}
    np.testing.assert_array_equal(head.predict_proba(test.features), common.predict_proba(test.features))


@pytest.mark.parametrize("n_leaves", [30, 60])
def test_an_expert_that_no_valid_photograph_has_judged_is_not_asked(n_leaves: int) -> None:
    """Flowers are enough for an expert in the refit alone, whether or not leaves had one before."""
    rng = np.random.default_rng(0)

    def draw(**n_photographs: int) -> Examples:
        views = np.repeat(list(n_photographs), list(n_photographs.values()))
        features = rng.normal(size=(len(views), 4)).astype(np.float32)
        return Examples(features, np.array(["a", "b"])[rng.integers(0, 2, len(views))], None, views)

    first = ViewExpertsHead(min_images=50).learn(draw(Flower=40, Leaf=n_leaves), draw(Flower=20, Leaf=20))
    assert set(first.chosen_["shares"]) == ({"Leaf"} if n_leaves >= 50 else set())
    again = first.for_refit().learn(both := draw(Flower=60, Leaf=n_leaves))
    common, flowers = LogisticHead().learn(both), np.full(len(both.labels), "Flower")
    np.testing.assert_array_equal(again.predict_proba(both.features, flowers), common.predict_proba(both.features))
    never = ViewExpertsHead(min_images=50).learn(both)
    assert np.abs(never.predict_proba(both.features, flowers) - common.predict_proba(both.features)).max() > 1e-3


def test_votes_weigh() -> None:
    found = vote_weights(np.array([1.0, 3.0, np.nan, 0.0]))
    np.testing.assert_allclose(found, np.array([1, 3, 1.5, 0.5]) / 1.5)
    np.testing.assert_array_equal(vote_weights(np.full(3, np.nan)), 1)


@pytest.mark.parametrize("head", ["logistic", "lda", "ridge", "svm", "prototype", "dummy"])
def test_a_weight_of_two_is_a_photograph_twice(head: str) -> None:
    rng = np.random.default_rng(1)
    features = rng.normal(size=(90, 5)).astype(np.float32)
    labels = np.array(["a", "b", "c"])[np.arange(90) % 3]
    features[:, 0] += np.arange(90) % 3
    twice = np.arange(90) % 2 == 0
    settings = {"standardise": False} | ({"shrinkage": 0.3} if head == "lda" else {})
    weighted = HeadChoice(head, settings=settings).create(0).fit(features, labels, weight=1.0 + twice)
    rows = np.concatenate([np.arange(90), np.flatnonzero(twice)])
    repeated = HeadChoice(head, settings=settings).create(0).fit(features[rows], labels[rows])
    np.testing.assert_allclose(weighted.predict_proba(features), repeated.predict_proba(features), atol=2e-3)


def test_species_that_are_held_out_are_not_learnt_out_of_fold(make_store: MakeStore, tmp_path: Path) -> None:
    learnt: list[set[str]] = []

    class Spy(RidgeHead):
        def learn(self, train: Examples, valid: Examples | None = None, tell: Tell | None = None) -> RidgeHead:
            learnt.append(set(train.labels.tolist()) | (set(valid.labels.tolist()) if valid else set()))
            return super().learn(train, valid, tell)

    settings = replace(ONE, heads=("ridge",), n_held_out=1, protocol=Protocol(n_folds=3))
    (entry,) = compare_heads(make_store(), settings, tmp_path).entries
    source = Source(make_store(name="again.zarr").location, ("net_b",), 0, tmp_path, n_held_out=1)
    material = source.open()
    table, folds = learnable(entry.trial, material), folds_of(entry.trial, material, tmp_path)
    classes = np.array(material.classes("train"))
    assert len(set(table.papers["class_id"]) - {""}) == 3
    for held in range(3):
        predict_held_out(Spy, table, folds.of(table.papers, 0), held, classes, Protocol())
    assert set.union(*learnt) == set(classes.tolist())
    assert len(classes) == 2


@pytest.mark.parametrize("nested", [True, False])
def test_a_part_that_chooses_is_judged_on_whole_and_unweighted(make_store: MakeStore, nested: bool) -> None:
    """As valid is: votes and class weights are about what is learnt."""
    met: list[tuple[Examples, Examples | None]] = []

    class Spy(RidgeHead):
        def learn(self, train: Examples, valid: Examples | None = None, tell: Tell | None = None) -> RidgeHead:
            met.append((train, valid))
            return super().learn(train, valid, tell)

    def vote(papers: pd.DataFrame) -> None:
        papers["vote"] = np.where(papers["image_id"].str.endswith("0"), 1.0, 4.0 + np.arange(len(papers)) % 3)

    table = load_table(make_store(vote), ["net_b"])
    table = table.select((table.papers["split"] == "train").to_numpy())
    part = np.asarray(table.papers["observation_id"].str[1:].astype(int) // 3 % 3)
    protocol = Protocol(min_vote=2, vote_weight=True, class_weight="balanced")
    predict_held_out(Spy, table, part, 0, np.array(["10", "100", "9"]), protocol, nested=nested)
    learnt, judged = met[0]
    assert judged is not None
    assert (len(judged.labels), judged.weight) == ((part == int(nested)).sum(), None)
    assert len(learnt.labels) == np.isin(part, [2] if nested else [1, 2]).sum() // 2, "those of a vote above 1"
    assert learnt.weight is not None


def test_what_is_left_after_an_interrupt_is_told_apart(
    make_store: MakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, two = make_store(), replace(ONE, heads=("ridge", "lda"))
    compare_heads(store, two, tmp_path)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("heads.linear.LogisticHead._fit", interrupt)
    other = replace(two, heads=("ridge", "logistic", "lda"), protocol=Protocol(class_weight="balanced"))
    with pytest.raises(KeyboardInterrupt):
        compare_heads(store, other, tmp_path)
    told = json.loads((tmp_path / "leaderboard.json").read_text())
    assert {run["run"]: run["error"] for run in told["runs"]} == {
        "net_b-ridge": "",
        "net_b-logistic": "not finished; the same command goes on",
        "net_b-lda": "not finished; the same command goes on",
    }


def test_copies_decide_what_is_reused(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store()
    settings = replace(ONE, protocol=Protocol(calibrate="all"))
    compare_heads(store, settings, tmp_path)
    papers = load_table(store, ["net_b"]).papers
    valid = read_split(tmp_path / "split.csv").of(papers) == "valid"
    pair = papers.loc[valid].drop_duplicates("observation_id")["image_id"].to_list()[:2]
    copies = tmp_path / "copies.csv"
    copies.write_text(f"image_id,partner,kind\n{pair[0]},{pair[1]},near_duplicate\n")
    (entry,) = compare_heads(store, settings, tmp_path, Lists(copies=copies)).entries
    assert not entry.reused


@pytest.mark.parametrize("name", ["valid.predictions.h5", "calibration.json", "run.json"])
def test_a_damaged_run_is_made_again(make_store: MakeStore, tmp_path: Path, name: str) -> None:
    store = make_store()
    compare_heads(store, ONE, tmp_path)
    path = tmp_path / "net_b-logistic" / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (entry,) = compare_heads(store, ONE, tmp_path).entries
    assert (entry.error, entry.reused) == ("", False)


@pytest.mark.parametrize(
    ("text", "tuned", "random"),
    [
        ("logistic", {}, False),
        ("logistic:components=20", {}, True),
        ("logistic:components=20,reduction=lda", {}, False),
        ("prototype", {"components": 64}, True),
        ("prototype:components=64", {"reduction": "lda"}, False),
        ("lightgbm:reduction=lda", {}, True),
        ("view_experts", {}, False),
        ("view_experts:of=lightgbm", {}, True),
        ("view_experts:components=20", {}, True),
    ],
)
def test_settings_tell_whether_a_head_is_random(text: str, tuned: dict[str, int | str], random: bool) -> None:
    assert HeadChoice.parse(text).random(tuned) == random


def test_a_head_that_is_not_random_answers_alike_under_other_seeds() -> None:
    """On so many columns that principal components are found from a random start."""
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(560, 600)).astype(np.float32), rng.choice(["a", "b", "c"], 560)
    for text in ("logistic:components=20", "lda", "ridge:components=20,reduction=lda"):
        choice = HeadChoice.parse(text)
        one, other = (choice.create(seed).fit(features, labels).predict_proba(features) for seed in (0, 1))
        assert (np.abs(one - other).max() > 0.01) == choice.random(), text


def test_seeds_are_fitted_for_a_head_that_its_settings_make_random(make_store: MakeStore, tmp_path: Path) -> None:
    settings = replace(ONE, heads=("ridge:components=4",), protocol=Protocol(n_seeds=2))
    board = compare_heads(make_store(), settings, tmp_path)
    assert not any("--seeds changed nothing" in text for text in board.warnings)
    assert board.entries[0].spread["valid"][2] == 2


def test_options_without_effect_are_told_or_refused(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store()
    compare_heads(store, ONE, tmp_path)
    settings = replace(ONE, like_test=True, protocol=Protocol(n_seeds=3, min_vote=3))
    told = " ".join(compare_heads(store, settings, tmp_path).warnings)
    assert "--valid-like-test changed nothing" in told
    assert "--seeds changed nothing" in told
    assert "votes changed nothing" in told
    with pytest.raises(SettingsError, match="--repeats without --folds"):
        Protocol(n_repeats=3)


def test_a_high_vote_tells_how_little_is_left(make_store: MakeStore, tmp_path: Path) -> None:
    def vote(papers: pd.DataFrame) -> None:
        papers["vote"] = np.where(papers["class_id"] == "9", 1.0, 4.0)

    board = compare_heads(make_store(vote), replace(ONE, protocol=Protocol(min_vote=3)), tmp_path)
    (told,) = [text for text in board.warnings if text.startswith("--min-vote 3 leaves")]
    assert told.endswith(", and 1 class without any, which count as missed: 9 Tussilago farfara")
    assert board.entries[0].by_class["test"].mrr[board.entries[0].by_class["test"].class_id == "9"] == 0
