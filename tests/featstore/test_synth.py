"""The drawn package: repeatable, laid out as PlantCLEF 2014, learnable, and never in the way of other files."""

from __future__ import annotations

import hashlib
import os
import signal
import xml.etree.ElementTree as ET
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from featstore.errors import DatasetError, SettingsError
from featstore.synth import SynthSettings, SynthSummary, package, synthesise
from featstore.synth.plan import planned
from featstore.synth.scenes import SCENES, photograph
from featstore.synth.species import MAX_SPECIES, individual, invent

VIEWS = {"Branch", "Entire", "Flower", "Fruit", "Leaf", "LeafScan", "Stem"}
TAGS = [
    "ObservationId", "FileName", "MediaId", "Vote", "Content", "ClassId", "Family", "Species", "Genus", "Author",
    "Date", "Location", "Latitude", "Longitude", "YearInCLEF", "IndividualPlantId2013", "ImageID2013",
]  # fmt: skip
HIDDEN = {"Vote", "ClassId", "Family", "Species", "Genus"}
SMALL = SynthSettings(n_species=3, n_observations=4, n_authors=2, side_px=32, n_corrupt=2, seed=7)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> SynthSummary:
    settings = SynthSettings(n_species=4, n_observations=16, side_px=64, n_corrupt=3)
    return synthesise(tmp_path_factory.mktemp("synth") / "package", settings)


def papers_of(folder: Path) -> list[dict[str, str]]:
    """The tags of every XML file of a folder, by ascending id."""
    files = sorted(folder.glob("*.xml"), key=lambda path: int(path.stem))
    return [{child.tag: child.text or "" for child in ET.parse(path).getroot()} for path in files]


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def is_readable(photo: Path) -> bool:
    try:
        with Image.open(photo) as image:
            image.load()
    except OSError:
        return False
    return True


# --- layout ------------------------------------------------------------------------------------------------------


def test_the_layout_is_the_official_one(drawn: SynthSummary) -> None:
    folder = drawn.folder
    assert {path.name for path in folder.iterdir()} == {"train", "test", "testwithgroundtruthxml", "synth.json"}
    for split, n_images in (("train", drawn.n_train), ("test", drawn.n_test)):
        photos = {path.stem for path in (folder / split).glob("*.jpg")}
        assert photos == {path.stem for path in (folder / split).glob("*.xml")}
        assert len(photos) == n_images
    truth = {path.name for path in (folder / "testwithgroundtruthxml").iterdir()}
    assert truth == {path.name for path in (folder / "test").glob("*.xml")}
    assert drawn.n_images == drawn.n_train + drawn.n_test


def test_tags_are_those_of_2014_and_test_hides_the_truth(drawn: SynthSummary) -> None:
    for split in ("train", "test", "testwithgroundtruthxml"):
        visible = [tag for tag in TAGS if split != "test" or tag not in HIDDEN]
        for papers in papers_of(drawn.folder / split):
            assert list(papers) == visible
            assert papers["FileName"] == f"{papers['MediaId']}.jpg"
    hidden, truth = papers_of(drawn.folder / "test"), papers_of(drawn.folder / "testwithgroundtruthxml")
    assert [{**full, **shown} for full, shown in zip(truth, hidden, strict=True)] == truth
    assert all(papers["ClassId"] for papers in truth)


@pytest.mark.parametrize(
    "settings",
    [SMALL, SynthSettings(n_species=2, n_observations=4, side_px=32), SynthSettings(n_species=9, side_px=32, seed=3)],
    ids=["small", "smallest", "larger"],
)
def test_every_view_is_in_both_splits_and_every_species_can_be_split(settings: SynthSettings, tmp_path: Path) -> None:
    summary = synthesise(tmp_path / "package", settings)
    train, test = papers_of(summary.folder / "train"), papers_of(summary.folder / "testwithgroundtruthxml")
    for part in (train, test):
        assert {papers["Content"] for papers in part} == VIEWS
        assert len({papers["ClassId"] for papers in part}) == settings.n_species == summary.n_species
    observations = defaultdict(set)
    for papers in train:
        if is_readable(summary.folder / "train" / papers["FileName"]):
            observations[papers["ClassId"]].add(papers["ObservationId"])
    assert min(len(ids) for ids in observations.values()) >= 3
    assert not {p["ObservationId"] for p in train} & {p["ObservationId"] for p in test}


def test_an_observation_is_one_plant_by_one_author_on_one_day(drawn: SynthSummary) -> None:
    groups = defaultdict(list)
    means = {}
    for split in ("train", "testwithgroundtruthxml"):
        part = papers_of(drawn.folder / split)
        for papers in part:
            groups[papers["ObservationId"]].append(papers)
        means[split] = len(part) / len({papers["ObservationId"] for papers in part})
    assert len(groups) == drawn.n_observations == 4 * 16
    for group in groups.values():
        assert 1 <= len(group) <= 4
        assert len({papers["Content"] for papers in group}) == len(group)
        for tag in ("ClassId", "Species", "Author", "Date", "Location", "Latitude"):
            assert len({papers[tag] for papers in group}) == 1
    assert 2 <= means["train"] <= 3
    assert 1 < means["testwithgroundtruthxml"] < 2


def test_votes_dates_and_places_are_as_uneven_as_real_ones(drawn: SynthSummary) -> None:
    train = papers_of(drawn.folder / "train")
    votes = Counter(papers["Vote"] for papers in train)
    assert 0 < votes.pop("") < 0.3 * len(train)
    assert {1.0, 5.0} <= {float(vote) for vote in votes} <= set(np.arange(1, 5.01, 0.01).round(2))
    assert any("." in vote for vote in votes)
    for tag in ("Date", "Latitude", "Location"):
        assert 0 < sum(not papers[tag] for papers in train) < 0.5 * len(train)
    located = [(float(p["Latitude"]), float(p["Longitude"])) for p in train if p["Latitude"]]
    assert all(42 < north < 51 and -5 < east < 8.3 for north, east in located)
    assert all(bool(papers["Latitude"]) == bool(papers["Longitude"]) for papers in train)
    assert len({papers["Author"] for papers in train}) == drawn.n_authors == 5


def test_exactly_the_promised_photographs_are_broken(drawn: SynthSummary) -> None:
    broken = [p for p in drawn.folder.rglob("*.jpg") if not is_readable(p)]
    assert len(broken) == drawn.n_corrupt == 3
    assert {path.parent.name for path in broken} == {"train"}
    with Image.open(drawn.folder / "test" / next(drawn.folder.glob("test/*.jpg")).name) as image:
        assert (image.size, image.mode) == ((64, 64), "RGB")


# --- repeatability -----------------------------------------------------------------------------------------------


def test_the_same_settings_give_the_same_bytes(tmp_path: Path) -> None:
    one, two = (synthesise(tmp_path / name, SMALL) for name in ("one", "two"))
    assert digests(one.folder) == digests(two.folder)
    assert one == replace(two, folder=one.folder)
    other = synthesise(tmp_path / "other", replace(SMALL, seed=8))
    unchanged = {name for name, digest in digests(other.folder).items() if digests(one.folder).get(name) == digest}
    assert not unchanged


def test_several_processes_draw_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = digests(synthesise(tmp_path / "alone", SMALL).folder)
    monkeypatch.setattr(package, "_SHARE", 4)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr(package, "ProcessPoolExecutor", counted := Mock(wraps=ProcessPoolExecutor))
    assert digests(synthesise(tmp_path / "two", SMALL).folder) == alone
    assert counted.call_count == 1


def test_an_interrupt_does_not_wait_for_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "_SHARE", 4)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    bar = Mock()
    bar.update.side_effect = KeyboardInterrupt
    shots = [replace(shot, split="train") for shot in planned(replace(SMALL, n_observations=40))]
    (tmp_path / "train").mkdir()
    with pytest.raises(KeyboardInterrupt):
        package._write_all(tmp_path, shots, SMALL, bar)
    assert len(list((tmp_path / "train").glob("*.jpg"))) < len(shots) / 2


def _killed(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_is_killed_is_told_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "_SHARE", 4)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr(package, "_write_shot", _killed)
    with pytest.raises(DatasetError, match=r"one of 2 that was killed after 0 photographs .*; nothing is left behind"):
        synthesise(tmp_path / "package", SMALL)
    assert list((tmp_path / "package").iterdir()) == []
    monkeypatch.undo()
    assert synthesise(tmp_path / "package", SMALL).created


def test_a_photograph_does_not_depend_on_those_before_it(tmp_path: Path) -> None:
    spoilt, whole = (
        digests(synthesise(tmp_path / "a", SMALL).folder),
        digests(synthesise(tmp_path / "b", replace(SMALL, n_corrupt=0)).folder),
    )
    differing = {name for name in spoilt if spoilt[name] != whole[name]}
    assert len(differing - {"synth.json"}) == SMALL.n_corrupt
    assert all(name.endswith(".jpg") for name in differing - {"synth.json"})


def test_a_second_call_leaves_the_package_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = synthesise(tmp_path / "package", SMALL)
    before = {path: path.stat().st_mtime_ns for path in first.folder.rglob("*")}

    def unexpected(*arguments: object) -> None:
        raise AssertionError("nothing is drawn again")

    monkeypatch.setattr(package, "photograph", unexpected)
    second = synthesise(first.folder, SMALL)
    assert first.created
    assert second == replace(first, created=False)
    assert {path: path.stat().st_mtime_ns for path in first.folder.rglob("*")} == before


def test_an_interrupted_call_can_be_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "deep" / "package"
    drawn = 0

    def interrupted(*arguments: object) -> object:
        nonlocal drawn
        drawn += 1
        if drawn == 5:
            raise KeyboardInterrupt
        return photograph(*arguments)  # type: ignore[arg-type]  # handed through

    with monkeypatch.context() as patch:
        patch.setattr(package, "photograph", interrupted)
        with pytest.raises(KeyboardInterrupt):
            synthesise(folder, SMALL)
    assert list(folder.iterdir()) == []
    assert synthesise(folder, SMALL).created


# --- refusals ----------------------------------------------------------------------------------------------------


def test_foreign_files_are_never_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("do not lose")
    with pytest.raises(DatasetError, match="files of something else"):
        synthesise(tmp_path, SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(DatasetError, match="absent or empty folder"):
        synthesise(tmp_path / "thesis.txt", SMALL)
    (tmp_path / "synth.json").write_text("not JSON")
    with pytest.raises(DatasetError, match=r"a package drawn by this version in .*, got one whose synth\.json"):
        synthesise(tmp_path, SMALL)


def test_a_package_of_other_settings_is_refused_and_kept(tmp_path: Path) -> None:
    before = digests(synthesise(tmp_path / "package", SMALL).folder)
    told = r"drawn with --authors 3, --seed 8 in .*, got one drawn with --authors 2, --seed 7\. Name another"
    with pytest.raises(DatasetError, match=told):
        synthesise(tmp_path / "package", replace(SMALL, seed=8, n_authors=3))
    assert digests(tmp_path / "package") == before


def test_a_damaged_package_is_refused(tmp_path: Path) -> None:
    summary = synthesise(tmp_path / "package", SMALL)
    next((summary.folder / "train").glob("*.jpg")).unlink()
    with pytest.raises(DatasetError, match="it is then drawn again"):
        synthesise(summary.folder, SMALL)


@pytest.mark.parametrize(
    ("name", "value"),
    [("n_species", 1), ("n_species", MAX_SPECIES + 1), ("n_observations", 3), ("n_authors", 0), ("side_px", 31),
     ("n_corrupt", -1), ("n_corrupt", 7), ("seed", -1), ("variation", 0.6)],
)  # fmt: skip
def test_settings_out_of_range_are_refused(name: str, value: int) -> None:
    option = "--" + name.removeprefix("n_").removesuffix("_px")
    with pytest.raises(SettingsError, match=f"{option} between"):
        SynthSettings(**{name: value})


# --- looks -------------------------------------------------------------------------------------------------------


def test_names_are_unique_and_shared_as_in_nature() -> None:
    species = invent(MAX_SPECIES, np.random.default_rng(0))
    assert len({s.name for s in species}) == len({s.class_id for s in species}) == MAX_SPECIES
    assert all(s.name.startswith(f"{s.genus} ") for s in species)
    assert len({s.genus for s in species}) == MAX_SPECIES // 2
    assert len({(s.genus, s.family) for s in species}) == MAX_SPECIES // 2
    assert len({s.family for s in species}) == MAX_SPECIES // 4


def test_species_differ_in_every_organ() -> None:
    species = invent(12, np.random.default_rng(3))
    for look in ("petal", "leaf", "bark", "fruit"):
        assert len({getattr(s, look) for s in species}) == 12


def test_plants_of_a_species_differ_and_photographs_of_one_plant_do_not() -> None:
    plants = defaultdict(set)
    for shot in planned(replace(SMALL, variation=0.1, n_observations=8)):
        plants[shot.papers["ClassId"], shot.papers["ObservationId"]].add(shot.plant)
    assert all(len(of_one) == 1 for of_one in plants.values())
    seen = [next(iter(of_one)) for of_one in plants.values()]
    assert len(set(seen)) == len(plants) == 3 * 8
    for kept in ("name", "habit", "leaf_form", "bark_form", "fruit_form"):
        assert len({(plant.class_id, getattr(plant, kept)) for plant in seen}) == 3
    assert len({shot.plant for shot in planned(SMALL)}) == 3


def test_variation_is_a_standard_deviation_within_the_range_of_traits() -> None:
    one = invent(3, np.random.default_rng(0))[1]
    rng = np.random.default_rng(1)
    traits = np.array([individual(one, 0.1, rng).traits for _ in range(400)])
    middle = np.abs(np.array(one.traits) - 0.5) < 0.1
    assert np.abs(traits[:, middle].std(axis=0) - 0.1).max() < 0.02
    assert np.abs(traits[:, middle].mean(axis=0) - np.array(one.traits)[middle]).max() < 0.02
    wild = [individual(one, 0.5, rng) for _ in range(50)]
    assert all(0 <= trait < 1 for plant in wild for trait in plant.traits)
    assert individual(one, 0, rng) is one


@pytest.mark.parametrize("view", sorted(VIEWS))
@pytest.mark.parametrize("index", range(6))
def test_every_view_of_every_form_can_be_drawn(view: str, index: int) -> None:
    species = invent(6, np.random.default_rng(5))[index]
    sharp, dull = (photograph(species, view, 48, s, np.random.default_rng([1, index])) for s in (1.0, 0.0))
    assert sharp.shape == (48, 48, 3)
    assert sharp.dtype == np.uint8
    assert sharp.std() > 10
    assert not np.array_equal(sharp, dull)
    assert set(SCENES) == VIEWS


def test_a_leaf_scan_lies_on_light_paper() -> None:
    species = invent(6, np.random.default_rng(5))
    for number, one in enumerate(species):
        scan = photograph(one, "LeafScan", 64, 1.0, np.random.default_rng(number)).astype(float)
        assert scan[:4].mean() > 215
        assert scan[24:40, 24:40].mean() < 190


def test_colours_alone_tell_species_better_than_chance_but_not_perfectly(drawn: SynthSummary) -> None:
    def histograms(split: str, truth: str) -> tuple[np.ndarray, np.ndarray]:
        rows, classes = [], []
        for papers in papers_of(drawn.folder / truth):
            if is_readable(drawn.folder / split / papers["FileName"]):
                pixels = np.asarray(Image.open(drawn.folder / split / papers["FileName"])).reshape(-1, 3)
                counts, _ = np.histogramdd(pixels, bins=4, range=[(0, 256)] * 3)
                rows.append(np.sqrt(counts.ravel() / len(pixels)))
                classes.append(papers["ClassId"])
        return np.array(rows), np.array(classes)

    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.03, max_iter=500))
    model.fit(*histograms("train", "train"))
    share_right = model.score(*histograms("test", "testwithgroundtruthxml"))
    assert 0.45 < share_right < 0.98  # chance is 0.25
