"""Contact sheets: one per view, of the photographs that the seed draws, with every fallback and every lost file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from featstore.care import preview, sheet
from featstore.care.preview import draw_sheets, sample, uncut_told, views_told
from featstore.care.sheet import PANEL_PX, Cell, Sheet, boxed, compose, masked, note
from featstore.catalog import Catalog, make_catalog
from featstore.cli import main
from featstore.errors import SettingsError
from featstore.readers import read_dataset
from featstore.roi import RECIPES, Found, Trace

ARTICLE = RECIPES["article"]


def save(path: Path, *, bright: bool = True, flat: bool = False) -> None:
    pixels = np.full((120, 160, 3), 40, np.uint8)
    if not flat:
        pixels[30:80, 50:110] = 220 if bright else 5
    Image.fromarray(pixels).save(path)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """Six flowers, one of them flat and one torn, a leaf that the catalogue gave up, and a scan."""
    for number in range(6):
        save(tmp_path / f"f{number}.png", flat=number == 2)
    (tmp_path / "f5.png").write_bytes(b"torn")
    save(tmp_path / "scan.png", bright=False)
    records = [{"image_id": f"f{n}", "path": f"f{n}.png", "view": "Flower"} for n in range(6)]
    records.append({"image_id": "lost", "path": "lost.png", "view": "Leaf", "problem": "no such photograph"})
    records.append({"image_id": "scan", "path": "scan.png", "view": "LeafScan"})
    return make_catalog(records, tmp_path, "small")


def drawn(monkeypatch: pytest.MonkeyPatch, catalog: Catalog, out: Path, **options: int) -> dict[str, Sheet]:
    """The sheets before they become pictures."""
    kept: dict[str, Sheet] = {}

    def keep(content: Sheet) -> Image.Image:
        kept[content.title.partition(" ")[0]] = content
        return sheet.compose(content)

    monkeypatch.setattr(preview, "compose", keep)
    draw_sheets(catalog, ARTICLE, out, **{"n_per_view": 10, "seed": 0, **options})
    return kept


def test_every_view_that_occurs_has_a_sheet(catalog: Catalog, tmp_path: Path) -> None:
    paths = draw_sheets(catalog, ARTICLE, tmp_path / "sheets", n_per_view=10, seed=0)
    assert paths == [tmp_path / "sheets" / f"{view}.png" for view in ("Flower", "Leaf", "LeafScan")]
    assert sorted(paths) == sorted((tmp_path / "sheets").iterdir())
    assert Image.open(paths[0]).width > Image.open(paths[1]).width > 3 * PANEL_PX


def test_every_photograph_says_what_happened_to_it(
    monkeypatch: pytest.MonkeyPatch, catalog: Catalog, tmp_path: Path
) -> None:
    sheets = drawn(monkeypatch, catalog, tmp_path / "sheets")
    flowers = {cell.name: cell for cell in sheets["Flower"].cells}
    assert list(flowers) == [f"f{n}" for n in range(6)]
    assert (flowers["f0"].kind, flowers["f0"].remark[:6]) == ("found", "box of")
    assert (flowers["f2"].kind, flowers["f2"].remark) == ("fallback", "WHOLE IMAGE: one grey value, no contour")
    assert flowers["f5"].kind == "lost"
    assert flowers["f5"].remark == "NOT READ: a text file"
    assert "article" in sheets["Flower"].title
    assert sheets["Flower"].subtitle.startswith("1 of 5 (20%) fell back to the whole image; 1 could not be read.")
    (lost,) = sheets["Leaf"].cells
    assert (lost.kind, lost.remark) == ("lost", "NOT READ: no such photograph")
    assert sheets["Leaf"].subtitle.startswith("none could be read.")
    (scan,) = sheets["LeafScan"].cells
    # 50 x 60 px of 120 x 160 are leaf.
    assert (scan.kind, scan.remark) == ("found", "whole image, 84% of it ground and painted white")
    assert np.asarray(scan.pictures[2])[5, 5].tolist() == [255, 255, 255]


def test_a_view_that_the_recipe_keeps_says_so(
    monkeypatch: pytest.MonkeyPatch, catalog: Catalog, tmp_path: Path
) -> None:
    monkeypatch.setattr(preview, "compose", lambda content: kept.append(content) or note(""))
    kept: list[Sheet] = []
    draw_sheets(catalog, RECIPES["none"], tmp_path / "sheets", n_per_view=2, seed=0)
    assert kept[0].title == "Flower - recipe none: kept whole"
    assert {cell.remark for cell in kept[0].cells if cell.kind != "lost"} == {"kept whole, as the recipe says"}


def test_the_seed_alone_decides_the_sample(catalog: Catalog) -> None:
    names = {seed: [shot.image_id for shot in sample(catalog, "Flower", 3, seed)] for seed in range(20)}
    assert all(names[seed] == [shot.image_id for shot in sample(catalog, "Flower", 3, seed)] for seed in names)
    assert all(len(set(found)) == 3 and found == sorted(found) for found in names.values())
    assert len({tuple(found) for found in names.values()}) > 5
    assert sample(catalog, "Fruit", 3, 0) == []
    fewer = Catalog(catalog.frame[catalog.frame["view"] == "Flower"], catalog.root, "flowers")
    assert sample(fewer, "Flower", 3, 0) == sample(catalog, "Flower", 3, 0)


@pytest.mark.parametrize("n", [0, 201])
def test_sheets_of_no_or_too_many_photographs_are_refused(catalog: Catalog, tmp_path: Path, n: int) -> None:
    with pytest.raises(SettingsError, match="1 to 200"):
        draw_sheets(catalog, ARTICLE, tmp_path, n_per_view=n, seed=0)


def test_a_box_is_drawn_where_it_lies_and_only_where_there_is_one() -> None:
    pixels = np.full((PANEL_PX, PANEL_PX, 3), 128, np.uint8)
    box = (20, 30, 100, 150)
    drawn_box = np.asarray(boxed(pixels, Trace(Found(box, ""), (0, 0, PANEL_PX, PANEL_PX))))
    rows, columns = np.nonzero((drawn_box != 128).any(axis=2))
    assert (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1) == box
    # Black between white: seen on any ground.
    assert {0, 255} <= set(drawn_box[60, 30:34].ravel().tolist())
    untouched = boxed(pixels, Trace(Found((0, 0, PANEL_PX, PANEL_PX), "why"), (0, 0, PANEL_PX, PANEL_PX)))
    assert np.array_equal(np.asarray(untouched), pixels)


def test_a_mask_lies_in_its_area_and_the_margin_is_hatched() -> None:
    mask = np.zeros((10, 20), bool)
    mask[:, :10] = True
    area = (PANEL_PX // 4, 0, PANEL_PX // 2, PANEL_PX)
    picture = np.asarray(masked(Trace(Found(area, ""), area, mask), (PANEL_PX, PANEL_PX)))[:, :, 0]
    inside = picture[area[0] : area[2]]
    assert (inside[:, : PANEL_PX // 2 - 1] == 255).all()
    assert (inside[:, PANEL_PX // 2 + 1 :] == 0).all()
    assert set(np.unique(picture[: area[0]])) == {90, 205}


@pytest.mark.parametrize("shape", [(1, 900), (900, 1), (3, 4)])
def test_odd_shapes_fit_their_panels(shape: tuple[int, int]) -> None:
    pixels = np.zeros((*shape, 3), np.uint8)
    traced = Trace(Found((0, 0, *shape), ""), (0, 0, *shape), np.ones((1, 1), bool))
    for picture in (boxed(pixels, traced), masked(traced, shape)):
        assert max(picture.size) == PANEL_PX
        assert min(picture.size) >= 1


def test_fallbacks_are_seen_without_colour() -> None:
    panel = note("")
    found, fallback = (
        np.asarray(compose(Sheet("a", "b", [Cell("x", "word " * 300, kind, (panel, panel, panel))])).convert("L"))
        for kind in ("found", "fallback")
    )
    assert (fallback < 20).mean() > (found < 20).mean() + 0.05


def test_nothing_is_cut_where_no_view_is_known_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("rose", "lily"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        save(tmp_path / "photos" / name / "1.png")
    folders = read_dataset(tmp_path / "photos")
    (sheet_of,) = drawn(monkeypatch, folders, tmp_path / "sheets").values()
    assert sheet_of.title == "Unknown - recipe article: kept whole"
    assert sheet_of.subtitle.startswith("No view is known, so nothing is cut. Shown: 2 of 2")
    assert sheet_of.legend == sheet.UNCUT_LEGEND
    with pytest.raises(SystemExit, match="0"):
        main(["preview", str(tmp_path / "photos"), "--out", str(tmp_path / "sheets")])
    told = capsys.readouterr()
    assert "photos: regions of interest by the recipe article" in told.out
    assert "kept whole" in told.out
    assert "No view is known of these photographs, so nothing is cut from them" in told.err


def test_photographs_that_are_lost_are_told_beside_their_sheet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "t.csv").write_text("path,class_id,view\n" + "".join(f"{n}.jpg,a,Leaf\n" for n in range(9)))
    with pytest.raises(SystemExit, match="0"):
        main(["preview", str(tmp_path / "t.csv"), "--out", str(tmp_path / "sheets")])
    told = capsys.readouterr().err
    assert f"9 photographs cannot be used:\n  0.jpg: no photograph at {tmp_path / '0.jpg'}\n" in told
    assert "and 4 more; " in told


def test_what_is_uncut_is_told_only_where_it_makes_a_difference(catalog: Catalog, tmp_path: Path) -> None:
    some = make_catalog([{"image_id": "a", "view": "Leaf"}, {"image_id": "b", "view": "Unknown"}], tmp_path, "some")
    assert uncut_told(some, ARTICLE) == "1 photograph of 2 is of no known view and kept whole."
    assert uncut_told(some, RECIPES["none"]) == ""
    assert uncut_told(catalog, ARTICLE) == ""
    cut = replace(ARTICLE, views={**ARTICLE.views, "Unknown": ARTICLE.of("Flower")})
    assert uncut_told(some, cut) == ""
    assert views_told(some, cut)[1] == ("Unknown", 1, "box around the contour on grey")


def test_sheets_of_an_earlier_preview_go_and_pictures_of_others_stay(catalog: Catalog, tmp_path: Path) -> None:
    out = tmp_path / "sheets"
    draw_sheets(catalog, ARTICLE, out, n_per_view=2, seed=0)
    save(out / "Fruit.png")
    save(out / "mine.png")
    (out / "Stem.png").write_text("no picture")
    leaves = Catalog(catalog.frame[catalog.frame["view"] == "LeafScan"], catalog.root, "leaves")
    draw_sheets(leaves, ARTICLE, out, n_per_view=2, seed=0)
    assert sorted(path.name for path in out.iterdir()) == ["Fruit.png", "LeafScan.png", "Stem.png", "mine.png"]
