"""The report of a run: the starting head, the fine-tuned network and its augmented self side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluation.predictions import Predictions
from evaluation.runs import predictions_path
from evaluation.scores import SCHEMA, Score, score_predictions, scores_to_json
from evaluation.table import Line
from featstore.provenance import Json
from finetune.start import SPLITS, Start
from heads.trial import REFITTED


@dataclass(frozen=True)
class Judged:
    """One row of the table: a model on a split."""

    split: str
    line: Line
    scores: tuple[Score, ...]


@dataclass(frozen=True)
class Report:
    """What came of a run.

    Attributes
    ----------
    folder
        The run folder.
    rows
        Starting head, fine-tuned network and test-time augmentation, on valid and, where there is one, on test.
    epochs_run, best_epoch
        Epochs trained, and the one whose weights were kept; 0 is the starting point.
    trouble
        Why training had to stop, "" if it ended by itself.
    failures
        image_id and reason of every photograph that could not be used.
    reused
        Whether a finished run of the same settings was found and nothing was computed.
    random_weights
        Whether the backbone's weights are random, so that the figures mean nothing.
    """

    folder: Path
    rows: tuple[Judged, ...]
    epochs_run: int
    best_epoch: int
    trouble: str
    failures: Mapping[str, str]
    reused: bool
    random_weights: bool

    @classmethod
    def of(
        cls, folder: Path, rows: Sequence[Judged], details: Mapping[str, Json], *, reused: bool, random_weights: bool
    ) -> Report:
        """Join the rows and what the run card says."""
        failures = details["failures"]
        return cls(
            folder=folder,
            rows=tuple(rows),
            epochs_run=int(str(details["epochs_run"])),
            best_epoch=int(str(details["best_epoch"])),
            trouble=str(details["trouble"]),
            failures={key: str(reason) for key, reason in failures.items()} if isinstance(failures, dict) else {},
            reused=reused,
            random_weights=random_weights,
        )

    def to_json(self) -> dict[str, Json]:
        """Give the whole report as one document of schema scores/1."""
        return {
            "schema": SCHEMA,
            "folder": str(self.folder),
            "epochs_run": self.epochs_run,
            "best_epoch": self.best_epoch,
            "trouble": self.trouble,
            "failures": [{"image_id": key, "reason": reason} for key, reason in self.failures.items()],
            "reused": self.reused,
            "random_weights": self.random_weights,
            "runs": [{"split": row.split, **row.line.to_json()} for row in self.rows],
            "scores": scores_to_json([score for row in self.rows for score in row.scores]),
        }


def judge(predictions: Predictions, name: str) -> Judged:
    """Score predictions under a name; without a known class there are no figures."""
    scores = score_predictions(predictions, name)
    n_observations = len(np.unique(predictions.observation_id))
    speed = predictions.images_per_second
    line = Line.of(name, scores, len(predictions.image_id), n_observations, speed)
    return Judged(predictions.split, line, tuple(scores))


def starting_rows(start: Start) -> list[Judged]:
    """Judge the head that training starts from on every split, by its stored features.

    This is the head fitted on the training photographs alone, so that the network that grows out of it is compared
    with its equal. Where `heads compare` answered for test with a head that has also seen the valid photographs,
    that one is a row of its own.
    """
    rows = []
    for split in SPLITS:
        photographs = start.table.select(start.split == split)
        if len(photographs):
            predictions = Predictions.from_papers(
                photographs.papers,
                model=start.card.model,
                split=split,
                classes=start.classes,
                probability=start.head.predict_proba(photographs.features),
            )
            rows.append(judge(predictions, f"{start.card.model} (start)"))
    refitted = predictions_path(start.run, "test")
    if (start.run / REFITTED).is_dir() and refitted.is_file():
        rows.append(judge(Predictions.read(refitted), f"{start.card.model} (refitted)"))
    return rows
