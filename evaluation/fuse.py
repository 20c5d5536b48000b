"""The work of `evaluate fuse`: load the members, prove that they align, fuse, score, write the run folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluation.alignment import Aligned, align
from evaluation.answers import N_ANSWERS, write_observations
from evaluation.fused import FusedPlaces, fuse_places
from evaluation.fusion import Recipe
from evaluation.members import Member, load_members, species_names
from evaluation.rows import Matrix
from evaluation.runs import CARD, RunCard, read_run_card, write_run_card
from evaluation.scores import Score, score_fused, score_predictions, write_scores
from evaluation.streaming import n_threads
from evaluation.table import FusionReport, Line
from featstore.errors import PredictionsError, listed
from featstore.provenance import Json, sha256_of_file


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
    """

    recipes: tuple[Recipe, ...] = (Recipe(),)
    align_by: str = "image"
    split: str | None = None
    augmented: bool = False

    def run(self, recipe: Recipe) -> str:
        """Name of a fusion in tables and scores."""
        return f"fusion:{recipe.name}{' + TTA' if self.augmented else ''}"

    def folder(self, recipe: Recipe) -> str:
        """Name of a fusion's run folder."""
        return f"fusion-{recipe.name}{'-tta' if self.augmented else ''}"


def fuse_runs(runs: Sequence[Path], settings: FuseSettings, out: Path) -> FusionReport:
    """Fuse runs by every recipe, score members and fusions, and write ``<out>/fusion-<rule>/``.

    Each folder holds observations.csv, run.json, and the scores of the whole table, single views included, as
    scores.csv and scores.json.

    Parameters
    ----------
    runs
        Run folders or ``*.predictions.h5`` files.
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
    members = load_members(runs, settings.split, augmented=settings.augmented)
    aligned = align([member.predictions for member in members.fused], settings.align_by)
    species = species_names(members.listed)
    found = fuse_places(aligned, settings.recipes, N_ANSWERS)
    fusions = dict(zip(settings.recipes, found, strict=True))
    judged = [_judge_member(member) for member in members.listed]
    judged += [_judge_fusion(aligned, fused, settings.run(recipe)) for recipe, fused in fusions.items()]
    scores = tuple(score for _, own in judged for score in own)
    warnings = [*members.warnings, *aligned.warnings, *_truth_warnings(aligned, species)]
    sources = _sources(members.fused)
    folders: list[Path] = []
    for recipe, fused in fusions.items():
        folder = out / settings.folder(recipe)
        card = _card(members.fused, sources, recipe, settings, species)
        warnings += _replaced(folder, card)
        write_observations(fused, species, folder / "observations.csv")
        write_scores(scores, folder)
        write_run_card(folder, card)
        folders.append(folder)
    lines = tuple(line for line, _ in judged)
    return FusionReport(aligned.members[0].split, lines, scores, tuple(folders), tuple(warnings))


def _judge_member(member: Member) -> tuple[Line, list[Score]]:
    predictions = member.predictions
    scores = score_predictions(predictions, member.run)
    n_observations = len(np.unique(predictions.observation_id))
    line = Line.of(member.run, scores, len(predictions.image_id), n_observations, predictions.images_per_second)
    return line, scores


def _judge_fusion(aligned: Aligned[Matrix], fused: FusedPlaces, run: str) -> tuple[Line, list[Score]]:
    scores = score_fused(fused, run)
    n_images = int(fused.n_images.sum())
    # The members look at their images one after another.
    seconds = sum(len(member.image_id) / member.images_per_second for member in aligned.members)
    return Line.of(run, scores, n_images, len(fused.observation_id), n_images / seconds), scores


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
        f"{folder} held a fusion of other files ({earlier.get('split')}); it was replaced. Pass --out to keep both."
    ]
