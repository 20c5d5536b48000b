"""Damage: every file of a store in turn flipped, cut or pulled away is found, and mended to the undisturbed store."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from featstore.build import specs
from featstore.build.build import build_store
from featstore.build.settings import BuildSettings
from featstore.care.repair import repair_store
from featstore.care.survey import survey_store
from featstore.care.verify import verify_store
from featstore.cli import main
from featstore.errors import PhytobenchError, StoreError
from featstore.store import Store
from featstore.store.records import Record
from featstore.table import load_table, open_table

NAMES = ("mobilenet", "mobilenet_v2")
SETTINGS = BuildSettings(NAMES, "random", side_px=32, batch_size=4, n_workers=0, roi="none")
LITTLE = replace(SETTINGS, backbones=("mobilenet",))
N_IMAGES = 7


class StandIn:
    """A network whose rows tell the first pixel."""

    side_px, batch_size = 32, 4

    def __init__(self, name: str) -> None:
        self.name, self.dimension = name, specs.BACKBONES[name].dimension

    def features(self, images: np.ndarray) -> np.ndarray:
        return np.repeat(images[:, 16, 16, :1].astype(np.float32), self.dimension, axis=1)


@pytest.fixture(autouse=True, scope="module")
def _stand_in() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(specs, "_loaded", lambda backbone, *_: (StandIn(backbone), "0" * 64))
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, _stand_in: None) -> Path:
    """Folder of photographs in two views, the third of them damaged, and of a store of them."""
    folder = tmp_path_factory.mktemp("whole")
    lines = ["image_id,path,view,class_id,observation_id"]
    for n in range(N_IMAGES):
        Image.fromarray(np.full((20, 20, 3), 10 * n + 10, dtype=np.uint8)).save(folder / f"{n}.png")
        lines.append(f"id{n},{n}.png,{('Leaf', 'Flower')[n % 2]},c,o{n}")
    (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:50])
    (folder / "table.csv").write_text("\n".join(lines))
    build_store(folder / "table.csv", folder / "f.zarr", SETTINGS)
    return folder


@pytest.fixture
def store(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole / "f.zarr", tmp_path / "f.zarr"))


def build(whole: Path, store: Path) -> None:
    build_store(whole / "table.csv", store, SETTINGS)


def command(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(ended.value.code or 0)


def flip(path: Path) -> None:
    """One bit, of each file another one."""
    data, draw = bytearray(path.read_bytes()), random.Random(str(path.parts[-4:]))
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    path.write_bytes(data)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "flipped": flip,
    "pulled away": Path.unlink,
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
}
IN_TURN = "in turn"
"""One file is flipped, the next one pulled away, the next one cut."""


def damages(*names: str) -> list[object]:
    """The damages in turn, and each of them on every file."""
    return [IN_TURN, *(pytest.param(name, marks=pytest.mark.exhaustive) for name in names)]


def damage_of(damage: str, number: int, names: Sequence[str] = tuple(DAMAGES)) -> Callable[[Path], None]:
    """What happens to a file: the damage, or that of its turn."""
    return DAMAGES[names[number % len(names)] if damage == IN_TURN else damage]


def files_of(store: Path) -> list[Path]:
    """Every file that says anything: .guard is an empty one that writers lock, and leases are gone with their build."""
    files = sorted(path.relative_to(store) for path in store.rglob("*") if path.is_file())
    left_out = {Path(".guard")}
    assert {path for path in files if path.name.startswith(".") or path.parts[0] == "locks"} <= left_out
    return [path for path in files if path not in left_out]


@pytest.fixture(scope="module")
def little(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of one view and one network: as few files as there are kinds of them."""
    folder = tmp_path_factory.mktemp("little")
    build_store(one_view(whole), folder / "f.zarr", LITTLE)
    return folder / "f.zarr"


def one_view(whole: Path) -> Path:
    lines = (whole / "table.csv").read_text().splitlines()
    table = whole / "leaves.csv"
    table.write_text("\n".join([lines[0], *(line for line in lines if ",Leaf," in line)]))
    return table


def is_like_another(part: Path) -> bool:
    """Whether a file is of one of the catalogue's columns; a column of text and one of numbers stand for all."""
    return part.parts[0] == "catalog" and len(part.parts) > 3 and part.parts[2] not in {"image_id", "vote"}


def same(one: Path, other: Path) -> bool:
    """Whether two stores say the same of the same photographs."""
    stores = [Store.open(path) for path in (one, other)]
    tables = [load_table(store, store.backbones) for store in stores]
    papers = [store.papers for store in stores]
    return papers[0].equals(papers[1]) and np.array_equal(tables[0].features, tables[1].features)


@pytest.mark.parametrize("damage", damages(*DAMAGES))
def test_whatever_happens_to_any_file_is_found_and_mended(
    whole: Path, little: Path, tmp_path: Path, damage: str
) -> None:
    """Found by verify, every file; mended by repair alone, but for the content of the catalogue, which builds tell."""
    kinds, sound = set(), verify_store(Store.open(little))
    broken = tmp_path / "broken.zarr"
    for number, part in enumerate(files_of(little)):
        shutil.copytree(little, broken)
        damage_of(damage, number)(broken / part)
        if part == Path("zarr.json"):
            with pytest.raises(StoreError, match="featstore repair"):
                Store.open(broken)
        else:
            faults = verify_store(Store.open(broken)).faults
            assert faults, f"{part} was damaged ({damage}), and nothing noticed it"
            kinds |= {fault.kind for fault in faults}
        if is_like_another(part):
            pass
        elif part.parts[0] == "catalog" and part.name != "zarr.json":
            with pytest.raises(StoreError, match="Run featstore build"):
                repair_store(broken, n_workers=0)
            build_store(one_view(whole), broken, LITTLE)
            assert verify_store(Store.open(broken)) == sound, part
            assert same(broken, little), part
        else:
            assert repair_store(broken, n_workers=0).after == sound, part
            assert same(broken, little), part
        shutil.rmtree(broken)
    assert kinds == {"chunk", "identity", "record", "keys", "layout", "catalogue", "description"}


@pytest.mark.parametrize("damage", damages("pulled away", "cut"))
def test_a_build_on_any_damage_ends_well_or_says_what_to_do(
    whole: Path, little: Path, tmp_path: Path, damage: str
) -> None:
    broken = tmp_path / "broken.zarr"
    for number, part in enumerate(part for part in files_of(little) if not is_like_another(part)):
        shutil.copytree(little, broken)
        damage_of(damage, number, ("pulled away", "cut"))(broken / part)
        refused = ""
        try:
            build_store(one_view(whole), broken, LITTLE)
        except PhytobenchError as error:
            refused = str(error)
        assert not refused or "featstore repair" in refused, f"{part}: {refused}"
        repair_store(broken, n_workers=0)
        assert verify_store(Store.open(broken)).sound, part
        assert same(broken, little), part
        shutil.rmtree(broken)


def test_a_record_that_is_pulled_away_is_damage(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (store / "records" / "Flower" / "0.json").unlink()
    (fault,) = verify_store(Store.open(store)).faults
    assert (fault.kind, fault.where, fault.image_ids) == ("record", "Flower unit 0", ("id1", "id3", "id5"))
    assert "record missing beside chunks of mobilenet" in fault.detail
    assert command("verify", store) == 3
    assert command("repair", store, "--workers", "0") == 0
    assert "6 feature rows were made anew; the store is sound now" in capsys.readouterr().err
    assert verify_store(Store.open(store)).sound


def test_what_a_killed_build_left_is_pending_and_no_damage(
    whole: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its lease tells: it lies there until the next build."""
    (store / "records" / "Leaf" / "0.json").unlink()
    (store / "locks").mkdir(exist_ok=True)
    (store / "locks" / "part-1-of-1.json").write_text("{}")
    verdict = verify_store(Store.open(store))
    assert verdict.sound
    assert [(part.view, part.unit, part.image_ids) for part in verdict.pending] == [
        ("Leaf", 0, ("id0", "id2", "id4", "id6"))
    ]
    assert command("verify", store, "--json") == 3
    told = json.loads(capsys.readouterr().out)
    assert (told["sound"], len(told["faults"]), len(told["pending"])) == (True, 0, 1)
    assert command("verify", store) == 3
    assert "4 photographs have no row yet, which is no damage: featstore build" in capsys.readouterr().err
    (store / "locks" / "part-1-of-1.json").unlink()
    build(whole, store)
    assert verify_store(Store.open(store)) == verify_store(Store.open(whole / "f.zarr"))


def test_photographs_that_were_never_built_are_pending(whole: Path, store: Path) -> None:
    """Of a view without rows, of a view with some, and of one network only."""
    catalog = replace_catalogue(store, views={"id6": "Stem"})
    assert catalog["view"].tolist().count("Stem") == 1
    opened = Store.open(store)
    record = opened.records.read("Flower", 0)
    assert record is not None
    opened.records.write("Flower", 0, record.without(["mobilenet_v2"]))
    verdict = verify_store(Store.open(store))
    assert verdict.sound
    assert {(part.view, part.image_ids, part.detail) for part in verdict.pending} == {
        ("Stem", ("id6",), "no place for their rows yet"),
        ("Flower", ("id1", "id3", "id5"), "no rows of mobilenet_v2"),
    }
    assert verdict.n_pending == 4


def replace_catalogue(store: Path, views: dict[str, str]) -> pd.DataFrame:
    from featstore.catalog import Catalog

    opened = Store.open(store)
    papers = opened.catalog
    papers["view"] = [views.get(key, view) for key, view in zip(papers["image_id"], papers["view"], strict=True)]
    opened.write_catalog(Catalog(papers, opened.root, opened.name))
    return papers


def test_a_view_without_its_keys_is_an_error_and_not_fewer_rows(whole: Path, store: Path) -> None:
    (store / "Leaf" / "image_id" / "zarr.json").unlink()
    for ask in (lambda: load_table(Store.open(store), NAMES), lambda: Store.open(store).row("Leaf", "id0", NAMES[0])):
        with pytest.raises(StoreError, match=r"the row keys of Leaf in .*their copy alone. featstore repair"):
            ask()
    (fault, *_) = verify_store(Store.open(store)).faults
    assert (fault.kind, fault.view) == ("keys", "Leaf")
    assert repair_store(store, n_workers=0).n_rows == 0
    assert same(store, whole / "f.zarr")


def test_keys_that_are_lost_with_their_copy_are_told_by_the_records(whole: Path, store: Path) -> None:
    for array in ("image_id", "image_id_utf8"):
        (store / "Leaf" / array / "zarr.json").write_text("{")
    assert repair_store(store, n_workers=0).n_rows == 0
    assert verify_store(Store.open(store)).sound
    assert same(store, whole / "f.zarr")


def test_a_view_that_is_gone_whole_is_missed_and_built_anew(whole: Path, store: Path) -> None:
    shutil.rmtree(store / "Leaf")
    (fault,) = verify_store(Store.open(store)).faults
    assert (fault.kind, fault.view) == ("keys", "Leaf")
    with pytest.raises(StoreError, match="featstore build"):
        load_table(Store.open(store), NAMES)
    build(whole, store)
    assert same(store, whole / "f.zarr")
    assert verify_store(Store.open(store)).sound


@pytest.mark.parametrize("name", ["zarr.json", "image_id", "../up"])
def test_a_name_that_no_array_can_have_is_a_fault_that_is_mended(
    store: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    opened = Store.open(store)
    features = opened.attrs["features"]
    assert isinstance(features, dict)
    opened.update_attrs(features={**features, name: features["mobilenet"]})
    (fault,) = verify_store(Store.open(store)).faults
    assert (fault.kind, fault.name) == ("name", name)
    assert command("verify", store) == 3
    assert command("repair", store, "--workers", "0") == 0
    assert Store.open(store).backbones == NAMES
    assert verify_store(Store.open(store)).sound
    assert "Traceback" not in capsys.readouterr().err


def test_what_stands_where_a_file_has_to_be_is_named(store: Path) -> None:
    shutil.rmtree(store / "Leaf" / "mobilenet")
    (store / "Leaf" / "mobilenet").write_text("a file")
    with pytest.raises(StoreError, match=r"room for Leaf/mobilenet in .*Move it away"):
        repair_store(store, n_workers=0)


# -- what is missing is told ---------------------------------------------------------------------------------------


def withdraw_flowers(store: Path) -> None:
    Store.open(store).records.write("Flower", 0, Record())


def test_pending_photographs_are_missing(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("info", store) == 0
    withdraw_flowers(store)
    survey, _ = survey_store(Store.open(store))
    assert (survey.n_done, survey.n_failed, survey.n_pending) == (3, 1, 3)
    assert [facts.missing for facts in survey.features] == [3, 3]
    assert command("info", store) == 3
    assert "3 photographs have no row" in capsys.readouterr().err
    assert command("info", store, "--allow-missing") == 0


def test_export_tells_how_many_photographs_have_no_row(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.npz"
    assert command("export", store, out) == 0
    withdraw_flowers(store)
    capsys.readouterr()
    assert command("export", store, out, "--json") == 3
    told = capsys.readouterr()
    assert "3 of 6 photographs have no row" in told.err
    assert (json.loads(told.out)["rows"], json.loads(told.out)["without_row"]) == (3, 3)
    assert command("export", store, out, "--allow-missing") == 0
    assert command("export", store, out, "--view", "Leaf") == 0, "none of those asked for is missing"
    assert open_table(Store.open(store), NAMES).n_missing == 3
