"""The heads there are, by name; each module is loaded only when its head is used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import cast

from featstore.engine import load_engine
from featstore.errors import SettingsError
from heads.head import Head
from heads.recipe import read_recipe


@dataclass(frozen=True)
class HeadSpec:
    """Where a head is and what it is.

    Attributes
    ----------
    module, attribute
        Where its class is defined.
    summary
        One line for the user.
    needs_engine
        Whether it computes with Keras.
    baseline
        Whether it looks at nothing: what every other head has to beat.
    random
        Whether another seed gives another fit.
    by_view
        Whether it is no other than its common head where photographs show one view alone.
    costly
        Whether it takes so long with many classes that it is compared only when it is named.
    """

    module: str
    attribute: str
    summary: str
    needs_engine: bool = False
    random: bool = False
    baseline: bool = False
    by_view: bool = False
    costly: bool = False

    def load(self) -> type[Head]:
        """Import the head's class."""
        if self.needs_engine:
            load_engine()
        return cast("type[Head]", getattr(import_module(self.module), self.attribute))


HEADS: Mapping[str, HeadSpec] = MappingProxyType(
    {
        "mlp": HeadSpec(
            "heads.mlp", "MlpHead", "the article's dense network: 3 x 512 selu, dropout", True, random=True
        ),
        "logistic": HeadSpec("heads.linear", "LogisticHead", "multinomial logistic regression, standardised"),
        "lightgbm": HeadSpec("heads.boosted", "BoostedHead", "gradient-boosted trees on few directions", random=True),
        "lda": HeadSpec("heads.discriminant", "LdaHead", "linear discriminant analysis, covariance shrunk"),
        "ridge": HeadSpec("heads.margin", "RidgeHead", "ridge regression on classes, at a chosen temperature"),
        "svm": HeadSpec("heads.margin", "SvmHead", "linear support vectors, at a chosen temperature", costly=True),
        "knn": HeadSpec("heads.similarity", "KnnHead", "the nearest photographs by angle, nearer ones count more"),
        "prototype": HeadSpec("heads.similarity", "PrototypeHead", "the nearest class mean by angle"),
        "view_experts": HeadSpec(
            "heads.experts", "ViewExpertsHead", "any head per view, backed by a common one", by_view=True
        ),
        "dummy": HeadSpec("heads.baseline", "DummyHead", "how frequent each class is; looks at nothing", baseline=True),
    }
)
"""Name -> head, in the order in which they are compared."""

DEFAULT_HEADS = tuple(name for name, spec in HEADS.items() if not spec.costly)
"""What is compared unless heads are named."""


def create_head(name: str, seed: int = 0) -> Head:
    """Create an unfitted head with its default settings.

    Raises
    ------
    SettingsError
        If there is no such head.
    """
    return head_class(name)(seed=seed)


def head_class(name: str) -> type[Head]:
    """The class of a head.

    Raises
    ------
    SettingsError
        If there is no such head.
    """
    return _spec(name).load()


def load_head(folder: Path) -> Head:
    """Open a saved head, whichever it is.

    Raises
    ------
    HeadError
        If the folder holds none or is damaged.
    SettingsError
        If the head is unknown here.
    """
    return _spec(read_recipe(folder).name).load().load(folder)


def _spec(name: str) -> HeadSpec:
    if name not in HEADS:
        raise SettingsError(f"a head among {', '.join(HEADS)}", repr(name), "Correct --head.")
    return HEADS[name]
