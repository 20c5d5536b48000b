"""Units of a comparison that can be worked off anywhere: a run's own fits, or one part of its cross-validation."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from evaluation.predictions import Predictions
from evaluation.runs import SPLIT_FILE, predictions_path, read_run_card
from featstore.errors import PredictionsError, StoreError
from featstore.groups import Links
from featstore.provenance import Json, provenance
from featstore.store import Store
from featstore.table import FeatureTable
from heads.arrays import read_arrays, write_arrays
from heads.calibrating import FILE as CALIBRATION
from heads.calibrating import calibrate_out_of_fold, read_calibrated
from heads.folds import FOLDS, Folds, open_folds, predict_held_out
from heads.head import Tell
from heads.material import LEARNT, Material, load_material
from heads.recipe import RECIPE
from heads.trial import FITTED, OUT_OF_FOLD, REFITTED, UNCALIBRATED, Trial, run_trial

PARTS = ".folds"


@dataclass(frozen=True)
class Source:
    """Where the material of a comparison comes from, so that any process can open it.

    Attributes
    ----------
    location
        Of the store.
    backbones, seed, excluded, links, like_test, n_held_out
        As `load_material`.
    out
        Folder of the runs, with the split.
    state
        `Material.state` that it has to have, "" for any.
    """

    location: str
    backbones: tuple[str, ...]
    seed: int
    out: Path
    excluded: frozenset[str] = frozenset()
    links: Links = ()
    like_test: bool = False
    n_held_out: int = 0
    state: str = ""

    def open(self) -> Material:
        """Load it; the split is drawn and written if there is none."""
        return load_material(
            Store.open(self.location),
            self.backbones,
            self.seed,
            self.out / SPLIT_FILE,
            self.excluded,
            self.links,
            like_test=self.like_test,
            n_held_out=self.n_held_out,
        )


@dataclass(frozen=True)
class Unit:
    """One piece of work.

    Attributes
    ----------
    trial
        What is tried.
    part
        Repeat and part of the cross-validation; None for the run itself.
    """

    trial: Trial
    part: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        """For the progress bar."""
        return (
            self.trial.name if self.part is None else f"{self.trial.name}, part {self.part[0] + 1}.{self.part[1] + 1}"
        )


def units_of(trial: Trial) -> list[Unit]:
    """The run itself, and every part of its cross-validation."""
    protocol = trial.protocol
    repeats = range(protocol.n_repeats if protocol.n_folds else 0)
    return [Unit(trial), *(Unit(trial, (repeat, held)) for repeat in repeats for held in range(protocol.n_folds))]


def do_unit(unit: Unit, material: Material, out: Path, tell: Tell) -> None:
    """Work a unit off; its files appear whole or not at all."""
    if unit.part is None:
        run_trial(unit.trial, material, out / unit.trial.name, unit.trial.fingerprint(material), tell)
    else:
        _predict_part(unit.trial, unit.part, material, out, tell)


@lru_cache(maxsize=1)
def material_of(source: Source) -> Material:
    """The material of a comparison, kept for the units that follow in this process.

    Raises
    ------
    StoreError
        If it is another than the comparison began with.
    """
    material = source.open()
    if source.state and material.state != source.state:
        raise StoreError(
            f"the features and papers of {source.location} as the comparison began with",
            "others",
            "Another process has written to it, or this machine sees another store. Compare again.",
        )
    return material


def is_done(unit: Unit, material: Material, out: Path) -> bool:
    """Whether the files of a unit are there, whole and made under the same conditions."""
    if unit.part is not None:
        return _read_part(unit.trial, unit.part, material, out) is not None
    folder, trial = out / unit.trial.name, unit.trial
    files = [folder / FITTED / RECIPE, folder / CALIBRATION, predictions_path(folder, "valid")]
    files += [folder / REFITTED / RECIPE] if trial.protocol.refit else []
    files += [predictions_path(folder, "test")] if (material.split == "test").any() else []
    if not all(path.is_file() for path in files):
        return False
    try:
        if read_run_card(folder).details.get("fingerprint") != trial.fingerprint(material):
            return False
        read_calibrated(folder)
        for path in files:
            if path.suffix == ".h5":
                Predictions.read(path)
    except PredictionsError:
        # Damaged: made anew.
        return False
    return True


def learnable(trial: Trial, material: Material) -> FeatureTable:
    """Photographs that cross-validation predicts: train, valid and spare."""
    return material.part(trial.backbones, *LEARNT)


def folds_of(trial: Trial, material: Material, out: Path) -> Folds:
    """The divisions of the comparison, kept in ``folds.csv``."""
    protocol, papers = trial.protocol, material.papers_of(*LEARNT)
    return open_folds(papers, protocol.n_folds, protocol.n_repeats, protocol.seed, out / FOLDS, material.links)


def assemble(trial: Trial, material: Material, out: Path) -> None:
    """Put the parts of a run's cross-validation together: the mean over repeats, as predictions of train.

    Raises
    ------
    PredictionsError
        If a part is missing.
    """
    table, folds = learnable(trial, material), folds_of(trial, material, out)
    classes = np.asarray(material.classes("train"), dtype=np.str_)
    total = np.zeros((len(table), len(classes)))
    for repeat in range(trial.protocol.n_repeats):
        number = folds.of(table.papers, repeat)
        for held in range(trial.protocol.n_folds):
            found = _read_part(trial, (repeat, held), material, out)
            if found is None:
                raise PredictionsError(f"every part of {trial.name}", f"none of {repeat}.{held}", "Run again.")
            total[number == held] += found
    predictions = Predictions.from_papers(
        table.papers,
        model=trial.name,
        split="train",
        classes=classes,
        probability=(total / trial.protocol.n_repeats).astype(np.float32),
        provenance=provenance(conditions=_conditions(trial, material, folds)),
    )
    # Settings that were tuned have met each photograph to learn from in some fold.
    predictions = replace(predictions, unseen=np.full(len(total), trial.tuning is None))
    if trial.protocol.calibrates_out_of_fold:
        predictions = _calibrate(trial, predictions, out / trial.name)
    # Last, for it tells that everything before is done.
    predictions.write(out_of_fold_path(out / trial.name))
    shutil.rmtree(out / PARTS / trial.name, ignore_errors=True)
    with suppress(OSError):
        # Once the last run's parts are put together.
        (out / PARTS).rmdir()


def _calibrate(trial: Trial, said: Predictions, folder: Path) -> Predictions:
    """Bring a run's predictions to temperatures chosen out of fold; gives those out of fold."""
    paths = {split: predictions_path(folder, split, UNCALIBRATED) for split in ("valid", "test")}
    raw = {split: Predictions.read(path) for split, path in paths.items() if path.is_file()}
    calibrated, said, final = calibrate_out_of_fold(
        said, raw, by_view=trial.protocol.calibrate == "view", seed=trial.protocol.seed
    )
    for split, predictions in final.items():
        predictions.write(predictions_path(folder, split))
    calibrated.write(folder)
    return said


def out_of_fold_path(folder: Path) -> Path:
    """Where the predictions out of fold lie."""
    return predictions_path(folder, "train", OUT_OF_FOLD)


def is_assembled(trial: Trial, material: Material, out: Path) -> bool:
    """Whether the predictions out of fold are there, made under the same conditions."""
    path = out_of_fold_path(out / trial.name)
    if not path.is_file() or not (out / FOLDS).is_file():
        return False
    try:
        made = Predictions.read(path).provenance.get("conditions")
    except PredictionsError:
        return False
    return made == _conditions(trial, material, folds_of(trial, material, out))


def _predict_part(trial: Trial, part: tuple[int, int], material: Material, out: Path, tell: Tell) -> None:
    table, folds = learnable(trial, material), folds_of(trial, material, out)
    repeat, held = part
    tuned = read_run_card(out / trial.name).details.get("tuned") if trial.tuning else None
    settings: dict[str, Json] = dict(tuned) if isinstance(tuned, dict) else {}
    found = predict_held_out(
        lambda: trial.create(**settings),
        table,
        folds.of(table.papers, repeat),
        held,
        np.asarray(material.classes("train"), dtype=np.str_),
        trial.protocol,
        tell,
    )
    conditions = np.frombuffer(_conditions(trial, material, folds).encode(), dtype=np.uint8)
    path = _part_path(trial, part, out)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_arrays(path, probability=found, conditions=conditions)


def _read_part(trial: Trial, part: tuple[int, int], material: Material, out: Path) -> np.ndarray | None:
    try:
        probability, made = read_arrays(_part_path(trial, part, out), "probability", "conditions")
    except (OSError, ValueError):
        return None
    same = made.tobytes().decode() == _conditions(trial, material, folds_of(trial, material, out))
    return probability if same else None


def _part_path(trial: Trial, part: tuple[int, int], out: Path) -> Path:
    return out / PARTS / trial.name / f"{part[0]}-{part[1]}.npz"


def _conditions(trial: Trial, material: Material, folds: Folds) -> str:
    """Digest of everything that predictions out of fold depend on."""
    told = json.dumps(trial.fingerprint(material), sort_keys=True).encode()
    return hashlib.sha256(told + np.ascontiguousarray(folds.number).tobytes()).hexdigest()


def pending(trials: Sequence[Trial], material: Material, out: Path) -> list[Unit]:
    """Units whose files are not there yet: all runs first, for their parts may need what they chose."""
    units = []
    for trial in trials:
        whole = bool(trial.protocol.n_folds) and is_assembled(trial, material, out)
        units += [u for u in units_of(trial) if not (u.part and whole) and not is_done(u, material, out)]
    return sorted(units, key=lambda unit: unit.part is not None)
