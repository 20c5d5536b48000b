"""A trial: one head on the features of one or several networks, from fit to predictions, as one run folder."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from evaluation.predictions import Predictions
from evaluation.runs import CARD, RunCard, predictions_path, write_run_card
from evaluation.scores import write_csv
from featstore.engine import load_engine
from featstore.errors import PredictionsError
from featstore.provenance import Json, phytobench_version, provenance
from featstore.table import FeatureTable
from heads.head import Head, Tell
from heads.material import Material, examples_of
from heads.registry import HEADS, create_head

FITTED, REFITTED = "fitted", "refitted"
LOG = "log.csv"
WARM_UP = 1024
"""Images that are predicted before the speed is measured."""


@dataclass(frozen=True)
class Trial:
    """What is to be tried.

    Attributes
    ----------
    backbones
        Networks whose features stand side by side.
    head
        Name in `heads.registry.HEADS`.
    seed
        Seed of everything random in it.
    refit
        Whether a head fitted on train and valid answers for test.
    min_vote
        Photographs with a lower vote are not learnt from; they are still judged on.
    """

    backbones: tuple[str, ...]
    head: str
    seed: int
    refit: bool
    min_vote: float | None = None

    @property
    def input(self) -> str:
        """Name of the features: the networks joined by "+"."""
        return "+".join(self.backbones)

    @property
    def name(self) -> str:
        """Name of the run and of its folder."""
        return f"{self.input}-{self.head}"

    def fingerprint(self, material: Material) -> dict[str, Json]:
        """Everything that the run's files depend on; an equal fingerprint means equal files."""
        return {
            "phytobench": phytobench_version(),
            "head": self.head,
            "engine": load_engine() if HEADS[self.head].needs_engine else "",
            "settings": create_head(self.head, self.seed).settings(),
            "refit": self.refit,
            "min_vote": self.min_vote,
            "content": {name: material.digests[name] for name in ("papers", *self.backbones)},
            "identities": {
                backbone: cast("dict[str, Json]", material.identities[backbone].essence())
                for backbone in self.backbones
            },
        }


def run_trial(trial: Trial, material: Material, folder: Path, fingerprint: dict[str, Json], tell: Tell) -> None:
    """Fit, predict and write a run folder, whole or not at all; one that was there is replaced.

    Writes fitted/ (train), refitted/ (train and valid, with the settings that the first fit chose), the predictions of
    valid and test, log.csv for a head that learns in epochs or rounds, and run.json.

    Raises
    ------
    PhytobenchError
        If the head cannot be fitted, or the folder holds something else than a run.
    """
    train, valid, test = (material.part(trial.backbones, split) for split in ("train", "valid", "test"))
    with _replacing_folder(folder) as temporary:
        head = create_head(trial.head, trial.seed)
        learnt = examples_of(train, trial.min_vote)
        started = time.perf_counter()
        head.fit(learnt.features, learnt.labels, valid=examples_of(valid), tell=tell)
        seconds: dict[str, Json] = {"fit_seconds": time.perf_counter() - started}
        head.save(temporary / FITTED)
        _write_log(head, temporary / LOG)
        _predict(head, trial, valid, "valid").write(predictions_path(temporary, "valid"))
        answering = head
        if trial.refit:
            started = time.perf_counter()
            answering = _refit(head, material, trial, tell)
            seconds["refit_seconds"] = time.perf_counter() - started
            answering.save(temporary / REFITTED)
        if len(test):
            _predict(answering, trial, test, "test").write(predictions_path(temporary, "test"))
        classes = set(head.classes_.tolist()) | set(answering.classes_.tolist())
        card = RunCard(
            model=trial.name,
            kind="head",
            backbones=trial.backbones,
            head=trial.head,
            classes={class_id: name for class_id, name in material.species().items() if class_id in classes},
            details={
                "fingerprint": fingerprint,
                "settings": head.settings(),
                "min_vote": trial.min_vote,
                "n_learnt": len(learnt.labels),
                "chosen": dict(head.chosen_),
                "remarks": list(head.remarks_ + answering.remarks_ if trial.refit else head.remarks_),
                "weights": {backbone: material.identities[backbone].weights for backbone in trial.backbones},
                **seconds,
            },
        )
        write_run_card(temporary, card)


def _refit(head: Head, material: Material, trial: Trial, tell: Tell) -> Head:
    both = examples_of(material.part(trial.backbones, "train", "valid"), trial.min_vote)
    # Classes that only valid shows stay out, so that all predictions of a comparison have the same classes.
    known = np.isin(both.labels, head.classes_)
    refit = head.for_refit()
    return refit.fit(both.features[known], both.labels[known], tell=lambda text: tell(f"refit, {text}"))


def _predict(head: Head, trial: Trial, table: FeatureTable, split: str) -> Predictions:
    # Once without the clock: the first call of each shape compiles.
    head.predict_proba(table.features[:WARM_UP])
    started = time.perf_counter()
    probability = head.predict_proba(table.features)
    seconds = time.perf_counter() - started
    return Predictions.from_papers(
        table.papers,
        model=trial.name,
        split=split,
        classes=head.classes_,
        probability=probability,
        images_per_second=len(table) / max(seconds, 1e-9),
        provenance=provenance(head=head.settings()),
    )


def _write_log(head: Head, path: Path) -> None:
    if not head.log_:
        return
    names = list(head.log_[0])
    write_csv(path, names, [[np.format_float_positional(row[name], trim="-") for name in names] for row in head.log_])


@contextmanager
def _replacing_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder beside `path`; on success it takes the place of `path`, otherwise it goes."""
    if path.exists() and not (path / CARD).is_file():
        raise PredictionsError(f"a run folder at {path}", "something else", "Move it away, or choose another --out.")
    # One name for all processes: what a killed one left behind is cleared away by the next.
    temporary = path.with_name(f".partial.{path.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if path.exists():
            shutil.rmtree(path)
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
