"""Looking: photographs that are in no store become features as a store's own did, and find the most alike in it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from evaluation.identify.contract import Neighbour, Photograph
from evaluation.identify.opening import store_beside
from evaluation.runs import SPLIT_FILE, RunCard
from featstore.backbones import Network, Pooling, check_engine, weights_source
from featstore.build.prepare import Job, prepare
from featstore.build.specs import NetworkSpec, load_network
from featstore.errors import SettingsError, SplitError, StoreError, WeightsError
from featstore.images import stamp
from featstore.roi import Recipe, ViewRecipe
from featstore.splits import read_split
from featstore.store import Store
from featstore.store.identity import Identity
from featstore.table import open_table
from heads.similar import Neighbourhood

N_REMEMBERED = 256
"""Photographs whose rows are kept, so that votes and similar photographs ask a network once."""
_N_CROPS = 64
_N_THREADS = 4
ONE_AT_A_TIME = threading.Lock()
"""Held while a network computes: it takes all processors, and two at once would only take twice the memory."""
Look = Callable[[Path, str], NDArray[np.float32]]
"""(file, view) -> (d,) what a network says of it; raises `UnusableError` for a file that cannot be used."""


class UnusableError(Exception):
    """A photograph cannot be used; the text says why."""


class Rows:
    """What a network says of photographs, a row each; the last ones are remembered."""

    def __init__(self, look: Look, width: int) -> None:
        self._width = width
        # A file that is replaced has another size or time. Errors are not remembered.
        self._look = lru_cache(N_REMEMBERED)(lambda path, view, _stamp: look(path, view))

    def of(self, photographs: Sequence[Photograph]) -> tuple[NDArray[np.float32], dict[str, str]]:
        """(n, d) in the order of the photographs, NaN for those that failed; image_id and reason of these."""
        rows = np.full((len(photographs), self._width), np.nan, dtype=np.float32)
        failures: dict[str, str] = {}

        def fill(place: int, one: Photograph) -> None:
            try:
                rows[place] = self._look(one.path, one.view, stamp(one.path))
            except UnusableError as error:
                failures[one.image_id] = str(error)

        with ThreadPoolExecutor(_N_THREADS) as threads:
            for _ in threads.map(fill, range(len(photographs)), photographs):
                pass
        return rows, failures


def crop(path: Path, recipe: ViewRecipe, side_px: int) -> NDArray[np.uint8]:
    """Cut and resize a photograph as `featstore build` does, (side, side, 3) RGB uint8.

    Raises
    ------
    UnusableError
        If it cannot be read.
    """
    return _crop(path, stamp(path), recipe, side_px)


@lru_cache(_N_CROPS)
def _crop(path: Path, _stamp: tuple[int, int], recipe: ViewRecipe, side_px: int) -> NDArray[np.uint8]:
    prepared = prepare(Job("", path, recipe, (side_px,)))
    if prepared.failed:
        raise UnusableError(prepared.reason)
    return prepared.crops[side_px]


@dataclass(frozen=True, eq=False)
class Sight:
    """The eyes of a run: networks and recipes that made its features, and the photographs it has learnt from.

    Attributes
    ----------
    backbones
        Names of its features, in their order.
    networks, recipes
        By name of features.
    neighbourhood
        The photographs that similar ones are looked for among; None where there are none.
    """

    backbones: tuple[str, ...]
    networks: Mapping[str, Network]
    recipes: Mapping[str, Recipe]
    neighbourhood: Neighbourhood | None

    @cached_property
    def rows(self) -> Rows:
        """Features of photographs, the networks side by side."""
        return Rows(self._look, sum(network.dimension for network in self.networks.values()))

    def nearest(self, photographs: Sequence[Photograph], n_neighbours: int) -> dict[str, list[Neighbour]]:
        """The photographs learnt from whose features stand at the smallest angle, within each one's view.

        An open view, or one of which nothing was learnt, is looked for in all views.
        """
        if self.neighbourhood is None:
            return {}
        features, failures = self.rows.of(photographs)
        views = np.array([self.neighbourhood.searched(one.view) for one in photographs])
        usable = np.array([one.image_id not in failures for one in photographs])
        found: dict[str, list[Neighbour]] = {}
        for view in np.unique(views[usable]).tolist():
            places = np.flatnonzero(usable & (views == view))
            of_view = self.neighbourhood.nearest(features[places], view, n_neighbours)
            found |= {photographs[place].image_id: some for place, some in zip(places.tolist(), of_view, strict=True)}
        return {one.image_id: found[one.image_id] for one in photographs if one.image_id in found}

    def _look(self, path: Path, view: str) -> NDArray[np.float32]:
        seen = stamp(path)
        pairs = [(self.networks[name], self.recipes[name].of(view)) for name in self.backbones]
        return np.concatenate([_features(network, path, seen, recipe) for network, recipe in pairs])


@lru_cache(N_REMEMBERED)
def _features(network: Network, path: Path, _stamp: tuple[int, int], recipe: ViewRecipe) -> NDArray[np.float32]:
    """What a network says of a photograph, (d,): once for all runs that look through it."""
    pixels = crop(path, recipe, network.side_px)
    with ONE_AT_A_TIME:
        return np.asarray(network.features(pixels[np.newaxis])[0])


def open_store(run: Path, location: str | None) -> Store:
    """Open the store that a run learnt from: the one that is named, or that the comparison beside the run names.

    Raises
    ------
    StoreError
        If it is not known, not there or damaged.
    """
    found = location or store_beside(run)
    remedy = "Name it where it is now: --store STORE."
    if found is None:
        raise StoreError(f"the feature store that {run} learnt from", "no word of it beside the run", remedy)
    try:
        return Store.open(found)
    except StoreError as error:
        if location is not None:
            raise
        raise StoreError(f"the feature store that {run} learnt from", f"{error.got} ({found})", remedy) from error


def open_sight(
    run: Path, card: RunCard, store: Store, names: Sequence[str], *, photos: Path | None, weights: str | None
) -> Sight:
    """Load the networks behind some features of a store.

    Parameters
    ----------
    run, card
        Whose split and classes tell which photographs could have taught.
    names
        Of the features.
    photos, weights
        Where they are now; None for where the store was built from.

    Raises
    ------
    StoreError
        If features were imported, or photographs are cut differently by now.
    WeightsError
        If the weights are gone, or others.
    """
    networks = {name: _network(store.identity(name), name, weights) for name in names}
    recipes = {name: recipe_as_made(store, name) for name in names}
    return Sight(tuple(names), networks, recipes, _neighbourhood(run, card, store, names, photos or store.root))


def recipe_as_made(store: Store, name: str) -> Recipe:
    """The recipe behind a name of features.

    Raises
    ------
    StoreError
        If this version cuts differently than the store was cut.
    """
    column = store.column(name)
    for view, number in column.current.items():
        made, now = store.identities[number].roi, column.recipe.of(view).identity
        if made != now:
            raise StoreError(
                f"a store cut by {now} ({view})",
                f"{made} in {store.location}",
                "Run featstore build --replace: this version of phytobench cuts differently.",
            )
    return column.recipe


def _network(identity: Identity, name: str, weights: str | None) -> Network:
    if identity.foreign:
        raise StoreError(
            "features of a network that this program can build",
            f"{name}, which was imported",
            "Ask another run; imported features can be compared only.",
        )
    named = identity.weights if weights is None else weights
    try:
        spec = NetworkSpec(
            name=name,
            backbone=identity.backbone,
            weights=named,
            side_px=identity.side_px,
            pooling=cast("Pooling", identity.pooling),
            engine=_engine(identity),
            batch_size=1,  # A batch is padded, and most plants have one or two photographs.
            weights_source=weights_source(identity.backbone, named, identity.side_px) or "",
            weights_sha256=identity.weights_sha256,
        )
        return load_network(spec)
    except WeightsError as error:
        remedy = "Name them where they are now: --weights FILE|FOLDER."
        raise WeightsError(error.expected, error.got, remedy) from error


def _engine(identity: Identity) -> str:
    """The engine that made the features, else Keras: both agree to the precision of float32."""
    engine = identity.engine.partition("-")[0]
    try:
        check_engine(engine)
    except SettingsError:
        return "keras"
    return engine


def _neighbourhood(run: Path, card: RunCard, store: Store, names: Sequence[str], root: Path) -> Neighbourhood | None:
    """Photographs of the run's classes that the split beside it does not keep for test; None where there are none."""
    try:
        split = read_split(run.parent / SPLIT_FILE).frame
        papers = store.catalog
        known = papers.loc[papers["class_id"].isin(list(card.classes)), "image_id"]
        taught = frozenset(known) & frozenset(split.loc[split["split"] != "test", "image_id"])
        return Neighbourhood(open_table(store, names, image_ids=taught), root)
    except (OSError, SplitError, StoreError, SettingsError):
        return None
