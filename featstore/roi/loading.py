"""Recipes by name or from a TOML file that says what differs from one of them.

```
base = "article"          # optional, this one unless said otherwise
name = "mine"             # optional, the file's name unless said otherwise

[Flower]
channel = "a_star"        # a field of `ViewRecipe`
sigma_px = 3.0

[Fruit]
from = "ibm"              # as in another recipe; "ibm/Stem" takes another view of it
```
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import fields, replace
from difflib import get_close_matches
from pathlib import Path

from featstore.catalog import VIEWS
from featstore.errors import SettingsError
from featstore.roi.builtin import RECIPES
from featstore.roi.recipe import Recipe, check_keys, checked_fields
from featstore.roi.view_recipe import USED_FIELDS, ViewRecipe


def load_recipe(text: str) -> Recipe:
    """Look up a recipe by its name, or read it from the TOML file at a path.

    Raises
    ------
    SettingsError
        If there is no such recipe or file, the file is no TOML, a view or key is unknown, or a value is of the wrong
        type, out of range or not heeded by the view's method.
    """
    if text in RECIPES:
        return RECIPES[text]
    path = Path(text)
    if path.suffix.casefold() != ".toml":
        near = get_close_matches(text, RECIPES, n=1)
        remedy = f"Did you mean {near[0]}?" if near else "Choose one of them; a file's name ends in .toml."
        raise SettingsError(f"a recipe, one of {', '.join(RECIPES)}, or a TOML file", repr(text), remedy)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError("a recipe in a readable TOML file", f"{path}: {error}", "Correct the file.") from error
    return _made(content, path)


def _made(content: Mapping[str, object], path: Path) -> Recipe:
    check_keys(content, ("base", "name", *VIEWS), str(path))
    base, name = content.get("base", "article"), content.get("name", path.stem)
    if not isinstance(name, str):
        raise SettingsError(f"a text for `name` in {path}", repr(name), "Put it in quotes.")
    views = dict(_known(base, f"`base` in {path}").views)
    tables = {view: content[view] for view in VIEWS if view in content}
    return Recipe(name, {**views, **{view: _changed(views[view], tables[view], view, path) for view in tables}})


def _changed(recipe: ViewRecipe, table: object, view: str, path: Path) -> ViewRecipe:
    where = f"[{view}] of {path}"
    if not isinstance(table, Mapping):
        raise SettingsError(f"a table {where}", repr(table), f"Write [{view}] on a line of its own above its keys.")
    check_keys(table, ("from", *(field.name for field in fields(ViewRecipe))), where)
    if "from" in table:
        recipe = _source(table["from"], view, where)
    values = checked_fields({key: value for key, value in table.items() if key != "from"}, where)
    try:
        changed = replace(recipe, **values)  # type: ignore[arg-type]  # checked by name and type
    except SettingsError as error:
        raise SettingsError(error.expected, f"{error.got} in {where}", error.remedy) from error
    idle = sorted(set(values) - {"method"} - USED_FIELDS[changed.method])
    if idle:
        used = ", ".join(sorted(USED_FIELDS[changed.method])) or "none"
        expected = f"settings that the method {changed.method} heeds ({used}) in {where}"
        raise SettingsError(expected, ", ".join(idle), "Take them out, or set method as well.")
    return changed


def _source(text: object, view: str, where: str) -> ViewRecipe:
    name, _, other = text.partition("/") if isinstance(text, str) else (text, "", "")
    recipe = _known(name, f"`from` in {where}")
    check_keys({other or view: None}, VIEWS, f"`from` in {where}")
    return recipe.of(other or view)


def _known(name: object, what: str) -> Recipe:
    if not isinstance(name, str) or name not in RECIPES:
        near = get_close_matches(str(name), RECIPES, n=1, cutoff=0.0)[0]
        raise SettingsError(f"a recipe, one of {', '.join(RECIPES)}, as {what}", repr(name), f"Did you mean {near!r}?")
    return RECIPES[name]
