"""Roll-up against sums by hand, thresholds against trying every one, and the command."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.cli import main
from evaluation.fusion import FusedObservations
from evaluation.predictions import Predictions
from evaluation.runs import RunCard, predictions_path, write_run_card
from evaluation.taxonomy.answering import NO_ANSWER, Ladder, choose_threshold
from evaluation.taxonomy.judge import TaxonomyReport
from evaluation.taxonomy.taxa import Taxonomy, roll_up
from featstore.errors import DatasetError

CLASSES = np.array(["1", "2", "3", "4", "5", "6"])
GENUS = {"1": "Acer", "2": "Acer", "3": "Bellis", "4": "Cirsium", "9": "Acer"}
FAMILY = {"1": "Sapindaceae", "2": "Sapindaceae", "3": "Asteraceae", "4": "Asteraceae", "5": "Asteraceae"}
FAMILY |= {"9": "Sapindaceae"}
TAXONOMY = Taxonomy({"genus": GENUS, "family": FAMILY})


def fused(probability: np.ndarray, truth: list[str]) -> FusedObservations:
    m = len(truth)
    ids, ones = np.array([f"o{row}" for row in range(m)]), np.ones(m, dtype=np.intp)
    author = np.array([f"a{row % 7}" for row in range(m)])
    return FusedObservations("test", ids, author, np.array(truth), ones, CLASSES, probability)


def test_probabilities_of_relatives_are_summed_and_strangers_stay_apart() -> None:
    probability = np.array([[0.1, 0.2, 0.3, 0.05, 0.15, 0.2]])
    genus = roll_up(probability, CLASSES, TAXONOMY, "genus")
    assert genus.name.tolist() == ["Acer", "Bellis", "Cirsium", "", ""]
    np.testing.assert_allclose(genus.probability, [[0.3, 0.3, 0.05, 0.15, 0.2]])
    family = roll_up(probability, CLASSES, TAXONOMY, "family")
    assert family.name.tolist() == ["Asteraceae", "Sapindaceae", ""]
    np.testing.assert_allclose(family.probability, [[0.5, 0.3, 0.2]])
    np.testing.assert_array_equal(roll_up(probability, CLASSES, TAXONOMY, "species").probability, probability)


def test_a_likeliest_class_without_genus_is_no_answer_at_that_rank() -> None:
    taxa = roll_up(np.array([[0.1, 0.1, 0.1, 0.0, 0.7, 0.0]]), CLASSES, TAXONOMY, "genus")
    assert taxa.sure.tolist() == [0.0]


def test_a_ladder_by_hand() -> None:
    probability = np.array(
        [
            [0.9, 0.0, 0.1, 0.0, 0.0, 0.0],  # the species is sure, and right
            [0.4, 0.4, 0.1, 0.1, 0.0, 0.0],  # the genus is, and right: the species was never learnt
            [0.0, 0.1, 0.4, 0.3, 0.2, 0.0],  # the family is, and wrong
            [0.3, 0.0, 0.3, 0.0, 0.0, 0.4],  # nothing is
            [1.0, 0.0, 0.0, 0.0, 0.0, 0.0],  # of a class without genus: left out
        ]
    )
    ladder, n_left = Ladder.of(fused(probability, ["1", "9", "1", "3", "5"]), TAXONOMY)
    assert n_left == 1
    answered = ladder.answered(0.7)
    assert answered.tolist() == [0, 1, 2, NO_ANSWER]
    assert ladder.rightly(answered).tolist() == [True, True, False, False]
    assert ladder.answered(0.7, n_ranks=1).tolist() == [0, NO_ANSWER, NO_ANSWER, NO_ANSWER]
    # Species 1 shares places 4 to 6 of plant 2; genus Acer leads plant 1, family Sapindaceae is second for plant 2.
    assert ladder.reciprocal[:, 0].tolist() == pytest.approx([1, 0, 1 / 5.5, 1 / 2.5])
    assert ladder.reciprocal[1, 1:].tolist() == [1, 1]
    assert ladder.reciprocal[2, 2] == 1 / 2


@given(st.integers(0, 10**6), st.sampled_from([0.5, 0.8, 0.95]), st.sampled_from([1, 3]))
def test_the_threshold_is_the_lowest_that_is_precise(seed: int, precision: float, n_ranks: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.choice(["1", "2", "3", "4", "9"], 25)
    probability = rng.dirichlet(np.ones(6), 25) * 0.4
    probability[np.arange(25), rng.integers(0, 6, 25)] += 0.6
    ladder, _ = Ladder.of(fused(probability, truth.tolist()), TAXONOMY)
    good = []
    for threshold in np.unique(ladder.sure[:, :n_ranks]):
        hits = []
        for row in range(25):
            rank = next((r for r in range(n_ranks) if ladder.sure[row, r] >= threshold), None)
            if rank is not None:
                hits.append(ladder.right[row, rank])
        if threshold > 0 and hits and np.mean(hits) >= precision - 1e-9:
            good.append(threshold)
    assert choose_threshold(ladder, precision, n_ranks) == (min(good) if good else None)


def test_taxa_come_from_whichever_papers_name_them() -> None:
    papers = pd.DataFrame(
        {"class_id": ["1", "1", "2", ""], "genus": ["", "Acer", "", "Iris"], "family": ["", "Sapindaceae", "", ""]}
    )
    assert Taxonomy.from_papers(papers).taxon == {"genus": {"1": "Acer"}, "family": {"1": "Sapindaceae"}}
    with pytest.raises(DatasetError, match="got no genus and family of any class"):
        Taxonomy.from_papers(papers[papers["class_id"] == "2"])
    papers.loc[0, "genus"] = "Negundo"
    with pytest.raises(DatasetError, match="one genus per class, got several for 1: Acer, Negundo"):
        Taxonomy.from_papers(papers)


def test_the_command(painted: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "runs" / "m"
    for split in ("valid", "test"):
        truth = np.array(list("12346") * 20)
        # A model that tells genera, but not the two species of Acer.
        sure = np.eye(6)[np.searchsorted(CLASSES, truth)]
        probability = 0.9 * sure + 0.1 * np.random.default_rng(0).dirichlet(np.ones(6), 100)
        probability[:, :2] = probability[:, :2].sum(axis=1, keepdims=True) / 2
        ids = np.array([f"{split}{row}" for row in range(100)])
        author = np.array([f"a{row // 10}" for row in range(100)])
        Predictions(
            "m", split, ids, ids, author, np.full(100, "Leaf"), truth, CLASSES, probability.astype(np.float32)
        ).write(predictions_path(run, split))
    write_run_card(run, RunCard("m", "head", ("net",), "mlp", dict.fromkeys(CLASSES.tolist(), "")))
    table = tmp_path / "papers.csv"
    rows = [[f"{one}.jpg", one, GENUS.get(one, ""), FAMILY.get(one, "")] for one in CLASSES]
    with table.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["path", "class_id", "genus", "family"], *rows])
    arguments = ["taxonomy", str(run), "--papers", str(table), "--precision", "1", "--out", str(tmp_path), "--json"]
    with pytest.raises(SystemExit) as end:
        main(arguments)
    shown = capsys.readouterr()
    assert end.value.code == 0, shown.err
    figures = {(f["split"], f["rank"], f["metric"]): f for f in json.loads(shown.out)["figures"]}
    # Of 100 plants 20 have no taxa; 40 of 80 are maples, which only their genus tells.
    assert "20 of 100 plants" in shown.err
    assert figures["test", "species", "answered"]["value"] == pytest.approx(0.5)
    assert figures["test", "genus", "answered"]["value"] == pytest.approx(0.5)
    assert figures["test", "any", "precision"]["value"] == 1
    assert figures["test", "genus", "S"]["value"] == 1 > figures["test", "species", "S"]["value"]
    answers = (tmp_path / "taxonomy" / "m" / "answers.csv").read_text(encoding="utf-8").splitlines()
    assert answers[1].split(",")[1:3] == ["genus", "Acer"]
    assert (tmp_path / "taxonomy" / "m" / "taxonomy.png").is_file()


@pytest.mark.parametrize(
    ("threshold", "told"),
    [
        (
            0.6691,
            "net: answers at the lowest rank with a probability of 0.6691 or more; so at least 95 % of the answers",
        ),
        (1.0, "net: answers only where it is certain (probability 1.0000); with less certain answers, fewer than 95 %"),
        (0.99999, "net: answers only where it is certain (probability 1.0000); with less certain answers, fewer than"),
    ],
)
def test_a_threshold_is_told_in_words(threshold: float, told: str) -> None:
    assert TaxonomyReport("net", 0.95, threshold, (), {}, ()).sentence.startswith(told)
