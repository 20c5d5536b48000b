"""Tuning on equal terms: every head searches its settings on the same parts of train, for the same time."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from evaluation.invariants import ALL_VIEWS
from evaluation.predictions import Predictions
from evaluation.ranking import rank_predictions
from evaluation.scores import METRICS, write_csv
from featstore.errors import SettingsError
from featstore.provenance import Json
from featstore.splits import draw_folds
from featstore.table import FeatureTable
from heads.folds import predict_held_out
from heads.head import Tell, require_setting
from heads.material import Material, examples_of

if TYPE_CHECKING:
    from optuna import distributions

    from heads.trial import Trial

TUNING = "tuning.csv"
JOURNALS = ".tuning"
"""Folder beside the runs that remembers what has been tried, so that a search goes on where it was ended."""
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
            raise SettingsError(f"`search` among {', '.join(get_args(Search))}", repr(self.search), "Correct --search.")
        require_setting("budget", self.budget_s, low=0)
        require_setting("most", self.most, low=1)

    def to_json(self) -> dict[str, Json]:
        """Every setting by name."""
        return dict(asdict(self))


@dataclass(frozen=True)
class Candidate:
    """Settings that were tried.

    Attributes
    ----------
    settings
        Other than the choice's own.
    score
        S over all photographs of train, each predicted by a fit that has not seen its plant; NaN if a fit failed.
    deviation
        Standard error of `score` over authors; NaN with one author.
    loss
        Cross-entropy per image.
    seconds
        Time that it took.
    error
        Why it failed, "" if it did not.
    by_author
        What each author adds to S, whose mean is `score`; in the same order for all candidates of a search.
    """

    settings: Mapping[str, Json]
    score: float
    deviation: float
    loss: float
    seconds: float
    error: str = ""
    by_author: Sequence[float] = ()

    def close_to(self, best: Candidate) -> bool:
        """Whether S is within a standard error of the best one's: that of their difference, on the same authors."""
        short = np.subtract(best.by_author, self.by_author)
        if len(short) < 2:
            return self.score >= best.score
        return bool(short.mean() <= short.std(ddof=1) / math.sqrt(len(short)))


@dataclass(frozen=True)
class Tuned:
    """Outcome of a search.

    Attributes
    ----------
    candidates
        Everything that was tried, in this order.
    remarks
        What is doubtful about it.
    """

    candidates: tuple[Candidate, ...]
    remarks: tuple[str, ...] = ()

    @property
    def settings(self) -> Mapping[str, Json]:
        """The best: of those whose S is within a standard error of the highest, the lowest loss; none if all failed.

        The standard error is that of the difference, author by author: what is hard for one setting is hard for the
        others. S alone would choose by luck among settings that it does not tell apart; the loss sees every image [1]_.

        References
        ----------
        .. [1] L. Breiman et al., "Classification and Regression Trees", 1984, section 3.4.3: the 1-SE rule.
        """
        sound = [candidate for candidate in self.candidates if not candidate.error]
        if not sound:
            return {}
        highest = max(sound, key=lambda tried: tried.score)
        return min((tried for tried in sound if tried.close_to(highest)), key=lambda tried: tried.loss).settings

    def write(self, folder: Path) -> None:
        """Write ``tuning.csv``."""
        rows = [
            [json.dumps(dict(c.settings)), *("" if math.isnan(v) else str(v) for v in (c.score, c.deviation, c.loss)),
             f"{c.seconds:.2f}", c.error]
            for c in self.candidates
        ]  # fmt: skip
        write_csv(folder / TUNING, ("settings", "S", "standard_error", "loss", "seconds", "error"), rows)


def tune(trial: Trial, material: Material, journals: Path, tell: Tell) -> Tuned:
    """Search settings for a trial on the photographs of train alone, in three parts between plants.

    What was tried earlier under the same conditions is taken from the journal, and its time counts. What a head chooses
    by itself it chooses on the part that it is judged on - alike for all candidates.
    """
    tuning = trial.tuning or Tuning()
    journal = _Journal(trial, material, journals)
    table = material.part(trial.backbones, "train")
    part = draw_folds(table.papers, trial.protocol.seed, N_FOLDS, material.links)
    proposals = (_grid if tuning.search == "grid" else _optuna)(trial, tuning, journal.tried)
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
                lambda rows: examples_of(rows, trial.protocol), nested=False,
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


def n_combinations(trial: Trial) -> int:
    """Combinations of the grid that a trial searches."""
    return math.prod(len(values) for values in _axes(trial).values())


def _axes(trial: Trial) -> dict[str, list[Json]]:
    """Values of each setting that is searched: those of the grid, where the choice has not set it."""
    return {name: list(values) for name, values in trial.create().grid.items() if name not in trial.choice.settings}


def _grid(trial: Trial, tuning: Tuning, tried: list[Candidate]) -> Iterator[dict[str, Json]]:
    """The defaults, then every other combination: those that change least first."""
    del tuning, tried
    head, axes = trial.create(), _axes(trial)
    defaults = {name: getattr(head, name) for name in axes}
    combinations = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    changed = [{name: value for name, value in found.items() if value != defaults[name]} for found in combinations]
    yield {}
    yield from sorted((found for found in changed if found), key=len)


def _optuna(trial: Trial, tuning: Tuning, tried: list[Candidate]) -> Iterator[dict[str, Json]]:
    """Settings that Optuna's tree-structured Parzen estimator proposes, told of everything that was tried."""
    try:
        import optuna
    except ImportError as error:
        raise SettingsError(
            "Optuna for --search optuna", "none installed", 'Install it: pip install "phytobench[search]".'
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    ranges = {name: _distribution(values) for name, values in _axes(trial).items() if len(values) > 1}
    yield {}
    if not ranges:
        return
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=trial.protocol.seed))
    for _ in range(1, tuning.most):
        asked = study.ask(ranges)
        yield cast("dict[str, Json]", dict(asked.params))
        found = next((c for c in tried if dict(c.settings) == asked.params), None)
        if found is None or found.error:
            study.tell(asked, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(asked, found.score)


def _distribution(values: list[Json]) -> distributions.BaseDistribution:
    """The range that some values span: of numbers on a logarithmic scale, of anything else the values themselves."""
    from optuna import distributions

    if any(isinstance(value, bool | str) for value in values):
        return distributions.CategoricalDistribution(cast("list[str]", values))
    numbers = [value for value in values if isinstance(value, int | float)]
    low, high = min(numbers), max(numbers)
    if all(isinstance(value, int) for value in numbers):
        return distributions.IntDistribution(int(low), int(high), log=low > 0)
    return distributions.FloatDistribution(low, high, log=low > 0)


class _Journal:
    """What has been tried for a trial, one line each, kept beside the runs."""

    def __init__(self, trial: Trial, material: Material, folder: Path) -> None:
        conditions = {**trial.fingerprint(material), "tuning": trial.tuning.search if trial.tuning else ""}
        name = hashlib.sha256(json.dumps(conditions, sort_keys=True).encode()).hexdigest()[:16]
        self._path = folder / f"{trial.name}-{name}.jsonl"
        self.tried: list[Candidate] = []
        if self._path.exists():
            for line in self._path.read_text(encoding="utf-8").splitlines():
                # A line that a killed process left unfinished is tried again.
                try:
                    self.tried.append(Candidate(**json.loads(line)))
                except (ValueError, TypeError):
                    continue

    def find(self, settings: Mapping[str, Json]) -> Candidate | None:
        """What came of these settings, if they were tried."""
        return next((candidate for candidate in self.tried if dict(candidate.settings) == dict(settings)), None)

    def add(self, candidate: Candidate) -> None:
        """Remember one more."""
        self.tried.append(candidate)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(candidate)) + "\n")


def _words(settings: Mapping[str, Json]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items()) or "defaults"
