"""The work of `evaluate fuse`: load the members, prove that they align, fuse, score, write the run folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluation.alignment import Aligned, align
from evaluation.answers import N_ANSWERS, open_answers, write_observations
from evaluation.comparison import compare_rows
from evaluation.fused import FusedPlaces
from evaluation.intervals import few_among
from evaluation.invariants import ALL_VIEWS
from evaluation.learning import Fit
from evaluation.lessons import find_lesson
from evaluation.members import Member, Members, load_members, needs_of_members, species_names
from evaluation.ranking import Ranked, rank_fused, rank_predictions
from evaluation.recipes import Recipe
from evaluation.rows import Matrix, StoredRows
from evaluation.runs import CARD, RULE, RunCard, expand, observations_path, read_run_card, write_run_card
from evaluation.scores import USUAL, Score, Scoring, score_ranked, write_scores
from evaluation.streaming import n_threads
from evaluation.table import FusionReport, Line
from evaluation.teaching import Teacher, fuse_recipes
from featstore.errors import PredictionsError, listed
from featstore.provenance import Json, require_room, sha256_of_file

N_BYTES = StoredRows.dtype.itemsize


Judged = tuple[Line, list[Score], Ranked | None]
"""A line of the table, all scores behind it, and the places that the right species took, if any is known."""


@dataclass(frozen=True)
class FuseSettings:
    """What to fuse, and how.

    Parameters
    ----------
    recipes
        One fusion each.
    align_by
        ``"image"`` or ``"observation"``, as in `align`.
    split
        Which split; None takes test where there is one, else valid.
    augmented
        Fuse the augmented predictions of a run where it has them.
    scoring
        What is scored, and how.
    learn_on
        What learned rules and temperatures are fitted on: a name in `LESSONS`, or one file per run.
    seed
        Of everything random.
    """

    recipes: tuple[Recipe, ...] = (Recipe(),)
    align_by: str = "image"
    split: str | None = None
    augmented: bool = False
    scoring: Scoring = USUAL
    learn_on: tuple[str, ...] = ("auto",)
    seed: int = 0

    def run(self, recipe: Recipe) -> str:
        """Name of a fusion in tables and scores."""
        return f"fusion:{recipe.name}{' + TTA' if self.augmented else ''}"

    def folder(self, recipe: Recipe) -> str:
        """Name of a fusion's run folder."""
        return f"fusion-{recipe.name}{'-tta' if self.augmented else ''}"


def fuse_runs(runs: Sequence[Path], settings: FuseSettings, out: Path) -> FusionReport:
    """Fuse runs by every recipe, score members and fusions, and write ``<out>/fusion-<rule>/``.

    Each folder holds observations.csv, ``<split>.observations.h5``, run.json, the scores of the whole table, single
    views included, as scores.csv and scores.json, and rule.json where something was learnt.

    Parameters
    ----------
    runs
        Run folders, folders of runs, or ``*.predictions.h5`` files.
    settings
        What to fuse, and how.
    out
        Folder of runs.

    Raises
    ------
    PredictionsError
        If predictions are missing, break their format or do not belong together.
    SettingsError
        If a setting does not fit the runs.
    """
    members = load_members(expand(runs), settings.split, augmented=settings.augmented)
    aligned = align([member.predictions for member in members.fused], settings.align_by)
    species = species_names(members.listed)
    teacher = teacher_of(members, settings)
    teacher.prepare(aligned, settings.recipes)
    folders = {recipe: out / settings.folder(recipe) for recipe in settings.recipes}
    found = _fuse(aligned, settings, teacher, folders)
    judged = [_judge_member(member, settings.scoring) for member in members.listed]
    judged += [_judge_fusion(aligned, found[recipe], settings, recipe) for recipe in settings.recipes]
    scores = tuple(score for _, own, _ in judged for score in own)
    warnings = [*members.warnings, *aligned.warnings, *_truth_warnings(aligned, species)]
    warnings += teacher.lesson.warnings if teacher.lesson else ()
    split = aligned.members[0].split
    warnings += few_among(split, aligned.scored_authors)
    sources = _sources(members.fused)
    for recipe, folder in folders.items():
        card = _card(members.fused, sources, recipe, settings, species)
        warnings += _replaced(folder, card)
        write_observations(found[recipe], species, folder / "observations.csv")
        _write_rule(teacher.fit(recipe), folder)
        write_scores(scores, folder)
        write_run_card(folder, card)
    lines = tuple(line for line, _, _ in judged)
    ranked = {line.run: places for line, _, places in judged if places is not None}
    compared = compare_rows(ranked, simplest_first=_simplest_first(members, settings))
    return FusionReport(split, lines, scores, tuple(compared), tuple(folders.values()), tuple(warnings))


def _simplest_first(members: Members, settings: FuseSettings) -> list[str]:
    """Every line of the table, what asks for the least first."""
    needs = [needs_of_members(member.run, [member]) for member in members.listed]
    needs += [needs_of_members(settings.run(recipe), members.fused) for recipe in settings.recipes]
    return [need.name for need in sorted(needs)]


def teacher_of(members: Members, settings: FuseSettings) -> Teacher:
    """Find what the recipes learn from, if any of them learns."""
    learns = any(recipe.needs_learning for recipe in settings.recipes)
    lesson = find_lesson(members.fused, settings.learn_on, settings.align_by) if learns else None
    return Teacher(lesson, settings.seed)


def _fuse(
    aligned: Aligned[Matrix], settings: FuseSettings, teacher: Teacher, folders: Mapping[Recipe, Path]
) -> dict[Recipe, FusedPlaces]:
    """Fuse, and write every answer on its way into its recipe's folder."""
    split = aligned.members[0].split
    n_cells = len(aligned.observations[0].observation_id) * len(aligned.members[0].classes)
    # Each file asks for its own room, which the others might take.
    require_room(next(iter(folders.values())).parent, N_BYTES * n_cells * len(folders))
    with ExitStack() as files:
        keep = {
            recipe: files.enter_context(open_answers(observations_path(folder, split), aligned, settings.run(recipe)))
            for recipe, folder in folders.items()
        }
        return dict(fuse_recipes(aligned, settings.recipes, teacher, N_ANSWERS, keep))


def _judge_member(member: Member, scoring: Scoring) -> Judged:
    predictions = member.predictions
    by_view = rank_predictions(predictions, scoring.unknown_author)
    scores = [
        score
        for view, ranked in by_view.items()
        for score in score_ranked(ranked, member.run, predictions.split, view, scoring)
    ]
    n_observations = len(np.unique(predictions.observation_id))
    line = Line.of(member.run, scores, len(predictions.image_id), n_observations, predictions.images_per_second)
    return line, scores, by_view.get(ALL_VIEWS)


def _write_rule(fit: Fit, folder: Path) -> None:
    """Write what was learnt, or take away what an earlier fusion in this folder learnt."""
    if fit.learnt_something:
        fit.write(folder / RULE)
    else:
        (folder / RULE).unlink(missing_ok=True)


def _judge_fusion(aligned: Aligned[Matrix], fused: FusedPlaces, settings: FuseSettings, recipe: Recipe) -> Judged:
    run, ranked = settings.run(recipe), rank_fused(fused, settings.scoring.unknown_author)
    scores = score_ranked(ranked, run, fused.split, ALL_VIEWS, settings.scoring) if ranked else []
    n_images = int(fused.n_images.sum())
    # The members look at their images one after another.
    seconds = sum(len(member.image_id) / member.images_per_second for member in aligned.members)
    return Line.of(run, scores, n_images, len(fused.observation_id), n_images / seconds), scores, ranked


def _truth_warnings(aligned: Aligned[Matrix], species: Mapping[str, str]) -> list[str]:
    """Say which observations cannot be scored, and which cannot be right."""
    truth = aligned.observations[0].true_class
    unknown = int(np.count_nonzero(truth == ""))
    if unknown == len(truth):
        return ["No observation has a known class: nothing can be scored, only the answers are written."]
    warnings = [f"No known class, left out of the scores: {unknown} of {len(truth)} observations."] if unknown else []
    outside = (truth != "") & ~np.isin(truth, aligned.members[0].classes)
    if outside.any():
        names = [f"{name} {species.get(name, '')}".strip() for name in np.unique(truth[outside]).tolist()]
        count = f"{np.count_nonzero(outside)} of {len(truth)} observations"
        warnings.append(f"Of a class that no model knows, and so counted as wrong: {count} ({listed(names)}).")
    return warnings


def _sources(members: Sequence[Member]) -> list[Json]:
    """Which files were fused, told by their content."""
    with ThreadPoolExecutor(n_threads()) as threads:
        digests = list(threads.map(sha256_of_file, [member.path for member in members]))
    return [
        {"run": member.run, "file": str(member.path), "sha256": digest}
        for member, digest in zip(members, digests, strict=True)
    ]


def _card(
    members: Sequence[Member],
    sources: list[Json],
    recipe: Recipe,
    settings: FuseSettings,
    species: Mapping[str, str],
) -> RunCard:
    first = members[0].predictions
    cards = [member.card for member in members if member.card is not None]
    return RunCard(
        model=settings.run(recipe),
        kind="fusion",
        backbones=tuple(dict.fromkeys(backbone for card in cards for backbone in card.backbones)),
        head="",
        classes={class_id: species.get(class_id, "") for class_id in first.classes.tolist()},
        details={
            "split": first.split,
            "align": settings.align_by,
            "rule": recipe.rule,
            "image_rule": recipe.image_rule,
            "weights": list(recipe.weights),
            "calibrate": recipe.calibrate,
            "learn_on": list(settings.learn_on) if recipe.needs_learning else None,
            "members": sources,
        },
    )


def _replaced(folder: Path, card: RunCard) -> list[str]:
    """Say when results of other members or another split give way to these."""
    if not (folder / CARD).is_file():
        return []
    try:
        earlier = read_run_card(folder).details
    except PredictionsError:
        return [f"{folder} held results of another version; they were replaced."]
    if earlier == card.details:
        return []
    return [
        f"{folder} held a fusion of other files ({earlier.get('split')}); it was replaced. Another --out keeps both."
    ]
