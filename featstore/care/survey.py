"""Survey: what a store holds, per view, name of features and split, how large it is, and what failed and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from featstore.catalog import SPLITS
from featstore.provenance import Json
from featstore.store import Store
from featstore.store.identity import Identity
from featstore.store.ledger import EDGES
from featstore.tiny import is_tiny

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class FeatureFacts:
    """One name of features.

    Attributes
    ----------
    rows
        Rows that count, by view and split.
    missing
        Photographs that can be used, as far as is known, but have no row that counts: pending ones too.
    size_bytes
        On disk, arrays of all views.
    identity
        What makes new rows (with the region of the first view).
    recipe
        Identity of the recipe that photographs were cut by.
    """

    name: str
    dimension: int
    rows: Mapping[str, Mapping[str, int]]
    missing: int
    size_bytes: int
    identity: Identity
    recipe: str

    @property
    def n_rows(self) -> int:
        """Rows that count."""
        return sum(sum(of_view.values()) for of_view in self.rows.values())


@dataclass(frozen=True)
class Survey:
    """What a store holds; `n_found` = `n_done` + `n_failed` + `n_pending`.

    Attributes
    ----------
    photographs
        Number by view and split.
    failures
        image_id and reason of every photograph that cannot be used.
    whole
        Photographs kept whole for lack of a region, by reason.
    n_tiny
        Photographs with a tiny region by the recipe of the first features.
    size_bytes
        Of the whole store on disk.
    n_files
        Files, or objects in a bucket.
    """

    location: str
    dataset: str
    root: str
    n_found: int
    n_done: int
    n_failed: int
    n_pending: int
    photographs: Mapping[str, Mapping[str, int]]
    features: tuple[FeatureFacts, ...]
    failures: tuple[tuple[str, str], ...]
    whole: Mapping[str, int]
    n_tiny: int
    size_bytes: int
    n_files: int
    warnings: tuple[str, ...]

    @property
    def n_missing(self) -> int:
        """Photographs that lack rows, of the name of features that lacks most."""
        return max((facts.missing for facts in self.features), default=self.n_pending)

    def to_json(self) -> dict[str, Json]:
        """As one document."""
        return cast(
            "dict[str, Json]",
            {"schema": "survey/1"}
            | asdict(self)
            | {"failures": [{"image_id": key, "reason": reason} for key, reason in self.failures]},
        )


def survey_store(store: Store) -> tuple[Survey, pd.DataFrame]:
    """Look through a store's papers and records.

    Returns
    -------
    The survey, and the papers it was made from (see `Store.papers_of`).
    """
    names = store.backbones
    papers, counting = store.survey(names)
    sizes = store.place.sizes("")
    status = Counter(papers["status"])
    done = papers["status"] == "done"
    n_usable = int((papers["status"] != "failed").sum())
    features = tuple(
        _features(store, name, papers.loc[counting[:, column]], n_usable, sizes) for column, name in enumerate(names)
    )
    failed = papers[papers["status"] == "failed"]
    survey = Survey(
        location=store.location,
        dataset=store.name,
        root=str(store.root),
        n_found=len(papers),
        n_done=status["done"],
        n_failed=status["failed"],
        n_pending=status["pending"],
        photographs=_by_view_and_split(papers),
        features=features,
        failures=tuple(zip(failed["image_id"], failed["reason"], strict=True)),
        whole=dict(Counter(papers.loc[done & (papers["box_reason"] != ""), "box_reason"]).most_common()),
        n_tiny=int((done & is_tiny(papers[list(EDGES)].to_numpy(np.int64))).sum()),
        size_bytes=sum(sizes.values()),
        n_files=len(sizes),
        warnings=tuple(str(warning) for warning in cast("list[Json]", store.attrs["warnings"])),
    )
    return survey, papers


def _by_view_and_split(papers: pd.DataFrame) -> dict[str, dict[str, int]]:
    return {
        str(view): {split: int((of_view["split"] == split).sum()) for split in SPLITS}
        for view, of_view in papers.groupby("view", sort=True)
    }


def _features(store: Store, name: str, papers: pd.DataFrame, n_usable: int, sizes: Mapping[str, int]) -> FeatureFacts:
    column = store.column(name)
    return FeatureFacts(
        name=name,
        dimension=column.dimension,
        rows=_by_view_and_split(papers),
        missing=n_usable - len(papers),
        size_bytes=sum(size for key, size in sizes.items() if key.split("/")[1:2] == [name]),
        identity=store.identity(name),
        recipe=column.recipe.identity,
    )
