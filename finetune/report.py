"""The report of a run: the starting head, the fine-tuned network and its augmented self side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from evaluation.alignment import align
from evaluation.intervals import Difference, difference, few_remarks
from evaluation.invariants import ALL_VIEWS
from evaluation.per_author import PerAuthor
from evaluation.predictions import Predictions
from evaluation.ranking import rank_predictions
from evaluation.runs import predictions_path
from evaluation.scores import METRICS, SCHEMA, Score, score_predictions, scores_to_json
from evaluation.table import Line
from featstore import shell
from featstore.provenance import Json
from finetune.card import whole_number
from finetune.settings import TrainSettings
from finetune.start import ENDING, SPLITS, Start
from heads.trial import REFITTED

Kept: TypeAlias = Literal["nothing", "weights", "everything"]

STAR = " *"
"""Behind a difference whose interval leaves out 0."""
LESS_START = "S less its start"


@dataclass(frozen=True, eq=False)
class Judged:
    """One row of the table: a model on a split.

    Attributes
    ----------
    split, line, scores
        What it was asked about, its cells, and all its figures.
    predictions
        What it said.
    plants, per_author
        The observations of known class, and S as sums over their authors; None where no class is known.
    network
        Name of the features whose network it is, or whose head; "" for a fusion of several.
    """

    split: str
    line: Line
    scores: tuple[Score, ...]
    predictions: Predictions
    plants: NDArray[np.str_] | None = None
    per_author: PerAuthor | None = None
    network: str = ""

    def less(self, other: Judged) -> Difference:
        """How much S is above another's on the same observations; NaN where they differ or no class is known."""
        nothing = Difference(math.nan, math.nan, math.nan)
        if self.per_author is None or other.per_author is None or self.plants is None or other.plants is None:
            return nothing
        if not np.array_equal(self.plants, other.plants):
            return nothing
        return difference(self.per_author, other.per_author)


@dataclass(frozen=True, eq=False)
class Report:
    """What came of a run.

    Attributes
    ----------
    folder
        The run folder.
    rows
        Starting head, fine-tuned network and test-time augmentation, on valid and, where there is one, on test; the
        first row of each split is what the others are compared with.
    epochs_run, best_epoch
        Epochs trained, and the one whose weights were kept; 0 is the starting point.
    trouble
        Why training had to stop, "" if it ended by itself.
    failures
        image_id and reason of every photograph that could not be used.
    kept
        What was kept of a finished run: nothing, its weights alone, or everything, so that nothing was computed.
    random_weights
        Whether the backbone's weights are random, so that the figures mean nothing.
    """

    folder: Path
    rows: tuple[Judged, ...]
    epochs_run: int
    best_epoch: int
    trouble: str
    failures: Mapping[str, str]
    kept: Kept
    random_weights: bool

    @classmethod
    def of(
        cls, folder: Path, rows: Sequence[Judged], details: Mapping[str, Json], *, kept: Kept, random_weights: bool
    ) -> Report:
        """Join the rows and what the run card says.

        Raises
        ------
        PredictionsError
            If the card is damaged.
        """
        failures = details.get("failures")
        return cls(
            folder=folder,
            rows=tuple(rows),
            epochs_run=whole_number(details, "epochs_run"),
            best_epoch=whole_number(details, "best_epoch"),
            trouble=str(details.get("trouble", "")),
            failures={key: str(reason) for key, reason in failures.items()} if isinstance(failures, dict) else {},
            kept=kept,
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
            "kept": self.kept,
            "random_weights": self.random_weights,
            "runs": rows_to_json(self.rows),
            "scores": scores_to_json([score for row in self.rows for score in row.scores]),
        }


def judge(predictions: Predictions, name: str, network: str = "") -> Judged:
    """Score predictions under a name, as those of a network; without a known class there are no figures."""
    scores = score_predictions(predictions, name)
    n_observations = len(np.unique(predictions.observation_id))
    speed = predictions.images_per_second
    line = Line.of(name, scores, len(predictions.image_id), n_observations, speed)
    ranked = rank_predictions(predictions).get(ALL_VIEWS)
    judged = Judged(predictions.split, line, tuple(scores), predictions, network=network)
    if ranked is None:
        return judged
    return replace(judged, plants=ranked.observation_id, per_author=METRICS["S"](ranked))


def rows_to_json(rows: Sequence[Judged]) -> list[Json]:
    """Describe rows, each with its difference from its start; NaN becomes null."""
    found: list[Json] = []
    for row in rows:
        told = row.less(base_of(rows, row))
        less: dict[str, Json] = {key: value if math.isfinite(value) else None for key, value in asdict(told).items()}
        found.append({"split": row.split, **row.line.to_json(), "S_less_start": less})
    return found


def few_told(rows: Sequence[Judged]) -> list[str]:
    """Say of which splits too few plants of known class are scored for an interval to say much."""
    scored = {row.split: row.per_author.n_authors for row in rows if row.per_author is not None}
    return few_remarks({row.split: len(row.plants) for row in rows if row.plants is not None}, scored)


def base_of(rows: Sequence[Judged], row: Judged) -> Judged:
    """What a row is compared with: the head that its network started from, for a fusion those heads fused."""
    # The first of its kind: `starting_rows` and `fused_rows` begin with the start.
    return next(other for other in [*rows, row] if (other.network, other.split) == (row.network, row.split))


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
            rows.append(judge(predictions, f"{start.card.model} (start)", start.name))
    refitted = predictions_path(start.run, "test")
    if (start.run / REFITTED).is_dir() and refitted.is_file():
        rows.append(judge(Predictions.read(refitted), f"{start.card.model} (refitted)", start.name))
    return rows


def results_of(folder: Path, settings: TrainSettings) -> list[Judged]:
    """Judge the predictions in a run folder, under the names that tables give them."""
    rows = []
    for split in SPLITS:
        for variant in settings.variants:
            path = predictions_path(folder, split, variant)
            if path.is_file():
                predictions = Predictions.read(path)
                name = f"{predictions.model}{' + ' if variant else ''}{variant.upper()}"
                rows.append(judge(predictions, name, predictions.model.removesuffix(ENDING)))
    return rows


def comparable(rows: Sequence[Judged]) -> list[Judged]:
    """Judge all rows of a split on the photographs that every one of them has seen, and say so where some had more."""
    found = []
    for row in rows:
        shared = set.intersection(
            *(set(other.predictions.image_id.tolist()) for other in rows if other.split == row.split)
        )
        mask = np.isin(row.predictions.image_id, list(shared))
        if mask.all():
            found.append(row)
            continue
        shell.warn(
            f"{row.line.run} is judged on the {mask.sum()} of {len(mask)} {row.split} photographs that all have seen"
        )
        found.append(judge(row.predictions.select(mask), row.line.run, row.network))
    return found


def compared_rows(reports: Sequence[Report]) -> list[Judged]:
    """Rows of all networks and of what they say together, those on valid first."""
    rows = [row for report in reports for row in report.rows] + fused_rows(reports)
    return sorted(rows, key=lambda row: SPLITS.index(row.split))


def fused_rows(reports: Sequence[Report]) -> list[Judged]:
    """Judge what several networks say together: the mean of their starting heads, of the networks, and with TTA.

    Networks that could not use the same photographs are not fused.
    """
    rows = []
    for split in SPLITS:
        of_split = [[row for row in report.rows if row.split == split] for report in reports]
        for ending, name in (("(start)", "starting heads"), (ENDING, "fine-tuned"), ("TTA", "fine-tuned + TTA")):
            members = [_ending(members, ending) for members in of_split]
            predictions = [row.predictions for row in members if row is not None]
            if len(predictions) < max(2, len(reports)):
                continue
            if not _same_images(predictions):
                shell.warn(f"{name} are not fused on {split}: they have not seen the same photographs")
                continue
            aligned = align(predictions).members
            stacked = np.stack([member.probability for member in aligned]).astype(np.float64)
            mean = np.asarray(stacked.mean(axis=0), dtype=np.float32)
            speed = 1 / sum(1 / member.images_per_second for member in aligned)
            together = replace(aligned[0], probability=mean, images_per_second=speed)
            rows.append(judge(together, f"{len(aligned)} {name}, fused"))
    return rows


def _ending(rows: Sequence[Judged], ending: str) -> Judged | None:
    return next((row for row in rows if row.line.run.rstrip("0123456789").endswith(ending)), None)


def _same_images(predictions: Sequence[Predictions]) -> bool:
    wanted = set(predictions[0].image_id.tolist())
    return all(set(member.image_id.tolist()) == wanted for member in predictions[1:])


def beside_start(rows: Sequence[Judged], split: str) -> list[list[str]]:
    """Cells of a split's rows, each with how much better it is than its start."""
    of_split = [(row, base_of(rows, row)) for row in rows if row.split == split]
    return [[*row.line.cells(), "" if row is base else told(row.less(base))] for row, base in of_split]


def told(less: Difference) -> str:
    """Write a difference and its interval, with a star where the interval leaves out 0."""
    if math.isnan(less.low):
        return "-" if math.isnan(less.value) else f"{less.value:+.4f}"
    mark = STAR if less.distinguishable else ""
    return f"{less.value:+.4f} ({less.low:+.3f} to {less.high:+.3f}){mark}"
