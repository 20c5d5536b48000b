"""What each recipe does to accuracy: features with every recipe, the same head, per view, with paired differences.

    python tests/benchmarks/bench_recipes.py --photos FOLDER --weights FOLDER --json recipes.json [--backbone mobilenet]

One store holds the features of all recipes side by side (--as). The head is the logistic one, fitted on train, refitted
on train and valid for test. A difference from `none` is that of S over the same observations; its interval is the
middle 95 % of 2,000 bootstrap draws of authors, the unit of S.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from evaluation.metrics import average_ranks, reciprocal_rank, true_indices
from evaluation.predictions import Predictions
from evaluation.runs import predictions_path
from featstore.build.build import build_store
from featstore.build.settings import BuildSettings
from featstore.provenance import Json, provenance, write_text
from featstore.shell import print_table
from featstore.store import Store
from heads.compare import CompareSettings, compare_heads

RECIPES = ("none", "article", "ibm", "lab")
N_DRAWS = 2_000


def ranks(predictions: Predictions, view: str) -> pd.DataFrame:
    """Author, reciprocal rank and hit of each observation, the mean of its photographs of one view ("all" for all)."""
    chosen = predictions if view == "all" else predictions.select(predictions.view == view)
    first = pd.DataFrame({"observation": chosen.observation_id, "author": chosen.author, "truth": chosen.true_class})
    first = first.groupby("observation").first()
    mean = pd.DataFrame(chosen.probability).groupby(chosen.observation_id).mean().loc[first.index].to_numpy()
    # An observation without an author is its own user.
    first["author"] = first["author"].where(first["author"] != "", "observation " + first.index.to_series())
    rank = average_ranks(mean, true_indices(first["truth"].to_numpy(str), chosen.classes))
    return first.assign(s=reciprocal_rank(rank), hit=rank <= 1)


def interval(one: pd.DataFrame, other: pd.DataFrame, rng: np.random.Generator) -> tuple[float, float, float]:
    """Difference of S and its bootstrap interval over authors."""
    both = one.join(other, lsuffix="_a", rsuffix="_b")
    by_author = (both["s_a"] - both["s_b"]).groupby(both["author_a"]).mean().to_numpy()
    draws = rng.choice(by_author, (N_DRAWS, len(by_author))).mean(axis=1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(by_author.mean()), float(low), float(high)


def benchmark(photos: Path, weights: str, backbone: str, folder: Path, store: Path | None) -> list[dict[str, Json]]:
    store = store or folder / "recipes.zarr"
    for recipe in RECIPES:
        build_store(photos, store, BuildSettings((backbone,), weights, roi=recipe, name=f"{backbone}-{recipe}"))
    settings = CompareSettings(tuple(f"{backbone}-{recipe}" for recipe in RECIPES), ("logistic",), concat=False)
    compare_heads(Store.open(store), settings, folder / "runs")
    rows: list[dict[str, Json]] = []
    for split in ("valid", "test"):
        files = {name: predictions_path(folder / "runs" / f"{backbone}-{name}-logistic", split) for name in RECIPES}
        runs = {name: Predictions.read(file) for name, file in files.items()}
        for view in ("all", *sorted(set(runs["none"].view))):
            base = ranks(runs["none"], view)
            for recipe, predictions in runs.items():
                of_view = ranks(predictions, view)
                difference, low, high = interval(of_view, base, np.random.default_rng(0))
                rows.append(
                    {"split": split, "view": view, "recipe": recipe, "n_observations": len(of_view),
                     "S": float(of_view.groupby("author")["s"].mean().mean()), "top_1": float(of_view["hit"].mean()),
                     "difference": difference, "low": low, "high": high}
                )  # fmt: skip
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--weights", default="imagenet")
    parser.add_argument("--backbone", default="mobilenet")
    parser.add_argument("--store", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(argv)
    folder = Path(tempfile.mkdtemp())
    try:
        rows = benchmark(options.photos, options.weights, options.backbone, folder, options.store)
    finally:
        shutil.rmtree(folder)
    print_table(
        f"{options.backbone} and a logistic head; differences of S from `none`",
        ["split", "view", "recipe", "observations", "S", "Top-1", "difference", "95 % interval"],
        [[str(row["split"]), str(row["view"]), str(row["recipe"]), str(row["n_observations"]), f"{row['S']:.4f}",
          f"{row['top_1']:.4f}", f"{row['difference']:+.4f}", f"{row['low']:+.4f} to {row['high']:+.4f}"]
         for row in rows],
    )  # fmt: skip
    if options.json:
        write_text(options.json, json.dumps({"rows": list(rows), "provenance": provenance()}, indent=2) + "\n")


if __name__ == "__main__":
    main()
