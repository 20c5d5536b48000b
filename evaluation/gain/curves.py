"""Curves: S and Top-1 by the number of photographs per plant."""

from __future__ import annotations

from dataclasses import dataclass

from evaluation.gain.figures import Figure, cells
from evaluation.gain.plan import GainPlan
from evaluation.intervals import Difference
from evaluation.invariants import ALL_VIEWS
from featstore.provenance import Json

ENOUGH_PLANTS = 30
"""The drawn curve is the longest one that rests on so many plants."""


@dataclass(frozen=True)
class ImagePoint:
    """The plants of a curve, judged with `n_images` images.

    Attributes
    ----------
    n_images
        k; on an at-most curve, plants with fewer images give all they have.
    score, top_1
        S and Top-1, each plant's figure averaged over the drawn sets of its images.
    gain, top_1_gain
        Over one image, on the same plants and with the same authors drawn.
    """

    n_images: int
    score: Figure
    top_1: Figure
    gain: Difference
    top_1_gain: Difference

    def to_json(self) -> dict[str, Json]:
        """One flat object."""
        return {
            "n_images": self.n_images,
            **cells("S", self.score),
            **cells("top_1", self.top_1),
            **cells("S_gain", self.gain),
            **cells("top_1_gain", self.top_1_gain),
        }


@dataclass(frozen=True)
class ImageCurve:
    """One population of plants from one image upwards.

    Attributes
    ----------
    view
        The view whose images alone were used, or ``"all"``.
    at_least
        The plants have so many images; None for all plants, with at most k images each.
    n_observations
        Plants of the curve.
    points
        By `n_images` from 1.
    """

    view: str
    at_least: int | None
    n_observations: int
    points: tuple[ImagePoint, ...]

    @property
    def population(self) -> str:
        """``at least 4`` or ``at most k``."""
        return "at most k" if self.at_least is None else f"at least {self.at_least}"

    def to_json(self) -> dict[str, Json]:
        """Give the population and its points."""
        return {
            "view": self.view,
            "population": self.population,
            "n_observations": self.n_observations,
            "points": [point.to_json() for point in self.points],
        }


@dataclass(frozen=True)
class ImageGain:
    """All curves of one run or fusion.

    Attributes
    ----------
    run, split, plan
        What was judged, and how.
    curves
        Views in order, all of them together first; within a view by `at_least`, then the at-most curve. Empty when no
        plant has two images.
    """

    run: str
    split: str
    plan: GainPlan
    curves: tuple[ImageCurve, ...]

    def main(self, view: str = ALL_VIEWS) -> ImageCurve | None:
        """Choose the curve to draw: the longest on `ENOUGH_PLANTS` plants, else the one on most plants."""
        found = [curve for curve in self.curves if curve.view == view and curve.at_least is not None]
        enough = [curve for curve in found if curve.n_observations >= ENOUGH_PLANTS]
        return enough[-1] if enough else next(iter(found), None)

    def views(self) -> tuple[str, ...]:
        """Views that have a curve."""
        return tuple(dict.fromkeys(curve.view for curve in self.curves))

    def to_json(self) -> dict[str, Json]:
        """Give all curves."""
        return {
            "run": self.run,
            "split": self.split,
            "rule": self.plan.rule,
            "n_draws": self.plan.n_draws,
            "seed": self.plan.seed,
            "curves": [curve.to_json() for curve in self.curves],
        }
