"""The work of `evaluate unknown`: every score of every run, its figures, its threshold and its files."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evaluation.intervals import intervals, intervals_of
from evaluation.metrics import observation_score
from evaluation.predictions import Predictions
from evaluation.runs import choose_split, find_predictions, predictions_path, read_run_card, told_apart
from evaluation.unknown.detection import CURVE_METRICS, SHARES, Accepted, Plants, auroc, open_score, share
from evaluation.unknown.evidence import DISTANCES, REJECTIONS, WHY_ABSENT, Evidence, max_probability
from evaluation.unknown.report import BASELINE, FOLDER, GAIN, Figure, Judged, UnknownReport, write_report
from evaluation.unknown.threshold import Target, Thresholds, choose_threshold
from featstore.errors import PredictionsError
from featstore.provenance import sha256_of_file

CHOOSE_ON: Mapping[str, tuple[str, str]] = {"valid": ("valid", ""), "oof": ("train", "oof")}
"""Name -> split and variant of the predictions that a threshold is chosen on."""
ChooseOn = Literal["valid", "oof"]


@dataclass(frozen=True)
class UnknownSettings:
    """What to judge, and how.

    Parameters
    ----------
    scores
        Names in `REJECTIONS`.
    target
        What the threshold is to reach.
    choose_on
        Where it is chosen: ``"valid"``, or ``"oof"`` for the predictions out of fold of `heads compare --folds`.
    split
        Which split to report; None takes test where there is one, else valid.
    store
        Feature store for the scores from features.
    """

    scores: tuple[str, ...] = tuple(REJECTIONS)
    target: Target = field(default_factory=Target)
    choose_on: ChooseOn = "valid"
    split: str | None = None
    store: str | None = None


def judge_unknown(
    runs: Sequence[Path],
    settings: UnknownSettings,
    out: Path,
    tell: Callable[[str], object] = lambda _: None,
) -> UnknownReport:
    """Judge every score of every run and write figures, curves, thresholds and a picture into ``<out>/unknown/``.

    Parameters
    ----------
    runs
        Run folders, at least one.
    settings
        What to judge, and how.
    out
        Folder of runs.
    tell
        Is told of each run that is done.

    Raises
    ------
    PredictionsError
        If a run has no predictions of the split, or they are damaged.
    StoreError
        If the store cannot be used.
    """
    from evaluation.unknown.picture import draw

    for run in runs:
        if not run.is_dir():
            raise PredictionsError("run folders", str(run), "Name what `heads compare` or `finetune run` wrote.")
    split = settings.split or choose_split(list(runs))
    names, models = told_apart(runs), [read_run_card(run).model for run in runs]
    # In tables a run is called after its model, as everywhere, if that names it.
    labels = models if len(set(models)) == len(models) else names
    judged, plain, notes, files = [], [], [], []
    for run, name, label in zip(runs, names, labels, strict=True):
        found = _judge_run(run, label, split, settings)
        judged += found.judged
        plain += found.plain
        notes += found.notes
        if found.thresholds.value:
            files.append(found.thresholds.write(out / FOLDER / name))
        tell(name)
    folder = out / FOLDER
    report = UnknownReport(split, settings.target, tuple(judged), tuple(plain), (), tuple(dict.fromkeys(notes)))
    files += [*write_report(report, folder), draw(report, folder / "unknown.png")]
    return UnknownReport(split, settings.target, report.judged, report.plain, tuple(files), report.notes)


@dataclass(frozen=True, eq=False)
class _OfRun:
    judged: list[Judged]
    plain: list[Figure]
    thresholds: Thresholds
    notes: list[str]


def _judge_run(run: Path, label: str, split: str, settings: UnknownSettings) -> _OfRun:
    reported = Predictions.read(find_predictions(run, split)[0])
    choosing, notes = _choosing(run, label, settings.choose_on)
    evidence = _gather(run, [reported, *([choosing] if choosing else [])], settings)
    plants, named = Plants.of(evidence[0].fused)
    if not plants.known.any():
        raise PredictionsError(f"{split} plants of species that {label} has learnt", "none", "Name another --split.")
    if not plants.n_unknown:
        notes.append(
            f"{label}: every named plant of {split} is of a species it has learnt, so that nothing tells how it meets "
            "others. `heads compare --hold-out-species` writes runs that do."
        )
    chooser = Plants.of(evidence[1].fused) if choosing else None
    judged, value, reached = [], {}, {}
    for name in settings.scores:
        scores = [REJECTIONS[name](one) for one in evidence]
        if scores[0] is None:
            notes.append(f"{label}: no {name}: {WHY_ABSENT[name]}.")
            continue
        score, threshold = scores[0][named], None
        if chooser is not None and len(scores) > 1 and scores[1] is not None:
            others, own = chooser[0], scores[1][chooser[1]]
            threshold = choose_threshold(others, own, settings.target)
            if threshold is None:
                notes.append(f"{label}: no threshold of {name} reaches {settings.target} on {settings.choose_on}.")
            else:
                value[name] = threshold
                accepts = {settings.choose_on: (others, own >= threshold), split: (plants, score >= threshold)}
                reached[name] = {where: _reached(*one) for where, one in accepts.items()}
        baseline = None if name == BASELINE else max_probability(evidence[0])[named]
        judged.append(_judge_score(plants, score, (label, split, name), threshold, baseline))
    digest = sha256_of_file(_chosen_from(run, settings.choose_on)) if choosing else ""
    thresholds = Thresholds(reported.model, settings.choose_on, digest, settings.target, value, reached)
    return _OfRun(judged, _plain(plants, label, split), thresholds, notes)


def _choosing(run: Path, label: str, choose_on: ChooseOn) -> tuple[Predictions | None, list[str]]:
    path = _chosen_from(run, choose_on)
    if path.is_file():
        return Predictions.read(path), []
    return None, [f"{label}: no {path.name}, so no threshold can be chosen."]


def _chosen_from(run: Path, choose_on: ChooseOn) -> Path:
    return predictions_path(run, *CHOOSE_ON[choose_on])


def _gather(run: Path, predictions: Sequence[Predictions], settings: UnknownSettings) -> list[Evidence]:
    if settings.store is None or not set(settings.scores) & set(DISTANCES):
        return [Evidence.of(one) for one in predictions]
    from evaluation.unknown.closeness import closeness_of, read_learnt
    from featstore.store import Store
    from featstore.table import load_table

    store, backbones = Store.open(settings.store), read_run_card(run).backbones
    learnt = read_learnt(store, backbones, run, predictions[0].classes)
    tables = [load_table(store, backbones, image_ids=one.image_id.tolist()) for one in predictions]
    return [Evidence.of(one, closeness_of(one, learnt, table)) for one, table in zip(predictions, tables, strict=True)]


def _judge_score(
    plants: Plants,
    score: NDArray[np.float64],
    names: tuple[str, str, str],
    threshold: float | None,
    baseline: NDArray[np.float64] | None,
) -> Judged:
    accepts = None if threshold is None else score >= threshold
    metrics = [*CURVE_METRICS, *([GAIN] if baseline is not None else []), *(SHARES if accepts is not None else ())]

    def statistics(weight: NDArray[np.float64]) -> NDArray[np.float64]:
        accepted = Accepted.of(plants, score, weight)
        found = [metric(accepted) for metric in CURVE_METRICS.values()]
        if baseline is not None:
            found.append(auroc(accepted) - auroc(Accepted.of(plants, baseline, weight)))
        if accepts is not None:
            found += [share(*of(plants, accepts), weight) for of in SHARES.values()]
        return np.stack(found, axis=1)

    counts = (plants.n_known, plants.n_unknown)
    values = statistics(np.ones((1, len(score))))[0].tolist()
    ends = intervals_of(statistics, plants.author)
    figures = [
        Figure(*names, metric, value, *low_and_high, *counts)
        for metric, value, low_and_high in zip(metrics, values, ends, strict=True)
        if math.isfinite(value)
    ]
    if accepts is not None:
        found = open_score(plants, accepts)
        figures.append(Figure(*names, "S_open", found.value, *intervals([found])[0], *counts))
    return Judged(*names, Accepted.of(plants, score), tuple(figures), threshold)


def _plain(plants: Plants, run: str, split: str) -> list[Figure]:
    found = observation_score(plants.reciprocal, plants.author)
    return [Figure(run, split, "", "S", found.value, *intervals([found])[0], plants.n_known, plants.n_unknown)]


def _reached(plants: Plants, accepts: NDArray[np.bool_]) -> dict[str, float]:
    once = np.ones((1, len(accepts)))
    found = {name: float(share(*of(plants, accepts), once)[0]) for name, of in SHARES.items()}
    return {name: value for name, value in found.items() if math.isfinite(value)}
