"""A fitted rule: coefficients of models and views, ready to be applied, and written as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.rules.block import Rule
from evaluation.rules.learned import LEARNED, Choice, Linear
from evaluation.rules.pools import LogPool, WeightedMean
from featstore.errors import SettingsError
from featstore.provenance import Json

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

    def to_json(self) -> dict[str, Json]:
        """Everything, as a document of schema rule/1."""
        return {
            "schema": SCHEMA,
            "rule": self.rule,
            "models": list(self.models),
            "classes": self.classes.tolist(),
            "sources": [{"model": model, "view": view} for model, view in self.labels],
            "weights": self.weights.tolist(),
            "bias": self.bias.tolist(),
            "pool": "logarithmic" if self.logarithmic else "linear",
            "details": dict(self.details),
        }

    @classmethod
    def from_json(cls, told: Any) -> FittedRule:
        """Make the rule that `to_json` described.

        Raises
        ------
        ValueError, KeyError, TypeError
            If it is none.
        """
        if told["schema"] != SCHEMA or told["rule"] not in LEARNED:
            raise ValueError(f"rule {told['rule']!r} of schema {told['schema']!r}")
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


_AGAIN = "Fit the rule again on these members."
