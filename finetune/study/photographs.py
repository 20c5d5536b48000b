"""What a study is about: its photographs, counted and fingerprinted before anything is computed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from featstore.errors import DatasetError
from featstore.images import stamp
from featstore.provenance import Json
from featstore.readers import read_dataset
from featstore.store.papers import papers_digest
from finetune.study.variations import VARIATIONS, Variation
from heads.weights import well_voted

if TYPE_CHECKING:
    import pandas as pd

N_SAMPLE = 14
"""Photographs that are looked at to estimate times: twice as many as views."""
_TRAIN_SHARE = 3 / 4


@dataclass(frozen=True)
class Photographs:
    """A data set in figures.

    Attributes
    ----------
    root, digest
        Where it is, and a digest of papers, sizes and times of all files: another one whenever any has changed.
    n_images, n_train, n_test, n_classes, n_observations
        Photographs that have papers, those to learn from and to be tested on, species to learn, plants in all.
    n_voted
        Variation -> photographs to learn from whose vote is high enough or unknown.
    sample
        Path and view of the first few of each view, `N_SAMPLE` or fewer in all where there are no more views than that.
    warnings
        What is doubtful and was kept.
    """

    root: Path
    digest: str
    n_images: int
    n_train: int
    n_test: int
    n_classes: int
    n_observations: int
    n_voted: Mapping[str, int]
    sample: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...] = ()

    @property
    def n_valid(self) -> int:
        """About so many will be set aside to choose by."""
        return round(self.n_train * (1 - _TRAIN_SHARE))

    def n_learnt(self, variation: Variation) -> int:
        """About so many a variation learns from."""
        return round(self.n_voted[variation.name] * _TRAIN_SHARE)

    def to_json(self) -> dict[str, Json]:
        """The counts as one object."""
        names = ("n_images", "n_train", "n_test", "n_classes", "n_observations")
        return {name: getattr(self, name) for name in names}


def look_at(data: Path) -> Photographs:
    """Read the papers of a data set, and no photograph.

    Raises
    ------
    DatasetError
        If it cannot be read, or shows fewer than two species to learn.
    """
    catalog = read_dataset(data)
    frame = catalog.frame[catalog.frame["problem"] == ""]
    train = frame[(frame["split"] != "test") & (frame["class_id"] != "")]
    n_classes = int(train["class_id"].nunique())
    if n_classes < 2:
        got = f"{n_classes} in {data} ({len(frame)} photographs with papers)"
        raise DatasetError("photographs of at least two species to learn", got, "See docs/datasets.md for the layout.")
    n_test = int((frame["split"] == "test").sum())
    warnings = [*catalog.warnings]
    if not n_test:
        warnings.append(f"{data} has no test photographs: the tables are about valid, on which choices are made.")
    return Photographs(
        root=catalog.root,
        digest=_digest(catalog.frame, catalog.root),
        n_images=len(frame),
        n_train=len(train),
        n_test=n_test,
        n_classes=n_classes,
        n_observations=int(frame["observation_id"].nunique()),
        n_voted={name: int(well_voted(train, way.min_vote).sum()) for name, way in VARIATIONS.items()},
        sample=_sample(frame),
        warnings=tuple(warnings),
    )


def _digest(frame: pd.DataFrame, root: Path) -> str:
    lines = [papers_digest(frame), *(str(stamp(root / path)) for path in frame["path"])]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _sample(frame: pd.DataFrame) -> tuple[tuple[str, str], ...]:
    """So many of each view, as far as there are."""
    each = frame.groupby("view").head(max(1, N_SAMPLE // frame["view"].nunique()))
    return tuple(zip(each["path"].tolist(), each["view"].tolist(), strict=True))
