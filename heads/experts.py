"""A head per view, backed by a common one: a flower is judged by what flowers taught."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from featstore.errors import SettingsError
from featstore.provenance import Json, write_json
from heads.effort import Size, Work
from heads.examples import Examples, Features
from heads.head import Head, Tell, require_setting
from heads.preparation import Preparation

FILE = "experts.json"
COMMON = ""
"""Stands for the head that has learnt from all views."""
SHARES = tuple(round(0.1 * step, 1) for step in range(10))


@dataclass(eq=False, kw_only=True)
class ViewExpertsHead(Head):
    """Any head, fitted once on all photographs and once on those of each view.

    A photograph of view v is answered by ``share_v * expert_v + (1 - share_v) * common``. The share of each view is
    chosen by the loss on its validation photographs, from 0 (the common head alone) to 0.9: a class that the expert of
    a view has never seen stays possible. Views with few photographs or a single class have no expert.

    Attributes
    ----------
    of
        Name in `heads.registry.HEADS` of the head that all of them are, with its default settings; unit_length,
        standardise, components and reduction are passed on where they are not the default.
    min_images
        Fewer photographs of a view get no expert.
    share
        Of an expert where no validation photographs choose it.
    shares
        By view, what an earlier fit chose; None if there was none. A view that is not among them had no expert to be
        judged then, and gets none of the answer now.
    chosen_inside
        By view, settings of the heads that an earlier fit chose.
    """

    name: ClassVar[str] = "view_experts"
    grid = MappingProxyType({"min_images": (50, 20), "unit_length": (False, True)})

    of: str = "logistic"
    min_images: int = 50
    share: float = 0.5
    shares: Mapping[str, float] | None = None
    chosen_inside: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_setting("min_images", self.min_images, low=2)
        require_setting("share", self.share, low=0, high=0.99)
        if self.of == self.name:
            raise SettingsError("`of` another head", repr(self.of), "Say logistic, for example.")

    def _learn(self, train: Examples, valid: Examples | None, tell: Tell) -> None:
        # Its heads prepare the features, each for itself.
        self._preparation = Preparation()
        self._fit(train, valid, tell)

    def _fit(self, train: Examples, valid: Examples | None, tell: Tell) -> None:
        self._heads = {COMMON: self._fitted(COMMON, train, valid, tell)}
        self._shares: dict[str, float] = {}
        views = np.asarray(train.views if train.views is not None else [], dtype=np.str_)
        names, counts = np.unique(views, return_counts=True)
        for view in names[counts >= self.min_images].tolist():
            own = train.take(views == view)
            if len(np.unique(own.labels)) < 2:
                continue
            judged = _of_view(valid, view)
            self._heads[view] = self._fitted(view, own, judged, tell)
            self._shares[view] = self.share if self.shares is None else self.shares.get(view, 0.0)
            if judged is not None:
                self._shares[view] = self._choose(view, judged)
        self.remarks_ = tuple(remark for head in self._heads.values() for remark in head.remarks_)
        if valid is not None:
            self.chosen_ = {
                "shares": dict(self._shares),
                "chosen_inside": {view: dict(head.chosen_) for view, head in self._heads.items() if head.chosen_},
            }

    def _fitted(self, view: str, train: Examples, valid: Examples | None, tell: Tell) -> Head:
        from heads.registry import head_class

        kind = head_class(self.of)
        ours = {entry.name: getattr(self, entry.name) for entry in fields(Head)}
        passed = {entry.name: ours[entry.name] for entry in fields(Head) if ours[entry.name] != entry.default}
        settings = {**passed, "seed": self.seed, **self.chosen_inside.get(view, {})}
        head = kind(**settings)
        known = valid.of(np.unique(train.labels)) if valid is not None else None
        told = lambda text: tell(f"{view or 'all views'}, {text}")  # noqa: E731
        return head.learn(train, known, told)

    def work(self, size: Size) -> Work:
        """As its common head, and once more for the photographs of all views."""
        from heads.registry import head_class

        common = head_class(self.of)(seed=self.seed).work(size)
        return common.then(common)

    def _choose(self, view: str, judged: Examples) -> float:
        rows, number = np.arange(len(judged.labels)), np.searchsorted(self.classes_, judged.labels)
        common = self._heads[COMMON].predict_proba(judged.features)[rows, number].astype(np.float64)
        expert = self._lifted(view, judged.features)[rows, number]
        losses = [-np.log(np.maximum(share * expert + (1 - share) * common, 1e-12)).mean() for share in SHARES]
        return SHARES[int(np.argmin(losses))]

    def _lifted(self, view: str, features: Features) -> NDArray[np.float64]:
        """What the expert of a view says, over all classes."""
        head = self._heads[view]
        probability = np.zeros((len(features), len(self.classes_)))
        probability[:, np.searchsorted(self.classes_, head.classes_)] = head.predict_proba(features)
        return probability

    def _answer(self, features: Features, views: NDArray[np.str_] | None) -> NDArray[np.floating]:
        probability = self._heads[COMMON].predict_proba(features).astype(np.float64)
        for view, share in self._shares.items() if views is not None else ():
            rows = np.flatnonzero(views == view)
            if share and len(rows):
                probability[rows] = share * self._lifted(view, features[rows]) + (1 - share) * probability[rows]
        return probability

    def _probability(self, features: Features) -> NDArray[np.floating]:
        return self._answer(features, None)

    def _open(self, folder: Path) -> None:
        self._preparation = Preparation()
        self._load(folder)

    def _save(self, folder: Path) -> None:
        names = {view: f"expert-{number}" if view else "common" for number, view in enumerate(self._heads)}
        for view, head in self._heads.items():
            head.save(folder / names[view])
        write_json(folder / FILE, {"folders": dict(names), "shares": dict(self._shares)})

    def _load(self, folder: Path) -> None:
        from heads.registry import load_head

        told = json.loads((folder / FILE).read_text(encoding="utf-8"))
        self._heads = {str(view): load_head(folder / str(name)) for view, name in told["folders"].items()}
        self._shares = {str(view): float(share) for view, share in told["shares"].items()}


def _of_view(valid: Examples | None, view: str) -> Examples | None:
    if valid is None or valid.views is None:
        return None
    own = valid.views == view
    return valid.take(own) if own.any() else None
