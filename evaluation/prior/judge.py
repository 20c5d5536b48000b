"""The work of `evaluate prior`: learn on train, choose strengths on valid, tell what that does to valid and test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evaluation.alignment import align
from evaluation.cells import write_csv
from evaluation.fusion import Recipe, fuse
from evaluation.metrics import NOT_LISTED, true_indices, users
from evaluation.papers import read_papers
from evaluation.predictions import Predictions
from evaluation.prior.density import ASPECTS
from evaluation.prior.effects import Effect, Part, effects_of
from evaluation.prior.learning import Learnt, learn
from evaluation.prior.records import Records, read_records
from evaluation.prior.strength import Strengths, choose_strengths
from evaluation.runs import choose_split, find_predictions, predictions_path, read_run_card
from featstore import shell
from featstore.errors import DatasetError, counted, listed
from featstore.provenance import Json, provenance, write_json

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = "prior/1"
FOLDER = "prior"
CHOSEN_ON = "valid"
FEW = 100
"""Plants by whose labels a strength is a matter of luck."""


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
    learnt = _learn(train, true_indices(train.class_id, classes), len(classes), (source, seed))
    parts, notes = {}, _notes(records, learnt)
    with shell.progress(len(predictions), "looking up papers", "splits") as bar:
        for name, one in predictions.items():
            parts[name], told = _part(one, records, learnt)
            notes += told
            bar.update(1)
    strengths, effects = {}, []
    for names in [(name,) for name in learnt] + ([tuple(learnt)] if len(learnt) > 1 else []):
        chosen = _choose(parts[CHOSEN_ON], names, seed)
        strengths[names] = chosen
        if chosen.n_labelled < FEW:
            notes.append(f"{'+'.join(names)}: only {chosen.n_labelled} plants of valid choose the strength.")
        for name, part in parts.items():
            strength = chosen.held_out if name == CHOSEN_ON else chosen.value
            effects += effects_of(part, names, strength, (model, name))
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
    learnt = _learn(records, number, len(classes), (source, seed))
    return learnt, tuple(_notes(records, learnt))


def _learn(
    records: Records, number: NDArray[np.intp], n_classes: int, source_and_seed: tuple[str, int]
) -> dict[str, Learnt]:
    """Learn the aspects that there are; refuse if there is none."""
    source, seed = source_and_seed
    found = {name: learn(name, records, number, n_classes, seed) for name in ASPECTS}
    learnt = {name: one for name, one in found.items() if one is not None}
    if not learnt:
        got = f"none among {len(records.class_id)} observations in {source}"
        remedy = "Name other --papers."
        raise DatasetError("places or dates of plants to learn from, by two authors at least", got, remedy)
    return learnt


def _to_learn_from(records: Records, papers: pd.DataFrame, run: Path) -> NDArray[np.bool_]:
    """Leave out every plant of the data set's own test and of the run's valid and test predictions."""
    judged = [papers.loc[papers["split"] == "test", "observation_id"].to_numpy(str)]
    for split in ("valid", "test"):
        path = predictions_path(run, split)
        if path.is_file():
            judged.append(Predictions.read(path).observation_id)
    return ~np.isin(records.observation_id, np.concatenate(judged))


def _part(predictions: Predictions, records: Records, learnt: Mapping[str, Learnt]) -> tuple[Part, list[str]]:
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
    return Part(fused, true_indices(fused.true_class, fused.classes), ratios), told


def _choose(valid: Part, names: tuple[str, ...], seed: int) -> Strengths:
    return choose_strengths(valid.fused.probability, valid.of(names), valid.number, users(valid.fused.author), seed)


def _notes(records: Records, learnt: Mapping[str, Learnt]) -> list[str]:
    notes = (
        [f"{counted(len(records.unread), 'date names', 'dates name')} no month: {listed(list(records.unread))}."]
        if records.unread
        else []
    )
    for name, one in learnt.items():
        notes.append(
            f"{name}: {len(one.density.vectors)} observations; width {one.width:g} {one.density.aspect.unit}, "
            f"smoothing {one.smoothing:g}; it changes the log-likelihood of a held-out class by {one.gain:+.3f} nats "
            f"(error {one.error:.3f}) beside frequency alone."
        )
    return notes + [f"{name}: nothing to learn from." for name in ASPECTS if name not in learnt]


def write_report(report: PriorReport, out: Path) -> list[Path]:
    """Write prior.csv, prior.json and prior.png below ``out/prior/``."""
    from evaluation.prior.picture import draw

    folder = out / FOLDER / report.run
    rows = [["" if cell is None else str(cell) for cell in effect.to_json().values()] for effect in report.effects]
    write_csv(folder / "prior.csv", [column.name for column in fields(Effect)], rows)
    write_json(folder / "prior.json", {**report.to_json(), "provenance": provenance()})
    return [folder / "prior.csv", folder / "prior.json", draw(report, folder / "prior.png")]
