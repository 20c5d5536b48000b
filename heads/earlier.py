"""Earlier runs in the folder of a comparison: those that it makes anew, and those that it leaves aside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from evaluation.runs import RunCard, read_run_card, run_folders
from featstore.errors import PredictionsError, counted, listed, unlike
from featstore.provenance import Json
from heads.material import Material
from heads.trial import Trial
from heads.work import Unit

_WORDS = {
    "phytobench": "another version of phytobench",
    "engine": "another backend of Keras",
    "content": "other features or papers",
    "identities": "features that were made otherwise",
}
"""What of a fingerprint is no setting, in words."""


def replaced_runs(units: Sequence[Unit], material: Material, out: Path) -> list[str]:
    """Say which finished runs are about to be replaced by others of the same name, and what is other about them."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for unit in units:
        card = _card(out / unit.trial.name) if unit.part is None else None
        before = card.details.get("fingerprint") if card and card.kind == "head" else None
        differ = _differences(unit.trial.fingerprint(material), before) if isinstance(before, dict) else []
        if differ:
            alike.setdefault(tuple(differ), []).append(unit.trial.name)
    return [
        f"{counted(len(names), 'earlier run gives', 'earlier runs give')} way in {out} to other ones of the same name "
        f"({listed(names)}): {listed(list(differ))}. Another --out keeps both."
        for differ, names in alike.items()
    ]


def left_aside(trials: Sequence[Trial], out: Path) -> list[str]:
    """Say which runs of earlier calls a comparison is not about."""
    compared = {trial.name for trial in trials}
    cards = {run.name: _card(run) for run in run_folders(out) if run.name not in compared}
    others = [name for name, card in cards.items() if card and card.kind == "head"]
    if not others:
        return []
    told = counted(len(others), "run of an earlier call is", "runs of earlier calls are")
    remedy = "name their heads and networks, too, to compare them"
    return [f"{told} in {out} and not compared here ({listed(others)}): {remedy}"]


def _differences(now: Mapping[str, Json], before: Mapping[str, Json]) -> list[str]:
    found = [words for name, words in _WORDS.items() if now.get(name) != before.get(name)]
    for name in ("settings", "protocol", "tuning"):
        new, old = now.get(name), before.get(name)
        if new != old:
            found += unlike(_mapping(new), _mapping(old)) or [f"another {name}"]
    # A seed is a setting of the head and of the protocol.
    return list(dict.fromkeys(found))


def _mapping(value: Json) -> Mapping[str, Json]:
    return cast("Mapping[str, Json]", value) if isinstance(value, dict) else {}


def _card(folder: Path) -> RunCard | None:
    try:
        return read_run_card(folder)
    except PredictionsError:
        return None
