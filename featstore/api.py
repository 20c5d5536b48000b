"""The Python interface of `featstore`: build, load, look."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from featstore.errors import counted
from featstore.shown import Shown, rounded

if TYPE_CHECKING:
    from featstore.backbones import Pooling
    from featstore.build.settings import BuildSettings
    from featstore.build.summary import BuildSummary
    from featstore.catalog import Catalog
    from featstore.table import FeatureTable


def build_features(
    photos: str | Path,
    store: str | Path = "features.zarr",
    *,
    backbones: Sequence[str] = (),
    weights: str = "imagenet",
    roi: str = "article",
    pooling: Pooling = "avg",
    side_px: int | None = None,
    settings: BuildSettings | None = None,
) -> Shown[BuildSummary]:
    """Extract the features of a data set, as `featstore build` does; a second call does only what is missing.

    Parameters
    ----------
    photos
        PlantCLEF folder, CSV or Parquet table, or class folders.
    store
        Folder of the feature store, or its address in an object store.
    backbones
        Networks; none for the four of the article.
    weights
        ``"imagenet"``, ``"random[:SEED]"``, or a file or folder of weights.
    roi
        Recipe of the region of interest: ``"article"``, ``"ibm"``, ``"lab"``, ``"none"``, or a TOML file.
    pooling
        ``"avg"`` or ``"max"`` over the last feature maps.
    side_px
        Side of the networks' input; None for each network's own.
    settings
        Every setting there is, in place of `backbones` to `side_px`.

    Returns
    -------
    Shown[BuildSummary]
        One row: photographs found, done, failed and pending. found = done + failed + pending.

    Raises
    ------
    PhytobenchError
        If the data set, weights or store cannot be used; nothing was written then. Photographs that cannot be read
        are no error: they are counted and told.

    Examples
    --------
    >>> build_features("photos/", "features.zarr", backbones=["mobilenet"])  # doctest: +SKIP
    """
    from featstore.backbones import ARTICLE_BACKBONES
    from featstore.build.build import build_store
    from featstore.build.settings import BuildSettings
    from featstore.engine import load_engine
    from featstore.tiny import tiny_warning

    chosen = settings or BuildSettings(
        tuple(backbones) or ARTICLE_BACKBONES, weights, pooling=pooling, side_px=side_px, roi=roi
    )
    load_engine()
    found = build_store(Path(photos), str(store), chosen)
    row = {
        "features": ", ".join(found.names), "found": found.n_found, "done": found.n_done, "failed": found.n_failed,
        "pending": found.n_pending, "images/s": found.images_per_second,
    }  # fmt: skip
    notes = [*found.warnings]
    if found.n_failed:
        notes.append(f"{counted(found.n_failed, 'photograph')} cannot be used: {found.failures_told}")
    if found.n_tiny:
        notes.append(tiny_warning(found.n_tiny, found.n_done))
    if found.random_weights:
        notes.append("Random weights: these features show that everything runs and say nothing about plants.")
    return Shown(f"{found.dataset} -> {found.location}", rounded([row], 2), found, notes=tuple(notes))


def load_features(store: str | Path, backbones: str | Sequence[str] = ()) -> FeatureTable:
    """Load bottleneck features with their papers into memory.

    Parameters
    ----------
    store
        A feature store.
    backbones
        One name of features or several, which then stand side by side; none for all of the store.

    Returns
    -------
    FeatureTable
        ``features`` (n, d) float32, ``papers`` (n rows: image_id, observation_id, author, view, class_id, ...), and
        ``frame()``, both in one table.

    Raises
    ------
    StoreError
        If there is no such store, or it lacks or has lost rows.
    """
    from featstore.store import Store
    from featstore.table import load_table

    opened = Store.open(store)
    names = [backbones] if isinstance(backbones, str) else list(backbones)
    return load_table(opened, names or list(opened.backbones))


def draw_regions(
    photos: str | Path, *, roi: str = "article", n_per_view: int = 6, seed: int = 0, out: str | Path = "preview"
) -> Shown[Catalog]:
    """Draw what a region-of-interest recipe makes of a few photographs of each view, as `featstore preview` does.

    Parameters
    ----------
    photos
        A data set, as for `build_features`.
    roi
        See `build_features`.
    n_per_view
        Photographs on each sheet, 1 to 200.
    seed
        Another one draws other photographs.
    out
        Folder of the sheets.

    Returns
    -------
    Shown[Catalog]
        Photographs by view; the sheets are its pictures.

    Raises
    ------
    PhytobenchError
        If data set or recipe cannot be used.
    """
    from featstore.care.preview import draw_sheets, uncut_told, views_told
    from featstore.readers import read_dataset
    from featstore.roi import load_recipe

    catalog, recipe = read_dataset(Path(photos)), load_recipe(roi)
    sheets = draw_sheets(catalog, recipe, Path(out), n_per_view=n_per_view, seed=seed)
    rows: list[dict[str, object]] = [
        {"view": view, "photographs": n, "region": what} for view, n, what in views_told(catalog, recipe)
    ]
    title = f"{catalog.name}: regions of interest by the recipe {recipe.name}"
    notes = [*catalog.warnings, *filter(None, [uncut_told(catalog, recipe)])]
    return Shown(title, rounded(rows), catalog, tuple(sheets), tuple(notes))
