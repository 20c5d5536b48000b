"""Tuning on equal terms: every head searches its settings on the same parts of train, for the same time."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from evaluation.invariants import ALL_VIEWS
from evaluation.predictions import Predictions
from evaluation.ranking import rank_predictions
from evaluation.scores import METRICS
from featstore.errors import SettingsError
from featstore.provenance import Json
from featstore.splits import draw_folds
from featstore.table import FeatureTable
from heads.candidates import Candidate, Tuned
from heads.folds import predict_held_out
from heads.head import Tell, require_setting
from heads.journal import Journal
from heads.material import Material
from heads.proposals import SEARCHES

if TYPE_CHECKING:
    from heads.trial import Trial

N_FOLDS = 3
Search = Literal["grid", "optuna"]


@dataclass(frozen=True)
class Tuning:
    """How settings are searched for.

    Attributes
    ----------
    search
        ``grid``: every combination of `Head.grid`, the defaults first; ``optuna``: drawn from the ranges that the grid
        spans, where earlier ones did well.
    budget_s
        Seconds for the search of each run. The defaults are always tried.
    most
        Combinations that are tried at most.

    Raises
    ------
    SettingsError
        If a value is outside of its range.
    """

    search: Search = "grid"
    budget_s: float = 300.0
    most: int = 40

    def __post_init__(self) -> None:
        if self.search not in get_args(Search):
            raise SettingsError(
                f"`--search` among {', '.join(get_args(Search))}", repr(self.search), "Correct --search."
            )
        require_setting("--budget", self.budget_s, low=0)
        require_setting("most", self.most, low=1)

    def to_json(self) -> dict[str, Json]:
        """Every setting by name."""
        return dict(asdict(self))


def tune(trial: Trial, material: Material, journals: Path, tell: Tell) -> Tuned:
    """Search settings for a trial on the photographs of train alone, in three parts between plants.

    What was tried earlier under the same conditions is taken from the journal, and its time counts. What a head chooses
    by itself it chooses on the part that it is judged on - alike for all candidates.
    """
    tuning = trial.tuning or Tuning()
    journal = Journal(trial, material, journals)
    table = material.part(trial.backbones, "train")
    part = draw_folds(table.papers, trial.protocol.seed, N_FOLDS, material.links)
    proposals = SEARCHES[tuning.search](trial, tuning.most, journal.tried)
    spent = sum(candidate.seconds for candidate in journal.tried)
    slowest = max((candidate.seconds for candidate in journal.tried), default=0.0)
    for number, settings in enumerate(proposals):
        if number >= tuning.most:
            break
        if journal.find(settings) is not None:
            continue
        if number and spent + slowest > tuning.budget_s:
            remark = f"the search ended after {len(journal.tried)} settings, for want of time"
            return Tuned(tuple(journal.tried), (remark,))
        tell(f"search {number + 1}, {_words(settings)}")
        candidate = _try(trial, material, settings, table, part)
        journal.add(candidate)
        spent, slowest = spent + candidate.seconds, max(slowest, candidate.seconds)
    return Tuned(tuple(journal.tried))


def _try(
    trial: Trial, material: Material, settings: Mapping[str, Json], table: FeatureTable, part: NDArray[np.int64]
) -> Candidate:
    started = time.perf_counter()
    classes = np.asarray(material.classes("train"), dtype=np.str_)
    probability = np.empty((len(table), len(classes)), dtype=np.float32)
    try:
        for held in range(int(part.max()) + 1):
            probability[part == held] = predict_held_out(
                lambda: trial.create(**settings), table, part, held, classes,
                trial.protocol, nested=False,
            )  # fmt: skip
    except Exception as error:  # noqa: BLE001  # settings that cannot be fitted are one line, and the search goes on
        seconds = time.perf_counter() - started
        return Candidate(settings, math.nan, math.nan, math.nan, seconds, f"{type(error).__name__}: {error}")
    said = Predictions.from_papers(
        table.papers, model=trial.name, split="train", classes=classes, probability=probability
    )
    found = METRICS["S"](rank_predictions(said)[ALL_VIEWS])
    if found is None:
        raise ValueError("S is defined wherever a plant is ranked")
    known = np.isin(said.true_class, classes)
    own = probability[known, np.searchsorted(classes, said.true_class[known])].astype(np.float64)
    loss = float(-np.log(np.maximum(own, 1e-12)).mean())
    by_author = found.alone
    deviation = float(by_author.std(ddof=1) / math.sqrt(len(by_author))) if len(by_author) > 1 else math.nan
    seconds = time.perf_counter() - started
    return Candidate(settings, found.value, deviation, loss, seconds, by_author=by_author.tolist())


def _words(settings: Mapping[str, Json]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items()) or "defaults"
