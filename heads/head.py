"""The contract of a head: fitted on features and raw class ids, asked for probabilities, saved as plain files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from featstore.errors import SettingsError, listed
from featstore.provenance import Json
from heads.effort import Size, Work
from heads.examples import Examples, Features, HeadError, require_features, require_views
from heads.preparation import Preparation, preparing, require_reduction
from heads.recipe import REFIT, Recipe, read_recipe
from heads.standardise import Standardisation

Tell: TypeAlias = Callable[[str], object]
"""Is told in a few words how far a long fit has come."""


def say_nothing(text: str) -> None:
    """Keep it to oneself."""
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
    unit_length
        Bring each photograph's features to length 1 first.
    standardise
        Bring each column to mean 0 and variance 1.
    components, reduction
        Then keep so many directions, by ``pca`` or ``lda`` (`heads.preparation`); 0 keeps all columns.
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
    chooses: ClassVar[bool] = True
    """Whether a fit chooses something on `valid`."""
    grid: ClassVar[Mapping[str, Sequence[Json]]] = MappingProxyType({})
    """Values of some settings that tuning combines; the defaults are among them."""
    words: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType({})
    """Words that some settings take besides values of their default's kind."""

    seed: int = 0
    unit_length: bool = False
    standardise: bool = True
    components: int = 0
    reduction: str = "pca"

    def __post_init__(self) -> None:
        require_setting("seed", self.seed, low=0)
        require_setting("components", self.components, low=0)
        require_reduction(self.reduction)

    def fit(
        self,
        features: Features,
        labels: NDArray[np.str_],
        *,
        weight: NDArray[np.float64] | None = None,
        views: NDArray[np.str_] | None = None,
        valid: Examples | None = None,
        tell: Tell | None = None,
    ) -> Self:
        """Learn from features (n, d) and their raw class ids (n,).

        Parameters
        ----------
        features, labels, weight, views
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
        return self.learn(Examples(features, labels, weight, views), valid, tell)

    def learn(self, train: Examples, valid: Examples | None = None, tell: Tell | None = None) -> Self:
        """As `fit`, on examples."""
        classes, width = np.unique(train.labels), int(train.features.shape[1])
        if len(classes) < 2:
            raise HeadError(
                "at least two classes to tell apart",
                f"{len(classes)} ({listed(list(classes))})",
                "Add photographs of another species.",
            )
        if valid is not None:
            require_features(valid.features, width)
        self.classes_ = classes
        self.n_features_in_ = width
        self.chosen_: dict[str, Json] = {}
        self.log_: list[dict[str, float]] = []
        self.remarks_: tuple[str, ...] = ()
        self._learn(train, valid.of(classes) if valid is not None else None, tell or say_nothing)
        return self

    def predict_proba(self, features: Features, views: NDArray[np.str_] | None = None) -> NDArray[np.float32]:
        """Probability of every class for every row.

        Parameters
        ----------
        features
            (n, d).
        views
            (n,) view of each, for a head that heeds views; others do not look at it.

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
        require_views(views, len(features))
        probability = np.asarray(self._answer(features, views), dtype=np.float32)
        if not np.isfinite(probability).all():
            row = int(np.argmin(np.isfinite(probability).all(axis=1)))
            raise HeadError("probabilities", f"no number from {self.name} in row {row}", REFIT)
        return probability

    def log_sum_exp(self, features: Features) -> NDArray[np.float32] | None:
        """Logarithm of the summed exponentials of each row's logits, (n,): how much the head has seen of its kind.

        It is what the softmax takes away. None for a head whose probabilities do not come from logits.
        """
        self._require_fitted()
        require_features(features, self.n_features_in_)
        logits = self._logits(self._preparation.apply(features))
        return None if logits is None else np.asarray(logsumexp(logits, axis=1), dtype=np.float32)

    def work(self, size: Size) -> Work:
        """Estimate what a fit costs, preparation included; see `heads.effort.estimate` for seconds.

        Parameters
        ----------
        size
            Of what is learnt from.
        """
        before = preparing(size, self.components, self.reduction)
        return before.then(self._work(replace(size, n_features=self.components or size.n_features)))

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
        self._keep(folder)
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
            head._open(folder)
            found = head._answer(np.zeros((1, recipe.n_features), dtype=np.float32), None).shape
            if found != (1, len(recipe.classes)):
                raise ValueError(f"{found[1]} probabilities for {len(recipe.classes)} classes")  # noqa: TRY301
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise HeadError(f"a readable {cls.name} head", f"{folder}: {error}", REFIT) from error
        return head

    def _require_fitted(self) -> None:
        if not hasattr(self, "classes_"):
            raise HeadError("a fitted head", f"{self.name} before its fit", "Call fit or load first.")

    def _learn(self, train: Examples, valid: Examples | None, tell: Tell) -> None:
        """Prepare the features, then fit on what has become of them."""
        self._preparation = Preparation.fit(
            train,
            unit_length=self.unit_length,
            standardise=self.standardise,
            components=self.components,
            reduction=self.reduction,
            seed=self.seed,
        )
        train, valid = self._prepared(train), self._prepared(valid) if valid is not None else None
        self._fit(train, valid, tell)

    def _prepared(self, examples: Examples) -> Examples:
        return replace(examples, features=self._preparation.apply(examples.features))

    def _answer(self, features: Features, views: NDArray[np.str_] | None) -> NDArray[np.floating]:
        del views
        return self._probability(self._preparation.apply(features))

    def _keep(self, folder: Path) -> None:
        self._preparation.write(folder)
        self._save(folder)

    def _open(self, folder: Path) -> None:
        self._preparation = Preparation.read(folder, unit_length=self.unit_length, components=self.components)
        self._load(folder)

    @property
    def n_inputs_(self) -> int:
        """Number of columns after the preparation."""
        projection = self._preparation.projection
        return self.n_features_in_ if projection is None else len(projection.offset)

    def _statistics_of(self, train: Examples) -> Standardisation:
        """Standardise prepared features, unless they are directions that already stand in proportion."""
        if self.standardise and not self.components:
            return Standardisation.fit(train.features, train.weight)
        return Standardisation.none(train.features.shape[1])

    def _logits(self, features: Features) -> NDArray[np.floating] | None:
        """(n, k) whose softmax are the probabilities, from prepared features; None by default."""
        del features
        return None

    def _work(self, size: Size) -> Work:
        """Estimate a fit on prepared features; nothing worth telling by default."""
        del size
        return Work()

    @abstractmethod
    def _fit(self, train: Examples, valid: Examples | None, tell: Tell) -> None:
        """Learn from prepared features; `classes_` holds the classes of `train`, `valid` has no others."""

    @abstractmethod
    def _probability(self, features: Features) -> NDArray[np.floating]:
        """(n, k), finite, rows summing to 1, from prepared features."""

    @abstractmethod
    def _save(self, folder: Path) -> None:
        """Write what the fit found, each file whole or not at all."""

    @abstractmethod
    def _load(self, folder: Path) -> None:
        """Read what `_save` wrote; settings, `classes_`, `n_features_in_` and the preparation are there already."""


def require_setting(name: str, value: float, *, low: float, high: float = np.inf) -> None:
    """Refuse a setting outside of [low, high]; `name` is what the user calls it, an option with its hyphens."""
    if not low <= value <= high:
        bounds = f"of at least {low:g}" if high == np.inf else f"in [{low:g}, {high:g}]"
        raise SettingsError(f"`{name}` {bounds}", f"{value!r}", "Correct this setting.")
