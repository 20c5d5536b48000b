"""Identity: whatever makes a row is noticed when it changes, and only what depends on it is computed again."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from featstore.backbones import Network, build_backbone, engine_identity
from featstore.build import specs
from featstore.build.build import build_store
from featstore.build.settings import BuildSettings
from featstore.care.explain import explain
from featstore.care.verify import verify_store
from featstore.cli import main
from featstore.errors import StoreError, WeightsError
from featstore.store import Store
from featstore.table import load_table

SETTINGS = BuildSettings(("mobilenet",), "random", side_px=32, batch_size=4, n_workers=0)
# Usable photographs of the fixture `dataset`, by view.
N_ROWS = {"Flower": 4, "Leaf": 3, "Entire": 3}


def features(store: Path, name: str = "mobilenet") -> np.ndarray:
    return load_table(Store.open(store), [name]).features


def test_two_sides_side_by_side(tmp_path: Path, dataset: Path) -> None:
    store = tmp_path / "f.zarr"
    build_store(dataset, store, SETTINGS)
    first = features(store)
    summary = build_store(dataset, store, replace(SETTINGS, side_px=48, name="{backbone}-48"))
    assert (summary.names, summary.n_rows) == (("mobilenet-48",), 10)
    np.testing.assert_array_equal(features(store), first)
    assert Store.open(store).identity("mobilenet-48").side_px == 48
    both = load_table(Store.open(store), ["mobilenet", "mobilenet-48"]).features
    np.testing.assert_array_equal(both, np.hstack([first, features(store, "mobilenet-48")]))
    assert build_store(dataset, store, replace(SETTINGS, side_px=48, name="mobilenet-48")).n_rows == 0


def test_replaced_by_features_of_another_length(tmp_path: Path, dataset: Path) -> None:
    store = tmp_path / "f.zarr"
    build_store(dataset, store, replace(SETTINGS, name="mine"))
    other = replace(SETTINGS, backbones=("mobilenet_v2",), name="mine")
    with pytest.raises(StoreError, match=r": --backbone mobilenet, got --backbone mobilenet_v2\."):
        build_store(dataset, store, other)
    assert build_store(dataset, store, replace(other, replace=True)).n_rows == 10
    build_store(dataset, tmp_path / "fresh.zarr", other)
    np.testing.assert_array_equal(features(store, "mine"), features(tmp_path / "fresh.zarr", "mine"))
    assert verify_store(Store.open(store)).sound


def test_another_recipe_of_one_view_makes_that_views_rows_again(tmp_path: Path, dataset: Path) -> None:
    store, recipe = tmp_path / "f.zarr", tmp_path / "mine.toml"
    build_store(dataset, store, SETTINGS)
    before = Store.open(store).row("Leaf", "1", "mobilenet")
    recipe.write_text('[Flower]\nmethod = "keep"\n')
    with pytest.raises(StoreError, match=r"f\.zarr: --roi article, got --roi mine\. Give"):
        build_store(dataset, store, replace(SETTINGS, roi=str(recipe)))
    with pytest.raises(StoreError, match=r": --side 32 px, --roi article, got --side 48 px, --roi none\. Give"):
        build_store(dataset, store, replace(SETTINGS, roi="none", side_px=48))
    with pytest.raises(StoreError, match=r": --pooling avg, got --pooling max\. Give"):
        build_store(dataset, store, replace(SETTINGS, pooling="max"))
    summary = build_store(dataset, store, replace(SETTINGS, roi=str(recipe), replace=True))
    assert summary.n_rows == N_ROWS["Flower"]
    np.testing.assert_array_equal(Store.open(store).row("Leaf", "1", "mobilenet"), before)
    papers = Store.open(store).papers.set_index("image_id")
    assert papers.loc["0", ["box_top", "box_left", "box_bottom", "box_right"]].tolist() == [0, 0, 60, 80]
    # The same option, but its file says something else by now.
    recipe.write_text("[Flower]\nsigma_px = 7.0\n")
    told = r"--roi mine \(keep in Flower\), got --roi mine \(contour-\w{8} in Flower\)\."
    with pytest.raises(StoreError, match=told):
        build_store(dataset, store, replace(SETTINGS, roi=str(recipe)))


def test_weights_are_known_by_their_bytes_not_by_their_name(tmp_path: Path, dataset: Path) -> None:
    store, file = tmp_path / "f.zarr", tmp_path / "mobilenet.weights.h5"
    build_backbone("mobilenet", "random", 32).save_weights(file)
    mine = replace(SETTINGS, weights=str(file))
    build_store(dataset, store, mine)
    moved = tmp_path / "elsewhere" / file.name
    moved.parent.mkdir()
    shutil.copy(file, moved)
    assert build_store(dataset, store, replace(mine, weights=str(moved))).n_rows == 0
    assert Store.open(store).identity("mobilenet").weights == str(moved)
    build_backbone("mobilenet", "random:5", 32).save_weights(file)
    with pytest.raises(StoreError, match=rf"--weights {moved}, got --weights {file}\."):
        build_store(dataset, store, mine)
    build_backbone("mobilenet", "random:6", 32).save_weights(moved)
    with pytest.raises(StoreError, match=rf"--weights {moved} \(\w{{12}}\), got --weights {moved} \(\w{{12}}\)\."):
        build_store(dataset, store, replace(mine, weights=str(moved)))


def test_weights_that_change_between_planning_and_loading_are_refused(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_store(dataset, tmp_path / "f.zarr", SETTINGS)
    (dataset / "train" / "0.jpg").write_bytes((dataset / "train" / "3.jpg").read_bytes())
    real = specs._loaded
    monkeypatch.setattr(specs, "_loaded", lambda *key: (real(*key)[0], "other"))
    with pytest.raises(WeightsError, match=r"the weights \w+ of mobilenet, got other"):
        build_store(dataset, tmp_path / "f.zarr", SETTINGS)


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A later version of what computes the networks."""
    engine, versions = engine_identity("keras")
    monkeypatch.setattr(specs, "engine_identity", lambda _: (engine, {**versions, "keras": "99"}))


def test_rows_of_other_versions_are_made_again(
    tmp_path: Path, dataset: Path, newer: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "f.zarr"
    with monkeypatch.context() as patched:
        patched.setattr(specs, "engine_identity", engine_identity)
        build_store(dataset, store, SETTINGS)
    capsys.readouterr()
    summary = build_store(dataset, store, SETTINGS)
    assert summary.n_rows == 10
    told = capsys.readouterr().err
    assert "-> 99" in told
    assert "--any-version keeps them" in told
    assert build_store(dataset, store, SETTINGS).n_rows == 0


def test_any_version_keeps_rows_until_it_is_left_out(
    tmp_path: Path, dataset: Path, newer: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old and new rows stand together, each knowing what made it; left out, only the old ones are made again."""
    store = tmp_path / "f.zarr"
    with monkeypatch.context() as patched:
        patched.setattr(specs, "engine_identity", engine_identity)
        build_store(dataset, store, SETTINGS)
    (dataset / "train" / "0.jpg").write_bytes((dataset / "train" / "3.jpg").read_bytes())
    assert build_store(dataset, store, replace(SETTINGS, any_version=True)).n_rows == 1
    assert len(features(store)) == 10
    made = {key: explain(Store.open(store), key).rows[0].identity for key in ("0", "3")}
    assert made["0"] is not None
    assert made["3"] is not None
    assert (made["0"].versions["keras"], made["3"].versions["keras"] == "99") == ("99", False)
    assert build_store(dataset, store, SETTINGS).n_rows == 9


def test_rows_of_another_batch_size_are_told_and_made_again(
    tmp_path: Path, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Their last bits are others, so the store ends as an undisturbed run with the new size would make it."""
    store, other = tmp_path / "f.zarr", replace(SETTINGS, batch_size=3)
    build_store(dataset, store, SETTINGS)
    capsys.readouterr()
    assert build_store(dataset, store, other).n_rows == 10
    assert "batch_size 4 -> 3" in capsys.readouterr().err
    build_store(dataset, tmp_path / "fresh.zarr", other)
    np.testing.assert_array_equal(features(store), features(tmp_path / "fresh.zarr"))


def test_any_version_keeps_rows_of_another_batch_size_under_their_own(tmp_path: Path, dataset: Path) -> None:
    store = tmp_path / "f.zarr"
    build_store(dataset, store, SETTINGS)
    before = Store.open(store).row("Flower", "3", "mobilenet")
    (dataset / "train" / "0.jpg").write_bytes((dataset / "train" / "6.jpg").read_bytes())
    assert build_store(dataset, store, replace(SETTINGS, batch_size=3, any_version=True)).n_rows == 1
    made = {key: explain(Store.open(store), key).rows[0].identity for key in ("0", "3")}
    assert {key: identity and identity.batch_size for key, identity in made.items()} == {"0": 3, "3": 4}
    np.testing.assert_array_equal(Store.open(store).row("Flower", "3", "mobilenet"), before)
    assert build_store(dataset, store, SETTINGS).n_rows == 1


def test_nothing_stale_is_read_while_features_are_being_replaced(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted after one of three views: what counts was made by the new weights alone."""
    store, other = tmp_path / "f.zarr", replace(SETTINGS, weights="random:1", replace=True)
    build_store(dataset, tmp_path / "other.zarr", replace(other, replace=False))
    build_store(dataset, store, SETTINGS)
    real, calls = Network.features, []

    def breaks(self: Network, images: np.ndarray) -> np.ndarray:
        if len(calls) == 1:
            raise KeyboardInterrupt
        calls.append(len(images))
        return real(self, images)

    with monkeypatch.context() as patched:
        patched.setattr(Network, "features", breaks)
        with pytest.raises(KeyboardInterrupt):
            build_store(dataset, store, other)
    part = load_table(Store.open(store), ["mobilenet"])
    whole = load_table(Store.open(tmp_path / "other.zarr"), ["mobilenet"])
    assert 0 < len(part) < 10
    of = dict(zip(whole.papers["image_id"], whole.features, strict=True))
    for key, row in zip(part.papers["image_id"], part.features, strict=True):
        np.testing.assert_array_equal(row, of[key])
    # With the old options again: they are what is other now.
    with pytest.raises(StoreError, match=r"--weights random:1, got --weights random"):
        build_store(dataset, store, SETTINGS)
    assert build_store(dataset, store, other).n_rows == 10 - len(part)
    np.testing.assert_array_equal(features(store), whole.features)


def test_a_name_is_refused_on_the_command_line(
    tmp_path: Path, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["build", str(dataset), "--store", str(tmp_path / "f.zarr"), "--backbone", "mobilenet", "--as"]
    for name in ("Leaf", "vgg16", "a b", "identity", "../x", "zarr.json", "Zarr.json", "c", "C"):
        with pytest.raises(SystemExit) as ended:
            main([*words, name])
        assert ended.value.code == 1
        assert "--as NAME of letters" in capsys.readouterr().err
    assert not (tmp_path / "f.zarr").exists()
