"""A fitted rule: coefficients of models and views, ready to be applied, and written as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.rules.block import Rule
from evaluation.rules.learned import LEARNED, Choice, Linear
from evaluation.rules.pools import LogPool, WeightedMean
from featstore.errors import PredictionsError, SettingsError
from featstore.provenance import Json, write_json

SCHEMA = "rule/1"
ANY = ""
Label = tuple[str, str]
"""(model, view) that a coefficient is for; `ANY` stands for each."""


@dataclass(frozen=True, eq=False)
class FittedRule:
    """What a learned rule learnt.

    Attributes
    ----------
    rule
        Name in `LEARNED`.
    models
        (j,) the members, in order.
    classes
        (k,) what was learnt about.
    labels
        (s,) sources.
    weights
        (s,) coefficient of each, or (s, k) of each and every class. A row's coefficient is the sum over the labels that
        fit it; a view that was not there to learn from gets the mean of the others.
    bias
        (k,) or (1,): added to the logarithms.
    logarithmic
        Whether logarithms are added, or probabilities.
    details
        Strength, what was tried, what it was learnt on.
    """

    rule: str
    models: tuple[str, ...]
    classes: NDArray[np.str_]
    labels: tuple[Label, ...]
    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    logarithmic: bool
    details: Mapping[str, Json] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        rule: str,
        choice: Choice,
        models: Sequence[str],
        labels: Sequence[Label],
        classes: NDArray[np.str_],
    ) -> FittedRule:
        """Give what a learner chose its names."""
        found = choice.fitted
        if isinstance(found, Linear):
            weights, bias = found.weights, np.zeros(1)
        else:
            classwise = found.own.shape[1] > 1
            weights = found.weights[:, np.newaxis] + found.own if classwise else found.weights
            bias = found.bias
        told: dict[str, Json] = {f"{strength:g}": loss for strength, loss in choice.loss.items()}
        details: dict[str, Json] = {"strength": choice.strength, "loss_by_strength": told}
        return cls(rule, tuple(models), classes, tuple(labels), weights, bias, not isinstance(found, Linear), details)

    def at(self, sources: Sequence[Label]) -> Rule:
        """Make the rule for rows of these sources (model, view), in the order of their numbers."""
        weights = np.stack([self._coefficient(*source) for source in sources])
        return LogPool(weights, self.bias) if self.logarithmic else WeightedMean(weights)

    def _coefficient(self, model: str, view: str) -> NDArray[np.float64]:
        fit = [number for number, (its, seen) in enumerate(self.labels) if its in {ANY, model} and seen in {ANY, view}]
        if fit:
            return np.asarray(self.weights[fit].sum(axis=0))
        own = [number for number, (its, _) in enumerate(self.labels) if its in {ANY, model}]
        return np.asarray(self.weights[own or slice(None)].mean(axis=0))

    def write(self, path: Path) -> None:
        """Write JSON of schema rule/1, whole or not at all."""
        write_json(
            path,
            {
                "schema": SCHEMA,
                "rule": self.rule,
                "models": list(self.models),
                "classes": self.classes.tolist(),
                "sources": [{"model": model, "view": view} for model, view in self.labels],
                "weights": self.weights.tolist(),
                "bias": self.bias.tolist(),
                "pool": "logarithmic" if self.logarithmic else "linear",
                "details": dict(self.details),
            },
        )

    @classmethod
    def read(cls, path: Path) -> FittedRule:
        """Read what `write` wrote.

        Raises
        ------
        PredictionsError
            If the file is absent, damaged or of another schema.
        """
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            _require_known(told["schema"], told["rule"])
            return cls(
                rule=told["rule"],
                models=tuple(told["models"]),
                classes=np.array(told["classes"], dtype=np.str_),
                labels=tuple((source["model"], source["view"]) for source in told["sources"]),
                weights=np.array(told["weights"], dtype=np.float64),
                bias=np.array(told["bias"], dtype=np.float64),
                logarithmic=told["pool"] == "logarithmic",
                details=told["details"],
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            got = f"{path}: {type(error).__name__} {error}"
            raise PredictionsError(
                f"a fitted rule of schema {SCHEMA}", got, "Fit it again by `evaluate fuse`."
            ) from error

    def require_fit(self, models: Sequence[str], classes: NDArray[np.str_]) -> None:
        """Refuse members or classes that the rule was not learnt for.

        Raises
        ------
        SettingsError
            Naming what differs.
        """
        if tuple(models) != self.models:
            got = f"{', '.join(models)}"
            raise SettingsError(f"the models that {self.rule} was learnt on, {', '.join(self.models)}", got, _AGAIN)
        if not np.array_equal(classes, self.classes):
            raise SettingsError(f"the {len(self.classes)} classes of {self.rule}", f"{len(classes)} others", _AGAIN)


def _require_known(schema: str, rule: str) -> None:
    if schema != SCHEMA or rule not in LEARNED:
        raise ValueError(f"schema {schema!r}, rule {rule!r}")


_AGAIN = "Fit the rule again on these members."
