"""Boosted heads: LightGBM on few directions of standardised features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from featstore.provenance import replacing
from heads.effort import Size, Work
from heads.examples import Examples, Features
from heads.head import Head, Tell, require_setting

if TYPE_CHECKING:
    from lightgbm import Booster, Dataset
    from lightgbm.callback import CallbackEnv

BOOSTER_FILE = "booster.txt"
LOSS = "multi_logloss"


@dataclass(eq=False, kw_only=True)
class BoostedHead(Head):
    """Gradient-boosted trees, one per class and round, on few principal components.

    A round grows as many trees as there are classes and each split looks at every feature, so the features are
    reduced first. Photographs per class are few: trees of 4 leaves, thresholds drawn at random (extremely randomised
    trees) and a third of the components per tree keep them from being learnt by heart. These settings had the
    lowest validation loss on real photographs, on the whole set and on draws of 100 images of 6 classes
    (docs/heads.md).

    Attributes
    ----------
    rounds
        Rounds to boost; with validation photographs the most that are tried.
    patience
        Boosting ends after so many rounds without a lower validation loss; the best round is kept.
    learning_rate, n_leaves, min_images_per_leaf, component_share, leaf_penalty
        LightGBM's learning_rate, num_leaves, min_data_in_leaf, feature_fraction and lambda_l2. With hundreds of classes
        a leaf's second derivatives sum up to a hundredth: without a penalty a single step is a leap.
    """

    name: ClassVar[str] = "lightgbm"
    grid = MappingProxyType({"n_leaves": (4, 2, 8), "learning_rate": (0.1, 0.3), "reduction": ("pca", "lda")})

    rounds: int = 400
    patience: int = 20
    components: int = 64
    learning_rate: float = 0.1
    n_leaves: int = 4
    min_images_per_leaf: int = 10
    component_share: float = 0.3
    leaf_penalty: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("rounds", "patience", "min_images_per_leaf"):
            require_setting(name, getattr(self, name), low=1)
        require_setting("n_leaves", self.n_leaves, low=2)
        require_setting("learning_rate", self.learning_rate, low=1e-6, high=1)
        require_setting("component_share", self.component_share, low=1e-6, high=1)
        require_setting("leaf_penalty", self.leaf_penalty, low=0)

    def _fit(self, train: Examples, valid: Examples | None, tell: Tell) -> None:
        # Imported late: beside other OpenMP libraries LightGBM can crash on macOS, so only its users load it.
        import lightgbm

        data = self._dataset(train)
        callbacks = [self._logging(tell)]
        if valid is not None:
            callbacks.append(lightgbm.early_stopping(self.patience, verbose=False))
        self._booster: Booster = lightgbm.train(
            self._parameters(),
            data,
            num_boost_round=self.rounds,
            valid_sets=[self._dataset(valid, data)] if valid is not None else None,
            callbacks=callbacks,
        )
        if valid is not None:
            self.chosen_ = {"rounds": self._booster.best_iteration}
            if self._booster.best_iteration == self.rounds:
                self.remarks_ = (f"lightgbm was still improving after {self.rounds} rounds",)

    def _dataset(self, examples: Examples, reference: Dataset | None = None) -> Dataset:
        import lightgbm

        label = np.searchsorted(self.classes_, examples.labels)
        return lightgbm.Dataset(examples.features, label, weight=examples.weight, reference=reference)

    def _parameters(self) -> dict[str, object]:
        return {
            "objective": "multiclass",
            "num_class": len(self.classes_),
            "metric": LOSS,
            "learning_rate": self.learning_rate,
            "num_leaves": self.n_leaves,
            "min_data_in_leaf": self.min_images_per_leaf,
            "feature_fraction": self.component_share,
            "lambda_l2": self.leaf_penalty,
            "extra_trees": True,
            "max_bin": 63,
            "seed": self.seed,
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
            # Trees of few leaves give threads little to do and much to wait for: on two busy cores a round at 47,815
            # images and 500 classes took 12.5 s with two threads and 1.5 s with one.
            "num_threads": 1,
        }

    def _logging(self, tell: Tell) -> Callable[[CallbackEnv], None]:
        def log(state: CallbackEnv) -> None:
            row = {"round": state.iteration + 1.0}
            row |= {f"val_{metric}": float(value) for _, metric, value, *_ in state.evaluation_result_list or ()}
            self.log_.append(row)
            loss = f", validation loss {row[f'val_{LOSS}']:.3f}" if f"val_{LOSS}" in row else ""
            tell(f"round {state.iteration + 1}/{self.rounds}{loss}")

        return log

    def _work(self, size: Size) -> Work:
        # A tree per class and round looks at every image in some columns; about a hundred rounds, on one thread.
        n_steps = float(size.n_images) * size.n_classes * min(self.rounds, 100)
        return Work(
            n_steps * (2e4 + 1e3 * size.n_features * self.component_share), 40.0 * size.n_images * size.n_classes
        )

    def _probability(self, features: Features) -> NDArray[np.float64]:
        found = self._booster.predict(features, num_threads=1)
        return np.asarray(found, dtype=np.float64)

    def _save(self, folder: Path) -> None:
        with replacing(folder / BOOSTER_FILE) as temporary:
            self._booster.save_model(str(temporary), num_iteration=self._booster.best_iteration)

    def _load(self, folder: Path) -> None:
        import lightgbm

        try:
            self._booster = lightgbm.Booster(model_str=(folder / BOOSTER_FILE).read_text(encoding="utf-8"))
        except lightgbm.basic.LightGBMError as error:
            raise ValueError(f"{BOOSTER_FILE}: {error}") from error
