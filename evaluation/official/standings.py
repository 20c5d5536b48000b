"""Standings: the official results of LifeCLEF 2014, and where a run would have stood among them.

References
----------
.. [1] H. Goeau, A. Joly, P. Bonnet et al., "LifeCLEF Plant Identification Task 2014", CLEF 2014 Working Notes,
   arXiv:2509.23900: all runs, as charts.
.. [2] Q. Chen et al., "IBM Research Australia at LifeCLEF2014: Plant Identification Task", CLEF 2014 Working Notes: the
   printed figures of the runs called IBM AU.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from evaluation.official.truth import Truth
from evaluation.runs import RunCard
from featstore.errors import SettingsError
from featstore.provenance import Json

N_OBSERVATIONS, N_IMAGES = 8_163, 13_146
"""Size of the official test set of 2014."""
PRETRAINED = "ImageNet-pretrained, post-competition"
UNSTATED = "post-competition, weights not stated"
UNTRAINED = "post-competition"
NOT_PRETRAINED = frozenset({"random", "none", "shipped"})
READ_OFF = 0.001
"""How far a figure that was read off a chart may lie from the true one."""


@dataclass(frozen=True)
class Standing:
    """One row of the table.

    Parameters
    ----------
    run
        Team and number of the run.
    observation, image
        S and S_image, NaN where there is none.
    read_off
        Whether the figures were read off charts, `READ_OFF` more or less.
    label
        What sets the run apart from those of the contest, ``""`` for these.
    lowest
        S of the lowest of several runs of which only the range is known, whose highest is `observation`; else NaN.
    """

    run: str
    observation: float
    image: float = math.nan
    read_off: bool = True
    label: str = ""
    lowest: float = math.nan

    def value(self, metric: str) -> float:
        """``S`` or ``S_image``."""
        return self.observation if metric == "S" else self.image

    def cells(self, place: str) -> list[str]:
        """Row under `COLUMNS`; a figure that was read off a chart has a ~."""
        mark = "~" if self.read_off else ""
        first = "-" if math.isnan(self.observation) else f"{mark}{self._digits(self.observation)}"
        if not math.isnan(self.lowest):
            first += f" to {mark}{self._digits(self.lowest)}"
        second = "-" if math.isnan(self.image) else f"{mark}{self._digits(self.image)}"
        return [place, self.run, first, second, self.label]

    def to_json(self) -> dict[str, Json]:
        """Figures with how sure they are; NaN becomes null."""
        return {
            "run": self.run,
            "S": None if math.isnan(self.observation) else self.observation,
            "S_image": None if math.isnan(self.image) else self.image,
            "lowest_S": None if math.isnan(self.lowest) else self.lowest,
            "uncertainty": READ_OFF if self.read_off else 0.0,
            "label": self.label,
        }

    def _digits(self, value: float) -> str:
        return f"{value:.3f}" if self.read_off or not self.label else f"{value:.4f}"


NOTE = f"~: read off a chart, +-{READ_OFF}. Rows without a place were no part of the contest."
COLUMNS = ("place", "run", "S", "S_image", "")

OFFICIAL_2014: tuple[Standing, ...] = (
    Standing("IBM AU 4", 0.471, 0.456, read_off=False),
    Standing("IBM AU 3", 0.459, 0.446, read_off=False),
    Standing("IBM AU 2", 0.454, 0.438, read_off=False),
    Standing("PlantNet 2", 0.289, 0.280),
    Standing("PlantNet 3", 0.289),
    Standing("PlantNet 4", 0.282, 0.276),
    Standing("PlantNet 1", 0.278, 0.271),
    Standing("IBM AU 1", 0.271, 0.263, read_off=False),
    Standing("BME TMIT 1", 0.255, 0.086),
    Standing("BME TMIT 2", 0.255, 0.086),
    Standing("BME TMIT 3", 0.255, 0.086),
    Standing("QUT 1", 0.249),
    Standing("FINKI 1", 0.205, 0.205),
    Standing("FINKI 3", 0.204, 0.204),
    Standing("FINKI 2", 0.166, 0.166),
    Standing("Sabanci-Okan 1", 0.127, 0.123),
    Standing("Sabanci-Okan 2", 0.127, 0.123),
    Standing("I3S 1", 0.091, 0.043),
    Standing("SZTE, Miracl, IV-Processing (all their runs)", 0.088, lowest=0.043),
)
"""The contest's runs by falling S."""

ARTICLE: tuple[Standing, ...] = (
    Standing("article: several networks averaged", 0.635100, read_off=False, label=PRETRAINED),
    Standing("article: one network + test-time augmentation", 0.615734, read_off=False, label=PRETRAINED),
    Standing("article: best single network", 0.60785, read_off=False, label=PRETRAINED),
)
"""Published figures on the same test set of 2014, from networks that had seen ImageNet (4 November 2017)."""


@dataclass(frozen=True)
class Comparison:
    """A run among the official results.

    Parameters
    ----------
    metric
        ``"S"``, or ``"S_image"`` for an image run.
    own
        The run.
    rows
        Everyone that has a figure in this metric, the run too, by falling figure; equal ones before the run.
    """

    metric: str
    own: Standing
    rows: tuple[Standing, ...]

    @property
    def place(self) -> int:
        """Where it would have stood in the contest, from 1: runs that are not the contest's do not count."""
        return 1 + len(self._above)

    @property
    def place_text(self) -> str:
        """The place, "or later" where some of the runs before it are known as a range alone."""
        return f"{self.place}{' or later' if any(not math.isnan(row.lowest) for row in self._above) else ''}"

    @property
    def _above(self) -> list[Standing]:
        own = self.own.value(self.metric)
        return [row for row in self.rows if not row.label and row.value(self.metric) >= own]

    @property
    def sentence(self) -> str:
        """The place in words, with what is uncertain about it."""
        value = self.own.value(self.metric)
        # Figures have three digits: at just this distance a run may be equal.
        reach = READ_OFF + 1e-9
        near = [row.run for row in self.rows if row.read_off and abs(row.value(self.metric) - value) <= reach]
        doubt = f" (within reading error of {', '.join(near)})" if near else ""
        # Not every run of the contest has an S_image.
        among = " among those whose S_image is known" if self.metric == "S_image" else ""
        place = f"place {self.place_text} in 2014{among}{doubt}"
        return f"{self.metric} {value:.4f} would have been {place}; it is {self.own.label}."

    def table(self) -> list[list[str]]:
        """Cells under `COLUMNS`; only the contest's own runs have places, the run's own place is in brackets."""
        cells, place = [], 0
        for row in self.rows:
            place += not row.label
            shown = f"({self.place_text})" if row is self.own else "" if row.label else str(place)
            cells.append(row.cells(shown))
        return cells

    def to_json(self) -> dict[str, Json]:
        """Give the place and all rows."""
        return {
            "metric": self.metric,
            "place": self.place_text,
            "label": self.own.label,
            "rows": [{**row.to_json(), "own": row is self.own} for row in self.rows],
        }


def compare_2014(run: str, figures: dict[str, float], label: str) -> Comparison:
    """Place a run in the official table.

    Parameters
    ----------
    figures
        ``S`` and, where known, ``S_image``; without S the run is placed by S_image.
    label
        What sets the run apart from the contest's, as `label_of` or the user says it.

    Raises
    ------
    SettingsError
        If there is neither figure, or no label.
    """
    if not label:
        raise SettingsError("a label for a run that was no part of the contest", "none", "Pass --label.")
    own = Standing(run, figures.get("S", math.nan), figures.get("S_image", math.nan), read_off=False, label=label)
    metric = next((name for name in ("S", "S_image") if not math.isnan(own.value(name))), None)
    if metric is None:
        raise SettingsError("S or S_image", "neither", "Score the run first.")
    rows = [row for row in (*OFFICIAL_2014, *ARTICLE) if not math.isnan(row.value(metric))]
    # Sorting keeps the order of equal ones, and the run's own comes last: no tie flatters it.
    return Comparison(metric, own, tuple(sorted([*rows, own], key=lambda row: -row.value(metric))))


def require_official(truth: Truth) -> None:
    """Refuse to compare figures on other plants with those of the contest.

    Raises
    ------
    SettingsError
        If the truth is not of the size of the official test set.
    """
    n_observations = len(truth.observation_id) + len(truth.left_out)
    n_images = len(truth.image_id) + len(truth.left_out_images)
    refuse_other_sizes(n_observations, n_images)


def refuse_other_sizes(n_observations: int, n_images: int) -> None:
    """As `require_official`, for plants and photographs that were counted already."""
    if (n_observations, n_images) != (N_OBSERVATIONS, N_IMAGES):
        raise SettingsError(
            f"the official test set of 2014 ({N_OBSERVATIONS:,} observations, {N_IMAGES:,} photographs)",
            f"{n_observations:,} observations with {n_images:,} photographs",
            "Figures on other plants cannot be compared with the contest's: leave out --compare-official.",
        )


def label_of(cards: Iterable[RunCard | None]) -> str:
    """Say of which kind a run is by the cards of its members: one with trained weights makes it pretrained."""
    stated = [_weights(card) for card in cards]
    if any(weights - NOT_PRETRAINED for weights in stated):
        return PRETRAINED
    return UNTRAINED if stated and all(stated) else UNSTATED


def _weights(card: RunCard | None) -> frozenset[str]:
    """Names or places of the weights that a card states."""
    stated = card.details.get("weights") if card else None
    if isinstance(stated, dict):
        return frozenset(str(weights) for weights in stated.values())
    return frozenset([stated]) if isinstance(stated, str) else frozenset()
