"""Build: every photograph done or failed, nothing computed twice, nothing stale, and the same bits after a break."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from featstore.backbones import Network, build_backbone, preprocess
from featstore.build.build import build_store
from featstore.build.settings import BuildSettings
from featstore.cli import main
from featstore.errors import ImageError, StoreError, WeightsError
from featstore.images import load_crop
from featstore.roi import RECIPES
from featstore.store import Store
from featstore.store.lease import Claim, LockedError, hold
from featstore.store.place import open_place
from featstore.table import load_table

SETTINGS = BuildSettings(("mobilenet",), "random", side_px=32, batch_size=4, n_workers=0)


def test_found_is_done_plus_failed(tmp_path: Path, dataset: Path) -> None:
    summary = build_store(dataset, tmp_path / "f.zarr", SETTINGS)
    assert (summary.n_found, summary.n_done, summary.n_failed, summary.n_decoded, summary.n_rows) == (11, 10, 1, 11, 10)
    ((failed, reason),) = summary.failures
    assert failed == "4"
    assert reason.startswith("a damaged file (image file is truncated")
    papers = Store.open(tmp_path / "f.zarr").papers.set_index("image_id")
    assert papers.loc["4", "status"] == "failed"
    assert "a damaged file" in papers.loc["4", "reason"]
    assert (papers.drop("4")["status"] == "done").all()


def test_rows_are_what_the_network_sees(tmp_path: Path, dataset: Path) -> None:
    """Every row equals the bare network on the crop that the store's box describes."""
    build_store(dataset, tmp_path / "f.zarr", SETTINGS)
    store = Store.open(tmp_path / "f.zarr")
    network = build_backbone("mobilenet", "random", 32)
    table = load_table(store, ["mobilenet"])
    for row, paper in zip(table.features, table.papers.itertuples(), strict=True):
        box = (paper.box_top, paper.box_left, paper.box_bottom, paper.box_right)
        crop = load_crop(store.root / paper.path, box, 32, RECIPES["article"].of(paper.view))
        expected = np.asarray(network.predict_on_batch(preprocess("mobilenet", crop[None])))[0]
        np.testing.assert_allclose(row, expected, rtol=1e-4, atol=1e-5)


def test_a_second_run_does_nothing(tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_store(dataset, tmp_path / "f.zarr", SETTINGS)

    def never(*_: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr("featstore.build.prepare.decode", never)
    summary = build_store(dataset, tmp_path / "f.zarr", SETTINGS)
    assert (summary.n_found, summary.n_done, summary.n_failed, summary.n_decoded, summary.n_rows) == (11, 10, 1, 0, 0)


def test_another_backbone_reuses_the_boxes(tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_store(dataset, tmp_path / "f.zarr", SETTINGS)

    def never(*_: object) -> None:
        raise AssertionError("searched again")

    monkeypatch.setattr("featstore.build.prepare.find_box", never)
    both = BuildSettings(("mobilenet", "vgg16"), "random", side_px=32, batch_size=4, n_workers=0)
    summary = build_store(dataset, tmp_path / "f.zarr", both)
    assert (summary.n_decoded, summary.n_rows) == (10, 10)
    assert load_table(Store.open(tmp_path / "f.zarr"), ["mobilenet", "vgg16"]).features.shape == (10, 1024 + 512)


def test_new_changed_touched_repaired_and_deleted_photographs(
    tmp_path: Path, dataset: Path, write_photo: Callable[..., Path]
) -> None:
    path = tmp_path / "f.zarr"
    build_store(dataset, path, SETTINGS)
    before = load_table(Store.open(path), ["mobilenet"])
    folder = dataset / "train"
    write_photo(folder / "1.jpg", seed=99, size=(80, 60))  # changed
    write_photo(folder / "4.jpg", seed=4, size=(80, 60))  # repaired
    os.utime(folder / "5.jpg", ns=(1, 1))  # touched
    for name in ("6.jpg", "6.xml"):
        (folder / name).unlink()  # deleted
    shutil.copy(folder / "7.jpg", folder / "70.jpg")  # new
    shutil.copy(folder / "7.xml", folder / "70.xml")
    text = (folder / "70.xml").read_text().replace("<MediaId>7<", "<MediaId>70<").replace("7.jpg", "70.jpg")
    (folder / "70.xml").write_text(text)

    summary = build_store(dataset, path, SETTINGS)
    assert (summary.n_found, summary.n_done, summary.n_failed) == (11, 11, 0)
    assert summary.n_decoded == 4
    assert summary.n_rows == 3  # the touched one has its row already
    after = load_table(Store.open(path), ["mobilenet"])
    assert set(after.papers["image_id"]) == (set(before.papers["image_id"]) | {"4", "70"}) - {"6"}
    fresh = build_store(dataset, tmp_path / "fresh.zarr", SETTINGS)
    assert fresh.n_done == 11
    expected = load_table(Store.open(tmp_path / "fresh.zarr"), ["mobilenet"])
    assert expected.papers["image_id"].tolist() == after.papers["image_id"].tolist()
    np.testing.assert_array_equal(after.features, expected.features)


@pytest.mark.parametrize("n_batches", [0, 1, 2])
def test_an_interrupted_build_continues_to_the_same_bits(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch, n_batches: int
) -> None:
    build_store(dataset, tmp_path / "whole.zarr", SETTINGS)
    real, calls = Network.features, []

    def breaks(self: Network, images: np.ndarray) -> np.ndarray:
        if len(calls) == n_batches:
            raise KeyboardInterrupt
        calls.append(len(images))
        return real(self, images)

    with monkeypatch.context() as patched:
        patched.setattr(Network, "features", breaks)
        with pytest.raises(KeyboardInterrupt):
            build_store(dataset, tmp_path / "broken.zarr", SETTINGS)
    statuses = set(Store.open(tmp_path / "broken.zarr").papers["status"])
    assert "pending" in statuses or n_batches == 2
    summary = build_store(dataset, tmp_path / "broken.zarr", SETTINGS)
    assert (summary.n_done, summary.n_failed) == (10, 1)
    whole, broken = (load_table(Store.open(tmp_path / name), ["mobilenet"]) for name in ("whole.zarr", "broken.zarr"))
    np.testing.assert_array_equal(whole.features, broken.features)


def test_workers_give_the_same_bits(tmp_path: Path, dataset: Path) -> None:
    build_store(dataset, tmp_path / "here.zarr", SETTINGS)
    apart = BuildSettings(("mobilenet",), "random", side_px=32, batch_size=4, n_workers=2)
    build_store(dataset, tmp_path / "apart.zarr", apart)
    here, there = (load_table(Store.open(tmp_path / name), ["mobilenet"]) for name in ("here.zarr", "apart.zarr"))
    np.testing.assert_array_equal(here.features, there.features)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": "random:1"}, "--weights random, got --weights random:1"),
        ({"side_px": 48}, ": --side 32 px, got --side 48 px. Give"),
        ({"pooling": "max"}, ": --pooling avg, got --pooling max. Give"),
        ({"roi": "none"}, ": --roi article, got --roi none. Give"),
    ],
)
def test_features_made_differently_are_refused(
    tmp_path: Path, dataset: Path, change: dict[str, object], message: str
) -> None:
    path = tmp_path / "f.zarr"
    build_store(dataset, path, SETTINGS)
    before = load_table(Store.open(path), ["mobilenet"]).features
    other = replace(SETTINGS, **change)
    with pytest.raises(StoreError, match=message):
        build_store(dataset, path, other)
    np.testing.assert_array_equal(load_table(Store.open(path), ["mobilenet"]).features, before)


def test_replace_makes_every_row_again(tmp_path: Path, dataset: Path) -> None:
    path = tmp_path / "f.zarr"
    build_store(dataset, path, SETTINGS)
    before = load_table(Store.open(path), ["mobilenet"]).features
    summary = build_store(
        dataset, path, BuildSettings(("mobilenet",), "random:1", side_px=32, n_workers=0, replace=True)
    )
    assert summary.n_rows == 10
    after = load_table(Store.open(path), ["mobilenet"])
    assert after.features.shape == before.shape
    assert (after.features != before).any(axis=1).all()
    assert Store.open(path).identity("mobilenet").weights == "random:1"


def test_weights_are_found_again_from_another_folder(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_backbone("mobilenet", "random", 32).save_weights(tmp_path / "mobilenet.weights.h5")
    monkeypatch.chdir(tmp_path)
    settings = BuildSettings(("mobilenet",), "mobilenet.weights.h5", side_px=32, n_workers=0)
    build_store(dataset, tmp_path / "f.zarr", settings)
    assert Path(Store.open(tmp_path / "f.zarr").identity("mobilenet").weights) == tmp_path / "mobilenet.weights.h5"


@pytest.mark.parametrize("damage", ["lost", "cut", "record"])
def test_a_damaged_chunk_is_noticed_and_made_again(
    tmp_path: Path, dataset: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "f.zarr"
    build_store(dataset, path, SETTINGS)
    before = load_table(Store.open(path), ["mobilenet"]).features
    chunk = path / "Flower" / "mobilenet" / "c" / "0" / "0"
    if damage == "lost":
        chunk.unlink()
    elif damage == "record":
        (path / "records" / "Flower" / "0.json").write_text("{}")
    else:
        chunk.write_bytes(chunk.read_bytes()[:1000])
    if damage == "record":
        assert len(load_table(Store.open(path), ["mobilenet"])) == len(before) - 4
    else:
        with pytest.raises(
            StoreError, match=r"rows of Flower/mobilenet that are lost|others in Flower/mobilenet/c/0/0"
        ):
            load_table(Store.open(path), ["mobilenet"])
    capsys.readouterr()
    summary = build_store(dataset, path, SETTINGS)
    told = "is no record" if damage == "record" else "unit 0 of Flower/mobilenet is cut or lost"
    assert told in capsys.readouterr().err
    assert summary.n_rows == 4
    np.testing.assert_array_equal(load_table(Store.open(path), ["mobilenet"]).features, before)


def test_what_could_not_be_read_is_tried_again(tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path) -> bytes:
        raise ImageError("a readable photograph", "Permission denied", "Restore the file.")

    with monkeypatch.context() as patched:
        patched.setattr("featstore.build.prepare.read_bytes", denied)
        assert build_store(dataset, tmp_path / "f.zarr", SETTINGS).n_failed == 11
    summary = build_store(dataset, tmp_path / "f.zarr", SETTINGS)
    assert (summary.n_done, summary.n_failed) == (10, 1)


def test_two_builds_on_one_store_the_second_is_refused(tmp_path: Path, dataset: Path) -> None:
    other = hold(open_place(tmp_path / "f.zarr"), Claim("another plan"))
    with other, pytest.raises(LockedError, match=rf"process {os.getpid()} on .*writing"):
        build_store(dataset, tmp_path / "f.zarr", SETTINGS)
    assert build_store(dataset, tmp_path / "f.zarr", SETTINGS).n_done == 10


def test_another_data_set_is_refused(tmp_path: Path, dataset: Path, write_photo: Callable[..., Path]) -> None:
    build_store(dataset, tmp_path / "f.zarr", SETTINGS)
    write_photo(tmp_path / "other" / "rose" / "a.jpg")
    with pytest.raises(StoreError, match="shares no image with it"):
        build_store(tmp_path / "other", tmp_path / "f.zarr", SETTINGS)


def test_nothing_is_written_when_the_input_is_refused(tmp_path: Path, dataset: Path) -> None:
    with pytest.raises(WeightsError):
        build_store(dataset, tmp_path / "f.zarr", BuildSettings(("mobilenet",), str(tmp_path), n_workers=0))
    assert not (tmp_path / "f.zarr").exists()


def command(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(ended.value.code or 0)


def test_the_command_line_tells_by_table_json_and_exit_code(
    tmp_path: Path, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--backbone", "mobilenet", "--weights", "random", "--side", "32", "--workers", "0"]
    words = ["build", dataset, "--store", tmp_path / "f.zarr", *options]
    assert command(*words) == 3
    captured = capsys.readouterr()
    assert "found" in captured.out
    assert "1 photograph cannot be used: 4: a damaged file (image file is truncated" in captured.err
    assert "random weights" in captured.err
    assert command(*words, "--max-failures", "1", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["found"], result["done"], result["failed"], result["decoded"]) == (11, 10, 1, 0)
    assert result["failures"][0]["image_id"] == "4"


def test_many_broken_photographs_are_told_in_a_few_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(40):
        (tmp_path / "photos" / "rosa").mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / "rosa" / f"{number:02}.jpg").write_bytes(b"hello")
    store = tmp_path / "f.zarr"
    words = ["build", tmp_path / "photos", "--store", store, "--backbone", "colour", "--workers", 0]
    assert command(*words) == 3
    told = capsys.readouterr().err.splitlines()
    start = told.index("warning: 40 photographs cannot be used:")
    reasons = [f"  rosa/{n:02}.jpg: a text file; remove or replace it" for n in range(5)]
    assert told[start + 1 : start + 6] == reasons
    assert told[start + 6] == f"  and 35 more; `featstore info {store} --json` lists all"
    assert command("info", store, "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["failures"]) == 40


def test_a_table_none_of_whose_photographs_is_there_is_refused(
    tmp_path: Path, write_photo: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    table, store = tmp_path / "t.csv", tmp_path / "f.zarr"
    table.write_text("".join(["path,class_id\n", *(f"away/{n}.jpg,rosa\n" for n in range(40))]))
    words = ["build", table, "--store", store, "--backbone", "colour", "--workers", 0]
    for more in ((), ("--dry-run",)):
        assert command(*words, *more) == 1
        (told,) = capsys.readouterr().err.splitlines()
        assert "got none of 40 (away/0.jpg: no photograph there, away/1.jpg: no photograph there, " in told
        assert f"and 37 more). Correct the paths, which start from {tmp_path}, or bring" in told
        assert not store.exists()
    write_photo(tmp_path / "away" / "7.jpg")
    assert command(*words) == 3
    told = capsys.readouterr().err
    assert f"39 photographs cannot be used:\n  away/0.jpg: no photograph at {tmp_path / 'away' / '0.jpg'}\n" in told
    before = Store.open(store).papers
    # A disk that is not there for once does not undo what was done.
    (tmp_path / "away").rename(tmp_path / "farther")
    assert command(*words) == 1
    assert Store.open(store).papers.equals(before)


def test_photographs_without_records_are_not_sent_to_look_for_their_paths(
    tmp_path: Path, write_photo: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    write_photo(tmp_path / "rosa" / "1.jpg")
    words = ["build", tmp_path, "--store", tmp_path / "f.zarr", "--backbone", "colour", "--reader", "plantclef"]
    assert command(*words) == 1
    assert "(rosa/1.jpg: no XML record beside it). Mend these, or choose another --reader." in capsys.readouterr().err


def test_tiny_photographs_are_taken_and_told_once(
    tmp_path: Path, write_photo: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """By the longer side of what is cut out, by a build and ever after; 32 px are enough."""
    for number, side in enumerate((8, 8, 31, 32, 64)):
        write_photo(tmp_path / "photos" / "acer" / f"{number}.jpg", seed=number, size=(side, 6))
    store = tmp_path / "f.zarr"
    words = ["build", tmp_path / "photos", "--store", store, "--backbone", "colour", "--roi", "none", "--workers", 0]
    assert command(*words) == 0
    told = "warning: 3 of 5 photographs give the networks less than 32 x 32 px"
    assert capsys.readouterr().err.count(told) == 1
    assert command(*words, "--json") == 0
    assert json.loads(capsys.readouterr().out)["tiny"] == 3
    assert command("info", store) == 0
    assert told in capsys.readouterr().err
    assert command("info", store, "--json") == 0
    assert json.loads(capsys.readouterr().out)["n_tiny"] == 3


def test_the_command_line_refuses_with_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("build", tmp_path / "typo", "--store", tmp_path / "f.zarr") == 1
    assert "error: Expected a folder or table of photographs, got no such path" in capsys.readouterr().err
    assert not (tmp_path / "f.zarr").exists()
