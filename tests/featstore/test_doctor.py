"""The doctor: each kind of trouble planted among sound photographs is found, and sound ones are left alone."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw, ImageOps

from featstore.care.doctor import COLUMNS, DoctorSettings, counts, examine, exclusions_of
from featstore.care.gallery import draw_findings
from featstore.care.likeness import likeness
from featstore.care.neighbours import find_neighbours
from featstore.care.sheet import PANEL_PX, fitted_name
from featstore.cli import main
from featstore.errors import DatasetError, SettingsError
from featstore.exclusions import Exclusion, read_copies, read_exclusions, write_copies, write_exclusions
from featstore.table import FeatureTable

N_CLASSES, N_PLANTS, DIMENSION = 4, 12, 64
SETTINGS = DoctorSettings(k=10)


@pytest.fixture
def sound() -> FeatureTable:
    """48 plants of four classes, two photographs each, a third in test; classes lie well apart."""
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(N_CLASSES, DIMENSION))
    lines, rows = [], []
    for plant in range(N_CLASSES * N_PLANTS):
        label = plant % N_CLASSES
        split = "test" if plant // N_CLASSES % 3 == 0 else "train"
        for photo in range(2):
            key = f"{plant}-{photo}"
            lines.append((key, f"sha {key}", f"o{plant}", f"c{label}", split, ("Leaf", "Flower")[photo]))
            rows.append(centres[label] + 0.5 * rng.normal(size=DIMENSION))
    columns = ["image_id", "sha256", "observation_id", "class_id", "split", "view"]
    return FeatureTable(pd.DataFrame(lines, columns=columns), np.asarray(rows, dtype=np.float32), ("net",))


def with_row(table: FeatureTable, like: str, features: np.ndarray | None = None, **papers: str) -> FeatureTable:
    """The table with one photograph more, which differs from another by some papers and features."""
    place = int(np.flatnonzero(table.papers["image_id"] == like)[0])
    line = table.papers.iloc[[place]].assign(**papers)
    row = table.features[place] if features is None else features
    return FeatureTable(
        pd.concat([table.papers, line], ignore_index=True), np.vstack([table.features, row[None]]), table.backbones
    )


def found(findings: pd.DataFrame) -> list[tuple[str, str, str, str]]:
    rows = findings[["kind", "image_id", "partner", "suggestion"]].itertuples(index=False, name=None)
    return [(str(kind), str(one), str(other), str(what)) for kind, one, other, what in rows]


def picture(image_id: str) -> np.ndarray:
    """A picture like no other, but the same for a copy, whose image_id begins with its original's and a slash."""
    seed = zlib.crc32(image_id.split("/", maxsplit=1)[0].encode())
    corners = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(corners).resize((60, 50), Image.Resampling.BICUBIC))


def test_nothing_is_found_among_sound_photographs(sound: FeatureTable) -> None:
    findings = examine(sound, SETTINGS, picture)
    assert findings.empty
    assert tuple(findings.columns) == COLUMNS
    assert exclusions_of(findings) == ()


def test_equal_files_in_one_split(sound: FeatureTable) -> None:
    table = with_row(sound, "5-0", image_id="copy", observation_id="another")
    findings = examine(table, SETTINGS, picture)
    assert found(findings) == [("exact_duplicate", "copy", "5-0", "exclude")]
    assert exclusions_of(findings) == (Exclusion("copy", "exact_duplicate: the same bytes as 5-0"),)


def test_what_is_marked_as_test_is_never_left_out(sound: FeatureTable) -> None:
    """Else a comparison with the list would be judged on other plants than one without."""
    table = with_row(sound, "0-0", image_id="copy", observation_id="another")
    assert set(table.papers.set_index("image_id").loc[["0-0", "copy"], "split"]) == {"test"}
    findings = examine(table, SETTINGS, picture)
    assert found(findings) == [("exact_duplicate", "copy", "0-0", "review")]
    assert exclusions_of(findings) == ()


@pytest.mark.parametrize(("original", "split", "left_out"), [("5-0", "test", "5-0"), ("0-0", "train", "copy")])
def test_of_a_leak_the_training_photograph_is_left_out(
    sound: FeatureTable, original: str, split: str, left_out: str
) -> None:
    table = with_row(sound, original, image_id="copy", observation_id="another", split=split)
    ((kind, image_id, partner, suggestion),) = found(examine(table, SETTINGS, picture))
    assert (kind, image_id, suggestion) == ("split_leak", left_out, "exclude")
    assert {image_id, partner} == {original, "copy"}


def test_equal_files_of_two_classes_are_for_a_person_to_judge(sound: FeatureTable) -> None:
    table = with_row(sound, "5-0", image_id="copy", observation_id="another", class_id="c0")
    findings = examine(table, SETTINGS, picture)
    (row,) = found(findings[findings["kind"] == "exact_duplicate"])
    assert row == ("exact_duplicate", "copy", "5-0", "review")
    assert "but called c0 and c1" in findings["detail"].iloc[0]
    assert exclusions_of(findings) == ()


def test_copies_that_were_saved_anew(sound: FeatureTable) -> None:
    """Almost the same features and looks; of another split they are a leak, of their own plant nothing."""
    near = sound.features[10] + np.float32(0.01)
    assert sound.papers["image_id"].iloc[10] == "5-0"
    other = with_row(sound, "5-0", near, image_id="5-0/b", sha256="other", observation_id="another")
    assert found(examine(other, SETTINGS, picture)) == [("near_duplicate", "5-0/b", "5-0", "review")]
    leak = with_row(sound, "5-0", near, image_id="5-0/b", sha256="other", observation_id="another", split="test")
    assert found(examine(leak, SETTINGS, picture)) == [("split_leak", "5-0", "5-0/b", "exclude")]
    own = with_row(sound, "5-0", near, image_id="5-0/b", sha256="other")
    assert examine(own, SETTINGS, picture).empty
    stranger = with_row(sound, "5-0", near, image_id="alike", sha256="other", observation_id="another")
    assert examine(stranger, SETTINGS, picture).empty, "near features alone are no copy: the pictures differ"
    assert "alike" in set(examine(stranger, SETTINGS)["image_id"]), "without pictures features alone decide"


def test_a_plant_on_both_sides_of_the_split(sound: FeatureTable) -> None:
    papers = sound.papers.copy()
    papers.loc[papers["image_id"] == "0-1", "split"] = "train"
    findings = examine(FeatureTable(papers, sound.features, sound.backbones), SETTINGS, picture)
    assert found(findings) == [("split_leak", "0-1", "", "exclude")]
    assert "observation o0 is on both sides of test and train" in findings["detail"].iloc[0]


def test_a_swapped_label(sound: FeatureTable) -> None:
    papers = sound.papers.copy()
    papers.loc[papers["observation_id"] == "o5", "class_id"] = "c3"
    findings = examine(FeatureTable(papers, sound.features, sound.backbones), SETTINGS, picture)
    assert {(kind, image_id, what) for kind, image_id, _, what in found(findings)} == {
        ("label_disagreement", "5-0", "review"),
        ("label_disagreement", "5-1", "review"),
    }
    assert findings["detail"].str.contains("called c3, but 100% of its nearest neighbours' votes are for c1").all()


def test_a_photograph_without_a_class_is_no_disagreement(sound: FeatureTable) -> None:
    papers = sound.papers.copy()
    papers.loc[papers["observation_id"] == "o0", "class_id"] = ""
    assert examine(FeatureTable(papers, sound.features, sound.backbones), SETTINGS, picture).empty


def test_a_stranger(sound: FeatureTable) -> None:
    far = np.random.default_rng(5).normal(size=DIMENSION).astype(np.float32)
    table = with_row(sound, "5-0", far, image_id="stranger", sha256="s", observation_id="s", class_id="")
    assert found(examine(table, SETTINGS, picture)) == [("outlier", "stranger", "", "review")]


def test_small_classes(sound: FeatureTable) -> None:
    papers = sound.papers.copy()
    of_class = papers["class_id"] == "c2"
    papers.loc[of_class & ~papers["observation_id"].isin(["o2", "o6", "o10"]), "split"] = "test"
    papers.loc[papers["class_id"] == "c3", "split"] = "test"
    papers.loc[(papers["class_id"] == "c1") & (papers["observation_id"] != "o5"), "split"] = "test"
    findings = examine(FeatureTable(papers, sound.features, sound.backbones), SETTINGS, picture)
    assert [str(kind) for kind in findings["kind"]] == ["small_class"] * 3
    assert findings["detail"].tolist() == [
        "class c3 has 0 observations to learn from, and 24 photographs in test",
        "class c1 has 1 observation to learn from",
        "class c2 has 2 observations to learn from",
    ]
    assert counts(findings)["small_class"] == 3


@pytest.mark.parametrize(
    "change",
    [{"k": 1}, {"near_ratio": 0.0}, {"likeness": 2.0}, {"disagreement": 0.0}, {"outlier_z": 0.0},
     {"min_observations": -1}],
)  # fmt: skip
def test_settings_out_of_range_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(SettingsError):
        replace(SETTINGS, **change)


def test_too_few_photographs_are_refused(sound: FeatureTable) -> None:
    with pytest.raises(SettingsError, match="at least three photographs, got 2"):
        examine(sound.select(np.arange(len(sound)) < 2), SETTINGS)


# -- what it is made of -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_rows", [5, 1500])
def test_neighbours_against_brute_force(n_rows: int) -> None:
    features = np.random.default_rng(0).normal(1, 1, size=(n_rows, 8)).astype(np.float32)
    features[1] = features[0]
    near = find_neighbours(features, 7)
    centred = (features - features.mean(axis=0)).astype(np.float64)
    units = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    distances = np.sqrt(np.maximum(0, 2 - 2 * units @ units.T))
    np.fill_diagonal(distances, np.inf)
    k = min(7, n_rows - 1)
    assert near.k == k
    np.testing.assert_allclose(near.distance, np.sort(distances, axis=1)[:, :k], atol=1e-3)
    assert (near.row != np.arange(n_rows)[:, None]).all()
    np.testing.assert_allclose(np.take_along_axis(distances, near.row, 1), near.distance, atol=1e-3)
    assert near.row[0, 0] == 1


def test_likeness_sees_through_what_copying_does(tmp_path: Path) -> None:
    image = Image.fromarray(picture("rose")).resize((400, 300), Image.Resampling.BICUBIC)
    image.save(tmp_path / "low.jpg", quality=40)
    one = np.asarray(image)
    copies = {
        "itself": image,
        "low quality": Image.open(tmp_path / "low.jpg").convert("RGB"),
        "half size": image.resize((200, 150)),
        "mirrored": ImageOps.mirror(image),
        "cropped": image.crop((20, 15, 380, 285)),
        "darker": image.point(lambda value: int(value * 0.7)),
    }
    for what, other in copies.items():
        assert likeness(one, np.asarray(other)) > 0.97, what
        assert likeness(np.asarray(other), one) > 0.97, what
    assert likeness(one, picture("tulip")) < 0.9
    assert likeness(one, np.full((30, 40, 3), 7, dtype=np.uint8)) == 0


def test_exclusion_lists_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    exclusions = (Exclusion("a,1", 'why "so"'), Exclusion("ü", ""))
    write_exclusions(exclusions, path)
    assert read_exclusions(path) == exclusions
    path.write_text("id\n1\n")
    with pytest.raises(DatasetError, match="a CSV with the column image_id, got id in"):
        read_exclusions(path)
    with pytest.raises(DatasetError, match="a readable list"):
        read_exclusions(tmp_path / "none.csv")


def test_pairs_of_copies(tmp_path: Path, sound: FeatureTable) -> None:
    """The doctor's findings serve as they are: label disagreements have partners, too, and are no copies."""
    path = tmp_path / "findings.csv"
    write_copies([("a", "b"), ("ü", "c")], path)
    assert read_copies(path) == (("a", "b"), ("ü", "c"))
    papers = sound.papers.copy()
    papers.loc[papers["observation_id"] == "o5", "class_id"] = "c3"
    table = with_row(FeatureTable(papers, sound.features, ("net",)), "8-0", image_id="copy", observation_id="another")
    examine(table, SETTINGS, picture).to_csv(path, index=False)
    assert read_copies(path) == (("copy", "8-0"),)
    path.write_text("image_id,reason\n1,2\n")
    with pytest.raises(DatasetError, match="a CSV with the columns image_id and partner, got image_id, reason in"):
        read_copies(path)


def test_pictures_of_findings(sound: FeatureTable, tmp_path: Path, write_photo: Callable[..., Path]) -> None:
    table = with_row(sound, "5-0", image_id="copy", observation_id="another")
    paths = {"copy": write_photo(tmp_path / "copy.jpg")}
    (sheet,) = draw_findings(examine(table, SETTINGS, picture), paths, {"copy": "Rosa canina"}, tmp_path / "out", 5)
    assert sheet.name == "exact_duplicate.png"
    shown = np.asarray(Image.open(sheet))
    assert len(np.unique(shown.reshape(-1, 3), axis=0)) > 100, "the photograph is in it"


def test_names_keep_what_tells_photographs_apart(
    sound: FeatureTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folders are named first, and alike: cut at the end, all photographs of a class would be called the same."""
    written: list[str] = []
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", lambda _, place, text, *__, **___: written.append(text))
    name = "images/Dytiscus marginalis Linnaeus 1758/specimen 0030/0030_ventral.jpg"
    table = with_row(sound, "5-0", image_id=name, observation_id="another")
    draw_findings(examine(table, SETTINGS, picture), {}, {name: "Dytiscus marginalis"}, tmp_path, 5)
    (told,) = (text for text in written if "0030" in text)
    assert told.startswith("...")
    assert told.endswith("/0030_ventral.jpg")
    assert "Dytiscus marginalis" in written
    assert fitted_name("short.jpg", 13, PANEL_PX) == "short.jpg"


def test_doctor_on_the_command_line(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "doctor"
    with pytest.raises(SystemExit) as ended:
        main(["doctor", str(finished), "--out", str(out), "--json"])
    assert not ended.value.code
    printed = capsys.readouterr()
    assert "random weights" in printed.err
    told = json.loads(printed.out)
    assert told["random_weights"] is True
    findings = pd.read_csv(out / "findings.csv")
    assert told["photographs"] == 10
    assert sum(told["findings"].values()) == len(findings)
    assert told["findings"]["small_class"] == (findings["kind"] == "small_class").sum() == 2
    assert len(read_exclusions(out / "exclusions.csv")) == told["suggested_exclusions"]
    assert all(Path(path).is_file() for path in told["files"])
    with pytest.raises(SystemExit):
        main(["doctor", str(finished), "--out", str(out)])
    assert "small class" in capsys.readouterr().out
