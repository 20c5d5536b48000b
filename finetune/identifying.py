"""Identifying: a fine-tuned network answers for photographs that are in no store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from evaluation.identify.contract import Identifier, Neighbour, Photograph
from evaluation.runs import RunCard, read_run_card
from featstore.backbones import preprocess
from featstore.engine import load_engine
from featstore.errors import PhytobenchError, PredictionsError, StoreError
from featstore.provenance import Json
from featstore.store import Store
from featstore.store.identity import other_choices
from finetune.card import NetworkRecipe
from heads.learnt import views_learnt
from heads.looking import ONE_AT_A_TIME, Rows, Sight, crop, open_sight, open_store

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, eq=False)
class NetworkIdentifier:
    """The network of a run; see `Identifier`.

    Attributes
    ----------
    classes
        (k,) raw class ids, sorted.
    network
        (1, s, s, 3) preprocessed images to (1, k) probabilities.
    recipe
        How it sees photographs.
    sight
        The network that it was before training and its features, for similar photographs; None where they are gone.
    """

    model: str
    species: Mapping[str, str]
    views: Mapping[str, bool]
    classes: NDArray[np.str_]
    network: keras.Model
    recipe: NetworkRecipe
    sight: Sight | None

    def probabilities(self, photographs: Sequence[Photograph]) -> tuple[NDArray[np.float32], dict[str, str]]:
        """See `Identifier.probabilities`."""
        return self._rows.of(photographs)

    def nearest(self, photographs: Sequence[Photograph], n_neighbours: int) -> dict[str, list[Neighbour]]:
        """See `Identifier.nearest`; by the features of the network before its training, which the store has."""
        return self.sight.nearest(photographs, n_neighbours) if self.sight else {}

    @cached_property
    def _rows(self) -> Rows:
        return Rows(self._look, len(self.classes))

    def _look(self, path: Path, view: str) -> NDArray[np.float32]:
        pixels = crop(path, self.recipe.roi.of(view), self.recipe.side_px)
        images = preprocess(self.recipe.backbone, pixels[np.newaxis])
        with ONE_AT_A_TIME:
            return np.asarray(self.network.predict_on_batch(images)[0], dtype=np.float32)


def open_run(run: Path, *, store: str | None, photos: Path | None, weights: str | None) -> Identifier:
    """Open a run of `finetune run`; see `evaluation.identify.plugins.OpenRun`.

    It has its own weights. Store, photographs and weights serve for similar photographs alone: without them there are
    none, unless a store is named.
    """
    card = read_run_card(run)
    if card.kind != "finetuned":
        raise PredictionsError("a run of `finetune run`", f"{card.kind} in {run}", "Name another run.")
    load_engine()
    from finetune.saved import load_network

    try:
        sight = _sight(run, card, open_store(run, store), photos, weights)
    except PhytobenchError:
        if store is not None:
            raise
        sight = None
    classes = np.array(sorted(card.classes))
    recipe = NetworkRecipe.of(card)
    views = views_learnt(run, [recipe.roi])
    return NetworkIdentifier(card.model, card.classes, views, classes, load_network(run), recipe, sight)


def _sight(run: Path, card: RunCard, store: Store, photos: Path | None, weights: str | None) -> Sight:
    """The features in a store that the run started from."""
    made = card.details.get("made_from")
    start = made.get("backbone") if isinstance(made, dict) else None
    known = store.backbones if isinstance(start, dict) else ()
    names = [name for name in known if not other_choices(cast("dict[str, Json]", start), store.essence(name))]
    if not names:
        expected, got = f"the features that {card.model} started from", f"others in {store.location}"
        raise StoreError(expected, got, "Name the store it was trained on: --store STORE.")
    return open_sight(run, card, store, names[:1], photos=photos, weights=weights)
