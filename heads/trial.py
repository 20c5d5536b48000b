"""A trial: one head on the features of one or several networks, from fit to predictions, as one run folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from evaluation.cells import write_csv
from evaluation.predictions import Predictions
from evaluation.runs import CARD, RunCard, predictions_path, read_run_card, write_run_card
from featstore.engine import load_engine
from featstore.errors import PredictionsError
from featstore.provenance import Json, phytobench_version, provenance
from featstore.table import FeatureTable
from heads.calibrating import calibrate
from heads.candidates import Tuned
from heads.choice import HeadChoice
from heads.folder import replacing_folder
from heads.head import Head, Tell
from heads.journal import JOURNALS
from heads.learnt import write_learnt
from heads.luck import write_seeds
from heads.material import LEARNT, Material, examples_of
from heads.protocol import Protocol
from heads.registry import HEADS
from heads.tuning import Tuning, tune

KIND = "head"
"""Of the runs that are written here."""
FITTED, REFITTED = "fitted", "refitted"
OUT_OF_FOLD = "oof"
"""Variant under which the photographs to learn from are predicted out of fold: ``train.oof.predictions.h5``."""
UNCALIBRATED = "raw"
"""Variant of predictions as the head gave them, where a cross-validation calibrates: ``test.raw.predictions.h5``."""
LOG = "log.csv"
T = TypeVar("T")
WARM_UP = 1024
"""Images that are predicted before the speed is measured."""


@dataclass(frozen=True)
class Trial:
    """What is to be tried.

    Attributes
    ----------
    backbones
        Networks whose features stand side by side.
    choice
        The head and its settings.
    protocol
        What all trials of a comparison have in common.
    tuning
        How settings are searched for; None takes those of the choice.
    """

    backbones: tuple[str, ...]
    choice: HeadChoice
    protocol: Protocol = field(default_factory=Protocol)
    tuning: Tuning | None = None

    @property
    def input(self) -> str:
        """Name of the features: the networks joined by "+"."""
        return "+".join(self.backbones)

    @property
    def head(self) -> str:
        """Name of the head, whatever its label."""
        return self.choice.head

    @property
    def name(self) -> str:
        """Name of the run and of its folder."""
        return f"{self.input}-{self.choice.label}"

    def create(self, **settings: Json) -> Head:
        """Create the unfitted head."""
        return self.choice.create(**{"seed": self.protocol.seed, **settings})  # type: ignore[arg-type]  # seed is an int

    def fingerprint(self, material: Material) -> dict[str, Json]:
        """Everything that the run's files depend on; an equal fingerprint means equal files."""
        return {
            "phytobench": phytobench_version(),
            "head": self.choice.head,
            "engine": load_engine() if self.choice.needs_engine else "",
            "settings": self.create().settings(),
            "protocol": self._deciding(),
            "tuning": self.tuning.to_json() if self.tuning else None,
            "content": {name: material.digests[name] for name in ("papers", *self.backbones)},
            "identities": {backbone: dict(material.essences[backbone]) for backbone in self.backbones},
        }

    def _deciding(self) -> dict[str, Json]:
        """What of the protocol the run's own files depend on: a cross-validation adds files, and may calibrate them."""
        told = self.protocol.to_json()
        left_out = set() if self.protocol.calibrates_out_of_fold else {"n_folds", "n_repeats"}
        return {name: value for name, value in told.items() if name not in left_out}


def run_trial(trial: Trial, material: Material, folder: Path, fingerprint: dict[str, Json], tell: Tell) -> None:
    """Fit, predict and write a run folder, whole or not at all; one that was there is replaced.

    Writes fitted/ (train), refitted/ (train and valid, with the settings that the first fit chose), the predictions of
    valid and test, calibration.json, log.csv for a head that learns in epochs or rounds, tuning.csv and seeds.csv where
    there is something to tell, and run.json.

    Raises
    ------
    PhytobenchError
        If the head cannot be fitted, or the folder holds something else than a head's run.
    """
    protocol = trial.protocol
    aside = material.set_aside(protocol.share_set_aside, protocol.seed)
    _require_own(folder)
    with replacing_folder(folder) as temporary:
        tuned = tune(trial, material, folder.parent / JOURNALS, tell) if trial.tuning else None
        fits = _fit(trial.create(**(tuned.settings if tuned else {})), trial, material, aside, tell)
        fits.head.save(temporary / FITTED)
        if fits.refitted is not None:
            fits.refitted.save(temporary / REFITTED)
        _write_log(fits.head, temporary / LOG)
        said = _answers(fits, trial, material)
        calibrated, final = calibrate(
            said, aside, by_view=protocol.calibrate == "view", apply=protocol.calibrates_on_valid, seed=protocol.seed
        )
        calibrated.write(temporary)
        if aside is not None:
            final = {**final, "valid": replace(final["valid"], unseen=aside)}
        for split, predictions in final.items():
            predictions.write(predictions_path(temporary, split))
            if protocol.calibrates_out_of_fold:
                predictions.write(predictions_path(temporary, split, UNCALIBRATED))
        looked_at = np.isin(material.split, LEARNT)
        write_learnt(temporary, material.table.papers, np.where(looked_at, material.split, ""))
        if tuned:
            tuned.write(temporary)
        if protocol.n_seeds > 1 and trial.choice.random(tuned.settings if tuned else None):
            by_seed = {protocol.seed: said}
            for seed in range(protocol.seed + 1, protocol.seed + protocol.n_seeds):
                tell(f"seed {seed}")
                again = _fit(
                    trial.create(**{**(tuned.settings if tuned else {}), "seed": seed}), trial, material, aside, tell
                )
                by_seed[seed] = _answers(again, trial, material)
            write_seeds(by_seed, temporary)
        write_run_card(temporary, _card(trial, material, fits, fingerprint, tuned))


@dataclass(frozen=True, eq=False)
class _Fits:
    """A head fitted on train, what became of it on train and valid, and how long that took."""

    head: Head
    refitted: Head | None
    seconds: dict[str, Json]
    n_learnt: int

    @property
    def answering(self) -> Head:
        return self.refitted or self.head


def _fit(head: Head, trial: Trial, material: Material, aside: NDArray[np.bool_] | None, tell: Tell) -> _Fits:
    valid = material.part(trial.backbones, "valid")
    learnt = examples_of(material.part(trial.backbones, "train"), trial.protocol)
    judged = examples_of(valid if aside is None else valid.select(~aside))
    head, seconds = _timed(lambda: head.learn(learnt, judged, tell))
    if not trial.protocol.refit:
        return _Fits(head, None, {"fit_seconds": seconds}, len(learnt.labels))
    # Classes that only valid shows stay out, so that all predictions of a comparison have the same classes.
    both = examples_of(material.part(trial.backbones, *LEARNT), trial.protocol)
    known = both.take(np.isin(both.labels, head.classes_))
    again, more = _timed(lambda: head.for_refit().learn(known, None, lambda text: tell(f"refit, {text}")))
    return _Fits(head, again, {"fit_seconds": seconds, "refit_seconds": more}, len(learnt.labels))


def _answers(fits: _Fits, trial: Trial, material: Material) -> dict[str, Predictions]:
    """What the head of train says of valid, and the answering one of test."""
    heads = {"valid": fits.head, "test": fits.answering}
    tables = {split: material.part(trial.backbones, split) for split in heads}
    return {split: _predict(head, trial, tables[split], split) for split, head in heads.items() if len(tables[split])}


def _card(trial: Trial, material: Material, fits: _Fits, fingerprint: dict[str, Json], tuned: Tuned | None) -> RunCard:
    remarks = [*(tuned.remarks if tuned else ()), *fits.head.remarks_]
    remarks += fits.refitted.remarks_ if fits.refitted is not None else ()
    classes = set(fits.head.classes_.tolist())
    own = {backbone: material.columns[backbone] for backbone in trial.backbones}
    return RunCard(
        model=trial.name,
        kind=KIND,
        backbones=trial.backbones,
        head=trial.choice.head,
        classes={class_id: name for class_id, name in material.species().items() if class_id in classes},
        details={
            "fingerprint": fingerprint,
            "settings": fits.head.settings(),
            "tuned": dict(tuned.settings) if tuned else None,
            "protocol": trial.protocol.to_json(),
            "n_learnt": fits.n_learnt,
            "chosen": dict(fits.head.chosen_),
            "remarks": list(remarks),
            "weights": {backbone: material.identities[backbone].weights for backbone in trial.backbones},
            "baseline": HEADS[trial.head].baseline,
            "features": {name: columns.stop - columns.start for name, columns in own.items()},
            **fits.seconds,
        },
    )


def _predict(head: Head, trial: Trial, table: FeatureTable, split: str) -> Predictions:
    """Predictions of a table, with the speed of the head alone."""
    views = table.papers["view"].to_numpy(np.str_)
    # Once without the clock: the first call of each shape compiles.
    head.predict_proba(table.features[:WARM_UP], views[:WARM_UP])
    probability, seconds = _timed(lambda: head.predict_proba(table.features, views))
    return Predictions.from_papers(
        table.papers,
        model=trial.name,
        split=split,
        classes=head.classes_,
        probability=probability,
        images_per_second=len(table) / max(seconds, 1e-9),
        provenance=provenance(head=head.settings()),
        log_sum_exp=head.log_sum_exp(table.features),
    )


def _timed(do: Callable[[], T]) -> tuple[T, float]:
    started = time.perf_counter()
    return do(), time.perf_counter() - started


def _write_log(head: Head, path: Path) -> None:
    if not head.log_:
        return
    names = list(head.log_[0])
    write_csv(path, names, [[np.format_float_positional(row[name], trim="-") for name in names] for row in head.log_])


def _require_own(folder: Path) -> None:
    """Refuse to replace anything but a head's run."""
    if folder.exists() and (kind := _kind(folder)) != KIND:
        raise PredictionsError(
            f"no folder {folder}, or one with the run of a head",
            f"a run of kind {kind}" if kind else "something else",
            "Move it away, give the head another label (--head NAME=HEAD), or choose another --out.",
        )


def _kind(folder: Path) -> str:
    """Kind of the run that a folder holds, "" if it holds none."""
    if not (folder / CARD).is_file():
        return ""
    try:
        return read_run_card(folder).kind
    except PredictionsError:
        # Its card is damaged, and it is made anew - if it is a head's: no other run has such a folder.
        return KIND if (folder / FITTED).is_dir() else ""
