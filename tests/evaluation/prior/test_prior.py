"""A prior helps by what Bayes' rule says where it must, and goes to nothing where it must not."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from evaluation.cli import main
from evaluation.predictions import Predictions
from evaluation.prior.strength import choose_strengths, with_prior
from evaluation.runs import RunCard, predictions_path, write_run_card

SHARE = 0.8


def test_rows_without_papers_stay_bit_for_bit() -> None:
    probability = np.random.default_rng(0).dirichlet(np.ones(3), 4)
    ratios = np.zeros((2, 4, 3))
    ratios[0, 1] = [1.0, 0.0, -1.0]
    found = with_prior(probability, ratios, np.array([2.0, 1.0]))
    np.testing.assert_array_equal(found[[0, 2, 3]], probability[[0, 2, 3]])
    by_hand = probability[1] * np.exp([2.0, 0.0, -2.0])
    np.testing.assert_allclose(found[1], by_hand / by_hand.sum())
    np.testing.assert_array_equal(with_prior(probability, ratios, np.zeros(2)), probability)


def test_the_strength_is_the_best_on_a_grid() -> None:
    rng = np.random.default_rng(1)
    probability, ratios = rng.dirichlet(np.ones(4), 400), rng.normal(0, 1, (1, 400, 4))
    true = with_prior(probability, ratios, np.array([0.6]))
    number = np.array([rng.choice(4, p=row) for row in true])
    author = np.arange(400) % 40
    found = choose_strengths(probability, ratios, number, author, seed=0)
    losses = [
        -np.log(with_prior(probability, ratios, np.array([s]))[np.arange(400), number]).mean()
        for s in np.linspace(0, 3, 301)
    ]
    assert found.value[0] == pytest.approx(np.linspace(0, 3, 301)[np.argmin(losses)], abs=0.01)
    assert found.value[0] == pytest.approx(0.6, abs=0.25)
    # Nobody's label has a say in the strength that judges it.
    held = found.held_out[author == 0][0, 0]
    other = np.where(author == 0, 3 - number, number)
    again = choose_strengths(probability, ratios, other, author, seed=0)
    assert again.held_out[author == 0][0, 0] == held
    assert again.fitted[0] != found.fitted[0]


def test_noise_is_not_heeded() -> None:
    kept = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        probability, ratios = rng.dirichlet(np.ones(4), 300), rng.normal(0, 1, (2, 300, 4))
        number = np.array([rng.choice(4, p=row) for row in probability])
        found = choose_strengths(probability, ratios, number, np.arange(300) % 40, seed)
        assert found.fitted.max() < 0.3
        kept += found.value.any()
    assert kept <= 4


def write_plants(folder: Path, informative: bool) -> Path:
    """A run that knows nothing of two classes, and papers whose month does, or does not; a tenth have no date."""
    rng = np.random.default_rng(5)
    rows = []
    run = folder / "runs" / "m"
    for split, n in (("train", 800), ("valid", 400), ("test", 1000)):
        number = np.arange(n) % 2
        july = (rng.random(n) < SHARE) == (number == 1) if informative else rng.random(n) < 0.5
        dates = np.where(july, "2013-7-5", "2014-1-20")
        dates[::10] = ""
        ids, author = [f"{split}{row}" for row in range(n)], [f"a{row % 60}" for row in range(n)]
        rows += [
            [f"{one}.jpg", one, one, who, str(label), date, "test" if split == "test" else "train"]
            for one, who, label, date in zip(ids, author, number, dates, strict=True)
        ]
        if split != "train":
            Predictions(
                "m", split, np.array(ids), np.array(ids), np.array(author), np.full(n, "Leaf"),
                number.astype(np.str_), np.array(["0", "1"]), np.full((n, 2), 0.5, dtype=np.float32),
            ).write(predictions_path(run, split))  # fmt: skip
    write_run_card(run, RunCard("m", "head", ("net",), "mlp", {"0": "", "1": ""}))
    with (folder / "papers.csv").open("w", newline="", encoding="utf-8") as file:
        header = ["path", "image_id", "observation_id", "author", "class_id", "date", "split"]
        csv.writer(file).writerows([header, *rows])
    return run


def evaluate(arguments: Sequence[str | Path]) -> None:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    assert end.value.code == 0


@pytest.mark.parametrize("informative", [True, False])
def test_the_command(painted: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], informative: bool) -> None:
    run = write_plants(tmp_path, informative)
    evaluate(["prior", run, "--papers", tmp_path / "papers.csv", "--out", tmp_path, "--json"])
    shown = capsys.readouterr()
    document = json.loads(shown.out)
    effects = {(one["split"], one["metric"]): one for one in document["effects"]}
    assert document["learnt"]["month"]["n_records"] == 720, "valid and test teach nothing"
    assert "test: month known of 900 of 1000 plants" in shown.err
    assert "place: nothing to learn from" in shown.err
    strength = document["strengths"]["month"]["used"]["month"]
    loss, score = effects["test", "log_loss"], effects["test", "S"]
    assert (loss["n_observations"], loss["n_touched"]) == (1000, 900)
    assert loss["plain"] == pytest.approx(math.log(2))
    # Both classes share a rank of 1.5.
    assert score["plain"] == pytest.approx(1 / 1.5)
    if informative:
        information = math.log(2) + SHARE * math.log(SHARE) + (1 - SHARE) * math.log(1 - SHARE)
        assert strength == pytest.approx(1, abs=0.3)
        assert loss["difference"] == pytest.approx(-0.9 * information, abs=0.04)
        assert score["with_prior"] == pytest.approx(0.1 / 1.5 + 0.9 * (SHARE + (1 - SHARE) / 2), abs=0.03)
        assert score["low"] > 0
    else:
        assert strength == 0
        assert loss["difference"] == score["difference"] == 0
    files = {path.name for path in (tmp_path / "prior" / "m").iterdir()}
    assert files == {"prior.csv", "prior.json", "prior.png"}


def test_papers_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_plants(tmp_path, informative=True)
    evaluate(["prior", "--papers", tmp_path / "papers.csv", "--json"])
    found = json.loads(capsys.readouterr().out)["month"]
    assert found["gain_nats"] > 5 * found["error"]


@pytest.mark.shared_data
def test_real_places_tell_something_of_real_species(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate(["prior", "--papers", shared / "data" / "plantclef2015_xml", "--json"])
    document = json.loads(capsys.readouterr().out)
    assert document["place"]["n_records"] == 245
    assert document["place"]["gain_nats"] > 0
