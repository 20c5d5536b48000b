"""The list of answers can be read without the program."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from evaluation.answers import ANSWER_COLUMNS, COLUMNS, N_ANSWERS, write_observations
from evaluation.fused import FusedPlaces
from evaluation.metrics import true_indices
from evaluation.places import Places


def rows(tmp_path: Path, probability: list[list[float]], truth: list[str], classes: list[str]) -> list[dict[str, str]]:
    n = len(truth)
    true_class = np.array(truth, dtype=np.str_)
    fused = FusedPlaces(
        split="test",
        observation_id=np.array([f"o{row}" for row in range(n)]),
        author=np.full(n, "Zoë, B."),
        true_class=true_class,
        n_images=np.arange(1, n + 1),
        classes=np.array(classes),
        places=Places.of(np.array(probability), true_indices(true_class, np.array(classes)), N_ANSWERS),
        image_rank=np.empty(0),
        index=np.empty(0, dtype=np.intp),
    )
    write_observations(fused, {"a": "Acer campestre", "x": "Xanthium"}, tmp_path / "observations.csv")
    with (tmp_path / "observations.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_truth_rank_and_the_five_likeliest(tmp_path: Path) -> None:
    probability = [[0.1, 0.3, 0.05, 0.25, 0.2, 0.1], [0.25, 0.25, 0.25, 0.25, 0, 0], [1, 0, 0, 0, 0, 0]]
    found = rows(tmp_path, probability, ["a", "a", "x"], ["a", "b", "c", "d", "e", "f"])
    assert tuple(found[0]) == (*COLUMNS, *ANSWER_COLUMNS)
    first = found[0]
    assert (first["observation_id"], first["author"], first["n_images"]) == ("o0", "Zoë, B.", "1")
    assert (first["true_class"], first["true_species"], first["rank"]) == ("a", "Acer campestre", "4.5")
    assert [first[f"top_{place}_class"] for place in range(1, 6)] == ["b", "d", "e", "a", "f"]
    assert first["top_4_species"] == "Acer campestre"
    assert float(first["top_1_probability"]) == 0.3
    assert found[1]["rank"] == "2.5"
    assert [found[1][f"top_{place}_class"] for place in range(1, 5)] == ["a", "b", "c", "d"], "ties by class id"
    assert (found[2]["rank"], found[2]["true_species"]) == ("inf", "Xanthium")


def test_unknown_truth_and_few_classes_leave_cells_empty(tmp_path: Path) -> None:
    (only,) = rows(tmp_path, [[0.25, 0.75]], [""], ["a", "b"])
    assert (only["true_class"], only["true_species"], only["rank"]) == ("", "", "")
    assert [only[f"top_{place}_class"] for place in range(1, 6)] == ["b", "a", "", "", ""]
    assert only["top_5_probability"] == ""
