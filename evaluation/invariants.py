"""Invariants: what is true of every `Predictions`, each check naming the first row that breaks it."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from featstore.errors import PredictionsError

SPLITS = ("train", "valid", "test")
ALL_VIEWS = "all"
"""The view of a total; no image may carry it."""
ROW_SUM_TOLERANCE = 1e-3
MAY_BE_EMPTY = frozenset({"author", "true_class"})
REBUILD = "Write the predictions again with `heads compare` or `finetune run`."


def check_labels(model: str, split: str, images_per_second: float) -> None:
    """Require a named model, a known split, and a speed above 0 or NaN."""
    if not model:
        raise PredictionsError("a model with a name", "an empty `model`", "Name the model.")
    if split not in SPLITS:
        raise PredictionsError(f"a split out of {', '.join(SPLITS)}", f"{split!r}", REBUILD)
    if not math.isnan(images_per_second) and not 0 < images_per_second < math.inf:
        raise PredictionsError("`images_per_second` above 0, or NaN for unknown", f"{images_per_second}", REBUILD)


def check_strings(name: str, values: NDArray[np.str_]) -> None:
    """Require one dimension of text without gaps; only author and truth may be unknown."""
    if values.ndim != 1 or values.dtype.kind != "U":
        got = f"shape {values.shape} of {values.dtype}"
        raise PredictionsError(f"`{name}` as one row of strings", got, REBUILD)
    if name not in MAY_BE_EMPTY and (empty := np.flatnonzero(values == "")).size:
        raise PredictionsError(f"a `{name}` in every row", f"an empty one in row {empty[0]}", REBUILD)


def check_images(image_id: NDArray[np.str_], papers: Mapping[str, NDArray[np.str_]]) -> None:
    """Require images, each once, and one entry of every paper per image."""
    if len(image_id) == 0:
        raise PredictionsError("predictions for at least one image", "none", REBUILD)
    for name, values in papers.items():
        if len(values) != len(image_id):
            raise PredictionsError(f"one `{name}` per image", f"{len(values)} for {len(image_id)} images", REBUILD)
    order = np.argsort(image_id, kind="stable")
    again = np.flatnonzero(image_id[order][1:] == image_id[order][:-1])
    if again.size:
        row = int(np.min(order[again + 1]))
        raise PredictionsError("every image once", f"{str(image_id[row])!r} again in row {row}", REBUILD)
    total = np.flatnonzero(papers["view"] == ALL_VIEWS)
    if total.size:
        got = f"{ALL_VIEWS!r}, which stands for the total, in row {total[0]}"
        raise PredictionsError("a view such as Leaf or Flower", got, "Rename the view in the metadata.")


def check_classes(classes: NDArray[np.str_]) -> None:
    """Require classes in strictly rising order of their characters."""
    if len(classes) == 0:
        raise PredictionsError("at least one class", "none", REBUILD)
    wrong = np.flatnonzero(classes[1:] <= classes[:-1])
    if wrong.size:
        first, second = classes[wrong[0] : wrong[0] + 2].tolist()
        got = f"{second!r} after {first!r} at position {wrong[0] + 1}"
        raise PredictionsError("`classes` sorted as strings, each once", got, "Sort them, and the columns with them.")


def check_matrix(shape: tuple[int, ...], dtype: np.dtype[np.floating], expected: tuple[int, int]) -> None:
    """Require a float32 matrix of images x classes, with at least one of each."""
    if dtype != np.float32 or shape != expected or 0 in shape:
        got = f"{dtype} of shape {shape}"
        raise PredictionsError(f"`probability` as float32 of shape {expected} (images, classes)", got, REBUILD)


def check_distributions(probability: NDArray[np.float32], image_id: NDArray[np.str_], first_row: int = 0) -> None:
    """Require rows that are distributions; `first_row` is the number of the first of them in the whole matrix."""
    if _surely_distributions(probability):
        return
    totals = probability.sum(axis=1, dtype=np.float64)
    faults = {
        "finite probabilities": ~np.isfinite(totals),
        "probabilities of at least 0": probability.min(axis=1) < 0,
        f"rows of probabilities that sum to 1 within {ROW_SUM_TOLERANCE}": np.abs(totals - 1) > ROW_SUM_TOLERANCE,
    }
    for expected, wrong in faults.items():
        if wrong.any():
            row = int(np.argmax(wrong))
            values = f"lowest {probability[row].min()}, sum {totals[row]:.6g}"
            got = f"row {first_row + row} (image {str(image_id[row])!r}: {values})"
            raise PredictionsError(expected, got, REBUILD)


def _surely_distributions(probability: NDArray[np.float32]) -> bool:
    """Whether a quick look suffices: 32-bit sums that stay far from the tolerance, nothing below 0 and no NaN."""
    with np.errstate(invalid="ignore", over="ignore"):
        totals = probability @ np.ones(probability.shape[1], dtype=np.float32)
    near = np.abs(totals - 1) < ROW_SUM_TOLERANCE / 2
    return bool(near.all()) and bool(probability.min(initial=0) >= 0)


def check_unseen(unseen: NDArray[np.bool_] | None, image_id: NDArray[np.str_]) -> None:
    """Require one yes or no per image, or nothing at all."""
    if unseen is not None and (unseen.dtype != np.bool_ or unseen.shape != image_id.shape):
        got = f"{unseen.dtype} of shape {unseen.shape}"
        raise PredictionsError(f"`unseen` as one yes or no for each of {len(image_id)} images", got, REBUILD)


def check_log_sum_exp(log_sum_exp: NDArray[np.float32] | None, image_id: NDArray[np.str_]) -> None:
    """Require one finite number per image, or nothing at all."""
    if log_sum_exp is None:
        return
    if log_sum_exp.shape != image_id.shape:
        got = f"shape {log_sum_exp.shape} for {len(image_id)} images"
        raise PredictionsError("one `log_sum_exp` per image", got, REBUILD)
    if not np.isfinite(log_sum_exp).all():
        row = int(np.argmin(np.isfinite(log_sum_exp)))
        got = f"{log_sum_exp[row]} in row {row} (image {str(image_id[row])!r})"
        raise PredictionsError("a finite `log_sum_exp`", got, REBUILD)
