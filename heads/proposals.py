"""Proposals: which settings a search tries, and in which order."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from featstore.errors import SettingsError
from featstore.provenance import Json

if TYPE_CHECKING:
    from optuna import distributions

    from heads.candidates import Candidate
    from heads.trial import Trial


def n_combinations(trial: Trial) -> int:
    """Combinations of the grid that a trial searches."""
    return math.prod(len(values) for values in _axes(trial).values())


def _axes(trial: Trial) -> dict[str, list[Json]]:
    """Values of each setting that is searched: those of the grid, where the choice has not set it."""
    return {name: list(values) for name, values in trial.create().grid.items() if name not in trial.choice.settings}


def _grid(trial: Trial, most: int, tried: Sequence[Candidate]) -> Iterator[dict[str, Json]]:
    """The defaults, then every other combination: those that change least first."""
    del most, tried
    head, axes = trial.create(), _axes(trial)
    defaults = {name: getattr(head, name) for name in axes}
    combinations = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    changed = [{name: value for name, value in found.items() if value != defaults[name]} for found in combinations]
    yield {}
    yield from sorted((found for found in changed if found), key=len)


def _optuna(trial: Trial, most: int, tried: Sequence[Candidate]) -> Iterator[dict[str, Json]]:
    """Settings that Optuna's tree-structured Parzen estimator proposes, told of everything that was tried."""
    try:
        import optuna
    except ImportError as error:
        raise SettingsError(
            "Optuna for --search optuna", "none installed", 'Install it: pip install "phytobench[search]".'
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    ranges = {name: _distribution(values) for name, values in _axes(trial).items() if len(values) > 1}
    yield {}
    if not ranges:
        return
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=trial.protocol.seed))
    for _ in range(1, most):
        asked = study.ask(ranges)
        yield cast("dict[str, Json]", dict(asked.params))
        found = next((c for c in tried if dict(c.settings) == asked.params), None)
        if found is None or found.error:
            study.tell(asked, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(asked, found.score)


def _distribution(values: list[Json]) -> distributions.BaseDistribution:
    """The range that some values span: of numbers on a logarithmic scale, of anything else the values themselves."""
    from optuna import distributions

    if any(isinstance(value, bool | str) for value in values):
        return distributions.CategoricalDistribution(cast("list[str]", values))
    numbers = [value for value in values if isinstance(value, int | float)]
    low, high = min(numbers), max(numbers)
    if all(isinstance(value, int) for value in numbers):
        return distributions.IntDistribution(int(low), int(high), log=low > 0)
    return distributions.FloatDistribution(low, high, log=low > 0)


SEARCHES: Mapping[str, Callable[[Trial, int, Sequence[Candidate]], Iterator[dict[str, Json]]]] = MappingProxyType(
    {"grid": _grid, "optuna": _optuna}
)
"""Name -> settings to try, one after another: (trial, how many at most, what has been tried so far)."""
