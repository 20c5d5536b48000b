"""The contract of a head: fitted on features and raw class ids, asked for probabilities, saved as plain files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import ClassVar, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from featstore.errors import SettingsError, listed
from featstore.provenance import Json
from heads.examples import Examples, Features, HeadError, require_features
from heads.recipe import REFIT, Recipe, read_recipe

Tell: TypeAlias = Callable[[str], object]
"""Is told in a few words how far a long fit has come."""


def _say_nothing(text: str) -> None:
    del text


@dataclass(eq=False, kw_only=True)
class Head(ABC):
    """What every head is: a classifier as scikit-learn's, with raw class ids at its doors.

    The fields of a subclass are its settings, all with defaults. Names that end in an underscore exist after
    `fit` or `load`. Settings that a fit chooses for itself (epochs, rounds, a temperature) are chosen on `valid`
    alone; `for_refit` gives a head that has them fixed, to be fitted on train and valid together.

    Attributes
    ----------
    seed
        Seed of everything random; the same seed and data repeat the fit.
    classes_
        (k,) raw class ids, sorted; column j of the probabilities belongs to ``classes_[j]``.
    n_features_in_
        Number of features d.
    chosen_
        Settings that the fit chose, by name.
    log_
        One row of figures per epoch or round, empty for a head that is fitted in one go.
    remarks_
        What is doubtful about the fit, one sentence each.
    """

    name: ClassVar[str]
    """Name in `heads.registry.HEADS`."""

    seed: int = 0

    def __post_init__(self) -> None:
        require_setting("seed", self.seed, low=0)

    def fit(
        self,
        features: Features,
        labels: NDArray[np.str_],
        *,
        valid: Examples | None = None,
        tell: Tell | None = None,
    ) -> Self:
        """Learn from features (n, d) and their raw class ids (n,).

        Parameters
        ----------
        features, labels
            As `Examples`.
        valid
            Decides how long to train, where that is a question; rows of other classes are left aside. Without
            it the head trains for as long as its settings say.
        tell
            Is told how far a long fit has come.

        Raises
        ------
        HeadError
            If the data cannot be learnt from, fewer than two classes for example.
        """
        examples = Examples(features, labels)
        classes = np.unique(examples.labels)
        if len(classes) < 2:
            raise HeadError(
                "at least two classes to tell apart",
                f"{len(classes)} ({listed(list(classes))})",
                "Add photographs of another species.",
            )
        if valid is not None:
            require_features(valid.features, features.shape[1])
        self.classes_ = classes
        self.n_features_in_ = int(features.shape[1])
        self.chosen_: dict[str, float] = {}
        self.log_: list[dict[str, float]] = []
        self.remarks_: tuple[str, ...] = ()
        self._fit(examples, valid.of(classes) if valid is not None else None, tell or _say_nothing)
        return self

    def predict_proba(self, features: Features) -> NDArray[np.float32]:
        """Probability of every class for every row.

        Returns
        -------
        (n, k) float32 in [0, 1]; rows sum to 1, columns stand in the order of `classes_`.

        Raises
        ------
        HeadError
            If the head is not fitted, or was fitted on another number of features.
        """
        self._require_fitted()
        require_features(features, self.n_features_in_)
        probability = np.asarray(self._probability(features), dtype=np.float32)
        if not np.isfinite(probability).all():
            row = int(np.argmin(np.isfinite(probability).all(axis=1)))
            raise HeadError("probabilities", f"no number from {self.name} in row {row}", REFIT)
        return probability

    def for_refit(self) -> Self:
        """Give an unfitted head with the settings that this one's fit chose."""
        self._require_fitted()
        return replace(self, **self.chosen_)  # type: ignore[arg-type]  # each is a setting's own type

    def settings(self) -> dict[str, Json]:
        """Every setting by name; a head made from them is fitted alike."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def save(self, folder: Path) -> None:
        """Write the fitted head into a folder of its own, without pickle; the recipe comes last."""
        self._require_fitted()
        folder.mkdir(parents=True, exist_ok=True)
        self._save(folder)
        classes = [str(class_id) for class_id in self.classes_]
        Recipe(self.name, self.settings(), self.chosen_, classes, self.n_features_in_).write(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Open a head that `save` wrote; nothing in the folder is executed.

        Raises
        ------
        HeadError
            If the folder holds no such head or is damaged.
        """
        recipe = read_recipe(folder)
        if recipe.name != cls.name:
            raise HeadError(f"a saved {cls.name}", f"{recipe.name} in {folder}", "Use heads.registry.load_head.")
        try:
            # Written by `settings`; a wrong name or type is refused by the constructor.
            head = cls(**recipe.settings)  # type: ignore[arg-type]
            head.classes_ = np.asarray(recipe.classes, dtype=np.str_)
            head.n_features_in_ = recipe.n_features
            head.chosen_, head.log_, head.remarks_ = dict(recipe.chosen), [], ()
            head._load(folder)
            found = head._probability(np.zeros((1, recipe.n_features), dtype=np.float32)).shape
            if found != (1, len(recipe.classes)):
                raise ValueError(f"{found[1]} probabilities for {len(recipe.classes)} classes")  # noqa: TRY301
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise HeadError(f"a readable {cls.name} head", f"{folder}: {error}", REFIT) from error
        return head

    def _require_fitted(self) -> None:
        if not hasattr(self, "classes_"):
            raise HeadError("a fitted head", f"{self.name} before its fit", "Call fit or load first.")

    @abstractmethod
    def _fit(self, train: Examples, valid: Examples | None, tell: Tell) -> None:
        """Learn; `classes_` holds the classes of `train`, `valid` has no others."""

    @abstractmethod
    def _probability(self, features: Features) -> NDArray[np.floating]:
        """(n, k), finite, rows summing to 1."""

    @abstractmethod
    def _save(self, folder: Path) -> None:
        """Write what the fit found, each file whole or not at all."""

    @abstractmethod
    def _load(self, folder: Path) -> None:
        """Read what `_save` wrote; settings, `classes_` and `n_features_in_` are there already."""


def require_setting(name: str, value: float, *, low: float, high: float = np.inf) -> None:
    """Refuse a setting outside of [low, high]."""
    if not low <= value <= high:
        bounds = f"of at least {low:g}" if high == np.inf else f"in [{low:g}, {high:g}]"
        raise SettingsError(f"`{name}` {bounds}", f"{value!r}", "Correct this setting.")
