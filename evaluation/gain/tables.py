"""Tables of gains, as they are printed."""

from __future__ import annotations

import math
from collections.abc import Sequence

from evaluation.gain.curves import ImageGain
from evaluation.gain.figures import Figure
from evaluation.gain.models import ModelGain
from evaluation.intervals import Difference

IMAGE_COLUMNS = ("run", "view", "observations", "images", "S", "95 % of S", "Top-1", "gain in S", "95 % of gain")
MODEL_COLUMNS = ("models", "added", "S", "95 % of S", "gain in S", "95 % of gain", "any such set", "s/image", "front")
NO_CURVE = "No observation has two images: there is no curve over images to draw."


def image_rows(gains: Sequence[ImageGain]) -> list[list[str]]:
    """Give the main curve of every run and view, point by point."""
    return [
        [
            gain.run,
            view,
            f"{curve.n_observations:,}",
            str(point.n_images),
            f"{point.score.value:.4f}",
            between(point.score),
            f"{point.top_1.value:.4f}",
            *_gain(point.gain, first=point.n_images == 1),
        ]
        for gain in gains
        for view in gain.views()
        if (curve := gain.main(view)) is not None
        for point in curve.points
    ]


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
