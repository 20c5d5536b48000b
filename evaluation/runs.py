"""Run folders: one model's card and its predictions, found by the folder or by the file itself."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evaluation.identify.plugins import added
from evaluation.invariants import SPLITS
from evaluation.predictions import SUFFIX, peek_split
from featstore.errors import PredictionsError, listed
from featstore.provenance import Json, provenance, write_json

SCHEMA = "run/1"
CARD = "run.json"
RULE = "rule.json"
SPLIT_FILE = "split.csv"
"""Which photographs are train, valid and test; it lies beside the runs."""
KINDS = ("head", "finetuned", "fusion")
REBUILD = "Write the run again with `heads compare`, `finetune run` or `evaluate fuse`."


@dataclass(frozen=True)
class RunCard:
    """What a run folder holds.

    Parameters
    ----------
    model
        Name of the model, as in its predictions and in tables.
    kind
        ``"head"``, ``"finetuned"`` or ``"fusion"``, or what an installed plug-in (`evaluation.identify.plugins`) opens.
    backbones
        Networks behind the model; several when features are concatenated or models fused.
    head
        Name of the classifier on the features, ``""`` for a fusion.
    classes
        Raw class id -> species name (``""`` when unknown), at least one.
    details
        How it was made: settings, members, paths.

    Raises
    ------
    PredictionsError
        If the kind is unknown, or name or classes are missing.
    """

    model: str
    kind: str
    backbones: tuple[str, ...]
    head: str
    classes: Mapping[str, str]
    details: Mapping[str, Json] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS and self.kind not in added():
            raise PredictionsError(f"a run of kind {', '.join(KINDS)}", f"{self.kind!r}", REBUILD)
        if not self.model or not self.classes:
            got = f"model {self.model!r} with {len(self.classes)} classes"
            raise PredictionsError("a run with a named model and classes", got, REBUILD)

    @property
    def is_baseline(self) -> bool:
        """Whether the model looks at nothing: what others have to beat, and what no fusion gains from."""
        return self.details.get("baseline") is True

    @property
    def has_random_weights(self) -> bool:
        """Whether a network behind the model has learnt nothing."""
        weights = self.details.get("weights")
        sources = weights.values() if isinstance(weights, dict) else [weights]
        return any(isinstance(source, str) and source.startswith("random") for source in sources)


def write_run_card(folder: Path, card: RunCard) -> None:
    """Write ``run.json`` (schema run/1) with the card and its provenance, whole or not at all."""
    content: dict[str, Json] = {
        "schema": SCHEMA,
        "model": card.model,
        "kind": card.kind,
        "backbones": list(card.backbones),
        "head": card.head,
        "classes": dict(card.classes),
        "details": dict(card.details),
        "provenance": provenance(),
    }
    write_json(folder / CARD, content)


def read_run_card(folder: Path) -> RunCard:
    """Read ``run.json`` of a run folder.

    Raises
    ------
    PredictionsError
        If the card is absent, damaged, of another schema, or lacks an entry.
    """
    path = folder / CARD
    try:
        content: Json = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise _no_run(folder) from error
    except ValueError as error:
        raise PredictionsError("JSON text", f"{path}: {error}", REBUILD) from error
    schema = content.get("schema") if isinstance(content, dict) else None
    if not isinstance(content, dict) or schema != SCHEMA:
        raise PredictionsError(f"schema {SCHEMA}", f"{schema!r} in {path}", REBUILD)
    try:
        return _card(content)
    except PredictionsError as error:
        raise PredictionsError(error.expected, f"{error.got} in {path}", error.remedy) from error


def _no_run(folder: Path) -> PredictionsError:
    """Say what is there instead of a run."""
    if not folder.exists():
        return PredictionsError("a run folder", f"{folder}, which does not exist", "Correct the path.")
    inside = [run.name for run in run_folders(folder)]
    remedy = f"Name one of the runs in it: {listed(inside)}." if inside else REBUILD
    return PredictionsError(f"a run folder with {CARD}", f"{folder} without one", remedy)


def _card(content: Mapping[str, Json]) -> RunCard:
    backbones = content.get("backbones")
    if not isinstance(backbones, list):
        raise PredictionsError("a list `backbones`", repr(backbones), REBUILD)
    return RunCard(
        model=_text(content, "model"),
        kind=_text(content, "kind"),
        backbones=tuple(str(name) for name in backbones),
        head=_text(content, "head"),
        classes={class_id: str(species) for class_id, species in _mapping(content, "classes").items()},
        details=_mapping(content, "details"),
    )


def _text(content: Mapping[str, Json], name: str) -> str:
    value = content.get(name)
    if not isinstance(value, str):
        raise PredictionsError(f"a text `{name}`", repr(value), REBUILD)
    return value


def _mapping(content: Mapping[str, Json], name: str) -> dict[str, Json]:
    value = content.get(name)
    if not isinstance(value, dict):
        raise PredictionsError(f"a mapping `{name}`", repr(value), REBUILD)
    return value


def predictions_path(folder: Path, split: str, variant: str = "") -> Path:
    """Where the predictions of a run lie: ``test.predictions.h5``, augmented ``test.tta5.predictions.h5``."""
    return folder / f"{split}{'.' if variant else ''}{variant}{SUFFIX}"


def observations_path(folder: Path, split: str) -> Path:
    """Where a fusion's answers lie, predictions with one row per plant: ``test.observations.h5``."""
    return folder / f"{split}.observations.h5"


def split_and_variant(path: Path) -> tuple[str, str]:
    """Read split and variant off a file's name; both are ``""`` when it was named otherwise.

    >>> split_and_variant(Path("runs/vgg16-finetuned/test.tta5.predictions.h5"))
    ('test', 'tta5')
    """
    split, _, variant = path.name.removesuffix(SUFFIX).partition(".")
    return (split, variant) if split in SPLITS and path.name.endswith(SUFFIX) else ("", "")


def splits_of(run: Path) -> tuple[str, ...]:
    """Splits that a run has predictions of: test before valid before train.

    Raises
    ------
    PredictionsError
        If `run` is neither a run folder with predictions nor a file of predictions.
    """
    if run.is_file() and run.name.endswith(SUFFIX):
        return (peek_split(run),)
    if not run.is_dir():
        got = f"{run}, which is {'another file' if run.exists() else 'not there'}"
        raise PredictionsError(f"a run folder or a file *{SUFFIX}", got, "Name what `heads compare` wrote.")
    found = tuple(split for split in reversed(SPLITS) if predictions_path(run, split).is_file())
    if not found:
        holds_fusion = (run / CARD).is_file() and read_run_card(run).kind == "fusion"
        if holds_fusion:
            got = f"{run}, which holds a fusion, not a model"
            raise PredictionsError("a run folder of a model", got, "Name the run folders of its members.")
        got = "none" if any(run.iterdir()) else "an empty folder"
        remedy = "Name a run that `heads compare` or `finetune run` wrote, or the folder of such runs."
        raise PredictionsError(f"predictions of a run (test{SUFFIX} or valid{SUFFIX}) in {run}", got, remedy)
    return found


def choose_split(runs: list[Path]) -> str:
    """Choose the split to report when none is asked for: test where there is one, else valid.

    Raises
    ------
    PredictionsError
        If the runs have no split in common, or some have test and others not.
    """
    splits = {run: splits_of(run) for run in runs}
    every = {split for found in splits.values() for split in found}
    split = next(name for name in reversed(SPLITS) if name in every)
    without = [str(run) for run, found in splits.items() if split not in found]
    if without:
        common = [name for name in reversed(SPLITS) if all(name in found for found in splits.values())]
        remedy = f"Pass `--split {common[0]}`, which all of them have." if common else "Leave these runs out."
        raise PredictionsError(f"{split} predictions of every run", f"none of {', '.join(without)}", remedy)
    return split


def find_predictions(run: Path, split: str | None = None) -> list[Path]:
    """Find the predictions of a run: the plain file first, then its variants, for example augmented ones.

    Parameters
    ----------
    run
        A run folder, or one ``*.predictions.h5`` file, which is then the only one found.
    split
        Which split; None takes test where there is one, else valid.

    Raises
    ------
    PredictionsError
        If there are none, naming the splits that there are.
    """
    found = splits_of(run)
    if split is None:
        split = found[0]
    if split not in found:
        remedy = f"Pass `--split {found[0]}`, or predict {split} images first."
        raise PredictionsError(f"{split} predictions in {run}", f"only {', '.join(found)}", remedy)
    if run.is_file():
        return [run]
    plain = predictions_path(run, split)
    variants = [path for path in run.glob(f"{split}.*{SUFFIX}") if split_and_variant(path)[0] == split]
    return [plain, *sorted(path for path in variants if path != plain)]


def run_folders(folder: Path) -> list[Path]:
    """Find the run folders in a folder, by name; hidden ones are at work or were left by a kill, and are no runs."""
    return sorted(card.parent for card in folder.glob(f"*/{CARD}") if not card.parent.name.startswith("."))


def told_apart(runs: Sequence[Path]) -> list[str]:
    """Name runs after their folders, and those of one name by as much of the path before it as tells them apart.

    >>> told_apart([Path("a/vgg16-mlp"), Path("b/vgg16-mlp"), Path("b/net-mlp")])
    ['a/vgg16-mlp', 'b/vgg16-mlp', 'net-mlp']
    """
    # A link to a run keeps its own name.
    paths = [run.absolute().parent.resolve() / run.absolute().name for run in runs]
    return [
        path.relative_to(os.path.commonpath([one.parent for one in paths if one.name == path.name])).as_posix()
        for path in paths
    ]


def expand(paths: Sequence[Path]) -> list[Path]:
    """Replace every folder of runs by its runs, fusions left aside; anything else stays as it is."""
    runs: list[Path] = []
    for path in paths:
        holds_runs = path.is_dir() and not (path / CARD).is_file() and not any(path.glob(f"*{SUFFIX}"))
        runs += _runs_in(path) if holds_runs else [path]
    return runs


def _runs_in(folder: Path) -> list[Path]:
    runs = [run for run in run_folders(folder) if any(run.glob(f"*{SUFFIX}"))]
    found = [run for run in runs if read_run_card(run).kind != "fusion"]
    return found or [folder]


def where_it_is(file: Path, fusion: Path) -> Path:
    """A member's file where it was, or in its run beside the fusion: folders of runs move, and are named, together."""
    beside = fusion.parent / file.parent.name / file.name
    return file if file.is_file() or not beside.is_file() else beside
