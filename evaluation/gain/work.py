"""The work of `evaluate gain` and `evaluate article`: read the runs once, judge them, write tables and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.cells import write_csv
from evaluation.gain.article import METRICS, ArticleTable, article_table, entrants
from evaluation.gain.contest import Contest
from evaluation.gain.curves import ImageGain
from evaluation.gain.entries import Entries, read_entries
from evaluation.gain.figures import SCHEMA, row_of
from evaluation.gain.images import image_gain
from evaluation.gain.models import ModelGain, greedy_scores, model_gain
from evaluation.gain.plan import GainPlan
from evaluation.simplest import best_first
from featstore import shell
from featstore.provenance import Json, provenance, write_json, write_text

POINT_COLUMNS = tuple(
    f"{name}{end}" for name in ("S", "top_1", "S_gain", "top_1_gain") for end in ("", "_low", "_high")
)
IMAGE_COLUMNS = ("run", "split", "view", "population", "n_observations", "n_images", *POINT_COLUMNS)
MODEL_COLUMNS = ("set", "models", "n_models", *POINT_COLUMNS[:9], "seconds_per_image", "on_front")
MAY_BE_ABSENT = ("gain.png", "gain_models.csv", "gain_models.png")
ARTICLE_COLUMNS = (
    "kind",
    "run",
    "models",
    *(f"{name}{end}" for name in (*METRICS, "S_difference") for end in ("", "_low", "_high")),
    "images_per_second",
)


@dataclass(frozen=True)
class GainReport:
    """What more images and more models add.

    Attributes
    ----------
    images
        One per run that is fused, in the order they were named; with several runs the fusion of all comes last.
    models
        None for one run.
    warnings
        What is doubtful and was kept.
    """

    images: tuple[ImageGain, ...]
    models: ModelGain | None
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Json]:
        """Give all curves as one document of schema gain/1."""
        return {
            "schema": SCHEMA,
            "images": [gain.to_json() for gain in self.images],
            "models": self.models.to_json() if self.models else None,
            "warnings": list(self.warnings),
        }


def measure_gain(paths: Sequence[Path], split: str | None, plan: GainPlan, *, augmented: bool = False) -> GainReport:
    """Judge every run, and the fusion of all, with more and more images, and with more and more models.

    Parameters
    ----------
    paths, split, augmented
        As in `read_entries`.
    plan
        How gains are measured.
    """
    entries = read_entries(paths, split, plan.rule, augmented=augmented)
    contest, fused = entries.contest, entries.fused
    sets: dict[str, tuple[int, ...]] = {contest.names[number]: (number,) for number in fused}
    if len(fused) > 1:
        sets[f"fusion:{plan.rule}"] = fused
    images: list[ImageGain] = []
    with shell.progress(len(sets), "Curves", "runs") as bar:
        for run, chosen in sets.items():
            images.append(image_gain(_part(contest, chosen), run, plan))
            bar.update()
    models = model_gain(contest, entries.order, entries.chosen_on, plan) if len(fused) > 1 else None
    return GainReport(tuple(images), models, entries.warnings)


def make_article(paths: Sequence[Path], split: str | None, rule: str = "mean") -> tuple[ArticleTable, tuple[str, ...]]:
    """Judge runs in the layout of the article; the warnings say what is doubtful.

    The best single is chosen on valid, or on the reported split, with a warning, where a run has no valid predictions.
    """
    return article_of(read_entries(paths, split, rule), rule)


def article_of(entries: Entries, rule: str = "mean") -> tuple[ArticleTable, tuple[str, ...]]:
    """As `make_article`, of runs that have been read."""
    contest, best = entries.contest, entries.order[0]
    warnings = list(entries.warnings)
    chosen_on = entries.chosen_on
    if not chosen_on and len(entries.fused) > 1:
        chosen_on = contest.split
        best = best_first(entries.simplest_first, lambda number: _value(contest, number, rule))[0]
        warnings.append(f"The best single was chosen on {contest.split} itself: gains over it are too small.")
    rows = entrants(contest, entries.fused, entries.augmented, entries.order[: entries.n_worth])
    table = article_table(contest, rows, best, chosen_on, rule)
    return table, tuple(warnings)


def write_gain(report: GainReport, folder: Path) -> list[Path]:
    """Write gain.csv, gain_models.csv, gain.json and the pictures that there is something to show in."""
    from evaluation.gain.pictures import draw_images, draw_models

    folder.mkdir(parents=True, exist_ok=True)
    for name in MAY_BE_ABSENT:
        # Of an earlier call on other runs.
        (folder / name).unlink(missing_ok=True)
    files = [folder / "gain.csv", folder / "gain.json"]
    lines = [row_of(entry, IMAGE_COLUMNS) for gain in report.images for entry in _entries(gain)]
    write_csv(files[0], IMAGE_COLUMNS, lines)
    write_json(files[1], {**report.to_json(), "provenance": provenance()})
    if any(gain.curves for gain in report.images):
        files.append(draw_images(report.images, folder / "gain.png"))
    if report.models:
        files.append(folder / "gain_models.csv")
        write_csv(files[-1], MODEL_COLUMNS, _model_lines(report.models))
        files.append(draw_models(report.models, folder / "gain_models.png"))
    return files


def write_article(table: ArticleTable, folder: Path) -> list[Path]:
    """Write article.csv, article.json and article.md."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"article.{kind}" for kind in ("csv", "json", "md")]
    rows = [{**row.to_json(), "models": " + ".join(row.models)} for row in table.rows]
    write_csv(files[0], ARTICLE_COLUMNS, [row_of(row, ARTICLE_COLUMNS) for row in rows])
    write_json(files[1], {**table.to_json(), "provenance": provenance()})
    write_text(files[2], table.to_markdown())
    return files


def _part(contest: Contest, chosen: Sequence[int]) -> Contest:
    names = tuple(contest.names[number] for number in chosen)
    return Contest(names, tuple(contest.members[number] for number in chosen), contest.plants)


def _value(contest: Contest, number: int, rule: str) -> float:
    return greedy_scores(contest, [number], rule)[0]


def _entries(gain: ImageGain) -> list[dict[str, Json]]:
    return [
        {
            "run": gain.run,
            "split": gain.split,
            "view": curve.view,
            "population": curve.population,
            "n_observations": curve.n_observations,
            **point.to_json(),
        }
        for curve in gain.curves
        for point in curve.points
    ]


def _model_lines(gain: ModelGain) -> list[list[str]]:
    sets = {"step": gain.steps, "single": gain.singles}
    return [
        row_of({"set": name, **found.to_json(), "models": " + ".join(found.models)}, MODEL_COLUMNS)
        for name, several in sets.items()
        for found in several
    ]
