"""Settings from a TOML file and from the command line, checked by name and type."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias, get_args, get_origin, get_type_hints

from featstore.errors import SettingsError
from featstore.shell.config import PROGRAMS, read_toml, table_of
from finetune.settings import AugmentSettings, TrainSettings

Scalar: TypeAlias = bool | int | float | str

OPTIONS_ALONE = frozenset(
    {"from", "backbone", "set", "exclude", "restart", "photos", "weights", "out", "dry_run", "json", "quiet"}
)
"""Options of `finetune run` that are no settings; its command line has read them from the file by then."""


def load_settings(
    path: Path | None, options: Mapping[str, Scalar | None], assignments: Sequence[str] = (), command: str = "run"
) -> TrainSettings:
    """Read settings from a TOML file and let options override them.

    Parameters
    ----------
    path
        A file with the field names of `TrainSettings` as keys and a table ``[augment]``, or with both in
        ``[finetune.run]``; None for the defaults.
    options
        Values given for this run by field name; None where the user said nothing.
    assignments
        ``name=value`` for any other setting, ``augment.name=value`` for the table; these have the last word. Those
        that the file lists under ``set`` come before them, so that each name can be said anew.
    command
        Whose table may hold such a list, besides ``[finetune.run]``.

    Raises
    ------
    SettingsError
        If the file is absent or no TOML, a key is unknown, or a value has the wrong type or is out of range.
    """
    content = {} if path is None else _settings_of(path)
    listed = [] if path is None else [one for name in dict.fromkeys(("run", command)) for one in _set_in(path, name)]
    told = _assigned([*listed, *assignments])
    where = "--set" if path is None else str(path)
    values = {
        **_checked(TrainSettings, content, where, ""),
        **{name: value for name, value in options.items() if value is not None},
        **_checked(TrainSettings, told, "--set", ""),
    }
    augment: dict[str, object] = {}
    for source, table in ((where, content.get("augment")), ("--set", told.get("augment"))):
        if isinstance(table, Mapping):
            augment |= _checked(AugmentSettings, table, source, "augment.")
    if "augment" in values:
        # Also an empty table, which says nothing.
        values["augment"] = AugmentSettings(**augment)  # type: ignore[arg-type]  # checked by name and type
    return TrainSettings(**values)  # type: ignore[arg-type]  # checked by name and type just above


def _assigned(assignments: Sequence[str]) -> dict[str, object]:
    """Read ``name=value`` as TOML would; a bare word is a text."""
    found: dict[str, object] = {}
    for assignment in assignments:
        name, equals, text = (part.strip() for part in assignment.partition("="))
        if not (name and equals and text):
            raise SettingsError("--set NAME=VALUE", repr(assignment), "For example: --set layer_decay=0.8")
        table, _, key = name.rpartition(".")
        if table not in ("", "augment"):
            raise SettingsError("--set NAME=VALUE or augment.NAME=VALUE", repr(assignment), f"There is no `{table}`.")
        try:
            value: object = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        inner = found.setdefault("augment", {}) if table else found
        if not isinstance(inner, dict):
            raise SettingsError("`augment` to be a table", repr(assignment), "Say augment.NAME=VALUE.")
        inner[key] = value
    return found


def _settings_of(path: Path) -> dict[str, object]:
    """The settings in a file: all of it, or what `[finetune.run]` holds besides options of the command alone."""
    content = read_toml(path)
    if not set(content) & set(PROGRAMS):
        return content
    table = {key.replace("-", "_"): value for key, value in table_of(content, path, "finetune", "run").items()}
    return {key: value for key, value in table.items() if key not in OPTIONS_ALONE}


def _set_in(path: Path, command: str) -> list[str]:
    """What the table of a command lists under ``set``."""
    content = read_toml(path)
    if not set(content) & set(PROGRAMS):
        return []
    found = table_of(content, path, "finetune", command).get("set", [])
    listed = [found] if isinstance(found, str) else found
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        raise SettingsError(f"`set` in [finetune.{command}] of {path} to list NAME=VALUE", repr(found), "Correct it.")
    return listed


def _checked(owner: type, content: Mapping[str, object], where: str, prefix: str) -> dict[str, object]:
    """Return `content` if its keys are fields of `owner` and its values have their types."""
    hints = get_type_hints(owner)
    for key, value in content.items():
        if key not in hints:
            near = _near(key, list(hints))
            remedy = f"Did you mean `{prefix}{near}`?" if near else f"There are {', '.join(hints)}."
            raise SettingsError(f"only known settings in {where}", f"`{prefix}{key}`", remedy)
        accepted = _accepted(hints[key])
        if not isinstance(value, accepted) or (isinstance(value, bool) and bool not in accepted):
            names = " or ".join("a table" if kind is dict else kind.__name__ for kind in accepted)
            raise SettingsError(f"`{prefix}{key}` in {where} to be {names}", f"{value!r}", "Correct the value.")
    return dict(content)


def _near(key: str, names: Sequence[str]) -> str | None:
    """The setting that was probably meant: one whose name is a word of `key`, else one that is spelt much alike."""
    words = [name for name in names if name in key.split("_")]
    return next(iter([*words, *difflib.get_close_matches(key, names, n=1)]), None)


def _accepted(hint: object) -> tuple[type, ...]:
    """Python types that TOML may give for a field's annotation; a whole number is a fine float."""
    plain: dict[object, tuple[type, ...]] = {int: (int,), float: (int, float), str: (str,), AugmentSettings: (dict,)}
    if hint in plain:
        return plain[hint]
    if get_origin(hint) is Literal:
        return (str,)
    return tuple(kind for part in get_args(hint) for kind in plain.get(part, ()))
