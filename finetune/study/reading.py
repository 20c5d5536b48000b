"""Reading the study: the rows of its table, from the files of its runs; one whose run is not there says so."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.gain.article import METRICS, PUBLISHED
from evaluation.gain.contest import contest_of
from evaluation.gain.figures import Figure, figures
from evaluation.intervals import Difference, difference
from evaluation.metrics import observation_score, reciprocal_rank, top_k_score
from evaluation.per_author import PerAuthor
from evaluation.predictions import Predictions
from evaluation.runs import predictions_path
from featstore.backbones import random_seed
from featstore.backbones.sources import SHIPPED, meant
from featstore.errors import PhytobenchError
from featstore.provenance import Json
from finetune.study.plan import TTA, ArticleSettings, article_file
from finetune.study.table import Row, StudyTable
from finetune.study.variations import ARTICLE, HEADS, Variation

USUAL = "the article's way"
_REGION = {"article": "region of interest", "none": "whole photograph"}


@dataclass(frozen=True, eq=False)
class _Judged:
    """A file of predictions in figures; the plants are those of known class."""

    figures: Mapping[str, Figure]
    plants: NDArray[np.str_]
    per_author: PerAuthor
    split: str

    def less(self, other: _Judged | None) -> Difference | None:
        """How much S is above another's on the same plants; None where there is none."""
        if other is None or not np.array_equal(self.plants, other.plants):
            return None
        return difference(self.per_author, other.per_author)


class _Reader:
    """Reads each file once, and keeps its figures instead of its rows."""

    def __init__(self, settings: ArticleSettings) -> None:
        self.settings = settings
        self._judged: dict[Path, _Judged | str] = {}

    @property
    def found(self) -> Iterator[_Judged]:
        """Whatever has figures."""
        return (judged for judged in self._judged.values() if isinstance(judged, _Judged))

    def judged(self, run: Path, variant: str = "") -> _Judged | str:
        """Figures on test, or valid where there is none; or why there are none."""
        paths = [predictions_path(run, split, variant) for split in ("test", "valid")]
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            return "not there"
        if path not in self._judged:
            self._judged[path] = _judge(path)
        return self._judged[path]

    def row(self, run: Path, way: Variation, classifier: str, base: tuple[str, Path, str] | None = None) -> Row:
        """A row about a run; `base` is what it is compared with: in words, its run and variant."""
        variant = f"tta{TTA}" if classifier.endswith("TTA") else ""
        found = self.judged(run, variant)
        other = self.judged(*base[1:]) if base else ""
        network = run.name.split("-")[0]
        row = Row(
            kind="network" if classifier.startswith("fine-tuned") else "head",
            run=run.relative_to(self.settings.out).as_posix(),
            network=network,
            classifier=classifier,
            features=f"{'average' if way.pooling == 'avg' else 'maximum'}, {_REGION.get(way.roi, way.roi)}",
            votes=way.votes,
            weights=weights_told(self.settings.weights, (network,)),
            figures={} if isinstance(found, str) else found.figures,
            less=base[0] if base else "",
            missing=found if isinstance(found, str) else "",
        )
        if isinstance(found, str) or isinstance(other, str):
            return row
        return replace(row, difference=found.less(other))


def study_table(settings: ArticleSettings) -> StudyTable:
    """Read what the study's runs say."""
    reader = _Reader(settings)
    rows = [*_head_rows(settings, reader), *_network_rows(settings, reader)]
    article, remarks = _article_rows(settings)
    first = next(iter(reader.found), None)
    split, n_plants = (first.split, len(first.plants)) if first else ("", 0)
    return StudyTable(tuple(rows), tuple(article), split, n_plants, tuple(remarks))


def weights_told(weights: str, networks: Sequence[str]) -> str:
    """What the weights of some networks are called in tables."""
    if random_seed(weights) is not None:
        return "RANDOM"
    names = {"imagenet": "ImageNet", SHIPPED: "shipped"}
    return " and ".join(dict.fromkeys(names.get(found := meant(name, weights), Path(found).name) for name in networks))


def _head_rows(settings: ArticleSettings, reader: _Reader) -> Iterator[Row]:
    for way in settings.variations:
        for name in settings.backbones:
            for head in HEADS:
                run = settings.head_run(way, name, head)
                first = (HEADS[0], settings.head_run(way, name, HEADS[0]), "") if head != HEADS[0] else None
                usual = (USUAL, settings.head_run(ARTICLE, name, head), "")
                yield reader.row(run, way, head, first if way is ARTICLE else usual)


def _network_rows(settings: ArticleSettings, reader: _Reader) -> Iterator[Row]:
    for way in settings.trained_variations:
        for name in settings.trained:
            run = settings.trained_run(way, name)
            start = ("its head", settings.head_run(way, name, HEADS[0]), "")
            usual = (USUAL, settings.trained_run(ARTICLE, name), "")
            yield reader.row(run, way, "fine-tuned", start if way is ARTICLE else usual)
            yield reader.row(run, way, "fine-tuned + TTA", ("without TTA", run, ""))


def _judge(path: Path) -> _Judged | str:
    try:
        predictions = Predictions.read(path)
        contest = contest_of([predictions], [predictions.model])
    except PhytobenchError as error:
        return str(error)
    rank, author = contest.ranks((0,)), contest.plants.author
    tops = {f"top_{k}": top_k_score(rank, k, author) for k in (1, 3, 5)}
    scores = {"S": observation_score(reciprocal_rank(rank), author), **tops}
    found = dict(zip(scores, figures(list(scores.values())), strict=True))
    return _Judged(found, contest.plants.observation_id, scores["S"], contest.split)


def _article_rows(settings: ArticleSettings) -> tuple[list[Row], list[str]]:
    """The best single network, the same with augmentation, and several merged, beside what the article reports."""
    path, weights = article_file(settings), weights_told(settings.weights, settings.trained)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return [_missing(kind, weights) for kind in PUBLISHED] if settings.trained_runs else [], []
    names = _names(settings)
    best = names.get(found["best_single"], "")
    # Of the others, only the best one's augmented self: all of them are rows of the study's own table.
    rows = [
        _article_row(entry, names, weights)
        for entry in found["rows"]
        if entry["kind"].startswith(("best", "merged"))
        or (entry["kind"] == "+ TTA" and names.get(entry["run"], "?") == best)
    ]
    return rows, [found["note"]]


def _article_row(entry: Mapping[str, Json], names: Mapping[str, str], weights: str) -> Row:
    kind, run = str(entry["kind"]), str(entry["run"])
    return Row(
        kind=kind,
        run=names.get(run, run),
        network="",
        classifier="fine-tuned",
        features="",
        votes="",
        weights=weights,
        figures={name: _figure(entry, name) for name in METRICS},
        published=PUBLISHED.get(kind),
    )


def _figure(entry: Mapping[str, Json], name: str) -> Figure:
    ends = (entry[f"{name}{end}"] for end in ("", "_low", "_high"))
    return Figure(*(float(value) if isinstance(value, int | float) else math.nan for value in ends))


def _names(settings: ArticleSettings) -> dict[str, str]:
    """How `evaluate article` calls a run: by its model, or by its file where two have one name -> where it is."""
    found = {}
    for run in settings.trained_runs:
        name = run.relative_to(settings.out).as_posix()
        for variant, behind in (("", ""), (f"tta{TTA}", f" + TTA{TTA}")):
            for split in ("test", "valid"):
                found[str(predictions_path(run, split, variant))] = name
            found.setdefault(f"{run.name}{behind}", name)
    return found


def _missing(kind: str, weights: str) -> Row:
    return Row(kind, "", "", "fine-tuned", "", "", weights, {}, published=PUBLISHED[kind], missing="not there")
