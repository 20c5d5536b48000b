"""Again: what runs and fusions said, from the very files that they were made of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evaluation.alignment import align
from evaluation.learning import Fit
from evaluation.members import load_members, species_names
from evaluation.predictions import Predictions
from evaluation.recipes import Recipe
from evaluation.runs import CARD, RULE, RunCard, choose_split, read_run_card, where_it_is
from evaluation.slices import Answers
from featstore.errors import PredictionsError
from featstore.provenance import Json, sha256_of_file

FUSE_AGAIN = "Fuse again with `evaluate fuse`, and keep the predictions of the members."


def find_answers(runs: Sequence[Path], split: str | None) -> tuple[list[Answers], dict[str, str]]:
    """Read what runs and fusions say, and the species of their classes.

    Raises
    ------
    PredictionsError
        If predictions are missing, of another split, or no longer those that were fused.
    """
    cards = {run: read_run_card(run) for run in runs if (run / CARD).is_file()}
    fusions = {run: card for run, card in cards.items() if card.kind == "fusion"}
    models = [run for run in runs if run not in fusions]
    split = split or next((str(card.details.get("split")) for card in fusions.values()), None) or choose_split(models)
    members = load_members(models, split, apart=True).fused if models else ()
    of_models = {member.path: Answers(member.run, align([member.predictions]), Recipe()) for member in members}
    found = [*of_models.values(), *(_fused_again(run, card, split) for run, card in fusions.items())]
    names = species_names(members)
    for card in fusions.values():
        names |= {class_id: species for class_id, species in card.classes.items() if not names.get(class_id)}
    return found, names


def _fused_again(folder: Path, card: RunCard, split: str) -> Answers:
    """Fuse what `run.json` of a fusion names, once it is proved to be the same files."""
    details = card.details
    if details.get("split") != split:
        got = f"{details.get('split')} in {folder}"
        raise PredictionsError(f"a fusion of {split} predictions", got, "Fuse that split, or leave out this run.")
    paths = member_files(folder, card)
    recipe = recipe_of(card)
    fit = Fit.read(folder / RULE) if recipe.needs_learning else Fit()
    align_by, notes = str(details.get("align")), _taught_itself(card, recipe, split)
    if fit.temperatures:
        ready = fit.calibrated(align([Predictions.read(path) for path in paths], align_by))
        return Answers(card.model, ready, recipe, fit.rule, notes)
    return Answers(card.model, align([Predictions.open(path) for path in paths], align_by), recipe, fit.rule, notes)


def member_files(folder: Path, card: RunCard) -> list[Path]:
    """Give the predictions that a fusion was made of, once they are proved to be the same.

    Raises
    ------
    PredictionsError
        If one is gone or has changed.
    """
    named = card.details.get("members")
    return [_member_path(folder, member) for member in named] if isinstance(named, list) else []


def recipe_of(card: RunCard) -> Recipe:
    """How a fusion fuses, by its card.

    Raises
    ------
    SettingsError
        If there is no such way.
    """
    details = card.details
    weights = details.get("weights")
    return Recipe(
        rule=str(details.get("rule")),
        image_rule=_text_or_none(details.get("image_rule")),
        weights=tuple(float(str(weight)) for weight in weights) if isinstance(weights, list) else (),
        calibrate=str(details.get("calibrate", "none")),
    )


def _taught_itself(card: RunCard, recipe: Recipe, split: str) -> tuple[str, ...]:
    if not recipe.needs_learning or split == "test":
        return ()
    return (
        f"{card.model} answers {split} by what all its plants taught, `evaluate fuse` each by what the others did.",
    )


def _member_path(folder: Path, member: Json) -> Path:
    if not isinstance(member, dict):
        raise PredictionsError("members with file and sha256", f"{member!r} in {folder / CARD}", FUSE_AGAIN)
    path = where_it_is(Path(str(member.get("file"))), folder)
    if not path.is_file():
        raise PredictionsError(f"the member {member.get('run')} of {folder}", f"no file {path}", FUSE_AGAIN)
    if sha256_of_file(path) != member.get("sha256"):
        got = f"{path}, which has changed since"
        raise PredictionsError(f"the predictions that {folder} fused", got, FUSE_AGAIN)
    return path


def _text_or_none(value: Json) -> str | None:
    return None if value is None else str(value)
