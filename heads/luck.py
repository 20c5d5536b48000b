"""Luck: how far the figures of a random head move with its seed."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from evaluation.cells import write_csv
from evaluation.predictions import Predictions
from evaluation.scores import METRICS, score_predictions

SEEDS = "seeds.csv"


def write_seeds(by_seed: Mapping[int, Mapping[str, Predictions]], folder: Path) -> None:
    """Write ``seeds.csv``: the figures over all views of every seed and split."""
    rows = []
    for seed, said in by_seed.items():
        for split, predictions in said.items():
            found = {score.metric: score.value for score in score_predictions(predictions) if score.view == "all"}
            if found:
                rows.append([str(seed), split, *(str(found.get(name, "")) for name in METRICS)])
    write_csv(folder / SEEDS, ("seed", "split", *METRICS), rows)


def read_spread(folder: Path, split: str, metric: str = "S") -> tuple[float, float, int] | None:
    """Mean and standard deviation of a figure over seeds, and their number; None with fewer than two."""
    path = folder / SEEDS
    if not path.is_file():
        return None
    with path.open(encoding="utf-8", newline="") as file:
        values = [float(line[metric]) for line in csv.DictReader(file) if line["split"] == split]
    return (float(np.mean(values)), float(np.std(values, ddof=1)), len(values)) if len(values) > 1 else None
