"""Herbarium: what the feature store knows of photographs - their files, boxes, species, and which of them taught."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evaluation.predictions import Predictions
from featstore.errors import listed
from featstore.store import Store

if TYPE_CHECKING:
    import pandas as pd

BOX = ["box_top", "box_left", "box_bottom", "box_right"]


@dataclass(frozen=True)
class Specimen:
    """One photograph.

    Attributes
    ----------
    path
        Its file.
    sha256
        Of the bytes that the store has seen, "" where it has seen none.
    box
        Region of interest: top, left, bottom, right in px of the full upright photograph; None where the whole
        photograph is used or none is known.
    """

    path: Path
    sha256: str
    box: tuple[int, int, int, int] | None


@dataclass(frozen=True, eq=False)
class Herbarium:
    """A store's papers, as a report asks for them.

    Attributes
    ----------
    store
        The store.
    papers
        One row per photograph, index image_id, columns as `Store.papers_of`.
    backbone
        Features that neighbours are looked for in and boxes are taken from; "" where the store has none.
    reported
        Observations that the report is about: none of their photographs can have taught.
    warnings
        What is doubtful and was kept.
    """

    store: Store
    papers: pd.DataFrame
    backbone: str
    reported: frozenset[str]
    warnings: tuple[str, ...]

    @classmethod
    def open(cls, location: str, images: Predictions, backbones: Sequence[str]) -> Herbarium:
        """Open a store and take the papers with the boxes of the first of some networks that it has.

        Raises
        ------
        StoreError
            If there is no store, or it is damaged.
        """
        store = Store.open(location)
        of_runs = [name for name in backbones if name in store.backbones]
        backbone = next(iter(of_runs or store.backbones), "")
        papers = store.papers_of(backbone or None).set_index("image_id", drop=False)
        missing = np.setdiff1d(images.image_id, papers.index.to_numpy(dtype=np.str_)).tolist()
        warnings = []
        if missing:
            warnings.append(f"Not in the store, so shown without a photograph: {len(missing)} ({listed(missing)}).")
        if not of_runs:
            warnings.append(
                f"The store has no features of {listed(list(backbones)) or 'a named network'} of these runs."
            )
        return cls(store, papers, backbone, frozenset(images.observation_id.tolist()), tuple(warnings))

    @property
    def species(self) -> Mapping[str, str]:
        """Class id -> species name, of every class that has one."""
        named = self.papers[(self.papers["class_id"] != "") & (self.papers["species"] != "")]
        return dict(zip(named["class_id"], named["species"], strict=True))

    def specimen(self, image_id: str) -> Specimen | None:
        """Look a photograph up; None where the store does not know it."""
        place = self._places.get(image_id)
        if place is None:
            return None
        row = {name: column[place] for name, column in self._columns.items()}
        # A store without features has no boxes; a photograph that was never read has empty ones.
        top, left, bottom, right = (int(row.get(side, 0)) for side in BOX)
        whole = bottom <= top or right <= left
        return Specimen(
            self._root / str(row["path"]),
            str(row["sha256"]),
            None if whole else (top, left, bottom, right),
        )

    @cached_property
    def _root(self) -> Path:
        # The store reads its description again each time that it is asked.
        return self.store.root

    @cached_property
    def _places(self) -> Mapping[str, int]:
        return {str(image_id): place for place, image_id in enumerate(self.papers.index)}

    @cached_property
    def _columns(self) -> Mapping[str, NDArray[np.generic]]:
        """The columns that a specimen is made of: a row of a frame costs a hundred times as much to look up."""
        wanted = ["path", "sha256", *BOX]
        return {name: self.papers[name].to_numpy() for name in wanted if name in self.papers}

    @cached_property
    def teaching(self) -> pd.DataFrame:
        """Papers of the photographs that could have taught: of known class, read, not of test, not reported on."""
        papers = self.papers
        usable = (papers["class_id"] != "") & (papers["status"] == "done") & (papers["split"] != "test")
        return papers[usable & ~papers["observation_id"].isin(self.reported)]

    def examples(self, class_id: str, n_images: int, views: Sequence[str]) -> list[str]:
        """image_ids of training photographs of a species: of some views if possible, each of another plant."""
        own = self.teaching
        own = own[own["class_id"] == class_id]
        of_views = own[own["view"].isin(list(views))]
        chosen = of_views if len(of_views) else own
        return [str(image_id) for image_id in chosen.drop_duplicates("observation_id")["image_id"][:n_images]]
