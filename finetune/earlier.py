"""An earlier run in the place of a new one: recognised as the same, or kept from being lost unasked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import keras

from evaluation.runs import RunCard, read_run_card
from featstore import shell
from featstore.errors import PredictionsError, TrainingError, listed
from featstore.provenance import Json, sha256_of_file
from finetune.folder import is_given_up, require_the_same
from finetune.settings import TrainSettings
from finetune.start import Start


def content_of(start: Start, settings: TrainSettings) -> dict[str, Json]:
    """All that decides what a run learns: an interrupted one of the same content goes on."""
    return {"settings": settings.learning(), "made_from": start.made_from, "backend": keras.backend.backend()}


def finished_card(folder: Path, start: Start, settings: TrainSettings, *, restart: bool = False) -> RunCard | None:
    """Card of a complete run that learnt the same way from the same things, whatever it predicted with its weights.

    None if a run is to be trained: there is none, or one that may be replaced, and then the user is told why.

    Parameters
    ----------
    folder
        The run folder.
    start, settings
        What is to be trained.
    restart
        Whether the user gives up a finished run of other settings, and whatever an interrupted one has done.

    Raises
    ------
    TrainingError
        If the folder holds something else, a run of other settings that was not given up for this one, or if the
        epochs of an interrupted run would be lost.
    """
    content = content_of(start, settings)
    card = _card_of_the_same(folder, start, settings, replaces=restart or is_given_up(folder, content))
    if card is None and not restart:
        require_the_same(folder, content)
    return card


def _card_of_the_same(folder: Path, start: Start, settings: TrainSettings, *, replaces: bool) -> RunCard | None:
    if not folder.exists():
        return None
    try:
        card = read_run_card(folder)
    except PredictionsError as error:
        raise TrainingError(
            f"{folder} to be absent or an earlier run", "something else", "Name another --out, or move it away."
        ) from error
    details = card.details
    if others := _differences(details, start, settings):
        if not replaces:
            raise TrainingError(
                f"the settings and the start of the finished run in {folder}",
                listed(others),
                "Pass another --out to keep both, or --restart to put this one in its place.",
            )
        reason = "holds a run of other settings"
    elif lacking := [name for name in _listed_files(details) if not (folder / name).exists()]:
        reason = f"holds a run that lacks {listed(lacking)}"
    elif _restored(start, _failures(details)):
        reason = "holds a run that had to leave out photographs which are there again"
    else:
        return card
    shell.warn(f"{folder} {reason}; this one takes its place. Pass --out to keep both.")
    return None


def _differences(details: Mapping[str, Json], start: Start, settings: TrainSettings) -> list[str]:
    """Name what a finished run was made with otherwise."""
    whole = isinstance(details.get("files"), list) and isinstance(details.get("failures"), dict)
    found = settings.unlike(details.get("settings")) if whole else ["a card of another version"]
    before = details.get("made_from")
    made_from = before if isinstance(before, dict) else {}
    return found + [words for name, words in _STARTS.items() if made_from.get(name) != start.made_from.get(name)]


_STARTS = {
    "backbone": "another network, or other features of it",
    "head": "another starting head",
    "photographs": "other photographs or papers",
    "split": "another split",
    "aside": "other photographs set aside",
}
"""What a run is made from, in words."""


def _listed_files(details: Mapping[str, Json]) -> list[str]:
    files = details.get("files")
    return [str(name) for name in files] if isinstance(files, list) else []


def _failures(details: Mapping[str, Json]) -> list[str]:
    failures = details.get("failures")
    return list(failures) if isinstance(failures, dict) else []


def _restored(start: Start, image_ids: list[str]) -> bool:
    """Whether a photograph that an earlier run had to leave out is there again."""
    papers = start.table.papers
    lost = papers[papers["image_id"].isin(image_ids)]
    paths = [start.root / str(path) for path in lost["path"]]
    return any(
        path.is_file() and sha256_of_file(path) == digest for path, digest in zip(paths, lost["sha256"], strict=True)
    )
