"""Recipes: what a fusion is asked to do, by rules that are named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType

import numpy as np

from evaluation.rules import RULES, WEIGHTED
from evaluation.rules.learned import LEARNED
from featstore.errors import SettingsError

CALIBRATIONS = ("none", "all", "view")
"""What has a temperature of its own before fusion: nothing, each model, or each model on each view."""

FIXED = tuple(rule for rule in RULES if rule != WEIGHTED)
"""Rules that need no more than the rows: no weights, and nothing to learn from."""

SETS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"all": (*RULES, *LEARNED), "fixed": tuple(RULES), "learned": tuple(LEARNED)}
)
"""Names that stand for many rules."""


@dataclass(frozen=True)
class Recipe:
    """How the rows (image x model) of an observation become one.

    Parameters
    ----------
    rule
        Name in `RULES` or `LEARNED`: for all rows at once, or for the models when `image_rule` is given.
    image_rule
        Name in `RULES` for a first step: each model's images become one row per model.
    weights
        One per model, for the rule `weighted_mean` alone.
    calibrate
        One of `CALIBRATIONS`.

    Raises
    ------
    SettingsError
        If there is no such rule, or its settings do not fit it.
    """

    rule: str = "mean"
    image_rule: str | None = None
    weights: tuple[float, ...] = ()
    calibrate: str = "none"

    def __post_init__(self) -> None:
        _require_name("a rule", self.rule, (*RULES, *LEARNED))
        if self.image_rule is not None:
            # A rule that weighs models has nothing to weigh among the images of one.
            _require_name("a rule for images", self.image_rule, [name for name in RULES if name != WEIGHTED])
        _require_name("a calibration", self.calibrate, CALIBRATIONS)
        _require_weights(self.rule, self.weights)
        if self.image_rule is not None and self.learned and "view" in LEARNED[self.rule].sources:
            got = f"{self.rule} after a step that leaves no views"
            raise SettingsError("rows with a view for a rule that weighs views", got, "Leave out --image-rule.")

    @property
    def learned(self) -> bool:
        """Whether the rule has to be fitted."""
        return self.rule in LEARNED

    @property
    def needs_learning(self) -> bool:
        """Whether anything, rule or temperature, has to be fitted."""
        return self.learned or self.calibrate != "none"

    @property
    def plain(self) -> bool:
        """Whether a fixed rule takes all rows together: without weights, steps or anything learnt."""
        return self.rule in FIXED and self.image_rule is None and self.calibrate == "none"

    @property
    def name(self) -> str:
        """``mean``, or ``max-then-mean`` for max over the images and then mean over the models."""
        name = self.rule if self.image_rule is None else f"{self.image_rule}-then-{self.rule}"
        return name if self.calibrate == "none" else f"{name}-calibrated-{self.calibrate}"


def recipes(
    rules: Sequence[str],
    image_rule: str | None,
    model_rule: str | None,
    weights: Sequence[float] = (),
    calibrate: str = "none",
) -> tuple[Recipe, ...]:
    """Choose recipes as the command line does: one per rule, and one in two steps when either step is named.

    Nothing named means the mean over all rows; a step that is not named is a mean. The names in `SETS` stand for many
    rules, ``all`` also for each in two steps, the images of each model first. With a calibration every recipe comes
    without and with it, so that its effect can be seen. Weights belong to `weighted_mean`, which they imply.
    """
    _require_name("a calibration", calibrate, CALIBRATIONS)
    named = [name for rule in rules for name in SETS.get(rule, (rule,)) if name != WEIGHTED or weights or rule == name]
    if weights and WEIGHTED not in named and model_rule != WEIGHTED:
        named.append(WEIGHTED)
    chosen = [_recipe(name, None, weights) for name in named]
    if "all" in rules:
        chosen += [_recipe(name, _image_step(name), weights) for name in named if _image_step(name)]
    if image_rule is not None or model_rule is not None:
        chosen.append(_recipe(model_rule or "mean", image_rule or "mean", weights))
    plain = tuple(dict.fromkeys(chosen)) or (Recipe(),)
    if calibrate == "none":
        return plain
    return tuple(Recipe(one.rule, one.image_rule, one.weights, kind) for one in plain for kind in ("none", calibrate))


def _recipe(rule: str, image_rule: str | None, weights: Sequence[float]) -> Recipe:
    return Recipe(rule, image_rule, tuple(weights) if rule == WEIGHTED else ())


def _image_step(rule: str) -> str | None:
    """First step of a rule's form in two steps: itself, or the mean for a rule that has to tell models apart."""
    if rule in LEARNED:
        return None if "view" in LEARNED[rule].sources else "mean"
    return "mean" if rule == WEIGHTED else rule


def _require_name(what: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        near = get_close_matches(name, known, n=1)
        remedy = f"Did you mean {near[0]}?" if near else "Pass one of these."
        raise SettingsError(f"{what} out of {', '.join(known)}", f"{name!r}", remedy)


def _require_weights(rule: str, weights: tuple[float, ...]) -> None:
    remedy = "Pass --weight once per model, in the order of the runs."
    if rule == WEIGHTED and not weights:
        raise SettingsError(f"weights for {WEIGHTED}", "none", remedy)
    if weights and rule != WEIGHTED:
        raise SettingsError(f"weights for {WEIGHTED} alone", f"some for {rule}", f"Pass --rule {WEIGHTED}.")
    if not all(np.isfinite(weight) and weight >= 0 for weight in weights):
        raise SettingsError("finite weights of at least 0", ", ".join(map(str, weights)), remedy)
    if weights and not any(weights):
        raise SettingsError("a weight above 0", "zeros alone", remedy)


def require_fixed(rule: str) -> None:
    """Require a rule of `FIXED`.

    Raises
    ------
    SettingsError
        If it is none of them.
    """
    if rule not in FIXED:
        near = get_close_matches(rule, FIXED, n=1)
        remedy = f"Did you mean {near[0]}?" if near else "Compare other rules with `evaluate fuse`."
        raise SettingsError(f"a fixed rule out of {', '.join(FIXED)}", repr(rule), remedy)
