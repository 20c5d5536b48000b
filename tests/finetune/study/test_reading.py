"""The table says what the files of the runs say, compares like with like, and labels every row."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation.gain.work import make_article, write_article
from evaluation.predictions import Predictions
from evaluation.runs import RunCard, predictions_path, write_run_card
from finetune.study.plan import ArticleSettings
from finetune.study.reading import study_table, weights_told
from finetune.study.table import ARTICLE_COLUMNS, COLUMNS, Row
from finetune.study.variations import ARTICLE, HEADS, VARIATIONS

N_PLANTS, N_CLASSES = 24, 4
AUTHORS = np.array([f"author {number % 6}" for number in range(N_PLANTS)])
TRUTH = np.array([str(number % N_CLASSES) for number in range(N_PLANTS)])


def write_run(run: Path, seed: int, kind: str, variants: tuple[str, ...] = ("",)) -> None:
    """A run with one photograph of each plant, right more often than by chance."""
    rng = np.random.default_rng(seed)
    for split in ("valid", "test"):
        for variant in variants:
            chance: NDArray[np.float32] = rng.random((N_PLANTS, N_CLASSES)).astype(np.float32)
            chance[np.arange(N_PLANTS), np.arange(N_PLANTS) % N_CLASSES] += 0.3
            ids = np.array([f"{split} {number}" for number in range(N_PLANTS)])
            Predictions(
                run.name, split, ids, ids, AUTHORS, np.full(N_PLANTS, "Leaf"), TRUTH,
                classes=np.unique(TRUTH), probability=chance / chance.sum(axis=1, keepdims=True),
            ).write(predictions_path(run, split, variant))  # fmt: skip
    write_run_card(run, RunCard(run.name, kind, ("vgg16",), "mlp", dict.fromkeys(np.unique(TRUTH).tolist(), "")))


@pytest.fixture
def study(tmp_path: Path) -> ArticleSettings:
    settings = ArticleSettings(Path("photos"), tmp_path, "random", ("vgg16", "vgg19"), without=("all-votes",))
    for number, way in enumerate(settings.variations):
        for name in settings.backbones:
            for place, head in enumerate(HEADS):
                write_run(settings.head_run(way, name, head), 10 * number + place, "head")
    for number, run in enumerate(settings.trained_runs):
        write_run(run, 100 + number, "finetuned", ("", "tta5"))
    table, _ = make_article(settings.trained_runs, None)
    write_article(table, settings.out / "article")
    return settings


def s_of(run: Path, variant: str = "") -> float:
    """S by the definition: mean over authors of the mean over their plants of 1 / place."""
    told = Predictions.read(predictions_path(run, "test", variant))
    own = told.probability[np.arange(N_PLANTS), np.arange(N_PLANTS) % N_CLASSES]
    place = 1 + (told.probability > own[:, None]).sum(axis=1)
    return float(np.mean([(1 / place)[author == AUTHORS].mean() for author in np.unique(AUTHORS)]))


def test_every_choice_has_its_rows_with_interval_and_label(study: ArticleSettings) -> None:
    table = study_table(study)
    n_ways, n_trained = len(study.variations), len(study.trained_runs)
    assert len(table.rows) == n_ways * 2 * len(HEADS) + 2 * n_trained
    assert {row.weights for row in (*table.rows, *table.article)} == {"RANDOM"}
    assert (table.split, table.n_observations, table.n_missing) == ("test", N_PLANTS, 0)
    for row in table.rows:
        assert row.figures["S"].low <= row.figures["S"].value <= row.figures["S"].high
        assert len(row.cells()) == len(COLUMNS)
    assert {row.features for row in table.rows} == {
        "average, region of interest", "maximum, region of interest", "average, whole photograph"
    }  # fmt: skip
    assert {row.votes for row in table.rows} == {"2 or more", "3 or more"}


def test_figures_and_differences_are_those_of_the_files(study: ArticleSettings) -> None:
    rows = {(row.run, row.classifier): row for row in study_table(study).rows}

    def check(run: Path, classifier: str, variant: str, other: tuple[Path, str] | None) -> None:
        row = rows[run.relative_to(study.out).as_posix(), classifier]
        assert row.figures["S"].value == pytest.approx(s_of(run, variant))
        if other is None:
            assert row.difference is None
        else:
            assert row.difference is not None
            assert row.difference.value == pytest.approx(s_of(run, variant) - s_of(*other))

    mlp, logistic = (study.head_run(ARTICLE, "vgg16", head) for head in HEADS)
    whole, other = study.trained_run(ARTICLE, "vgg16"), study.trained_run(VARIATIONS["whole"], "vgg16")
    check(mlp, "mlp", "", None)
    check(logistic, "logistic", "", (mlp, ""))
    check(study.head_run(VARIATIONS["max"], "vgg16", "mlp"), "mlp", "", (mlp, ""))
    check(whole, "fine-tuned", "", (mlp, ""))
    check(whole, "fine-tuned + TTA", "tta5", (whole, ""))
    check(other, "fine-tuned", "", (whole, ""))


def test_the_articles_figures_stand_beside_their_like_and_nowhere_else(study: ArticleSettings) -> None:
    table = study_table(study)
    published = {(row.kind, row.to_json()["S_published"]) for row in table.article}
    assert published >= {("best single", 0.60785), ("+ TTA", 0.615734), ("merged", 0.635100), ("merged + TTA", None)}
    best, augmented = (next(row for row in table.article if row.kind == kind) for kind in ("best single", "+ TTA"))
    assert best.run == augmented.run
    assert (study.out / best.run).is_dir()
    assert augmented.figures["S"].value == pytest.approx(s_of(study.out / best.run, "tta5"))
    assert len([row for row in table.article if row.kind == "+ TTA"]) == 1
    assert all(len(row.article_cells()) == len(ARTICLE_COLUMNS) for row in table.article)
    assert "NOT COMPARABLE" in table.remarks[0]


def test_a_run_that_is_not_there_is_a_row_that_says_so(study: ArticleSettings) -> None:
    lost, damaged = study.trained_run(ARTICLE, "vgg19"), study.head_run(ARTICLE, "vgg16", "mlp")
    for path in lost.glob("*.h5"):
        path.unlink()
    predictions_path(damaged, "test").write_bytes(b"no HDF5")
    (study.out / "article" / "article.json").unlink()
    table = study_table(study)
    assert {row.run for row in table.rows if row.missing} == {"runs/article/vgg19-finetuned", "runs/article/vgg16-mlp"}
    assert [row.missing for row in table.article] == ["not there"] * 3
    assert table.n_missing == 3 + 3


def test_all_rows_are_in_all_three_files(study: ArticleSettings) -> None:
    table = study_table(study)
    rows: tuple[Row, ...] = (*table.article, *table.rows)
    written = {path.suffix: path for path in table.write(study.out)}
    with written[".csv"].open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [(line["run"], float(line["S"])) for line in lines] == [(row.run, row.figures["S"].value) for row in rows]
    document = json.loads(written[".json"].read_text(encoding="utf-8"))
    assert len(document["rows"]) + len(document["article"]) == len(rows)
    text = written[".md"].read_text(encoding="utf-8")
    assert text.count("| RANDOM |") == len(rows)
    assert "NOT COMPARABLE" in text


def test_weights_have_a_name_in_every_row() -> None:
    networks = ("vgg16", "resnet50")
    told = [weights_told(text, networks) for text in ("random:3", "imagenet", "there/mine")]
    assert told == ["RANDOM", "ImageNet", "mine"]
    assert weights_told("imagenet", ("seedling", "vgg16")) == "shipped and ImageNet"
