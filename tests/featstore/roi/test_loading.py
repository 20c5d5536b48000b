"""Recipes by name and from TOML: what is said differs, what is not said stays, what is wrong is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from featstore.catalog import VIEWS
from featstore.errors import SettingsError
from featstore.roi import RECIPES, Recipe, load_recipe


def written(tmp_path: Path, text: str) -> Recipe:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return load_recipe(str(path))


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_built_in_recipes_are_known_by_name(name: str) -> None:
    assert load_recipe(name) is RECIPES[name]


def test_an_empty_file_is_the_article_under_its_own_name(tmp_path: Path) -> None:
    recipe = written(tmp_path, "")
    assert recipe == Recipe("mine", RECIPES["article"].views)
    assert recipe.identity.partition("/")[2] == RECIPES["article"].identity.partition("/")[2]


def test_a_file_changes_what_it_says_and_nothing_else(tmp_path: Path) -> None:
    recipe = written(
        tmp_path,
        'base = "lab"\nname = "reddish"\n[Flower]\nsigma_px = 3\n[Fruit]\nfrom = "ibm"\n'
        '[Entire]\nfrom = "article/Leaf"\nmin_box = 0.1\n[Stem]\nmethod = "keep"\n',
    )
    lab = RECIPES["lab"]
    expected = {
        **lab.views,
        "Flower": replace(lab.of("Flower"), sigma_px=3.0),
        "Fruit": RECIPES["ibm"].of("Fruit"),
        "Entire": replace(RECIPES["article"].of("Leaf"), min_box=0.1),
        "Stem": replace(lab.of("Stem"), method="keep"),
    }
    assert recipe == Recipe("reddish", expected)
    assert [view for view in VIEWS if recipe.of(view).identity != lab.of(view).identity] == [
        "Entire", "Flower", "Fruit", "Stem",
    ]  # fmt: skip
    assert recipe.of("Stem").identity == "keep"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[Flowers]\nsigma_px = 3.0", r"'Flowers'\. Did you mean 'Flower'"),
        ("[Flower]\nsigma = 3.0", r"\[Flower\] of .*mine.toml, got 'sigma'\. Did you mean 'sigma_px'"),
        ("[Flower]\nsigma_px = '3'", r"a number for `sigma_px` in \[Flower\]"),
        ("[Flower]\nsigma_px = true", "a number for `sigma_px`"),
        ("[Flower]\nsigma_px = nan", r"0 <= sigma_px <= 100"),
        ("[Flower]\nside_px = 20.5", "a whole number for `side_px`"),
        ("[Flower]\nchannel = 'a*'", r"channel in .*\[Flower\]"),
        ("[Flower]\nfrom = 'imb'", "Did you mean 'ibm'"),
        ("[Flower]\nfrom = 'ibm/Leave'", "Did you mean 'Leaf'"),
        ("[Flower]\nfrom = 3", "a recipe, one of"),
        ("Flower = 3", "a table"),
        ("base = 'articel'", "Did you mean 'article'"),
        ("base = 3", "a recipe, one of"),
        ("name = 3", "a text for `name`"),
        ("name = 'a/b'", "without a slash"),
        ("[LeafScan]\nsigma_px = 3.0", r"the method whiten heeds \(channel, min_gap\)"),
        ("[Entire]\nsigma_px = 3.0", r"the method keep heeds \(none\)"),
        ("[Entire]\nmethod = 'contour'", r'8 <= side_px <= 1024 for a contour.*from = "article/Flower"'),
        ("[Flower", "a readable TOML file"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        written(tmp_path, text)


def test_unknown_recipes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"article, ibm, lab, none.*'artikle'\. Did you mean article"):
        load_recipe("artikle")
    with pytest.raises(SettingsError, match=r"ends in \.toml"):
        load_recipe("xyz")
    with pytest.raises(SettingsError, match="No such file"):
        load_recipe(str(tmp_path / "absent.toml"))
    (tmp_path / "latin.toml").write_bytes(b"name = '\xe9'")
    with pytest.raises(SettingsError, match="a readable TOML file"):
        load_recipe(str(tmp_path / "latin.toml"))
