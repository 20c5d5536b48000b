"""Build: a data set becomes a feature store, and a second run does only what is missing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from featstore import shell
from featstore.backbones import ARTICLE_BACKBONES, Pooling, build_backbone, check_options, weights_sha256
from featstore.catalog import Catalog
from featstore.engine import load_engine
from featstore.errors import SettingsError, StoreError, listed
from featstore.extract import Extraction, Network
from featstore.facts import Facts
from featstore.identity import Identity
from featstore.lock import only_writer
from featstore.provenance import library_versions, provenance
from featstore.readers import read_dataset
from featstore.roi import recipe_identity
from featstore.store import Store

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class BuildSettings:
    """How features are made; see `featstore build --help`."""

    backbones: tuple[str, ...] = ARTICLE_BACKBONES
    weights: str = "imagenet"
    pooling: Pooling = "avg"
    side_px: int | None = None
    roi: str = "article"
    batch_size: int = 16
    n_workers: int = 2
    replace: bool = False
    reader: str | None = None

    def __post_init__(self) -> None:
        if not self.backbones:
            raise SettingsError("at least one --backbone", "none", "Name one, for example --backbone resnet50.")
        for name in self.backbones:
            check_options(name, self.pooling, self.side_px)
        recipe_identity(self.roi)
        for name, value, least in (("--batch-size", self.batch_size, 1), ("--workers", self.n_workers, 0)):
            if value < least:
                raise SettingsError(f"{name} of at least {least}", str(value), "Choose a larger number.")


@dataclass(frozen=True)
class BuildSummary:
    """What a build found and did; `n_found` = `n_done` + `n_failed`.

    Attributes
    ----------
    n_decoded
        Photographs decoded in this run.
    n_rows
        Feature rows computed in this run, over all backbones.
    failures
        image_id and reason of every photograph without features.
    fallbacks
        Number of photographs whose whole area was taken because no region was found.
    """

    store: Path
    dataset: str
    backbones: tuple[str, ...]
    n_found: int
    n_done: int
    n_failed: int
    n_decoded: int
    n_rows: int
    seconds: float
    failures: tuple[tuple[str, str], ...]
    fallbacks: int
    warnings: tuple[str, ...]
    random_weights: bool

    @property
    def images_per_second(self) -> float:
        """Photographs of this run per second, through every network; 0 if there was nothing to do."""
        return self.n_decoded / self.seconds if self.n_decoded else 0.0


def build_store(dataset: Path, path: Path, settings: BuildSettings) -> BuildSummary:
    """Extract what is missing of a data set's features into the store at `path`.

    Raises
    ------
    DatasetError, WeightsError, SettingsError
        If the input cannot be used; nothing was written then.
    StoreError
        If the store was made differently, see `--replace`.
    """
    catalog = read_dataset(dataset, settings.reader)
    # Everything that can be refused is refused before the first byte is written.
    if (path / "zarr.json").exists():
        _open(path, catalog, settings)
    networks, identities = _networks(settings)
    with _own(path):
        return _build(catalog, path, settings, networks, identities)


def _build(
    catalog: Catalog, path: Path, settings: BuildSettings, networks: list[Network], identities: list[Identity]
) -> BuildSummary:
    store = _open(path, catalog, settings) if (path / "zarr.json").exists() else None
    _refuse_other_features(store, identities, replace=settings.replace)
    if store is None:
        store = Store.create(path, catalog, recipe_identity(settings.roi))
    store.update_attrs(root=str(catalog.root.resolve()), dataset=catalog.name)
    for identity in identities:
        _register(store, identity)
    facts = Facts.load(store)
    keys = _place_rows(store, catalog, networks)
    facts.forget_changed(catalog)
    started = time.monotonic()
    extraction = Extraction(store, networks, catalog, facts, recipe=settings.roi)
    store.write_papers(facts.papers(catalog))
    try:
        extraction.run(keys, settings.n_workers)
    finally:
        papers = facts.papers(catalog)
        store.write_papers(papers)
    store.update_attrs(provenance=provenance(), warnings=list(catalog.warnings))
    return _summary(store, catalog, settings, papers, extraction, time.monotonic() - started)


def _own(path: Path) -> AbstractContextManager[None]:
    """The lock of a store; a folder that holds something else is not even touched."""
    if path.exists() and not (path / "zarr.json").exists():
        Store.refuse_other_files(path)
    return only_writer(path)


def _summary(
    store: Store,
    catalog: Catalog,
    settings: BuildSettings,
    papers: pd.DataFrame,
    extraction: Extraction,
    seconds: float,
) -> BuildSummary:
    failed = papers[papers["status"] == "failed"]
    done = papers[papers["status"] == "done"]
    return BuildSummary(
        store=store.path,
        dataset=catalog.name,
        backbones=settings.backbones,
        n_found=len(papers),
        n_done=len(done),
        n_failed=len(failed),
        n_decoded=extraction.n_decoded,
        n_rows=extraction.n_rows,
        seconds=seconds,
        failures=tuple(zip(failed["image_id"], failed["reason"], strict=True)),
        fallbacks=int((done["reason"] != "").sum()),
        warnings=catalog.warnings,
        random_weights=settings.weights.startswith("random"),
    )


def _open(path: Path, catalog: Catalog, settings: BuildSettings) -> Store:
    """Open the store of this data set and recipe."""
    roi = recipe_identity(settings.roi)
    store = Store.open(path)
    if store.roi != roi:
        raise StoreError(
            f"--roi {store.roi.split('/')[0]}, the recipe of {path} ({store.roi})",
            f"{settings.roi} ({roi})",
            "Give that recipe, or build into another --store.",
        )
    if store.attrs["catalog"] and not set(store.papers["image_id"]) & set(catalog.frame["image_id"]):
        raise StoreError(
            f"the data set of {path} ({store.name})",
            f"{catalog.name}, which shares no image with it",
            "Build another data set into another --store.",
        )
    return store


def _networks(settings: BuildSettings) -> tuple[list[Network], list[Identity]]:
    """Load every network, and say what its rows will be made of."""
    engine = load_engine()
    networks, identities = [], []
    for name in dict.fromkeys(settings.backbones):
        shell.say(f"loading {name} ({settings.weights})")
        model = build_backbone(name, settings.weights, settings.side_px, settings.pooling)
        networks.append(Network(name, model, settings.batch_size))
        identities.append(
            Identity(
                backbone=name,
                weights=_lasting(settings.weights),
                weights_sha256=weights_sha256(model),
                side_px=networks[-1].side_px,
                pooling=settings.pooling,
                preprocessing=f"keras.applications {name}",
                roi=recipe_identity(settings.roi),
                engine=f"keras-{engine}",
                precision=str(model.compute_dtype),
                versions=library_versions(("keras", engine, "numpy", "pillow", "scikit-image")),
            )
        )
    return networks, identities


def _lasting(weights: str) -> str:
    """The weights as later steps find them, from whatever folder they are started."""
    path = Path(weights).expanduser()
    return str(path.resolve()) if path.exists() else weights


def _refuse_other_features(store: Store | None, identities: Sequence[Identity], *, replace: bool) -> None:
    """Refuse to mix features that were made differently."""
    if store is None or replace:
        return
    for identity in identities:
        if identity.backbone not in store.backbones or identity.made_like(store.identity(identity.backbone)):
            continue
        old, new = store.identity(identity.backbone).essence(), identity.essence()
        differing = [name for name in old if old[name] != new[name]]
        raise StoreError(
            f"{identity.backbone} made as in {store.path}: {_told(old, differing)}",
            _told(new, differing),
            "Give the same options, --replace its features, or build into another --store.",
        )


def _register(store: Store, identity: Identity) -> None:
    """Enter what makes a backbone's rows; rows of another identity no longer count."""
    if identity.backbone in store.backbones:
        if identity.made_like(store.identity(identity.backbone)):
            return
        for view in store.views:
            store.records.forget(view, identity.backbone)
    store.add_identity(identity)


def _told(essence: dict[str, object], names: Sequence[str]) -> str:
    return ", ".join(f"{name} {str(essence[name])[:12]}" for name in names)


def _place_rows(store: Store, catalog: Catalog, networks: Sequence[Network]) -> dict[str, list[str]]:
    """Give every usable photograph a row of its view; rows that exist keep their places."""
    usable = catalog.frame[catalog.frame["problem"] == ""]
    keys: dict[str, list[str]] = {}
    for view, of_view in usable.groupby("view", sort=True):
        name = str(view)
        known = [key for key in store.row_keys(name) if key]
        keys[name] = list(dict.fromkeys([*known, *of_view["image_id"]]))
        if keys[name] != known:
            store.write_row_keys(name, keys[name])
        for network in networks:
            store.prepare_features(name, network.name, network.dimension)
    return keys


def failures_told(summary: BuildSummary) -> str:
    """The failed photographs in one line."""
    return listed([f"{image_id}: {reason}" for image_id, reason in summary.failures], limit=10)
