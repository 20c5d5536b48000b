"""Tables of gains, as they are printed."""

from __future__ import annotations

import math
from collections.abc import Sequence

from evaluation.gain.curves import ImageGain
from evaluation.gain.figures import Figure
from evaluation.gain.models import ModelGain
from evaluation.intervals import Difference

GAIN = ("gain in S", "95 % of gain")
"""Columns of a gain and its interval, short enough to leave names room."""
IMAGE_COLUMNS = ("run", "view", "observations", "K", "S with 1", "S with K", "Top-1 with 1", "Top-1 with K", *GAIN)
MODEL_COLUMNS = ("models", "added", "S", "95 % of S", *GAIN, "any such set", "s/image", "front")
IMAGE_SECONDARY = ("Top-1 with 1", "Top-1 with K", "observations", "S with 1")
MODEL_SECONDARY = ("any such set", "s/image", "front", "95 % of S")
"""Columns that give way in a narrow terminal."""
NO_CURVE = "No observation has two images: there is no curve over images to draw."


def image_rows(gains: Sequence[ImageGain]) -> list[list[str]]:
    """Give both ends of the main curve of every run and view; what lies between is in the files."""
    rows: list[list[str]] = []
    for gain in gains:
        for view in gain.views():
            curve = gain.main(view)
            if curve is None:
                continue
            first, last = curve.points[0], curve.points[-1]
            ends = (first.score, last.score, first.top_1, last.top_1)
            figures = [f"{figure.value:.4f}" for figure in ends]
            rows.append(
                [
                    gain.run,
                    view,
                    f"{curve.n_observations:,}",
                    str(last.n_images),
                    *figures,
                    *_gain(last.gain, first=False),
                ]
            )
    return rows


def model_rows(gain: ModelGain) -> list[list[str]]:
    """Give the steps, with what sets of as many models are worth when nobody chooses them."""
    return [
        [
            str(len(step.models)),
            step.models[-1],
            f"{step.score.value:.4f}",
            between(step.score),
            *_gain(step.gain, first=len(step.models) == 1),
            f"{sets.mean:.4f} ({sets.low:.3f} to {sets.high:.3f})",
            "-" if math.isnan(step.seconds) else f"{step.seconds:.3g}",
            "yes" if step.on_front else "",
        ]
        for step, sets in zip(gain.steps, gain.any_sets, strict=True)
    ]


def model_title(gain: ModelGain) -> str:
    """Say how the models were ordered."""
    order = f"in the order learned on {gain.chosen_on}" if gain.chosen_on else "in the order they were named"
    return f"By number of models, {order} ({gain.split})"


def between(figure: Figure | Difference, sign: str = "") -> str:
    """Write an interval, ``-`` where there is none."""
    return "-" if math.isnan(figure.low) else f"{figure.low:{sign}.3f} to {figure.high:{sign}.3f}"


def _gain(gain: Difference, *, first: bool) -> tuple[str, str]:
    """Write a gain and its interval; the first less itself says nothing."""
    return ("-", "-") if first else (f"{gain.value:+.4f}", between(gain, "+"))
