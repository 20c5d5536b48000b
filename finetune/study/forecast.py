"""Forecast: about how long each step of the article's study takes on this machine, and the disk that it needs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from featstore.backbones import BACKBONES
from featstore.provenance import Json
from finetune.settings import TrainSettings
from finetune.study.measure import Speeds
from finetune.study.photographs import Photographs
from finetune.study.plan import TTA, ArticleSettings, features_step, heads_step, training_step
from finetune.study.step import Step
from finetune.study.variations import HEADS, Variation

GB = 1e9
_TRAINING = 3.0
"""A step of training passes forward once and backward at about twice the cost."""

_DECODERS = 2
"""Processes that `featstore build` decodes with."""

_CELL_S = 1e-8
"""Seconds for each probability that is fused or ranked: 1.2 s for six models of 13,146 images and 500 species
(docs/fusion.md) is 3e-8; single views and intervals are scored, too, but most passes are one model's."""

_CARD_BYTES = 1e6


@dataclass(frozen=True)
class Ahead:
    """A step before it runs.

    Attributes
    ----------
    name, line
        The step and its command line.
    seconds
        Expected; for training the most, with all epochs.
    n_bytes, passing_bytes
        Disk that its results take, and what it takes besides while it runs.
    is_done
        Whether it need not run.
    """

    name: str
    line: str
    seconds: float
    n_bytes: float
    passing_bytes: float
    is_done: bool


@dataclass(frozen=True)
class Forecast:
    """All steps before they run."""

    steps: tuple[Ahead, ...]

    @property
    def seconds(self) -> float:
        """Expected for all that is to be done."""
        return sum(step.seconds for step in self.steps if not step.is_done)

    @property
    def n_bytes(self) -> float:
        """Disk that what is to be done will take at most, results and what the hungriest step needs besides."""
        to_do = [step for step in self.steps if not step.is_done]
        return sum(step.n_bytes for step in to_do) + max((step.passing_bytes for step in to_do), default=0.0)

    def to_json(self) -> dict[str, Json]:
        """As one document."""
        steps: list[Json] = [
            {"step": step.name, "command": step.line, "seconds": step.seconds, "bytes": step.n_bytes,
             "passing_bytes": step.passing_bytes, "done": step.is_done}
            for step in self.steps
        ]  # fmt: skip
        return {"schema": "forecast/1", "seconds": self.seconds, "bytes": self.n_bytes, "steps": steps}


def foresee(
    settings: ArticleSettings, steps: Sequence[Step], done: Mapping[str, bool], photographs: Photographs, speeds: Speeds
) -> Forecast:
    """Estimate every step from what was measured.

    Parameters
    ----------
    done
        Name of step -> whether it need not run.
    """
    costs = _Costs(settings, photographs, speeds)
    cost_of: dict[str, Callable[[], tuple[float, float, float]]] = {}
    for way in settings.variations:
        cost_of[features_step(way)] = partial(costs.features, way)
        cost_of[heads_step(way)] = partial(costs.heads, way)
        cost_of[training_step(way)] = partial(costs.training, way)
    ahead = []
    for step in steps:
        seconds, n_bytes, passing = cost_of.get(step.name, costs.telling)()
        seconds += speeds.start_s
        ahead.append(Ahead(step.name, step.line, seconds, n_bytes, passing, done[step.name]))
    return Forecast(tuple(ahead))


def sides(settings: ArticleSettings) -> dict[str, int]:
    """Side of each network's input in px."""
    return {name: settings.side_px or BACKBONES[name].side_px for name in settings.backbones}


@dataclass(frozen=True)
class _Costs:
    """Seconds, bytes that stay and bytes that pass, of each kind of step."""

    settings: ArticleSettings
    photographs: Photographs
    speeds: Speeds

    def features(self, way: Variation) -> tuple[float, float, float]:
        n_features = sum(BACKBONES[name].dimension for name in self.settings.backbones)
        each = sum(1 / self.speeds.images_per_second[name] for name in self.settings.backbones)
        each += self.speeds.decode_s[way.roi] / min(_DECODERS, os.cpu_count() or 1)
        n_images = self.photographs.n_images
        return n_images * each, n_images * n_features * 4.0, 0.0

    def heads(self, way: Variation) -> tuple[float, float, float]:
        share = self.photographs.n_voted[way.name] / max(self.photographs.n_train, 1)
        seconds = share * sum(self.speeds.head_s[name] for name in self.settings.backbones)
        n_runs = len(HEADS) * len(self.settings.backbones)
        return seconds, n_runs * (self._answers_bytes(1) + _CARD_BYTES), 0.0

    def training(self, way: Variation) -> tuple[float, float, float]:
        found, epochs = self.photographs, self.settings.epochs
        epochs = TrainSettings().epochs if epochs is None else epochs
        n_asked = found.n_valid + found.n_test
        seconds = n_bytes = 0.0
        for name in self.settings.trained:
            one = 1 / self.speeds.images_per_second[name]
            seconds += found.n_images * self.speeds.decode_s[way.roi] / (os.cpu_count() or 1)
            # The state before training is judged, too.
            seconds += one * (epochs * _TRAINING * found.n_learnt(way) + (epochs + 1) * found.n_valid)
            # Plain, and once more with the variants.
            seconds += one * n_asked * (2 + TTA)
            n_bytes += self._answers_bytes(2) + self.speeds.weight_bytes[name] + _CARD_BYTES
        side = max(sides(self.settings)[name] for name in self.settings.trained)
        # The cut photographs, and the best and the last state of one network.
        heaviest = max(self.speeds.weight_bytes[name] for name in self.settings.trained)
        passing = 3.0 * side**2 * found.n_images + 3.0 * heaviest
        return seconds, n_bytes, passing

    def telling(self) -> tuple[float, float, float]:
        """What is fused, laid out or drawn from answers that are there."""
        n_files = 2 * len(self.settings.trained_runs) + len(self.settings.backbones)
        n_cells = n_files * (self.photographs.n_valid + self.photographs.n_test) * self.photographs.n_classes
        return n_cells * _CELL_S, self._answers_bytes(1), 0.0

    def _answers_bytes(self, n_files: int) -> float:
        """Predictions of valid and test."""
        return 4.0 * n_files * (self.photographs.n_valid + self.photographs.n_test) * self.photographs.n_classes
