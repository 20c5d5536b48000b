"""Care: what a store holds, whether it is whole, where a row comes from, and repair of just what is damaged."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from featstore.build.build import build_store
from featstore.build.settings import BuildSettings
from featstore.care.explain import explain
from featstore.care.faults import Verdict
from featstore.care.repair import repair_store
from featstore.care.survey import survey_store
from featstore.care.verify import verify_store
from featstore.cli import inspecting, main
from featstore.errors import StoreError, WeightsError
from featstore.store import Store
from featstore.store.lease import Claim, LockedError, hold
from featstore.store.place import open_place
from featstore.table import load_table

NAMES = ("mobilenet", "mobilenet_v2")


def flip(path: Path, where: float = 0.5) -> None:
    """Flip one bit of a file that is not empty."""
    data = bytearray(path.read_bytes())
    data[int(where * (len(data) - 1))] ^= 1
    path.write_bytes(data)


def command(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(ended.value.code or 0)


def features(store: Path) -> np.ndarray:
    return load_table(Store.open(store), NAMES).features


def build_again(master: Path, store: Path, *options: str) -> int:
    """Exit code of the build that made the store."""
    words = ["--weights", "random", "--side", "32", "--batch-size", "4", "--workers", "0", "--max-failures", "1"]
    networks = [word for name in NAMES for word in ("--backbone", name)]
    return command("build", master / "photos", "--store", store, *networks, *words, *options)


# -- info ---------------------------------------------------------------------------------------------------------


def test_info_counts_everything(finished: Path) -> None:
    survey, papers = survey_store(Store.open(finished))
    assert (survey.n_found, survey.n_done, survey.n_failed, survey.n_pending) == (11, 10, 1, 0)
    assert len(papers) == 11
    assert {view: of_view["train"] for view, of_view in survey.photographs.items()} == {
        "Entire": 3, "Flower": 4, "Leaf": 4,
    }  # fmt: skip
    assert [facts.name for facts in survey.features] == list(NAMES)
    for facts, dimension in zip(survey.features, (1024, 1280), strict=True):
        assert (facts.dimension, facts.missing, facts.n_rows) == (dimension, 0, 10)
        assert {view: of_view["train"] for view, of_view in facts.rows.items()} == {"Entire": 3, "Flower": 4, "Leaf": 3}
        # One chunk of 128 rows per view, in float32.
        assert facts.size_bytes > 3 * 128 * dimension * 4
    ((failed, reason),) = survey.failures
    assert failed == "4"
    assert "a damaged file" in reason
    files = [path for path in finished.rglob("*") if path.is_file() and path.name[0] != "."]
    assert survey.size_bytes == sum(path.stat().st_size for path in files)
    assert survey.n_files == len(files)


def test_info_counts_what_is_missing(finished: Path) -> None:
    (finished / "records" / "Leaf" / "0.json").unlink()
    survey, _ = survey_store(Store.open(finished))
    assert (survey.n_done, survey.n_failed, survey.n_pending) == (7, 0, 4)
    assert {view: sum(of_view.values()) for view, of_view in survey.features[0].rows.items()} == {
        "Entire": 3, "Flower": 4,
    }  # fmt: skip


def test_info_on_the_command_line(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("info", finished, "--pictures", tmp_path / "pictures") == 0
    told = capsys.readouterr()
    assert "10 done, 1 failed, 0 pending" in told.out
    assert "mobilenet_v2" in told.out
    assert list((tmp_path / "pictures").glob("*.png"))
    assert command("info", finished, "--max-failures", "0", "--json") == 3
    told_json = json.loads(capsys.readouterr().out)
    assert told_json["n_found"] == 11
    assert told_json["failures"][0]["image_id"] == "4"
    assert command("info", finished, "--max-failures", "1") == 0


# -- verify and repair --------------------------------------------------------------------------------------------


def test_a_sound_store(finished: Path) -> None:
    assert verify_store(Store.open(finished)) == Verdict(6, 20, 10 * (1024 + 1280) * 4 + 4 * (1024 + 1280), ())


@pytest.mark.parametrize(
    ("array", "old", "new"),
    [
        ("mobilenet", "float32", "float64"), ("mobilenet", "1024", "1025"), ("mobilenet", "128", "129"),
        ("mobilenet", "crc32c", "crc32d"), ("mobilenet", "{", "["), ("identity/mobilenet", "int32", "int16"),
    ],
)  # fmt: skip
def test_a_changed_layout_is_noticed_and_written_anew(
    master: Path, finished: Path, array: str, old: str, new: str
) -> None:
    """Without computing anything: the chunks are what they were."""
    before = features(finished)
    layout = finished / "Leaf" / array / "zarr.json"
    text = layout.read_text()
    layout.write_text(text.replace(old, new))
    faults = verify_store(Store.open(finished)).faults
    assert "Leaf/mobilenet" in {fault.where for fault in faults if fault.kind == "layout"}
    assert repair_store(finished, n_workers=0).after.sound
    assert layout.read_text() == text
    np.testing.assert_array_equal(features(finished), before)


@pytest.mark.parametrize(("old", "new"), [("crc32c", "crc32d"), ("{", "[")])
def test_a_build_on_an_unreadable_layout_says_what_to_do(
    master: Path, finished: Path, capsys: pytest.CaptureFixture[str], old: str, new: str
) -> None:
    layout = finished / "Leaf" / "mobilenet" / "zarr.json"
    layout.write_text(layout.read_text().replace(old, new))
    assert build_again(master, finished) == 1
    assert "Expected the layout of Leaf/mobilenet as it was written" in capsys.readouterr().err


@pytest.mark.parametrize("file", ["catalog/g000001/vote/c/0", "Leaf/image_id/c/0"])
def test_a_file_that_is_pulled_away_is_missed(finished: Path, file: str) -> None:
    """To zarr a chunk that is not there is an empty one; here it is an error that says what to do."""
    (finished / file).unlink()
    with pytest.raises(StoreError, match=r"featstore (repair|build)"):
        load_table(Store.open(finished), NAMES)


def test_only_the_rows_of_the_damaged_chunk_are_made_anew(finished: Path) -> None:
    before = features(finished)
    kept = (finished / "Leaf" / "mobilenet_v2" / "c" / "0" / "0").stat()
    flip(finished / "Leaf" / "mobilenet" / "c" / "0" / "0", 0.01)
    (fault,) = verify_store(Store.open(finished)).faults
    assert (fault.kind, fault.where) == ("chunk", "Leaf/mobilenet unit 0")
    assert set(fault.image_ids) == {"1", "7", "10"}, "4 has failed"
    done = repair_store(finished, n_workers=0)
    assert (done.n_rows, done.after.sound, done.foreign, done.mended) == (3, True, (), False)
    np.testing.assert_array_equal(features(finished), before)
    assert (finished / "Leaf" / "mobilenet_v2" / "c" / "0" / "0").stat().st_mtime_ns == kept.st_mtime_ns


def test_verify_and_repair_on_the_command_line(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("verify", finished) == 0
    flip(finished / "Flower" / "mobilenet" / "c" / "0" / "0", 0.01)
    capsys.readouterr()
    assert command("verify", finished) == 3
    told = capsys.readouterr()
    assert "Flower/mobilenet unit 0" in told.out
    assert "featstore repair" in told.err
    assert command("verify", finished, "--json") == 3
    told_json = json.loads(capsys.readouterr().out)
    assert (told_json["sound"], len(told_json["faults"])) == (False, 1)
    assert command("repair", finished, "--workers", "0", "--json") == 0
    told_json = json.loads(capsys.readouterr().out)
    assert (told_json["rows_made_anew"], told_json["after"]["sound"]) == (4, True)


def test_a_lost_description_is_taken_from_its_copy(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = features(finished)
    (finished / "zarr.json").unlink()
    with pytest.raises(StoreError, match="featstore repair"):
        Store.open(finished)
    assert command("repair", finished, "--workers", "0") == 0
    assert "taken from its copy" in capsys.readouterr().err
    np.testing.assert_array_equal(features(finished), before)


def test_with_both_descriptions_damaged_nothing_is_guessed(finished: Path) -> None:
    for name in ("zarr.json", "description.json"):
        flip(finished / name)
    with pytest.raises(StoreError, match=r"neither as it was written\. Restore one of the two files"):
        repair_store(finished, n_workers=0)


def test_a_damaged_catalogue_is_written_anew_by_a_build(finished: Path, master: Path) -> None:
    before = features(finished)
    flip(finished / "catalog" / "g000001" / "image_id" / "c" / "0")
    with pytest.raises(StoreError, match="a readable catalogue"):
        load_table(Store.open(finished), NAMES)
    assert build_again(master, finished) == 0
    np.testing.assert_array_equal(features(finished), before)


def test_without_photographs_nothing_is_withdrawn(finished: Path, tmp_path: Path) -> None:
    Store.open(finished).update_attrs(root=str(tmp_path / "gone"))
    flip(finished / "Leaf" / "mobilenet" / "c" / "0" / "0", 0.01)
    before = verify_store(Store.open(finished))
    with pytest.raises(StoreError, match=r"photographs of 3 damaged rows in .*gone, got none"):
        repair_store(finished, n_workers=0)
    assert verify_store(Store.open(finished)) == before


def test_a_photograph_that_is_gone_is_told(finished: Path, dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its row is not replaced by anything, and the exit code tells."""
    (dataset / "train" / "7.jpg").unlink()
    Store.open(finished).update_attrs(root=str(dataset))
    flip(finished / "Leaf" / "mobilenet" / "c" / "0" / "0", 0.01)
    assert command("repair", finished, "--workers", "0", "--json") == 3
    told = json.loads(capsys.readouterr().out)
    assert (told["rows_made_anew"], told["photographs_failed"]) == (2, ["7"])
    table = load_table(Store.open(finished), ["mobilenet"])
    assert set(table.papers["image_id"]) == {"0", "1", "2", "3", "5", "6", "8", "9", "10"}


def test_repair_refuses_other_weights(finished: Path) -> None:
    flip(finished / "Leaf" / "mobilenet" / "c" / "0" / "0", 0.01)
    with pytest.raises((StoreError, WeightsError), match="weights"):
        repair_store(finished, n_workers=0, weights="random:9")


def test_repair_refuses_while_another_writes(finished: Path) -> None:
    with hold(open_place(finished), Claim("a build")), pytest.raises(LockedError):
        repair_store(finished, n_workers=0)


# -- explain ------------------------------------------------------------------------------------------------------


def test_the_story_of_a_photograph(finished: Path) -> None:
    store = Store.open(finished)
    story = explain(store, "7")
    papers = store.papers.set_index("image_id").loc["7"]
    assert (story.view, story.status, story.file, story.sha256) == (
        "Leaf", "done", "as it was decoded", papers["sha256"],
    )  # fmt: skip
    assert [(row.name, row.counts, row.why_not) for row in story.rows] == [(name, True, "") for name in NAMES]
    row = story.rows[0]
    assert row.region == tuple(papers[["box_top", "box_left", "box_bottom", "box_right"]])
    assert row.identity == store.identity("mobilenet", "Leaf")


def test_the_story_of_a_failed_and_of_an_unknown_one(finished: Path) -> None:
    store = Store.open(finished)
    story = explain(store, "4")
    assert story.status == "failed"
    assert "a damaged file" in story.reason
    assert {row.why_not for row in story.rows} == {"the photograph cannot be used"}
    with pytest.raises(StoreError, match="got '44'"):
        explain(store, "44")


def test_a_photograph_is_named_by_id_file_or_path(
    tmp_path: Path, write_photo: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("lily/1.jpg", "rose/1.jpg", "rose/11.jpg", "rose/plant/2.jpg", "1.jpg/3.jpg", "lily/UPPER 4.JPG"):
        write_photo(tmp_path / "photos" / name)
    settings = BuildSettings(("colour",), n_workers=0)
    build_store(tmp_path / "photos", tmp_path / "f.zarr", settings)
    store = Store.open(tmp_path / "f.zarr")
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    monkeypatch.chdir(tmp_path / "photos" / "rose")
    named = {
        "lily/1.jpg": ["lily/1.jpg", "../lily/1.jpg", tmp_path / "link" / "lily" / "1.jpg"],
        "rose/1.jpg": ["rose/1.jpg", "1.jpg", "./1.jpg"],  # the one that lies here
        "rose/11.jpg": ["11.jpg"],
        "rose/plant/2.jpg": ["2.jpg", "plant/2.jpg"],
        "lily/UPPER 4.JPG": ["UPPER 4.JPG", "UPPER 4.jpg", "Lily/upper 4.jpg"],
    }
    for image_id, words in named.items():
        assert {explain(store, str(word)).image_id for word in words} == {image_id}
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match=r"got '1.jpg', which 2 have: lily/1.jpg, rose/1.jpg. Name one of these"):
        explain(store, "1.jpg")
    # A file that is not the store's is not taken for one of the same name.
    with pytest.raises(StoreError, match=r"got 'elsewhere/2.jpg'. Did you mean rose/plant/2.jpg\?"):
        explain(store, "elsewhere/2.jpg")


def test_an_id_goes_before_a_file_name(tmp_path: Path, write_photo: Callable[..., Path]) -> None:
    for name in ("1.jpg", "2.jpg"):
        write_photo(tmp_path / name)
    (tmp_path / "t.csv").write_text("image_id,path,class_id\n2.jpg,1.jpg,rosa\n7,2.jpg,rosa\n")
    build_store(tmp_path / "t.csv", tmp_path / "f.zarr", BuildSettings(("colour",), n_workers=0))
    store = Store.open(tmp_path / "f.zarr")
    paths = {word: explain(store, word).papers["path"] for word in ("2.jpg", "1.jpg", "7", str(tmp_path / "2.jpg"))}
    assert paths == {"2.jpg": "1.jpg", "1.jpg": "1.jpg", "7": "2.jpg", str(tmp_path / "2.jpg"): "2.jpg"}


def test_the_story_tells_why_a_row_does_not_count(finished: Path, dataset: Path) -> None:
    shutil.copy(dataset / "train" / "1.jpg", dataset / "train" / "0.jpg")
    store = Store.open(finished)
    store.update_attrs(root=str(dataset))
    assert explain(store, "0").file.startswith("changed since it was decoded")
    (dataset / "train" / "0.jpg").unlink()
    assert explain(store, "0").file == "not there"
    record = store.records.read("Flower", 0)
    assert record is not None
    store.records.write("Flower", 0, record.without(["mobilenet"]))
    assert [row.why_not for row in explain(store, "0").rows] == ["never computed", ""]


def test_the_story_sees_other_bytes_behind_the_same_size_and_time(finished: Path, dataset: Path) -> None:
    store = Store.open(finished)
    store.update_attrs(root=str(dataset))
    path = dataset / "train" / "0.jpg"
    os.utime(path, ns=(1, 1))
    assert explain(store, "0").file == "as it was decoded, but for its time"
    record = store.records.read("Flower", 0)
    assert record is not None
    fact = record.facts[0]
    assert fact is not None
    os.utime(path, ns=(fact.file_mtime_ns, fact.file_mtime_ns))
    assert explain(store, "0").file == "as it was decoded"
    flip(path)
    os.utime(path, ns=(fact.file_mtime_ns, fact.file_mtime_ns))
    assert explain(store, "0").file.startswith("changed since it was decoded: the same")


def test_explain_on_the_command_line(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("explain", finished, "7") == 0
    told = capsys.readouterr().out
    for word in ("as it was decoded", "Features mobilenet_v2", "sha256", "counts", "7.jpg"):
        assert word in told
    assert command("explain", finished, "7", "--json") == 0
    assert json.loads(capsys.readouterr().out)["rows"][0]["counts"] is True
    assert command("explain", finished, "none") == 1


def test_counts_are_written_alike() -> None:
    assert inspecting._count_row("Leaf", {"train": 50_000, "test": 999}) == ["Leaf", "50,000", "999", "50,999"]
