"""Recipes: identities that tell what made a row, and JSON that gives the same recipe back."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featstore.catalog import VIEWS
from featstore.errors import SettingsError
from featstore.roi import RECIPES, Recipe, ViewRecipe, recipe_identity, view_recipe
from featstore.roi.view_recipe import USED_FIELDS

ARTICLE, NONE = RECIPES["article"], RECIPES["none"]
LEAF = ARTICLE.of("Leaf")
OTHERS: dict[str, object] = {
    "method": "keep", "channel": "a_star", "start": "rectangle", "start_margin": 0.1, "inset_height": 0.3,
    "inset_width": 0.3, "sigma_px": 9.0, "side_px": 100, "n_iterations": 12, "smoothing": 3, "min_part": 0.5,
    "min_box": 0.5,
}  # fmt: skip


def test_the_identity_changes_with_every_parameter_that_is_heeded() -> None:
    assert set(OTHERS) == {field.name for field in fields(ViewRecipe)} - {"min_gap"}
    identities = [LEAF.identity, *(replace(LEAF, **{name: value}).identity for name, value in OTHERS.items())]
    assert len(set(identities)) == len(identities)
    scan = ARTICLE.of("LeafScan")
    assert replace(scan, min_gap=3.0).identity != scan.identity


def test_what_a_method_does_not_heed_leaves_its_identity_alone() -> None:
    assert replace(LEAF, min_gap=3.0).identity == LEAF.identity
    assert replace(ARTICLE.of("LeafScan"), sigma_px=1.0).identity == ARTICLE.of("LeafScan").identity
    assert replace(LEAF, method="keep").identity == "keep" == NONE.of("Leaf").identity == ViewRecipe().identity
    assert replace(LEAF, sigma_px=2).identity == replace(LEAF, sigma_px=2.0).identity


def test_the_identity_changes_with_the_code_behind_the_method(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {view: ARTICLE.of(view).identity for view in VIEWS}
    monkeypatch.setattr(view_recipe, "METHOD_VERSIONS", {"keep": 1, "contour": 99, "whiten": 2})
    changed = {view for view in VIEWS if ARTICLE.of(view).identity != before[view]}
    assert changed == {"Flower", "Fruit", "Leaf", "Stem"}


def test_another_flower_leaves_the_leaf_alone() -> None:
    mine = Recipe("article", {**ARTICLE.views, "Flower": replace(ARTICLE.of("Flower"), sigma_px=3.0)})
    assert mine.identity != ARTICLE.identity
    assert [v for v in VIEWS if mine.of(v).identity != ARTICLE.of(v).identity] == ["Flower"]


def test_identities_are_short_and_told_apart() -> None:
    assert recipe_identity("article") == ARTICLE.identity
    assert ARTICLE.identity.startswith("article/2-")
    assert len({recipe.identity.partition("/")[2] for recipe in RECIPES.values()}) == len(RECIPES)
    assert LEAF.identity.startswith("contour-")
    assert len(LEAF.identity) == len("contour-1a2b3c4d")
    assert {name for names in USED_FIELDS.values() for name in names} | {"method"} == set(asdict(LEAF))


@given(
    views=st.fixed_dictionaries(
        {
            view: st.builds(
                replace,
                st.sampled_from([LEAF, ARTICLE.of("LeafScan"), RECIPES["ibm"].of("Flower"), ViewRecipe()]),
                sigma_px=st.floats(0, 100),
                min_part=st.floats(0, 1),
                n_iterations=st.integers(0, 1000),
            )
            for view in VIEWS
        }
    )
)
def test_json_gives_the_very_recipe_back(views: dict[str, ViewRecipe]) -> None:
    recipe = Recipe("mine", views)
    again = Recipe.from_json(json.loads(json.dumps(recipe.to_json())))
    assert again == recipe
    assert again.identity == recipe.identity


def test_json_with_absent_fields_has_their_defaults() -> None:
    content = {"name": "none", "views": {view: {} for view in VIEWS}}
    assert Recipe.from_json(content) == NONE


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nam": "x"}, r"'nam'\. Did you mean 'name'"),
        ({"views": {**NONE.to_json()["views"], "Leaf": {"sigma": 1.0}}}, r"'sigma'\. Did you mean 'sigma_px'"),
        ({"views": {**NONE.to_json()["views"], "Leaf": {"sigma_px": "1"}}}, "a number for `sigma_px`"),
        ({"views": {**NONE.to_json()["views"], "Leaf": {"side_px": 20.5}}}, "a whole number for `side_px`"),
        ({"views": {**NONE.to_json()["views"], "Leaf": {"side_px": True}}}, "a whole number for `side_px`"),
        ({"views": {**NONE.to_json()["views"], "Leaf": {"channel": "red"}}}, "channel in"),
        ({"views": {**NONE.to_json()["views"], "Leaf": 3}}, "a table of settings for Leaf"),
        ({"views": {**NONE.to_json()["views"], "Root": {}}}, "a treatment for each of"),
        ({"views": {}}, "a treatment for each of"),
        ({"views": None}, "a recipe with name and views"),
        ({"name": "a/b"}, "without a slash"),
    ],
)  # fmt: skip
def test_json_of_another_form_is_refused(change: dict, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Recipe.from_json({**NONE.to_json(), **change})


def test_the_built_in_recipes_are_those_of_the_sources() -> None:
    views = ARTICLE.views
    assert {view for view, recipe in views.items() if recipe.method == "keep"} == {"Branch", "Entire", "Unknown"}
    assert (views["Flower"].sigma_px, views["Fruit"].sigma_px, views["Leaf"].sigma_px) == (2.5, 2.5, 2.0)
    insets = [(views[v].inset_height, views[v].inset_width) for v in ("Flower", "Leaf", "Stem")]
    assert insets == [(0, 0), (0.1, 0.1), (0.2, 0.2)]
    assert views["LeafScan"].method == "whiten"
    ibm = RECIPES["ibm"].views
    assert {ibm["Flower"].start, ibm["Fruit"].start} == {"red_over_green"}
    assert (ibm["Leaf"].start, ibm["Leaf"].start_margin, ibm["Leaf"].sigma_px) == ("rectangle", 1 / 6, 3.0)
    assert (ibm["Stem"].inset_height, ibm["Stem"].inset_width) == (0, 0.25)
    lab = RECIPES["lab"].views
    assert {view for view in VIEWS if lab[view].channel == "a_star"} == {"Flower", "Fruit", "Leaf", "Stem"}
    assert all(replace(lab[view], channel="grey") == views[view] for view in VIEWS)
    assert {recipe.method for recipe in NONE.views.values()} == {"keep"}
    assert all(RECIPES[name].name == name for name in RECIPES)


@pytest.mark.parametrize(
    "change",
    [{"inset_height": 0.5}, {"inset_width": -0.1}, {"start_margin": 0.5}, {"sigma_px": -1.0}, {"side_px": 4},
     {"side_px": 5000}, {"n_iterations": -1}, {"smoothing": -2}, {"min_part": 1.5}, {"min_box": 1.0}, {"min_gap": -1.0},
     {"min_gap": float("inf")}, {"sigma_px": float("nan")}, {"method": "guess"}, {"channel": "x"}, {"start": "x"}],
    ids=str,
)  # fmt: skip
def test_impossible_treatments_cannot_exist(change: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match=next(iter(change))):
        replace(ARTICLE.of("Flower"), **change)


def test_a_scan_is_whitened_on_grey_alone() -> None:
    with pytest.raises(SettingsError, match="channel grey to whiten"):
        replace(ARTICLE.of("LeafScan"), channel="a_star")


def test_a_view_that_no_recipe_knows_is_refused() -> None:
    with pytest.raises(SettingsError, match="Branch, Entire"):
        ARTICLE.of("Root")
