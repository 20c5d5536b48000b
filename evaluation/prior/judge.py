"""The work of `evaluate prior`: learn on train, choose strengths on valid, tell what that does to valid and test."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evaluation.alignment import align
from evaluation.fusion import FusedObservations, Recipe, fuse
from evaluation.intervals import difference
from evaluation.metrics import (
    NOT_LISTED,
    PerAuthor,
    average_ranks,
    observation_score,
    reciprocal_rank,
    top_k_score,
    true_indices,
    users_of,
)
from evaluation.papers import read_papers
from evaluation.predictions import Predictions
from evaluation.prior.density import ASPECTS, Learnt, learn
from evaluation.prior.records import Records, read_records
from evaluation.prior.strength import Strengths, choose_strengths, with_prior
from evaluation.runs import choose_split, find_predictions, predictions_path, read_run_card
from evaluation.scores import write_csv
from featstore import shell
from featstore.errors import DatasetError, listed
from featstore.provenance import Json, provenance, write_json

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = "prior/1"
FOLDER = "prior"
CHOSEN_ON = "valid"
FEW = 100
"""Plants by whose labels a strength is a matter of luck."""
_TINY = 1e-12


def _score(rank: NDArray[np.float64], own: NDArray[np.float64], author: NDArray[np.str_]) -> PerAuthor:
    del own
    return observation_score(reciprocal_rank(rank), author)


def _top_1(rank: NDArray[np.float64], own: NDArray[np.float64], author: NDArray[np.str_]) -> PerAuthor:
    del own
    return top_k_score(rank, 1, author)


def _log_loss(rank: NDArray[np.float64], own: NDArray[np.float64], author: NDArray[np.str_]) -> PerAuthor:
    """Mean over the plants whose class is listed; another plant has no probability that could be judged."""
    judged = np.isfinite(rank)
    user = users_of(author[judged])
    loss = np.bincount(user, -np.log(np.maximum(own[judged], _TINY)))
    return PerAuthor(loss.astype(np.float64), np.bincount(user).astype(np.float64))


METRICS = {"S": _score, "top_1": _top_1, "log_loss": _log_loss}
"""Name -> figure from the rank and the probability of the right species of each plant, and its author."""


@dataclass(frozen=True)
class Effect:
    """What priors do to one figure.

    Parameters
    ----------
    run, split
        What it is about.
    prior
        Aspects joined by "+", ``place+month`` for example.
    metric
        Name in `METRICS`.
    plain, with_prior
        The figure without and with.
    difference, low, high
        With less without, and its 95 % interval, drawn with the same authors.
    n_observations, n_touched
        Plants that are scored, and those of them of which the papers tell something.
    """

    run: str
    split: str
    prior: str
    metric: str
    plain: float
    with_prior: float
    difference: float
    low: float
    high: float
    n_observations: int
    n_touched: int

    def to_json(self) -> dict[str, Json]:
        """Every field by name; NaN becomes null."""
        return {
            name.name: None if isinstance(cell, float) and not math.isfinite(cell) else cell
            for name, cell in zip(fields(self), astuple(self), strict=True)
        }


@dataclass(frozen=True, eq=False)
class PriorReport:
    """What priors do to one run.

    Parameters
    ----------
    run
        Name of the model.
    learnt
        Aspect -> what its records chose.
    strengths
        Names of aspects -> what valid chose for them together.
    effects
        On valid, with strengths that other authors chose, and on the split that is reported.
    notes
        Counts of what is known and what is not.
    """

    run: str
    learnt: Mapping[str, Learnt]
    strengths: Mapping[tuple[str, ...], Strengths]
    effects: tuple[Effect, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Json]:
        """Give the report as a document of schema prior/1."""
        return {
            "schema": SCHEMA,
            "run": self.run,
            "learnt": {name: learnt_json(one) for name, one in self.learnt.items()},
            "strengths": {
                "+".join(names): {
                    "used": dict(zip(names, chosen.value.tolist(), strict=True)),
                    "fitted": dict(zip(names, chosen.fitted.tolist(), strict=True)),
                    "gain": chosen.gain,
                    "error": chosen.error,
                }
                for names, chosen in self.strengths.items()
            },
            "effects": [effect.to_json() for effect in self.effects],
            "notes": list(self.notes),
        }


def learnt_json(learnt: Learnt) -> dict[str, Json]:
    """Describe an aspect."""
    return {
        "n_records": len(learnt.density.vectors),
        "width": learnt.width,
        "unit": learnt.density.aspect.unit,
        "smoothing": learnt.smoothing,
        "gain_nats": learnt.gain,
        "error": learnt.error,
        "n_judged": learnt.n_judged,
    }


@dataclass(frozen=True, eq=False)
class _Part:
    """The plants of one split with what their papers say."""

    fused: FusedObservations
    number: NDArray[np.intp]
    ratios: Mapping[str, NDArray[np.float64]]

    def of(self, names: Sequence[str]) -> NDArray[np.float64]:
        return np.stack([self.ratios[name] for name in names])


def judge_prior(run: Path, source: str, split: str | None = None, seed: int = 0) -> PriorReport:
    """Learn place and month on the papers of train, choose strengths on valid, and judge.

    Parameters
    ----------
    run
        A run folder with valid predictions.
    source
        Store or data set with the papers of the run's photographs.
    split
        Which split to report; None takes test where there is one, else valid.
    seed
        Of the folds between authors.

    Raises
    ------
    PredictionsError
        If predictions are missing or damaged.
    DatasetError
        If the papers tell neither place nor month of what train has seen.
    """
    papers, model = read_papers(source), read_run_card(run).model
    predictions = {
        name: Predictions.read(find_predictions(run, name)[0])
        for name in dict.fromkeys((CHOSEN_ON, split or choose_split([run])))
    }
    classes = predictions[CHOSEN_ON].classes
    records = read_records(papers)
    train = records.take(np.flatnonzero(_to_learn_from(records, papers, run)))
    number = true_indices(train.class_id, classes)
    found = {name: learn(name, train, number, len(classes), seed) for name in ASPECTS}
    learnt = {name: one for name, one in found.items() if one is not None}
    if not learnt:
        got = f"none among {len(train.class_id)} observations in {source}"
        raise DatasetError("places or dates of train plants, by two authors at least", got, "Name other --papers.")
    parts, notes = {}, _notes(records, learnt)
    with shell.progress(len(predictions), "looking up papers", "splits") as bar:
        for name, one in predictions.items():
            parts[name], told = _part(one, records, learnt)
            notes += told
            bar.update(1)
    sets = [(name,) for name in learnt] + ([tuple(learnt)] if len(learnt) > 1 else [])
    strengths, effects = {}, []
    valid = parts[CHOSEN_ON]
    for names in sets:
        author = users_of(valid.fused.author)
        chosen = choose_strengths(valid.fused.probability, valid.of(names), valid.number, author, seed)
        strengths[names] = chosen
        if chosen.n_labelled < FEW:
            notes.append(f"{'+'.join(names)}: only {chosen.n_labelled} plants of valid choose the strength.")
        for name, part in parts.items():
            strength = chosen.held_out if name == CHOSEN_ON else chosen.value
            effects += _effects(part, names, strength, (model, name))
    return PriorReport(model, learnt, strengths, tuple(effects), tuple(notes))


def judge_records(source: str, rank: str = "species", seed: int = 0) -> tuple[dict[str, Learnt], tuple[str, ...]]:
    """What place and month tell by themselves: the gain of held-out records above the frequency of classes.

    Parameters
    ----------
    source
        Store or data set; its test records are left out.
    rank
        ``"species"`` for class ids, ``"genus"`` or ``"family"``.

    Raises
    ------
    DatasetError
        If there is neither place nor date of a named class.
    """
    papers = read_papers(source)
    if rank != "species":
        papers = papers.assign(class_id=papers[rank])
    records = read_records(papers[papers["split"] != "test"].reset_index(drop=True))
    classes, number = np.unique(records.class_id, return_inverse=True)
    number = np.where(records.class_id == "", NOT_LISTED, number)
    found = {name: learn(name, records, number, len(classes), seed) for name in ASPECTS}
    learnt = {name: one for name, one in found.items() if one is not None}
    if not learnt:
        raise DatasetError("places or dates by two authors at least", f"none in {source}", "Name other --papers.")
    return learnt, tuple(_notes(records, learnt))


def _to_learn_from(records: Records, papers: pd.DataFrame, run: Path) -> NDArray[np.bool_]:
    """Leave out every plant of the data set's own test and of the run's valid and test predictions."""
    judged = [papers.loc[papers["split"] == "test", "observation_id"].to_numpy(str)]
    for split in ("valid", "test"):
        path = predictions_path(run, split)
        if path.is_file():
            judged.append(Predictions.read(path).observation_id)
    return ~np.isin(records.observation_id, np.concatenate(judged))


def _part(predictions: Predictions, records: Records, learnt: Mapping[str, Learnt]) -> tuple[_Part, list[str]]:
    fused = fuse(align([predictions]), Recipe("mean"))
    m = len(fused.observation_id)
    at = np.minimum(np.searchsorted(records.observation_id, fused.observation_id), len(records.observation_id) - 1)
    there = records.observation_id[at] == fused.observation_id
    own = records.take(at)
    # A plant without papers has neither place nor month.
    own = replace(
        own,
        place=np.where(there[:, np.newaxis], own.place, np.nan),
        month=np.where(there[:, np.newaxis], own.month, np.nan),
    )
    told = [f"{predictions.split}: {np.count_nonzero(~there)} of {m} plants have no papers."] if not there.all() else []
    for name, one in learnt.items():
        vectors = one.density.aspect.vectors(own)
        known, reached = np.isfinite(vectors).all(axis=1), one.reaches(own)
        text = f"{predictions.split}: {name} known of {np.count_nonzero(known)} of {m} plants"
        far = np.count_nonzero(known & ~reached)
        told.append(f"{text}, {far} of them too far from any record; the others are left as they are.")
    ratios = {name: one.log_ratio(own) for name, one in learnt.items()}
    return _Part(fused, true_indices(fused.true_class, fused.classes), ratios), told


def _notes(records: Records, learnt: Mapping[str, Learnt]) -> list[str]:
    notes = [f"{len(records.unread)} dates name no month: {listed(list(records.unread))}."] if records.unread else []
    for name, one in learnt.items():
        notes.append(
            f"{name}: {len(one.density.vectors)} observations; width {one.width:g} {one.density.aspect.unit}, "
            f"smoothing {one.smoothing:g}; it changes the log-likelihood of a held-out class by {one.gain:+.3f} nats "
            f"(error {one.error:.3f}) beside frequency alone."
        )
    return notes + [f"{name}: nothing to learn from." for name in ASPECTS if name not in learnt]


def _effects(
    part: _Part, names: tuple[str, ...], strength: NDArray[np.float64], labels: tuple[str, str]
) -> list[Effect]:
    named = np.flatnonzero(part.fused.true_class != "")
    if not len(named):
        return []
    probability, ratios = part.fused.probability[named], part.of(names)[:, named]
    number, author = part.number[named], part.fused.author[named]
    better = with_prior(probability, ratios, strength[named] if strength.ndim > 1 else strength)
    n_touched = int((ratios != 0).any(axis=(0, 2)).sum())
    found = []
    for metric, of in METRICS.items():
        figures = []
        for one in (probability, better):
            own = one[np.arange(len(number)), number]
            figures.append(of(average_ranks(one, number), own, author))
        plain, other = figures
        if not plain.weight.sum():
            continue
        less = difference(other, plain)
        found.append(
            Effect(*labels, "+".join(names), metric, plain.value, other.value, less.value, less.low, less.high,
                   len(named), n_touched)
        )  # fmt: skip
    return found


def write_report(report: PriorReport, out: Path) -> list[Path]:
    """Write prior.csv, prior.json and prior.png below ``out/prior/``."""
    from evaluation.prior.picture import draw

    folder = out / FOLDER / report.run
    rows = [["" if cell is None else str(cell) for cell in effect.to_json().values()] for effect in report.effects]
    write_csv(folder / "prior.csv", [column.name for column in fields(Effect)], rows)
    write_json(folder / "prior.json", {**report.to_json(), "provenance": provenance()})
    return [folder / "prior.csv", folder / "prior.json", draw(report, folder / "prior.png")]
