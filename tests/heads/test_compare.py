from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evaluation.predictions import Predictions
from evaluation.runs import find_predictions, predictions_path, read_run_card
from evaluation.scores import score_predictions
from featstore.errors import DatasetError, SettingsError, SplitError
from featstore.splits import read_split
from featstore.store import Store
from featstore.store.lease import LockedError
from featstore.table import load_table
from heads.compare import CompareSettings, Crew, compare_heads, plan
from heads.leaderboard import Leaderboard
from heads.linear import LogisticHead
from heads.lists import Lists, keep, staging
from heads.material import load_material
from heads.pictures import PICTURES
from heads.protocol import Protocol
from heads.registry import load_head

MakeStore = Callable[..., Store]
QUICK = CompareSettings(heads=("logistic", "lightgbm:rounds=30"))
LOGISTIC = CompareSettings(heads=("logistic",), concat=False)
CHEAP = {"mlp": "mlp:epochs=15,n_layers=1", "lightgbm": "lightgbm:rounds=60"}
EVERY = CompareSettings(heads=tuple(CHEAP.get(head, head) for head in CompareSettings().heads))


def files(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def seen(folder: Path) -> set[str]:
    """Names in a folder; the trace of a lease is hidden."""
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def maps(run: Path, which: str) -> list[np.ndarray]:
    with np.load(run / which / "logistic.npz", allow_pickle=False) as arrays:
        return [arrays["weights"], arrays["offset"]]


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory, store_maker: Callable[[Path], Store]
) -> tuple[Store, Path, Leaderboard]:
    """Every head on both networks and on both together."""
    folder = tmp_path_factory.mktemp("whole")
    store = store_maker(folder / "features.zarr")
    return store, folder / "runs", compare_heads(store, EVERY, folder / "runs")


def test_every_head_meets_every_input(whole: tuple[Store, Path, Leaderboard]) -> None:
    _, out, board = whole
    expected = {
        f"{names}-{head}"
        for names in ("net_a", "net_b", "net_a+net_b")
        for head in ("mlp", "logistic", "lightgbm", "lda", "ridge", "knn", "prototype", "view_experts")
    }
    # What looks at nothing is tried once.
    expected.add("net_a-dummy")
    assert {entry.trial.name for entry in board.entries} == expected
    assert seen(out) == {
        *expected, "split.csv", "best.json", "leaderboard.csv", "leaderboard.json",
        "leaderboard.png", "speed.png", "views.png", "classes.csv", "classes.png", "calibration.png",
    }  # fmt: skip
    for run in expected:
        there = {str(path.relative_to(out / run)) for path in (out / run).rglob("*") if path.is_file()}
        assert {"run.json", "valid.predictions.h5", "test.predictions.h5"} <= there
        assert {"fitted/head.json", "refitted/head.json"} <= there
        assert ("log.csv" in there) == run.endswith(("mlp", "lightgbm"))


def test_figures_are_those_of_the_files(whole: tuple[Store, Path, Leaderboard]) -> None:
    _, out, board = whole
    for entry in board.entries:
        for split in ("valid", "test"):
            (path,) = find_predictions(out / entry.trial.name, split)
            scores = {(s.view, s.metric): s.value for s in score_predictions(Predictions.read(path))}
            for metric, value in entry.figures(split).items():
                assert value == scores["all", metric]
        chance = entry.trial.head == "dummy"
        assert read_run_card(out / entry.trial.name).is_baseline is chance
        assert ((entry.value("valid") or 0) > 0.65) != chance, "chance is 0.61: the mean of 1, 1/2 and 1/3"
        n_networks = len(entry.trial.backbones)
        assert (entry.needs.networks, entry.needs.features) == (n_networks, 12 * n_networks)
        assert entry.fit_seconds
        assert entry.refit_seconds
        assert entry.images_per_second
    ordered = [entry.value("valid") for entry in board.entries]
    assert ordered == sorted(ordered, reverse=True)


def test_saved_heads_gave_the_predictions(whole: tuple[Store, Path, Leaderboard]) -> None:
    """fitted/ answers for valid, refitted/ for test, on the rows that split.csv names."""
    store, out, board = whole
    for entry in board.entries:
        table = load_table(store, entry.trial.backbones)
        split = read_split(out / "split.csv").of(table.papers)
        for name, which in (("valid", "fitted"), ("test", "refitted")):
            rows = table.select(split == name)
            found = Predictions.read(out / entry.trial.name / f"{name}.predictions.h5")
            head = load_head(out / entry.trial.name / which)
            np.testing.assert_array_equal(found.image_id, rows.papers["image_id"])
            np.testing.assert_array_equal(found.true_class, rows.papers["class_id"])
            np.testing.assert_array_equal(found.classes, head.classes_)
            np.testing.assert_array_equal(found.probability, head.predict_proba(rows.features))
        assert load_head(out / entry.trial.name / "refitted").settings() == (
            load_head(out / entry.trial.name / "fitted").for_refit().settings()
        )


def test_photographs_of_unknown_or_untrained_class_are_predicted_too(whole: tuple[Store, Path, Leaderboard]) -> None:
    _, out, board = whole
    found = Predictions.read(out / "net_a-logistic" / "test.predictions.h5")
    assert found.true_class[found.observation_id == "o46"].tolist() == ["7", "7"]
    assert found.true_class[found.observation_id == "o47"].tolist() == ["", ""]
    assert "7" not in found.classes
    assert any("7 Only in test" in text for text in board.warnings)
    few = {text.split(" of ")[1].split()[0] for text in board.warnings if "an interval says little" in text}
    n_scored = {score.split: score.n_observations for score in board.entries[0].scores if score.view == "all"}
    assert few == {split for split, n in n_scored.items() if n < 20} != set()


def test_best_names_the_start_for_fine_tuning(whole: tuple[Store, Path, Leaderboard]) -> None:
    _, out, board = whole
    best = json.loads((out / "best.json").read_text())
    singles = [e for e in board.entries if e.trial.head == "mlp" and len(e.trial.backbones) == 1]
    top = max(singles, key=lambda entry: entry.value("valid") or 0)
    assert best["finetune"] == {
        "run": top.trial.name,
        "backbone": top.trial.backbones[0],
        "head": "mlp",
        "metric": "S",
        "value": top.value("valid"),
    }
    assert load_head(out / best["finetune"]["run"] / "fitted").network.input_shape == (None, 12)
    assert best["overall"]["value"] == max(entry.value("valid") or 0 for entry in board.entries)


def test_the_card_tells_what_was_chosen_and_from_what(whole: tuple[Store, Path, Leaderboard]) -> None:
    _, out, _ = whole
    card = read_run_card(out / "net_a+net_b-mlp")
    assert (card.kind, card.head, card.backbones) == ("head", "mlp", ("net_a", "net_b"))
    assert dict(card.classes) == {"10": "Acer campestre", "100": "Iris sp.", "9": "Tussilago farfara"}
    epochs = card.details["chosen"]["epochs"]
    log = pd.read_csv(out / "net_a+net_b-mlp" / "log.csv")
    assert epochs == log["epoch"][log["val_loss"].idxmin()]
    assert card.details["fingerprint"]["identities"]["net_b"]["weights_sha256"] == "ab" * 32


def test_a_second_run_does_nothing_but_pictures(painted: None, whole: tuple[Store, Path, Leaderboard]) -> None:
    store, out, board = whole
    before = {name: time for name, time in files(out).items() if "/" in name}
    again = compare_heads(store, EVERY, out)
    assert all(entry.reused for entry in again.entries)
    assert {name: time for name, time in files(out).items() if "/" in name} == before
    assert [(e.trial, e.scores) for e in again.entries] == [(e.trial, e.scores) for e in board.entries]
    assert all((out / name).stat().st_size > 10_000 for name in PICTURES)


def test_labels_of_test_reach_no_fit(make_store: MakeStore, tmp_path: Path) -> None:
    def shuffled(frame: pd.DataFrame) -> None:
        test = frame["split"] == "test"
        frame.loc[test, "class_id"] = frame.loc[test, "class_id"].map({"10": "9", "9": "100", "100": "7"}).fillna("10")

    compare_heads(make_store(), LOGISTIC, tmp_path / "a")
    board = compare_heads(make_store(shuffled, name="b.zarr"), LOGISTIC, tmp_path / "b")
    assert not any(entry.reused for entry in board.entries)
    for which in ("fitted", "refitted"):
        for one, other in zip(
            maps(tmp_path / "a" / "net_a-logistic", which), maps(tmp_path / "b" / "net_a-logistic", which), strict=True
        ):
            np.testing.assert_array_equal(one, other)


def test_labels_of_valid_reach_the_refit_alone(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store()
    compare_heads(store, LOGISTIC, tmp_path / "a")
    split = read_split(tmp_path / "a" / "split.csv").of(store.papers)

    def renamed(frame: pd.DataFrame) -> None:
        frame.loc[split == "valid", "class_id"] = frame.loc[split == "valid", "class_id"].map(
            {"10": "9", "9": "100", "100": "10"}
        )

    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "split.csv").write_bytes((tmp_path / "a" / "split.csv").read_bytes())
    compare_heads(make_store(renamed, name="b.zarr"), LOGISTIC, tmp_path / "b")
    one, other = tmp_path / "a" / "net_a-logistic", tmp_path / "b" / "net_a-logistic"
    np.testing.assert_array_equal(maps(one, "fitted")[0], maps(other, "fitted")[0])
    assert np.abs(maps(one, "refitted")[0] - maps(other, "refitted")[0]).max() > 0.01


def test_without_refit_the_head_of_train_answers_for_test(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store()
    board = compare_heads(store, CompareSettings(heads=("logistic",), protocol=Protocol(refit=False)), tmp_path)
    assert not (tmp_path / "net_a-logistic" / "refitted").exists()
    assert board.entries[0].refit_seconds is None
    table = load_table(store, ["net_a"])
    test = table.select(read_split(tmp_path / "split.csv").of(table.papers) == "test")
    found = Predictions.read(tmp_path / "net_a-logistic" / "test.predictions.h5")
    expected = load_head(tmp_path / "net_a-logistic" / "fitted").predict_proba(test.features)
    np.testing.assert_array_equal(found.probability, expected)


def test_what_has_changed_is_done_again(make_store: MakeStore, tmp_path: Path) -> None:
    store, out = make_store(), tmp_path / "runs"
    compare_heads(store, QUICK, out)

    def reused(settings: CompareSettings, store: Store = store) -> set[str]:
        return {entry.trial.name for entry in compare_heads(store, settings, out).entries if entry.reused}

    every = {f"{names}-{head}" for names in ("net_a", "net_b", "net_a+net_b") for head in ("logistic", "lightgbm")}
    assert reused(QUICK) == every
    assert reused(CompareSettings(heads=QUICK.heads, protocol=Protocol(seed=1))) == set(), "another seed"
    assert reused(CompareSettings(heads=QUICK.heads, protocol=Protocol(seed=1, refit=False))) == set(), (
        "without a refit"
    )
    assert reused(QUICK) == set()
    (out / "net_a-logistic" / "refitted" / "head.json").unlink()
    (out / "net_b-logistic" / "test.predictions.h5").write_bytes(b"half")
    (out / "net_b-lightgbm" / "run.json").write_text("{}")
    assert reused(QUICK) == every - {"net_a-logistic", "net_b-logistic", "net_b-lightgbm"}
    features = store.rows.read("Leaf", "net_b")
    features[0] += 1
    store.rows.write_unit("Leaf", "net_b", 0, features, store.rows.read_identity("Leaf", "net_b", 0))
    assert reused(QUICK) == {"net_a-logistic", "net_a-lightgbm"}, "other features"


def test_a_head_that_fails_is_one_row(make_store: MakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(LogisticHead, "_fit", fail)
    board = compare_heads(make_store(), QUICK, tmp_path)
    assert {entry.trial.name: entry.error for entry in board.failed} == {
        f"{names}-logistic": "MemoryError: no room" for names in ("net_a", "net_b", "net_a+net_b")
    }
    assert board.overall is not None
    assert board.overall.trial.head == "lightgbm"
    assert "net_a-logistic failed: MemoryError: no room" in board.warnings
    assert not list(tmp_path.glob("*logistic*"))
    assert not list(tmp_path.glob(".partial*"))


def test_the_board_is_that_of_the_last_call_even_if_all_of_it_failed(make_store: MakeStore, tmp_path: Path) -> None:
    store, nothing = make_store(), Crew(memory_gib=0)
    knn, mlp = (
        replace(LOGISTIC, heads=("knn",)),
        replace(LOGISTIC, backbones=("net_a",), heads=("mlp:epochs=1,n_layers=1",)),
    )
    compare_heads(store, knn, tmp_path)
    board = compare_heads(store, LOGISTIC, tmp_path, crew=nothing)
    assert [entry.trial.name for entry in board.failed] == ["net_a-logistic", "net_b-logistic"]
    told = pd.read_csv(tmp_path / "leaderboard.csv")
    assert told["run"].tolist() == ["net_a-logistic", "net_b-logistic"]
    assert told["error"].str.contains("memory").all()
    best = json.loads((tmp_path / "best.json").read_text())
    assert (best["schema"], best["overall"], best["finetune"]) == ("best/1", None, None)
    assert not list(tmp_path.glob("*.png")), "no picture of the comparison before"

    # The start for fine-tuning of an earlier call stays, until that very head is compared again and fails.
    compare_heads(store, mlp, tmp_path)
    compare_heads(store, LOGISTIC, tmp_path, crew=nothing)
    assert json.loads((tmp_path / "best.json").read_text())["finetune"]["run"] == "net_a-mlp"
    compare_heads(store, replace(mlp, heads=("mlp:epochs=2,n_layers=1",)), tmp_path, crew=nothing)
    assert json.loads((tmp_path / "best.json").read_text())["finetune"] is None


def test_an_interrupted_run_leaves_no_half(
    make_store: MakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(LogisticHead, "for_refit", interrupt)
        with pytest.raises(KeyboardInterrupt):
            compare_heads(store, LOGISTIC, tmp_path)
    assert seen(tmp_path) - {Path(store.location).name} == {
        "split.csv",
        "best.json",
        "leaderboard.csv",
        "leaderboard.json",
        "classes.csv",
    }
    assert "not finished; the same command goes on" in (tmp_path / "leaderboard.csv").read_text()
    # As a killed process would leave it.
    (tmp_path / ".partial.net_a-logistic" / "fitted").mkdir(parents=True)
    (tmp_path / ".partial.net_a-logistic" / "rubbish").touch()
    compare_heads(store, LOGISTIC, tmp_path)
    assert not (tmp_path / "net_a-logistic" / "rubbish").exists()
    assert not list(tmp_path.glob(".partial*"))


def test_a_second_comparison_in_one_folder_is_refused_while_the_first_works(
    make_store: MakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, out, fit = make_store(), tmp_path / "runs", LogisticHead._fit
    tried: list[str] = []

    def fit_meanwhile(*passed: object) -> None:
        if not tried:
            tried.append("once")
            with pytest.raises(LockedError, match=r"free for this process, got process .*Wait until it has ended\."):
                compare_heads(store, replace(LOGISTIC, heads=("logistic", "ridge")), out)
        fit(*passed)

    monkeypatch.setattr(LogisticHead, "_fit", fit_meanwhile)
    assert not compare_heads(store, LOGISTIC, out).failed
    assert tried
    assert not list(out.glob("*-ridge"))
    assert not compare_heads(store, replace(LOGISTIC, heads=("ridge",)), out).failed, "its turn, now"


def test_a_comparison_does_not_overwrite_lists_that_came_while_it_started(
    make_store: MakeStore, tmp_path: Path
) -> None:
    """Another one may have begun and ended while the features were read."""
    out, store = tmp_path / "runs", make_store()
    with staging(out) as staged:
        load_material(store, ("net_a",), 1, staged / "split.csv")
        compare_heads(store, LOGISTIC, out)
        before = (out / "split.csv").read_bytes()
        with pytest.raises(SplitError, match=r"others than when this one began: split\.csv\. Compare again"):
            keep(staged, out)
    assert (out / "split.csv").read_bytes() == before


def test_a_folder_that_is_no_run_is_not_touched(make_store: MakeStore, tmp_path: Path) -> None:
    mine = tmp_path / "net_a-logistic" / "diary.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    board = compare_heads(make_store(), LOGISTIC, tmp_path)
    (failed,) = board.failed
    assert "something else" in failed.error
    assert mine.read_text() == "mine"


def test_without_test_photographs_valid_is_reported(make_store: MakeStore, tmp_path: Path) -> None:
    def all_train(frame: pd.DataFrame) -> None:
        frame["split"] = "train"

    board = compare_heads(make_store(all_train), LOGISTIC, tmp_path)
    assert all(entry.value("test") is None and entry.value("valid") for entry in board.entries)
    assert not (tmp_path / "net_a-logistic" / "test.predictions.h5").exists()
    assert (tmp_path / "net_a-logistic" / "refitted" / "head.json").is_file()
    assert all(
        entry.reused for entry in compare_heads(Store.open(tmp_path / "features.zarr"), LOGISTIC, tmp_path).entries
    )


def test_missing_mlp_and_random_weights_are_told(make_store: MakeStore, tmp_path: Path) -> None:
    board = compare_heads(make_store(weights="random:3"), LOGISTIC, tmp_path)
    assert any("names a start for finetune run only if" in text for text in board.warnings)
    assert json.loads((tmp_path / "best.json").read_text())["finetune"] is None
    assert "random weights in net_a, net_b: these figures say nothing about plants" in board.warnings


def test_a_class_that_only_valid_shows_is_in_no_predictions(make_store: MakeStore, tmp_path: Path) -> None:
    """Refitted heads, and networks that grow out of the heads of train, must have the same classes to be fused."""

    def only_valid(frame: pd.DataFrame) -> None:
        frame.loc[frame["observation_id"].isin(["o00", "o01", "o02", "o03", "o04", "o05"]), "split"] = "valid"
        only = frame["observation_id"].isin(["o05", "o40", "o41"])
        frame.loc[only, ["class_id", "species"]] = ["55", "Not in train"]

    board = compare_heads(make_store(only_valid), LOGISTIC, tmp_path)
    for split in ("valid", "test"):
        for run in tmp_path.glob("*-logistic"):
            assert Predictions.read(run / f"{split}.predictions.h5").classes.tolist() == ["10", "100", "9"]
    truth = Predictions.read(next(tmp_path.glob("*-logistic")) / "valid.predictions.h5").true_class
    assert "55" in truth
    told = "without training photographs, and count as missed"
    assert [text for text in board.warnings if told in text] == [
        f"2 valid photographs show 1 class {told}: 55 Not in train",
        f"6 test photographs show 2 classes {told}: 55 Not in train, 7 Only in test",
    ]
    missed = board.entries[0].by_class["test"]
    assert missed.mrr[np.isin(missed.class_id, ["55", "7"])].tolist() == [0, 0]


def test_a_later_comparison_keeps_the_start_for_finetuning(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store()
    compare_heads(store, replace(LOGISTIC, heads=("mlp:epochs=2,n_layers=1",)), tmp_path)
    start = json.loads((tmp_path / "best.json").read_text())["finetune"]
    assert start["head"] == "mlp"
    compare_heads(store, LOGISTIC, tmp_path)
    best = json.loads((tmp_path / "best.json").read_text())
    assert best["finetune"] == start
    assert best["overall"]["head"] == "logistic"
    shutil.rmtree(tmp_path / start["run"])
    compare_heads(store, LOGISTIC, tmp_path)
    assert json.loads((tmp_path / "best.json").read_text())["finetune"] is None


def test_a_concatenation_has_one_name_however_it_is_asked_for(make_store: MakeStore, tmp_path: Path) -> None:
    settings = CompareSettings(backbones=("net_b", "net_a", "net_b"), heads=("logistic", "logistic"))
    board = compare_heads(make_store(), settings, tmp_path)
    assert sorted(e.trial.name for e in board.entries) == ["net_a+net_b-logistic", "net_a-logistic", "net_b-logistic"]


def test_experts_of_views_are_left_out_where_there_is_one_view(make_store: MakeStore, tmp_path: Path) -> None:
    """There they are their common head, which the comparison has: the same figures twice."""

    def seen_as(view: str) -> Callable[[pd.DataFrame], None]:
        def change(frame: pd.DataFrame) -> None:
            frame["view"] = view

        return change

    both = replace(LOGISTIC, heads=("logistic", "view_experts", "other=view_experts:of=lda"), backbones=("net_b",))
    for view, why in (("Unknown", "no photograph tells its view"), ("Leaf", "all are Leaf")):
        store, out = make_store(seen_as(view), name=f"{view}.zarr"), tmp_path / view
        board = compare_heads(store, both, out)
        assert [entry.trial.name for entry in board.entries] == ["net_b-logistic"]
        assert not (out / "net_b-view_experts").exists()
        told = f"view_experts, other left out: with one view ({why}) it is what its common head is"
        assert told in board.warnings
    alone = compare_heads(store, replace(both, heads=("view_experts",)), out)
    assert [entry.trial.name for entry in alone.entries] == ["net_b-view_experts"], "who names nothing else gets it"
    assert alone.overall.value("valid") == board.overall.value("valid")
    assert not any("left out" in text for text in alone.warnings)
    several = compare_heads(make_store(), both, tmp_path / "several")
    assert len(several.entries) == 3
    assert not any("left out" in text for text in several.warnings)


def test_one_network_is_not_concatenated() -> None:
    assert [trial.name for trial in plan(["a"], LOGISTIC)] == ["a-logistic"]
    assert len(plan(["a", "b"], QUICK)) == 6
    assert len(plan(["a", "b"], CompareSettings(heads=QUICK.heads, concat=False))) == 4


@pytest.mark.parametrize("heads", [(), ("oracle",), ("mlp", "oracle")])
def test_an_unknown_head_is_refused_before_anything_is_done(heads: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError, match=r"heads? among mlp, logistic, lightgbm"):
        CompareSettings(heads=heads)


def test_an_exclusion_list_holds_for_the_folder(make_store: MakeStore, tmp_path: Path) -> None:
    store, out = make_store(), tmp_path / "runs"
    (tmp_path / "list.csv").write_text("image_id,reason\ni000,a copy\ni331,blurred\nstranger,\n")
    board = compare_heads(store, LOGISTIC, out, Lists(exclude=tmp_path / "list.csv"))
    assert "2 photographs are left out by the exclusion list (3 in it)" in board.warnings
    split = read_split(out / "split.csv").frame
    assert not {"i000", "i331"} & set(split["image_id"])
    assert len(split) == 96 - 2
    for part, lacking in (("valid", "i000"), ("test", "i331")):
        predictions = Predictions.read(predictions_path(out / "net_a-logistic", part))
        assert lacking not in set(predictions.image_id)
    again = compare_heads(store, LOGISTIC, out)
    assert all(entry.reused for entry in again.entries), "the list holds without being named again"
    (tmp_path / "other.csv").write_text("name\nx\n")
    with pytest.raises(DatasetError, match="a CSV with the column image_id"):
        compare_heads(store, LOGISTIC, tmp_path / "more", Lists(exclude=tmp_path / "other.csv"))


def leaking(frame: pd.DataFrame) -> None:
    """A file of a test plant lies among a training plant's photographs, and a training plant has one in test."""
    frame.loc[frame["image_id"] == "i000", "sha256"] = frame.loc[frame["image_id"] == "i330", "sha256"].item()
    frame.loc[frame["image_id"] == "i011", "split"] = "test"


def test_what_test_shows_too_is_refused_by_name_or_left_out(make_store: MakeStore, tmp_path: Path) -> None:
    store, out = make_store(leaking), tmp_path / "runs"
    with pytest.raises(
        SplitError,
        match=r"got 3 that it does \(i000 and i330: equal files, i001 and i330: linked through others, "
        r"i010 and i011: one plant\)\. --drop-leaks",
    ):
        compare_heads(store, LOGISTIC, out)
    assert not (out / "split.csv").exists()
    board = compare_heads(store, LOGISTIC, out, Lists(drop_leaks=True))
    assert "3 photographs are left out by the exclusion list (3 in it)" in board.warnings
    assert "i000,leak: i000 and i330: equal files" in (out / "exclusions.csv").read_text()
    learnt = read_split(out / "split.csv").frame
    assert not {"i000", "i001", "i010"} & set(learnt["image_id"])
    assert {"i330", "i011"} <= set(learnt.loc[learnt["split"] == "test", "image_id"]), "test stays whole"
    again = compare_heads(store, LOGISTIC, out)
    assert all(entry.reused for entry in again.entries), "the list holds without being named again"


def test_listed_copies_stay_on_one_side(make_store: MakeStore, tmp_path: Path) -> None:
    """Every training plant of a class is a copy of the next: all on one side; a copy of a test photograph is a leak."""
    store = make_store()
    pairs = [f"i{plant:02}0,i{plant + 3:02}0" for plant in range(0, 30, 3)]
    (tmp_path / "copies.csv").write_text("\n".join(["image_id,partner", *pairs]))
    compare_heads(store, LOGISTIC, tmp_path / "runs", Lists(copies=tmp_path / "copies.csv"))
    split = read_split(tmp_path / "runs" / "split.csv").frame.set_index("image_id")["split"]
    assert len({split[f"i{plant:02}0"] for plant in range(0, 33, 3)}) == 1
    (tmp_path / "copies.csv").write_text("image_id,partner\ni000,i330\n")
    with pytest.raises(SplitError, match="i000 and i330: listed as copies"):
        compare_heads(store, LOGISTIC, tmp_path / "other", Lists(copies=tmp_path / "copies.csv"))


def test_photographs_of_low_vote_are_judged_on_and_not_learnt_from(make_store: MakeStore, tmp_path: Path) -> None:
    """Those of vote 1 have wrong classes; a head that skips them is as good as if they were right."""

    def voted(frame: pd.DataFrame) -> None:
        frame["vote"] = np.nan
        wrong = frame["image_id"].isin([f"i{plant:02}{shot}" for plant in range(0, 33, 4) for shot in range(2)])
        frame.loc[wrong, "vote"] = 1.0
        frame.loc[~wrong & (frame["split"] == "train"), "vote"] = 4.0
        frame.loc[wrong, "class_id"] = frame.loc[wrong, "class_id"].map({"10": "9", "9": "100", "100": "10"})

    store = make_store(voted)
    plain, voting = tmp_path / "plain", tmp_path / "voting"
    all_learnt = compare_heads(store, LOGISTIC, plain)
    chosen = compare_heads(store, replace(LOGISTIC, protocol=Protocol(min_vote=2)), voting)
    for out, expected in ((plain, 66), (voting, 66 - 18)):
        card = json.loads((out / "net_a-logistic" / "run.json").read_text())["details"]
        both = Predictions.read(predictions_path(out / "net_a-logistic", "valid"))
        assert card["n_learnt"] + len(both.image_id) - int(out == voting) * low_votes(both) == expected
    assert (chosen.entries[0].value("test") or 0) > (all_learnt.entries[0].value("test") or 0)
    assert not any(
        entry.reused for entry in compare_heads(store, replace(LOGISTIC, protocol=Protocol(min_vote=3)), voting).entries
    )


def low_votes(predictions: Predictions) -> int:
    """Photographs of vote 1 among those judged on."""
    return sum(int(str(key)[1:3]) % 4 == 0 for key in predictions.image_id)
