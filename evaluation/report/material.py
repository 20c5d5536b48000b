"""Material: everything a page tells, gathered and computed before the first line of it is written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluation.alignment import align
from evaluation.gain.entries import LEARNED_ON, Entries, read_entries
from evaluation.identify.contract import Neighbour
from evaluation.intervals import Difference, few_among
from evaluation.members import Member, load_members, species_names
from evaluation.recipes import require_fixed
from evaluation.report.growth import Growth, measure_growth
from evaluation.report.herbarium import Herbarium
from evaluation.report.mistakes import Case, Confusion, cases_of, confusions_of, image_rows
from evaluation.report.neighbours import nearest_neighbours
from evaluation.report.questions import Question, is_fusion, questions, stored_fusions
from evaluation.report.results import Answers, Result, answers, judge, lead, ordered
from evaluation.runs import expand
from evaluation.simplest import n_best
from featstore import shell
from featstore.errors import PredictionsError, SettingsError, listed


@dataclass(frozen=True)
class ReportSettings:
    """What to report, and how.

    Parameters
    ----------
    split
        Which split; None takes test where there is one, else valid.
    rule
        How images and models are fused, a name in `FIXED`.
    align_by
        ``"image"`` or ``"observation"``, as in `align`.
    n_worst
        How many observations of the worst rank, and how many confident mistakes, are shown with their photographs.

    Raises
    ------
    SettingsError
        If there is no such rule, or fewer than 0 observations are asked for.
    """

    split: str | None = None
    rule: str = "mean"
    align_by: str = "image"
    n_worst: int = 12

    def __post_init__(self) -> None:
        require_fixed(self.rule)
        if self.n_worst < 0:
            raise SettingsError("0 or more observations", f"--worst {self.n_worst}", "Pass --worst 12.")


@dataclass(frozen=True, eq=False)
class Material:
    """What the page is made of.

    Attributes
    ----------
    settings
        As asked.
    members
        Every file of predictions.
    results
        Highest S on valid first, as far as valid knows them.
    lead
        How far the first is ahead of the second on the reported split; None for a single one.
    answers
        Those of the first result: the one that the page looks into.
    species
        Class id -> species name, as run cards and papers have it.
    herbarium
        Photographs and papers; None without a store.
    worst, confident
        Observations that the first result failed, by rank and by confidence.
    confusions
        Pairs of species that it took for one another.
    neighbours
        image_id -> nearest training photographs, of every image of `worst` and `confident`.
    growth
        What more photographs and models add.
    warnings
        What is doubtful and was kept.
    """

    settings: ReportSettings
    members: tuple[Member, ...]
    results: tuple[Result, ...]
    lead: Difference | None
    answers: Answers
    species: Mapping[str, str]
    herbarium: Herbarium | None
    worst: tuple[Case, ...]
    confident: tuple[Case, ...]
    confusions: tuple[Confusion, ...]
    neighbours: Mapping[str, Sequence[Neighbour]]
    growth: Growth
    warnings: tuple[str, ...]

    @property
    def best(self) -> Result:
        """The first result."""
        return self.results[0]

    @property
    def chosen_on(self) -> str:
        """Split on which the first result was found to be the best: ``"valid"``, or the reported one."""
        return LEARNED_ON if math.isfinite(self.best.on_valid) else self.answers.fused.split

    @property
    def n_tied(self) -> int:
        """How many results are as good as the first where it was chosen, itself included."""
        if math.isfinite(self.best.on_valid):
            return n_best([result.on_valid for result in self.results if math.isfinite(result.on_valid)])
        return n_best([result.s.value for result in self.results])

    def name_of(self, class_id: str) -> str:
        """Species name, or the class id where there is none."""
        return self.species.get(class_id) or f"class {class_id}"

    def cases(self) -> tuple[Case, ...]:
        """Every observation that is shown, once."""
        return tuple({case.row: case for case in (*self.worst, *self.confident)}.values())


def gather(runs: Sequence[Path], settings: ReportSettings, store: str | None) -> Material:
    """Load, prove that the runs belong together, fuse, score, and look for what went wrong.

    Raises
    ------
    PredictionsError
        If predictions are missing, break their format, do not belong together, or no true class is known.
    StoreError
        If there is no such store, or it is damaged.
    """
    named, runs = runs, expand([path for path in runs if not is_fusion(path)] or runs)
    members = load_members(runs, settings.split)
    aligned = align([member.predictions for member in members.listed], settings.align_by)
    if not (aligned.observations[0].true_class != "").any():
        got = f"none among {len(aligned.observations[0].true_class)} observations"
        raise PredictionsError("at least one observation of known class", got, "Report a split whose truth is known.")
    split = aligned.members[0].split
    # Members that saw photographs of their own have no order in which they help.
    entries = read_entries(runs, split, settings.rule) if settings.align_by == "image" else None
    stored, left_out = stored_fusions(named, aligned, settings.align_by)
    asked = questions(members.listed, members.fused, settings.rule, _worth(entries, members.listed), stored)
    results = _judged(asked, settings.align_by)
    found = answers(results[0].question, settings.align_by)
    herbarium = Herbarium.open(store, found.images, _backbones(members.listed)) if store else None
    worst, confident = cases_of(found, settings.n_worst)
    growth = measure_growth(entries, results[0].question, settings.rule) if entries else Growth()
    warnings = [*_random(members.listed), *members.warnings, *aligned.warnings, *left_out]
    few = few_among(split, aligned.scored_authors)
    warnings += [*few, *_unscored(found), *growth.warnings]
    shown = image_rows(found, [*worst, *confident])
    return Material(
        settings=settings,
        members=members.listed,
        results=tuple(results),
        lead=lead(results),
        answers=found,
        species=_named(members.listed, herbarium),
        herbarium=herbarium,
        worst=worst,
        confident=confident,
        confusions=confusions_of(found),
        neighbours=nearest_neighbours(herbarium, found.images.image_id[shown]) if herbarium else {},
        growth=growth,
        warnings=tuple(dict.fromkeys([*warnings, *(herbarium.warnings if herbarium else ())])),
    )


def _judged(asked: Sequence[Question], align_by: str) -> list[Result]:
    results = []
    with shell.progress(len(asked), "scoring", "results") as bar:
        for question in asked:
            results.append(judge(question, align_by))
            bar.update()
    return ordered(results)


def _worth(entries: Entries | None, members: Sequence[Member]) -> list[Path]:
    """Files that valid would merge."""
    if entries is None or not entries.chosen_on:
        return []
    return [members[number].path for number in entries.order[: entries.n_worth]]


def _random(members: Sequence[Member]) -> list[str]:
    """Say whose networks have learnt nothing."""
    names = [member.run for member in members if member.card and member.card.has_random_weights]
    text = f"Random weights behind {listed(names)}: their figures say nothing about plants."
    return [text] if names else []


def _named(members: Sequence[Member], herbarium: Herbarium | None) -> dict[str, str]:
    """Species names: run cards first, papers where those have none."""
    of_cards = {class_id: name for class_id, name in species_names(members).items() if name}
    return {**(herbarium.species if herbarium else {}), **of_cards}


def _backbones(members: Sequence[Member]) -> list[str]:
    return list(dict.fromkeys(name for member in members if member.card for name in member.card.backbones))


def _unscored(found: Answers) -> list[str]:
    truth = found.fused.true_class
    unknown = int(np.count_nonzero(truth == ""))
    outside = int(np.count_nonzero((truth != "") & ~np.isin(truth, found.fused.classes)))
    texts = []
    if unknown:
        texts.append(f"No known class, left out of the scores: {unknown} of {len(truth)} observations.")
    if outside:
        texts.append(
            f"Of a class that no model knows, and so counted as wrong: {outside} of {len(truth)} observations."
        )
    return texts
