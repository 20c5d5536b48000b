"""Real runs asked through `evaluate identify`: they say what they say of stored photographs, and load once."""

from __future__ import annotations

import json
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evaluation import identify_plant
from evaluation.cli import main
from evaluation.fuse import FuseSettings, fuse_runs
from evaluation.fusion import Recipe
from evaluation.identify.contract import OPEN_VIEW, Photograph
from evaluation.identify.opening import Places, open_identifiers, open_panel
from evaluation.predictions import Predictions
from evaluation.report.neighbours import unit_rows
from evaluation.runs import read_run_card
from featstore.backbones import Network
from featstore.build import specs
from featstore.build.build import build_store
from featstore.build.settings import BuildSettings
from featstore.errors import ImageError, PredictionsError, SettingsError, StoreError, WeightsError
from featstore.store import Store
from featstore.synth import SynthSettings, synthesise
from featstore.table import LazyTable, load_table, open_table
from finetune import asking as finetune_asking
from finetune.run import finetune
from finetune.settings import TrainSettings
from finetune.start import Request
from heads import asking as heads_asking
from heads import looking, similar
from heads.compare import CompareSettings, compare_heads
from heads.protocol import Protocol

CLOSE = {"rtol": 1e-4, "atol": 1e-5}


@dataclass(frozen=True)
class House:
    """A store, a folder of runs, and the photographs behind them."""

    photos: Path
    store: Path
    runs: Path

    @property
    def papers(self) -> pd.DataFrame:
        return Store.open(self.store).papers

    def photographs(self, papers: pd.DataFrame) -> list[Photograph]:
        return [Photograph(row.image_id, self.photos / row.path, row.view) for row in papers.itertuples()]

    def plant(self, n_photographs: int = 2) -> list[Photograph]:
        """A test plant with so many photographs that can be read."""
        papers = self.papers
        own = papers[(papers["split"] == "test") & (papers["status"] == "done")]
        several = own.groupby("observation_id").filter(lambda rows: len(rows) >= n_photographs)
        first = several["observation_id"].iloc[0]
        return self.photographs(several[several["observation_id"] == first])[:n_photographs]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    """Photographs cut by the article's recipe, features of two networks, heads with temperatures, and a network."""
    folder = tmp_path_factory.mktemp("house")
    found = House(folder / "photos", folder / "features.zarr", folder / "runs")
    synthesise(found.photos, SynthSettings(n_species=3, n_observations=4, side_px=96, n_corrupt=1))
    build_store(found.photos, found.store, BuildSettings(("small",), "random", side_px=32, n_workers=0))
    other = BuildSettings(("small",), "random:1", side_px=24, roi="none", name="other", n_workers=0)
    build_store(found.photos, found.store, other)
    heads = ("logistic", "mlp:epochs=10,n_layers=1", "view_experts")
    protocol = Protocol(calibrate="view")
    compare_heads(Store.open(found.store), CompareSettings(heads=heads, protocol=protocol), found.runs)
    finetune(Request(found.store, found.runs, TrainSettings(epochs=1, batch_size=8, rate=1e-4, tta=0), "small"))
    return found


@pytest.mark.parametrize("run", ["small-logistic", "other-mlp", "small-view_experts", "small+other-logistic"])
def test_a_head_says_what_it_says_of_the_store(house: House, tmp_path: Path, run: str) -> None:
    """Same pixels, networks, refit and temperatures as `heads predict`; whatever cannot be read is told."""
    asked = heads_asking.ask(house.runs / run, Store.open(house.store), tmp_path / "answers").predictions
    (identifier,) = open_identifiers([house.runs / run])
    papers = house.papers
    probability, failures = identifier.probabilities(house.photographs(papers))
    rows = papers.reset_index().set_index("image_id")["index"].loc[asked.image_id.tolist()]
    np.testing.assert_array_equal(identifier.classes, asked.classes)
    np.testing.assert_allclose(probability[rows], asked.probability, **CLOSE)
    failed = papers.loc[papers["status"] == "failed", "image_id"]
    assert set(failures) == set(failed)
    assert np.isnan(probability[failed.index]).all()
    assert len(failed)


def test_a_network_says_what_finetune_predict_says(house: House, tmp_path: Path) -> None:
    run = house.runs / "small-finetuned"
    asked, lost = finetune_asking.ask(run, str(house.photos), tmp_path / "answers")
    (identifier,) = open_identifiers([run])
    papers = house.papers
    probability, failures = identifier.probabilities(house.photographs(papers))
    rows = papers.reset_index().set_index("image_id")["index"].loc[asked.predictions.image_id.tolist()]
    np.testing.assert_allclose(probability[rows], asked.predictions.probability, **CLOSE)
    assert set(failures) == set(lost)


@pytest.mark.parametrize("run", ["small-logistic", "other-logistic", "small-finetuned"])
def test_a_run_knows_the_views_that_it_has_learnt(house: House, run: str) -> None:
    """And which of them are cut: by the article's recipe, whole plants are not, by `none` no view is."""
    (identifier,) = open_identifiers([house.runs / run])
    learnt = set(house.papers.loc[house.papers["split"] != "test", "view"])
    assert set(identifier.views) == learnt >= {"Entire", "Flower", "Leaf"}
    cut = learnt - {"Branch", "Entire"} if run != "other-logistic" else set()
    assert {view for view, differs in identifier.views.items() if differs} == cut
    (flower,) = house.plant(1)
    found = open_panel([house.runs / run]).identify([Photograph("a", flower.path)])
    assert any("name the view of a" in text for text in found.remarks) == bool(cut)


def test_a_run_of_whole_photographs_sees_named_ones_whole(house: House, tmp_path: Path) -> None:
    """Through a run made from class folders, and one of before, which does not know what it has learnt."""
    papers = house.papers[(house.papers["split"] != "test") & (house.papers["status"] == "done")]
    for row in papers.itertuples():
        (tmp_path / "folders" / row.class_id).mkdir(parents=True, exist_ok=True)
        shutil.copy(house.photos / row.path, tmp_path / "folders" / row.class_id)
    store, runs = tmp_path / "whole.zarr", tmp_path / "runs"
    build_store(tmp_path / "folders", store, BuildSettings(("small",), "random", side_px=32, n_workers=0))
    compare_heads(Store.open(store), CompareSettings(heads=("logistic",)), runs)
    flower = papers[papers["view"] == "Flower"].iloc[0]
    named, opened = (Photograph("a", house.photos / flower["path"], view) for view in ("Flower", "Unknown"))
    panel = open_panel([runs / "small-logistic"])
    assert panel.identify([named]).ranking == panel.identify([opened]).ranking
    assert "not as Flower" in panel.identify([named]).remarks[0]
    pd.read_csv(runs / "small-logistic" / "learnt.csv", dtype=str).drop(columns="view").to_csv(
        runs / "small-logistic" / "learnt.csv", index=False
    )
    before = open_panel([runs / "small-logistic"])
    assert before.identify([named]).ranking != panel.identify([named]).ranking
    assert before.identify([named]).remarks == ()


@pytest.mark.parametrize("run", ["small+other-logistic", "small-finetuned"])
def test_similar_photographs_are_the_nearest_of_the_view(house: House, run: str) -> None:
    (identifier,) = open_identifiers([house.runs / run])
    names = ["small"] if run == "small-finetuned" else ["small", "other"]
    table = load_table(Store.open(house.store), names)
    papers, unit = table.papers, unit_rows(table.features)
    taught = (papers["split"] != "test") & papers["class_id"].isin(list(identifier.species))
    asked = papers[papers["split"] == "test"].drop_duplicates("view")
    shown = house.photographs(asked)
    opened = [Photograph(f"open {one.image_id}", one.path) for one in shown]
    found = identifier.nearest([*shown, *opened], 2)
    assert len(found) == 2 * len(shown) > 4
    for row, one in zip(asked.index, shown, strict=True):
        # The recipe of an open view cuts nothing, so that only its neighbours' views are sure.
        among = papers[taught & (papers["view"] == one.view)]
        cosine = unit[among.index] @ unit[row]
        best = np.argsort(-cosine)[:2]
        told = found[one.image_id]
        assert [near.image_id for near in told] == among["image_id"].iloc[best].tolist()
        np.testing.assert_allclose([near.cosine for near in told], cosine[best], **CLOSE)
        assert all(Path(near.path).is_file() for near in told)
        assert {near.image_id for near in found[f"open {one.image_id}"]} <= set(papers.loc[taught, "image_id"])


@pytest.mark.parametrize("kept_bytes", [similar.KEPT_BYTES, 0])
def test_features_learnt_from_are_read_once_if_they_fit(
    house: House, monkeypatch: pytest.MonkeyPatch, kept_bytes: int
) -> None:
    """Kept or read anew, the answers are those of one product with all features."""
    table = open_table(Store.open(house.store), ["small", "other"])
    neighbourhood = similar.Neighbourhood(table, house.photos, kept_bytes)
    features, papers = table.load().features, table.papers
    unit = unit_rows(features)
    read: list[int] = []
    rows = LazyTable.rows
    monkeypatch.setattr(LazyTable, "rows", lambda own, places: read.extend(places) or rows(own, places))
    flowers = np.flatnonzero(papers["view"] == "Flower")
    for asked in (flowers[:2], flowers[2:3], np.array([0, 1])):
        for view, among in (("Flower", flowers), (OPEN_VIEW, np.arange(len(papers)))):
            cosine = unit[asked] @ unit[among].T
            for row, some in enumerate(neighbourhood.nearest(features[asked], view, 2)):
                best = np.argsort(-cosine[row], kind="stable")[:2]
                assert [near.image_id for near in some] == papers["image_id"].iloc[among[best]].tolist()
                np.testing.assert_allclose([near.cosine for near in some], cosine[row, best], **CLOSE)
    # Each time flowers alone, then all views; kept flowers are not read again for all.
    assert len(read) == (len(papers) if kept_bytes else 3 * (len(flowers) + len(papers)))


def test_networks_load_once_and_look_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [house.runs / "small-logistic", house.runs / "small-mlp"]
    first = open_panel(runs)
    loaded = specs._loaded.cache_info().misses
    panel = open_panel(runs)
    assert specs._loaded.cache_info().misses == loaded
    looked = []
    looking._features.cache_clear()
    features = Network.features
    monkeypatch.setattr(Network, "features", lambda network, images: looked.append(1) or features(network, images))
    plant = house.plant()
    once = panel.identify(plant)
    # Models share what a network says; votes, growth and neighbours ask nothing again.
    assert len(looked) == len(plant)
    again = panel.identify(plant)
    assert len(looked) == len(plant)
    assert again.ranking == once.ranking == first.identify(plant).ranking


def test_threads_get_the_same_answers(house: House) -> None:
    panel = open_panel([house.runs / "small-mlp", house.runs / "small-finetuned"])
    every = [[one] for one in house.photographs(house.papers.query("status == 'done'"))[:6]]
    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(panel.identify, every * 2))
    alone = open_panel([house.runs / "small-mlp", house.runs / "small-finetuned"])
    for plant, one in zip(every * 2, found, strict=True):
        assert [each.class_id for each in one.ranking] == [each.class_id for each in alone.identify(plant).ranking]


def test_a_fusion_answers_with_its_members_and_its_rule(house: House) -> None:
    """A photograph of test is answered as the fusion answered the plant it is the whole of."""
    members = [house.runs / "small-mlp", house.runs / "small-finetuned"]
    fuse_runs(members, FuseSettings((Recipe("weighted_product", calibrate="all"),), split="test"), house.runs)
    folder = next(path for path in house.runs.glob("fusion-*") if (path / "rule.json").is_file())
    panel = open_panel([folder])
    assert [one.model for one in panel.identifiers] == ["small-mlp", "small-finetuned"]
    told = Predictions.read(folder / "test.observations.h5")
    papers = house.papers
    for plant in told.observation_id[:4].tolist():
        own = papers[(papers["observation_id"] == plant) & (papers["status"] == "done")]
        found = panel.identify(house.photographs(own), top=len(told.classes))
        expected = told.probability[told.observation_id == plant][0]
        by_class = {one.class_id: one.probability for one in found.ranking}
        np.testing.assert_allclose([by_class[one] for one in told.classes.tolist()], expected, rtol=1e-3, atol=1e-4)
    with pytest.raises(SettingsError, match="a fusion alone"):
        open_panel([folder, members[0]])
    with pytest.raises(SettingsError, match="a fusion alone"):
        open_panel([folder], rule="product")


def test_what_has_moved_is_named_or_refused(house: House, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    run = runs / "small-logistic"
    shutil.copytree(house.runs, runs)
    board = json.loads((runs / "leaderboard.json").read_text())
    (runs / "leaderboard.json").write_text(json.dumps({**board, "store": str(tmp_path / "gone.zarr")}))
    with pytest.raises(StoreError, match=r"gone\.zarr.*--store"):
        open_identifiers([run])
    (moved,) = open_identifiers([run], places=Places(store=str(house.store), photos=tmp_path))
    assert moved.model == "small-logistic"
    (near, *_) = next(iter(moved.nearest(house.plant(), 1).values()))
    assert Path(near.path).is_relative_to(tmp_path)
    # A fine-tuned network has all that it takes; only its similar photographs are gone.
    panel = open_panel([runs / "small-finetuned"])
    found = panel.identify(house.plant())
    assert found.ranking
    assert not found.neighbours
    assert len(found.remarks) == 2, "families and similar photographs"
    (runs / "leaderboard.json").unlink()
    with pytest.raises(StoreError, match=r"no word of it.*--store"):
        open_identifiers([run])


def test_other_weights_or_features_are_refused(house: House, tmp_path: Path) -> None:
    run = house.runs / "small-logistic"
    with pytest.raises(WeightsError, match="--weights"):
        open_identifiers([run], places=Places(weights="random:7"))
    with pytest.raises(WeightsError, match=r"gone\.h5.*--weights"):
        open_identifiers([run], places=Places(weights=str(tmp_path / "gone.h5")))
    other = tmp_path / "other.zarr"
    build_store(house.photos, other, BuildSettings(("small",), "random:1", side_px=32, n_workers=0))
    with pytest.raises(StoreError, match="weights_sha256"):
        open_identifiers([run], places=Places(store=str(other)))
    with pytest.raises(StoreError, match="started from"):
        open_identifiers([house.runs / "small-finetuned"], places=Places(store=str(other)))


def test_a_card_that_says_another_kind_is_refused(house: House, tmp_path: Path) -> None:
    with pytest.raises(PredictionsError, match="run folder"):
        open_panel([tmp_path])
    assert read_run_card(house.runs / "small-logistic").kind == "head"


def test_what_cannot_be_answered_is_refused_before_a_model_is_opened(
    house: House, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[object] = []
    monkeypatch.setattr("evaluation.identify.opening.opener_of", opened.append)
    damaged, absent, good = tmp_path / "damaged.jpg", tmp_path / "absent.jpg", house.plant(1)[0].path
    damaged.write_bytes(b"no photograph")
    model = ("--model", house.runs / "small-logistic")
    assert call(damaged, absent, *model) == 1
    told = " ".join(capsys.readouterr().err.split())
    assert f"none of 2 ({damaged}: a text file, {absent}: No such file or directory). Name others." in told
    assert call(absent, *model) == 1
    told = " ".join(capsys.readouterr().err.split())
    assert f"none of 1 ({absent}: No such file or directory). Correct the path, or restore the file." in told
    assert call(good, good, *model) == 1
    assert call(good, *model, "--threshold", "7") == 1
    with pytest.raises(ImageError, match=re.escape(f"none of 1 ({absent}: No such file or directory)")):
        identify_plant(absent, house.runs / "small-logistic")
    assert opened == []


def call(*words: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["identify", *map(str, words)])
    return int(caught.value.code or 0)


def test_the_command(house: House, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = house.plant()
    words = (f"{first.path}:{first.view.lower()}", second.path, "--model", house.runs / "small-logistic")
    out = tmp_path / "answer.json"
    assert call(*words, "--out", out, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads(out.read_text())
    assert [one["view"] for one in told["photographs"]] == [first.view, "Unknown"]
    assert told["ranking"][0]["family"], "the store of the run tells it"

    assert call(*words, "--threshold", "0.9999") == 0
    shown = capsys.readouterr().out
    assert told["ranking"][0]["species"] in shown
    assert "UNKNOWN: likely none of the 3 species" in shown

    damaged = tmp_path / "damaged.jpg"
    damaged.write_bytes(b"no photograph")
    assert call(*words, damaged) == 3
    captured = capsys.readouterr()
    assert f"1 photograph is left out: {damaged}: a text file; remove or replace it" in captured.err
    assert told["ranking"][0]["species"] in captured.out
    assert call(damaged, tmp_path / "absent.jpg", "--model", house.runs / "small-logistic") == 1
    assert "none of 2" in capsys.readouterr().err
    assert call(*words, f"{first.path}:Blossom") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answer.json", "damaged.jpg"]
